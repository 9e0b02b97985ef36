//! A member's whole enrollment as a pure machine over [`Session<Client>`](Session).
//!
//! 1. The handshake, then Member: [`EnrollEvent::Connected`], [`EnrollEvent::Registered`].
//! 2. Create, if the plan says so: [`EnrollEvent::Created`]. Otherwise it asks whether the cluster
//!    exists. Then Join: [`EnrollEvent::Joined`].
//! 3. GetCluster for the missing members, again and again. [`Machine::poll_timeout`] gives the
//!    pause between two polls, which grows. Each new member is one [`EnrollEvent::Member`].
//! 4. When all are known, one more GetCluster for all members, because some may have changed:
//!    [`EnrollEvent::Changed`].
//! 5. Bye: [`EnrollEvent::Done`], and [`Enroll::roster`] is complete.
//!
//! # It never ends a server
//!
//! A Join of an unknown cluster ends a deployed server and all its sessions, and so do some other
//! requests (PROTOCOL 6). A registry may be a deployed server unless [`Plan::registry`] or its
//! version says otherwise. An enrollment sends such a registry only Member, Create, Join,
//! GetCluster and Bye. It sends one request at a time, each record is one piece of output, and it
//! sends
//!
//! * a Join only of the cluster that this session's CreateReply named, by the ID in it;
//! * without [`Plan::create`], first a GetCluster for no members. A deployed server refuses it and
//!   goes on, and the enrollment ends with [`EnrollError::Deployed`]. A registry of this project
//!   answers it, and then Join follows;
//! * a Member only if its record fits one segment of the network, otherwise the enrollment ends
//!   with [`EnrollError::LargeMember`];
//! * no part of a record without the rest, not even after a timeout or [`Enroll::abandon`]. Go on
//!   until [`is_finished`](Machine::is_finished), as the adapters do.
//!
//! Retry a failed enrollment from the beginning, with a new `Enroll`: the server may have been
//! restarted and may have forgotten the cluster.
//!
//! # It believes no contradictions
//!
//! Every list of members must pass [`Look::check`], or the enrollment ends with the error that
//! names the contradiction. Each GetCluster also asks for the member's own entry. If that differs
//! from the token that has joined, a copy of the member runs elsewhere ([`EnrollError::Cloned`]).
//! Two copies with equal tokens cannot be told apart.

mod error;
mod look;
mod plan;
mod roster;

use alloc::collections::{BTreeMap, VecDeque};

use rand_core::CryptoRng;

pub use error::EnrollError;
pub use look::Look;
pub use plan::{Plan, RegistryKind};
pub use roster::Roster;

use crate::identity::{MemberAttrs, NodeId, Token, Version};
use crate::message::{
    ClusterInfo, ClusterRef, GetCluster, MemberIndex, MemberList, MemberSet, Op, Refusal, Reply,
};
use crate::session::{
    Client, ClientConfig, ClientEvent, Dialect, EofAt, Error, Instant, Machine, Session, TimerKind,
};
use plan::Pauses;

/// The progress of an enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrollEvent {
    /// The handshake is complete.
    Connected {
        /// The dialect of the session.
        dialect: Dialect,
        /// The registry's version.
        version: Version,
    },
    /// The member has registered. Keep the ID: the registry recognises the member by it and the sig
    /// key.
    Registered {
        /// The member's ID.
        id: NodeId,
        /// The member's flags, echoed.
        attrs: MemberAttrs,
    },
    /// The cluster exists.
    Created(ClusterInfo),
    /// The member is in the cluster.
    Joined(ClusterInfo),
    /// A member of the cluster has become known. It may be this member itself.
    Member {
        /// The index of the member.
        index: MemberIndex,
        /// The token of the member.
        token: Token,
    },
    /// A known member has another token now: it came back with another name, other end points or
    /// another comms key.
    Changed {
        /// The index of the member.
        index: MemberIndex,
        /// The new token of the member.
        token: Token,
    },
    /// A node has two places: a deployed server lets a node join again under another name.
    ListedTwice {
        /// The ID of the node.
        id: NodeId,
        /// The lower index.
        first: MemberIndex,
        /// The higher index.
        second: MemberIndex,
    },
    /// A member is listed beyond the cluster's size: a deployed server lets more members join than
    /// there are places. The member is not in the roster.
    ListedBeyond {
        /// The index of the member.
        index: MemberIndex,
        /// The token of the member.
        token: Token,
    },
    /// All members are known, or the plan does not wait for them. The session has ended with Bye.
    Done,
}

