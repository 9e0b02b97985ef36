//! What a member wants, and with what patience.

use core::time::Duration;

use crate::identity::{Token, Version};
use crate::message::{ClusterRef, Create};

/// What to do, and with what patience.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who the member is; signed.
    pub token: Token,
    /// The cluster to create first, if any; it is then the one that is joined.
    pub create: Option<Create>,
    /// The cluster to join, where none is created.
    pub join: ClusterRef,
    /// Which kind of registry it is, as far as the caller knows.
    pub registry: RegistryKind,
    /// Send also what ends a deployed server, to a registry that may be one. For a server of one's
    /// own only: when it ends, all its clusters are gone.
    pub may_end_server: bool,
    /// The pause before the first repeated poll. It doubles with every poll that brings nothing
    /// new, from [`Plan::SHORTEST_PAUSE`] on.
    pub first_pause: Duration,
    /// The longest pause between polls.
    pub longest_pause: Duration,
    /// Shortens each pause by up to a quarter, so that members that started together do not stay
    /// together. Other values give other pauses; with `None` all are as long as they may be.
    /// The session's generator is not drawn from, since its draws are fixed (PROTOCOL 3.3).
    pub jitter: Option<u64>,
    /// Whether to go on until all members are known. If not, good-byes are said after the first
    /// look.
    pub wait: bool,
    /// How long to go on in all. If absent, **waiting for members is for ever**; only what is due
    /// of the registry has its own deadlines ([`Limits`](crate::session::Limits)).
    pub give_up_after: Option<Duration>,
}

impl Plan {
    /// The least that a pause grows to, so that no plan turns polling into a flood.
    pub const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

    /// Joins an existing cluster. Pauses grow from 100 ms to 5 s, with a jitter that goes with the
    /// member's key, and it never gives up.
    pub fn join(token: Token, cluster: ClusterRef) -> Self {
        let fingerprint = token.sig_key.fingerprint().to_bytes();
        Self {
            jitter: fingerprint.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
            token,
            create: None,
            join: cluster,
            registry: RegistryKind::Unknown,
            may_end_server: false,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            wait: true,
            give_up_after: None,
        }
    }

    /// Creates a cluster, or finds the one of that name, and joins it. Otherwise as [`Plan::join`].
    pub fn create_and_join(token: Token, create: Create) -> Self {
        let cluster = create.name.clone().into();
        Self { create: Some(create), ..Self::join(token, cluster) }
    }
}

/// Which kind of registry a client takes its peer for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegistryKind {
    /// It may be a deployed server: nothing is sent that ends one.
    #[default]
    Unknown,
    /// One of this project, which refuses what it does not like and goes on serving.
    Xlreg,
}

impl RegistryKind {
    /// What a registry's version says of it. Deployed servers have versions below 2.0.
    pub fn of(version: Version) -> Self {
        match version >= Version::new(2, 0, 0, 0) {
            true => Self::Xlreg,
            false => Self::Unknown,
        }
    }
}

/// The pauses between polls.
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
    jitter: Option<u64>,
}

impl Pauses {
    /// As the plan wants them.
    pub(super) fn new(plan: &Plan) -> Self {
        let longest = plan.longest_pause.max(Plan::SHORTEST_PAUSE);
        Self { first: plan.first_pause, longest, next: plan.first_pause, jitter: plan.jitter }
    }

    /// The pause after a poll that did or did not bring news.
    pub(super) fn after(&mut self, news: bool) -> Duration {
        let pause = match news {
            true => self.first,
            false => self.next.saturating_mul(2).max(Plan::SHORTEST_PAUSE),
        };
        self.next = pause.min(self.longest);
        self.next.saturating_sub(self.shorten_by())
    }

    /// Up to a quarter of the pause.
    fn shorten_by(&mut self) -> Duration {
        let Some(state) = &mut self.jitter else { return Duration::ZERO };
        // SplitMix64, of which ten bits are taken.
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let parts = u32::try_from((bits ^ (bits >> 31)) >> 54).unwrap_or_default();
        self.next.checked_div(4 * 1024).unwrap_or_default().saturating_mul(parts)
    }
}
