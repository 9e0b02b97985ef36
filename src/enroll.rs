//! A member's whole errand, as a pure driver over [`Session<Client>`](Session).
//!
//! 1. The handshake, then Member: [`EnrollEvent::Connected`], [`EnrollEvent::Identified`].
//! 2. Create, if the plan says so: [`EnrollEvent::Created`]. Then Join: [`EnrollEvent::Joined`].
//! 3. GetCluster for the members that are missing, with a growing pause between polls that comes out of
//!    [`Machine::poll_timeout`]: one [`EnrollEvent::Member`] for each member as it becomes known.
//! 4. When all are known, Bye: [`EnrollEvent::Done`], and [`Enroll::roster`] is complete.
//!
//! Requests go one at a time and in the order that deployed servers insist on (PROTOCOL 2).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::CryptoRng;

use crate::crypto::SealError;
use crate::identity::{MemberAttrs, NodeId, Token, Version};
use crate::message::{
    ClusterInfo, ClusterRef, Create, GetCluster, MemberList, Op, Reason, Reply, Which,
};
use crate::session::{
    Client, ClientConfig, ClientEvent, CommandError, Dialect, Error, Instant, Machine, Session,
    TimerKind,
};

/// What to do, and with what patience.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who the member is; signed.
    pub token: Token,
    /// The cluster to create first, if any; it is then the one that is joined.
    pub create: Option<Create>,
    /// The cluster to join, where none is created.
    pub join: ClusterRef,
    /// The pause before the first repeated poll. It doubles with every poll that brings nothing new, from
    /// [`Plan::SHORTEST_PAUSE`] on.
    pub first_pause: Duration,
    /// The longest pause between polls.
    pub longest_pause: Duration,
    /// Whether to go on until all members are known. If not, good-byes are said after the first look.
    pub wait: bool,
    /// How long to go on in all; for ever if absent.
    pub give_up_after: Option<Duration>,
}

impl Plan {
    /// The least that a pause grows to, so that no plan turns polling into a flood.
    pub const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

    /// Joins an existing cluster. Pauses grow from 100 ms to 5 s, and it never gives up.
    pub fn join(token: Token, cluster: ClusterRef) -> Self {
        Self {
            token,
            create: None,
            join: cluster,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            wait: true,
            give_up_after: None,
        }
    }

    /// Creates a cluster, or finds the one of that name, and joins it. Otherwise as [`Plan::join`].
    pub fn create_and_join(token: Token, create: Create) -> Self {
        Self { create: Some(create), ..Self::join(token, ClusterRef::CURRENT) }
    }
}

/// How the errand goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrollEvent {
    /// The handshake is complete.
    Connected {
        /// The dialect spoken.
        dialect: Dialect,
        /// The registry's version.
        version: Version,
    },
    /// The registry knows the member now. Keep the ID: with it, and the same sig key, the member is recognised
    /// again.
    Identified {
        /// The member's ID.
        id: NodeId,
        /// Its flags, echoed.
        attrs: MemberAttrs,
    },
    /// The cluster exists.
    Created(ClusterInfo),
    /// The member is in the cluster.
    Joined(ClusterInfo),
    /// A member of the cluster, this one included, has become known.
    Member {
        /// Its index in the order of joining.
        index: u32,
        /// What it says of itself.
        token: Token,
    },
    /// All members are known, or were not to be waited for, and good-byes are said.
    Done,
}

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The cluster's properties.
    pub cluster: ClusterInfo,
    /// The member's own ID.
    pub id: NodeId,
    /// The members known, by index in the order of joining.
    pub members: BTreeMap<u32, Token>,
}

impl Roster {
    /// The member's own index, once it is known.
    pub fn self_index(&self) -> Option<u32> {
        self.members.iter().find(|(_, token)| token.id == Some(self.id)).map(|(index, _)| *index)
    }

    /// Whether as many members are known as the cluster may have.
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// The members not known yet.
    pub fn missing(&self) -> Which {
        let known = self.members.keys().fold(Which::NONE, |known, index| known.with(*index));
        Which::first(self.cluster.max_size).without(known)
    }
}

/// Why the errand ends before it is done. Fatal and sticky; [`Enroll::roster`] still tells what is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] Error),
    /// The registry refused, in its own words.
    #[error("the registry refused {}: {reason}", request.map_or("the session", Op::name))]
    Refused {
        /// What it refused.
        request: Option<Op>,
        /// Why.
        reason: Reason,
    },
    /// The plan's time is over.
    #[error("the cluster was not complete in time")]
    GaveUp,
    /// The registry knows the member by another ID than the one it presented.
    #[error("the registry knows this member as {got} instead of {presented}")]
    WrongMember {
        /// The ID presented.
        presented: NodeId,
        /// The ID in the reply.
        got: NodeId,
    },
    /// The registry answered for another cluster.
    #[error("the registry answered for cluster {got} instead of {asked}")]
    WrongCluster {
        /// The cluster asked about.
        asked: NodeId,
        /// The cluster in the reply.
        got: NodeId,
    },
    /// The cluster is complete without this member: a deployed server let more join than there is room for.
    #[error("the cluster is full, and this member is not among its members")]
    NotListed,
    /// The registry serves other keys for this member than its own: bytes were changed on the way, or the registry
    /// does not tell the truth. Whoever has those keys would pass for this member.
    #[error("the registry serves other keys for this member than its own")]
    WrongKeys,
    /// The Hello could not be sealed to the registry's key.
    #[error("the Hello: {0}")]
    Seal(#[from] SealError),
    /// A request could not be made.
    #[error("{0}")]
    Command(#[from] CommandError),
}

/// Where the errand stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A reply is due, or the HelloReply.
    Asking(Option<Op>),
    /// Not all members are known; ask again then.
    Pausing(Instant),
    /// Done, or failed.
    Over,
}