/// The step of the enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The reply to this request is due; `None` stands for the HelloReply.
    Asking(Option<Op>),
    /// Not all members are known. At this time it asks again.
    Pausing(Instant),
    /// The enrollment is done or has failed.
    Over,
}

/// The enrollment of a member. Drive it like a [`Session`], through [`Machine`].
pub struct Enroll {
    session: Session<Client>,
    plan: Plan,
    registry: RegistryKind,
    step: Step,
    now: Instant,
    give_up: Option<Instant>,
    pauses: Pauses,
    id: Option<NodeId>,
    /// The cluster that was created or found by Create.
    created: Option<ClusterInfo>,
    /// The ID in the Join, if the cluster was joined by ID.
    asked: Option<NodeId>,
    /// The members that the last GetCluster asked for.
    which: MemberSet,
    roster: Option<Roster>,
    /// The members beyond the cluster's size that were reported.
    beyond: MemberSet,
    /// The events that wait to be polled.
    news: VecDeque<EnrollEvent>,
    failure: Option<EnrollError>,
}

impl Enroll {
    /// The length of a record that fits one segment of the network, in bytes. An Ethernet frame has
    /// room for 1,448, and tunnels take some of it.
    pub const SEGMENT: usize = 1200;

    /// The oldest version of a registry that an enrollment works with, 1.5.0. Older servers write
    /// end points in another form.
    pub const FIRST_VERSION: Version = Version::new(1, 5, 0, 0);

