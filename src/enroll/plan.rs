//! The plan of an enrollment.

use core::time::Duration;

use crate::identity::{Token, Version};
use crate::message::{ClusterRef, Create};

/// The plan of an enrollment: the cluster to join, and how long to wait for its members.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The member's signed token.
    pub token: Token,
    /// The cluster to create first, if any. It is then the one that is joined.
    pub create: Option<Create>,
    /// The cluster to join, if none is created.
    pub join: ClusterRef,
    /// The kind of registry, if the caller knows it.
    pub registry: RegistryKind,
    /// Whether requests may be sent that end a deployed server. Set it only for a server of your
    /// own: if it ends, all its clusters are gone.
    pub may_end_server: bool,
    /// The pause before the second poll. It doubles after each poll without news, from
    /// [`Plan::SHORTEST_PAUSE`] on.
    pub first_pause: Duration,
    /// The longest pause between two polls.
    pub longest_pause: Duration,
    /// The seed of a jitter that shortens each pause by up to a quarter. So members that started at
    /// the same time do not poll at the same time. `None` is for no jitter. It does not draw from
    /// the session's generator, because PROTOCOL 3.3 fixes the draws of that.
    pub jitter: Option<u64>,
    /// Whether to wait until all members are known. If not, Bye follows after the first look.
    pub wait: bool,
    /// The longest time for the whole enrollment. If absent, it **waits for members for ever**.
    /// Only the replies of the registry have deadlines then ([`Limits`](crate::session::Limits)).
    pub give_up_after: Option<Duration>,
}

impl Plan {
    /// The shortest pause after the first one, so that no plan floods a registry with polls.
    pub const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

    /// Makes a plan to join an existing cluster. Pauses grow from 100 ms to 5 s. The jitter depends
    /// on the member's sig key. The plan never gives up.
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

    /// Makes a plan to create a cluster, or to find the one with this name, and to join it. All
    /// else is as in [`Plan::join`].
    pub fn create_and_join(token: Token, create: Create) -> Self {
        let cluster = create.name.clone().into();
        Self { create: Some(create), ..Self::join(token, cluster) }
    }
}

/// The kind of a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegistryKind {
    /// The registry may be a deployed server. Nothing is sent that ends one.
    #[default]
    Unknown,
    /// The registry is one of this project. It refuses bad requests and goes on.
    Xlreg,
}

impl RegistryKind {
    /// Finds the kind by the registry's version. Deployed servers have versions below 2.0.
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
    /// Makes the pauses of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let longest = plan.longest_pause.max(Plan::SHORTEST_PAUSE);
        Self { first: plan.first_pause, longest, next: plan.first_pause, jitter: plan.jitter }
    }

    /// The pause after a poll with or without news.
    pub(super) fn after(&mut self, news: bool) -> Duration {
        let pause = match news {
            true => self.first,
            // Saturates far above the longest pause, which bounds it below.
            false => self.next.saturating_mul(2).max(Plan::SHORTEST_PAUSE),
        };
        self.next = pause.min(self.longest);
        let shorten_by = self.shorten_by();
        debug_assert!(shorten_by <= self.next);
        // At most a quarter is subtracted, so this never saturates.
        self.next.saturating_sub(shorten_by)
    }

    /// Draws up to a quarter of the pause.
    fn shorten_by(&mut self) -> Duration {
        let Some(state) = &mut self.jitter else { return Duration::ZERO };
        // This is SplitMix64. Ten of its bits are used.
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let [.., high, low] = ((bits ^ (bits >> 31)) >> 54).to_be_bytes();
        let parts = u32::from(u16::from_be_bytes([high, low]));
        // Only a division by zero fails, and fewer than 1,024 parts do not saturate.
        self.next.checked_div(4 * 1024).map_or(Duration::ZERO, |part| part.saturating_mul(parts))
    }
}