/// The errand itself. Drive it as a [`Session`], through [`Machine`].
pub struct Enroll {
    session: Session<Client>,
    plan: Plan,
    step: Step,
    now: Instant,
    give_up: Option<Instant>,
    pause: Duration,
    id: Option<NodeId>,
    /// The cluster joined, where it was asked for by ID.
    asked: Option<NodeId>,
    roster: Option<Roster>,
    /// Members that have become known and are to be told, one at a time.
    news: VecDeque<(u32, Token)>,
    failure: Option<EnrollError>,
}

impl Enroll {
    /// Starts the errand; the Hello is in the output already. `rng` is the session's.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the provider cannot seal to the registry's key.
    pub fn new(
        now: Instant,
        config: ClientConfig,
        plan: Plan,
        rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self, SealError> {
        Ok(Self {
            session: Session::<Client>::new(now, config, rng)?,
            step: Step::Asking(None),
            now,
            give_up: plan.give_up_after.map(|time| now.saturating_add(time)),
            pause: plan.first_pause.min(plan.longest_pause),
            plan,
            id: None,
            asked: None,
            roster: None,
            news: VecDeque::new(),
            failure: None,
        })
    }

    /// What is known of the cluster; `None` until the member is in it.
    pub const fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// What is known of the cluster, for keeps.
    pub fn into_roster(self) -> Option<Roster> {
        self.roster
    }

    /// Steps the session until there is something to tell.
    fn step(&mut self) -> Result<Option<EnrollEvent>, EnrollError> {
        loop {
            if self.step == Step::Over || !self.news.is_empty() {
                return Ok(None);
            }
            match self.session.poll_event() {
                Ok(Some(event)) => {
                    if let Some(event) = self.on_event(event)? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => return self.on_time(),
                // All is known: that the registry closes without an Ack takes nothing away.
                Err(_) if self.step == Step::Asking(Some(Op::Bye)) => return Ok(Some(self.done())),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn on_time(&mut self) -> Result<Option<EnrollEvent>, EnrollError> {
        if self.give_up.is_some_and(|deadline| self.now >= deadline) {
            return match self.step {
                Step::Asking(Some(Op::Bye)) => Ok(Some(self.done())),
                _ => Err(EnrollError::GaveUp),
            };
        }
        if let Step::Pausing(until) = self.step
            && self.now >= until
        {
            self.fetch()?;
        }
        Ok(None)
    }

    fn on_event(&mut self, event: ClientEvent) -> Result<Option<EnrollEvent>, EnrollError> {
        match event {
            ClientEvent::Connected { dialect, version } => {
                self.session.identify(self.now, self.plan.token.clone())?;
                self.step = Step::Asking(Some(Op::Member));
                Ok(Some(EnrollEvent::Connected { dialect, version }))
            }
            ClientEvent::Refused { reason, .. } => match self.step {
                // All is known: what the registry thinks of the Bye takes nothing away.
                Step::Asking(Some(Op::Bye)) => Ok(Some(self.done())),
                Step::Asking(request) => Err(EnrollError::Refused { request, reason }),
                _ => Err(EnrollError::Refused { request: None, reason }),
            },
            ClientEvent::Reply { reply, .. } => self.on_reply(reply),
        }
    }

    fn on_reply(&mut self, reply: Reply) -> Result<Option<EnrollEvent>, EnrollError> {
        match reply {
            Reply::MemberOk { id, attrs } => {
                if let Some(presented) = self.plan.token.id.filter(|presented| *presented != id) {
                    return Err(EnrollError::WrongMember { presented, got: id });
                }
                self.id = Some(id);
                match self.plan.create.take() {
                    Some(create) => {
                        self.session.create(self.now, create)?;
                        self.step = Step::Asking(Some(Op::Create));
                    }
                    None => self.join(self.plan.join.clone())?,
                }
                Ok(Some(EnrollEvent::Identified { id, attrs }))
            }
            Reply::Create(info) => {
                self.join(info.id.into())?;
                Ok(Some(EnrollEvent::Created(info)))
            }
            Reply::Join(cluster) => {
                let id = self.id.ok_or(Error::Internal("joined before identified"))?;
                if let Some(asked) = self.asked.filter(|asked| *asked != cluster.id) {
                    return Err(EnrollError::WrongCluster { asked, got: cluster.id });
                }
                self.roster = Some(Roster { cluster, id, members: BTreeMap::new() });
                self.fetch()?;
                Ok(Some(EnrollEvent::Joined(cluster)))
            }
            Reply::Members(list) => {
                self.on_members(list)?;
                Ok(None)
            }
            Reply::Ack => Ok(Some(self.done())),
            // The session hands out neither: no credential was asked for, and an Error is a refusal.
            Reply::RegCred(_) | Reply::Error(_) => {
                Err(Error::Internal("reply not asked for").into())
            }
        }
    }

    fn join(&mut self, cluster: ClusterRef) -> Result<(), EnrollError> {
        self.asked = cluster.id;
        self.session.join(self.now, cluster)?;
        self.step = Step::Asking(Some(Op::Join));
        Ok(())
    }

    /// Asks for the members that are missing, and only for them.
    fn fetch(&mut self) -> Result<(), EnrollError> {
        let roster = self.roster.as_ref().ok_or(Error::Internal("fetch before join"))?;
        let get = GetCluster { cluster: roster.cluster.id.into(), which: Some(roster.missing()) };
        self.session.get_members(self.now, get)?;
        self.step = Step::Asking(Some(Op::GetCluster));
        Ok(())
    }

    fn on_members(&mut self, list: MemberList) -> Result<(), EnrollError> {
        let roster = self.roster.as_mut().ok_or(Error::Internal("members before join"))?;
        let (asked, got) = (roster.cluster.id, list.cluster());
        if asked != got {
            return Err(EnrollError::WrongCluster { asked, got });
        }
        let missing = roster.missing();
        // No record has a MAC and no token served a signature, but of one member the truth is known here.
        let keys = |token: &Token| (token.comms_key.clone(), token.sig_key.clone());
        let own = list.members().iter().find(|member| member.id == Some(roster.id));
        if own.is_some_and(|own| keys(own) != keys(&self.plan.token)) {
            return Err(EnrollError::WrongKeys);
        }
        let fresh: Vec<_> =
            list.into_entries().filter(|(index, _)| missing.contains(*index)).collect();
        let pause = match fresh.is_empty() {
            true => self.pause.saturating_mul(2).max(Plan::SHORTEST_PAUSE),
            false => self.plan.first_pause,
        };
        self.pause = pause.min(self.plan.longest_pause.max(Plan::SHORTEST_PAUSE));
        roster.members.extend(fresh.iter().cloned());
        self.news.extend(fresh);
        if self.plan.wait && !roster.is_complete() {
            self.step = Step::Pausing(self.now.saturating_add(self.pause));
            return Ok(());
        }
        if roster.is_complete() && roster.self_index().is_none() {
            return Err(EnrollError::NotListed);
        }
        self.session.bye(self.now)?;
        self.step = Step::Asking(Some(Op::Bye));
        Ok(())
    }

    fn done(&mut self) -> EnrollEvent {
        self.step = Step::Over;
        EnrollEvent::Done
    }
}

impl Machine for Enroll {
    type Event = EnrollEvent;
    type Error = EnrollError;

    fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.now = self.now.max(now);
        let taken = bytes.len().min(self.recv_room());
        self.session.receive(now, bytes.get(..taken).unwrap_or_default())
    }

    fn receive_eof(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.session.receive_eof(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.session.handle_timeout(now);
    }

    fn poll_event(&mut self) -> Result<Option<EnrollEvent>, EnrollError> {
        if self.news.is_empty() && self.failure.is_none() {
            match self.step() {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => {}
                Err(error) => {
                    self.step = Step::Over;
                    self.failure = Some(error);
                }
            }
        }
        // Members that have become known are told first, whatever came after them.
        match (self.news.pop_front(), &self.failure) {
            (Some((index, token)), _) => Ok(Some(EnrollEvent::Member { index, token })),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    fn output(&self) -> &[u8] {
        // After a failure or the end nothing that is left matters to anyone.
        if self.step == Step::Over { &[] } else { self.session.output() }
    }

    fn consume_output(&mut self, n: usize) {
        self.session.consume_output(n);
    }

    fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let pause = match self.step {
            Step::Over => return None,
            Step::Pausing(until) => Some((until, TimerKind::Poll)),
            Step::Asking(_) => None,
        };
        let give_up = self.give_up.map(|at| (at, TimerKind::GiveUp));
        let timers = [pause, give_up, self.session.poll_timeout()];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn recv_room(&self) -> usize {
        match self.step {
            // Nothing is due of the registry until it is asked again. A read would only block, on a stream that
            // knows no deadlines for ever; that the registry is gone shows when it is asked.
            Step::Pausing(_) | Step::Over => 0,
            Step::Asking(_) => self.session.recv_room(),
        }
    }

    fn is_finished(&self) -> bool {
        self.step == Step::Over && self.news.is_empty()
    }
}