    /// Starts an enrollment. The Hello is in the output. `rng` is the generator of the session.
    ///
    /// # Errors
    ///
    /// [`EnrollError::NoCluster`] if the plan names no cluster; [`EnrollError::Seal`] if the
    /// provider cannot seal to the registry's key.
    pub fn new(
        now: Instant,
        config: ClientConfig,
        plan: Plan,
        rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self, EnrollError> {
        if plan.create.is_none() && plan.join == ClusterRef::CURRENT {
            return Err(EnrollError::NoCluster);
        }
        Ok(Self {
            session: Session::<Client>::new(now, config, rng)?,
            registry: plan.registry,
            step: Step::Asking(None),
            now,
            // A time after the end of the clock is never, and saturates to its end.
            give_up: plan.give_up_after.map(|time| now.saturating_add(time)),
            pauses: Pauses::new(&plan),
            plan,
            id: None,
            created: None,
            asked: None,
            which: MemberSet::NONE,
            roster: None,
            beyond: MemberSet::NONE,
            news: VecDeque::new(),
            failure: None,
        })
    }

    /// All that is known of the cluster; `None` until the member has joined it.
    pub const fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// Gives all that is known of the cluster; `None` if the member has not joined it.
    pub fn into_roster(self) -> Option<Roster> {
        self.roster
    }

    /// Ends the enrollment at once, without a Bye. The rest of a begun record stays in the output,
    /// as with [`Session::abandon`], so go on until [`is_finished`](Machine::is_finished).
    pub fn abandon(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.news.clear();
        self.end();
    }

    fn end(&mut self) {
        self.step = Step::Over;
        self.session.abandon(self.now);
    }

    /// Steps the session until there is an event.
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
                // All is known, so it does not matter that the registry closes without an Ack.
                Err(_) if self.step == Step::Asking(Some(Op::Bye)) => return Ok(Some(self.done())),
                // Some deployed servers close without a word.
                Err(Error::Eof(EofAt::Reply)) if self.is_question() => {
                    return Err(EnrollError::Deployed);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the current request asks if the cluster exists.
    fn is_question(&self) -> bool {
        self.step == Step::Asking(Some(Op::GetCluster)) && self.roster.is_none()
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
            self.fetch_missing()?;
        }
        Ok(None)
    }

    fn on_event(&mut self, event: ClientEvent) -> Result<Option<EnrollEvent>, EnrollError> {
        match event {
            ClientEvent::Connected { dialect, version } => {
                self.register(version)?;
                Ok(Some(EnrollEvent::Connected { dialect, version }))
            }
            ClientEvent::Refused { reason, .. } => match self.step {
                // All is known, so it does not matter that the registry refuses the Bye.
                Step::Asking(Some(Op::Bye)) => Ok(Some(self.done())),
                _ if self.is_question() && reason.refusal() == Some(Refusal::WrongState) => {
                    Err(EnrollError::Deployed)
                }
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
                self.find_cluster()?;
                Ok(Some(EnrollEvent::Registered { id, attrs }))
            }
            Reply::Create(info) => {
                self.created = Some(info);
                self.join(info.id.into())?;
                Ok(Some(EnrollEvent::Created(info)))
            }
            Reply::Join(cluster) => self.on_joined(cluster).map(Some),
            Reply::Members(list) => {
                match self.is_question() {
                    true => self.on_found(&list)?,
                    false => self.on_members(list)?,
                }
                Ok(None)
            }
            Reply::Ack => Ok(Some(self.done())),
            // The session gives neither: no credential was requested, and an Error is a refusal.
            Reply::RegCred(_) | Reply::Error(_) => {
                Err(Error::Internal("reply not asked for").into())
            }
        }
    }

    fn register(&mut self, version: Version) -> Result<(), EnrollError> {
        let first = Self::FIRST_VERSION;
        if version < first {
            return Err(EnrollError::TooOld { version, first });
        }
        if RegistryKind::of(version) == RegistryKind::Xlreg {
            self.registry = RegistryKind::Xlreg;
        }
        self.session.register(self.now, self.plan.token.clone())?;
        // The output has this record only. After the error it is not sent.
        let (bytes, limit) = (self.session.output().len(), Self::SEGMENT);
        if bytes > limit && !self.may_risk() {
            return Err(EnrollError::LargeMember { bytes, limit });
        }
        self.step = Step::Asking(Some(Op::Member));
        Ok(())
    }

    /// Whether requests may be sent that end a deployed server.
    fn may_risk(&self) -> bool {
        self.plan.may_end_server || self.registry == RegistryKind::Xlreg
    }

    /// Creates the cluster, or asks whether it exists.
    fn find_cluster(&mut self) -> Result<(), EnrollError> {
        let cluster = self.plan.join.clone();
        match self.plan.create.take() {
            Some(create) => {
                self.session.create(self.now, create)?;
                self.step = Step::Asking(Some(Op::Create));
                Ok(())
            }
            None if self.may_risk() => self.join(cluster),
            None => self.get(cluster, MemberSet::NONE),
        }
    }

    /// Joins the cluster after the registry has answered the question: it exists, and the registry
    /// is one of this project.
    fn on_found(&mut self, list: &MemberList) -> Result<(), EnrollError> {
        self.registry = RegistryKind::Xlreg;
        let id = self.plan.join.id.unwrap_or(list.cluster());
        Look { registry: self.registry, ..Look::new(id, self.which) }.check(list)?;
        self.join(id.into())
    }

    fn join(&mut self, cluster: ClusterRef) -> Result<(), EnrollError> {
        self.asked = cluster.id;
        self.session.join(self.now, cluster)?;
        self.step = Step::Asking(Some(Op::Join));
        Ok(())
    }

    fn on_joined(&mut self, cluster: ClusterInfo) -> Result<EnrollEvent, EnrollError> {
        let id = self.id.ok_or(Error::Internal("joined before registered"))?;
        let got = cluster.id;
        if let Some(asked) = self.asked.filter(|asked| *asked != got) {
            return Err(EnrollError::WrongCluster { asked, got });
        }
        if let Some(created) = self.created {
            let (told, got) = (created.max_size, cluster.max_size);
            if told != got {
                return Err(EnrollError::SizeChanged { told, got });
            }
            let (told, got) = (created.end_point_count, cluster.end_point_count);
            if told != got {
                return Err(EnrollError::EndPointCountChanged { told, got });
            }
        }
        let roster = Roster { cluster, id, members: BTreeMap::new() };
        let places = roster.places();
        self.roster = Some(roster);
        self.get(cluster.id.into(), places)?;
        Ok(EnrollEvent::Joined(cluster))
    }

    fn get(&mut self, cluster: ClusterRef, which: MemberSet) -> Result<(), EnrollError> {
        self.which = which;
        self.session.get_members(self.now, GetCluster { cluster, which: Some(which) })?;
        self.step = Step::Asking(Some(Op::GetCluster));
        Ok(())
    }

    /// Asks for the missing members, and for the member's own entry.
    fn fetch_missing(&mut self) -> Result<(), EnrollError> {
        let roster = self.roster.as_ref().ok_or(Error::Internal("fetch before join"))?;
        self.get(roster.cluster.id.into(), roster.missing().or(roster.own()))
    }

    fn on_members(&mut self, list: MemberList) -> Result<(), EnrollError> {
        let news = self.news.len();
        self.believe(list)?;
        let roster = self.roster.as_ref().ok_or(Error::Internal("members before join"))?;
        let (places, id) = (roster.places(), roster.cluster.id);
        let is_whole = self.which == places;
        if is_whole && roster.self_index().is_none() {
            return Err(EnrollError::NotListed);
        }
        if self.plan.wait && !roster.is_complete() {
            let pause = self.pauses.after(self.news.len() > news);
            // As above, a pause to the end of the clock never ends.
            self.step = Step::Pausing(self.now.saturating_add(pause));
            return Ok(());
        }
        if !is_whole {
            // A member that was listed earlier may have changed. This look shows all at one moment.
            return self.get(id.into(), places);
        }
        self.session.bye(self.now)?;
        self.step = Step::Asking(Some(Op::Bye));
        Ok(())
    }

    /// Checks a list, adds it to the roster, and queues an event for each news.
    fn believe(&mut self, list: MemberList) -> Result<(), EnrollError> {
        let roster = self.roster.as_mut().ok_or(Error::Internal("members before join"))?;
        let look = Look {
            cluster: roster.cluster.id,
            which: self.which,
            registry: self.registry,
            roster: Some(roster),
            own: Some(&self.plan.token),
        };
        look.check(&list)?;
        let asked = self.which;
        for (index, token) in list.into_entries() {
            if !asked.contains(index) {
                if !self.beyond.contains(index) {
                    self.beyond = self.beyond.with(index);
                    self.news.push_back(EnrollEvent::ListedBeyond { index, token });
                }
                continue;
            }
            match roster.members.insert(index, token.clone()) {
                Some(known) if known == token => {}
                Some(_) => self.news.push_back(EnrollEvent::Changed { index, token }),
                None => {
                    let mut others = roster.members.range(..index);
                    let twice = others.find(|(_, other)| other.id == token.id);
                    let twice = twice.map(|(first, _)| *first).zip(token.id);
                    self.news.push_back(EnrollEvent::Member { index, token });
                    if let Some((first, id)) = twice {
                        let second = index;
                        self.news.push_back(EnrollEvent::ListedTwice { id, first, second });
                    }
                }
            }
        }
        Ok(())
    }

    fn done(&mut self) -> EnrollEvent {
        self.end();
        EnrollEvent::Done
    }
}

impl Machine for Enroll {
    type Event = EnrollEvent;
    type Error = EnrollError;

    fn receive(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.now = self.now.max(now);
        // While it pauses it takes nothing, though the session would.
        if self.recv_room() == 0 { 0 } else { self.session.receive(now, bytes) }
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
                    self.end();
                    self.failure = Some(error);
                }
            }
        }
        // News come before the failure that followed them.
        match (self.news.pop_front(), &self.failure) {
            (Some(event), _) => Ok(Some(event)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    fn output(&self) -> &[u8] {
        self.session.output()
    }

    fn consume_output(&mut self, n: usize) {
        self.session.consume_output(n);
    }

    fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let session = self.session.poll_timeout();
        let pause = match self.step {
            Step::Over => return session,
            Step::Pausing(until) => Some((until, TimerKind::Poll)),
            Step::Asking(_) => None,
        };
        let give_up = self.give_up.map(|at| (at, TimerKind::GiveUp));
        let timers = [pause, give_up, session];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn recv_room(&self) -> usize {
        match self.step {
            // The registry sends nothing until it is asked again. A read would only block, and on a
            // stream without deadlines for ever. If the registry is gone, the next request shows
            // it.
            Step::Pausing(_) | Step::Over => 0,
            Step::Asking(_) => self.session.recv_room(),
        }
    }

    fn is_finished(&self) -> bool {
        self.step == Step::Over && self.news.is_empty() && self.session.is_finished()
    }
}
