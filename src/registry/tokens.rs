//! The tokens of members. Each is kept once, however many memberships have it.

use alloc::collections::BTreeMap;

use crate::message::MemberEntry;

/// The tokens that memberships have, by their hash, each with the number of memberships.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(BTreeMap<[u8; 32], (MemberEntry, usize)>);

impl Tokens {
    /// The entry that memberships with this token share already, or else this one.
    pub(super) fn shared(&self, member: &MemberEntry) -> MemberEntry {
        self.0.get(&member.hash()).map_or_else(|| member.clone(), |(known, _)| known.clone())
    }

    /// How many memberships have this token.
    pub(super) fn uses(&self, member: &MemberEntry) -> usize {
        self.0.get(&member.hash()).map_or(0, |(_, uses)| *uses)
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Counts a membership. Whether it is the first one with this token.
    pub(super) fn add(&mut self, member: &MemberEntry) -> bool {
        let (_, uses) = self.0.entry(member.hash()).or_insert_with(|| (member.clone(), 0));
        // There are never more uses than memberships, which are counted elsewhere.
        *uses = uses.saturating_add(1);
        *uses == 1
    }

    /// Takes a membership away. The token goes with the last one. Whether that was it.
    pub(super) fn remove(&mut self, member: &MemberEntry) -> bool {
        let hash = member.hash();
        let known = self.0.get_mut(&hash).map(|(_, uses)| {
            *uses = uses.saturating_sub(1);
            *uses
        });
        debug_assert!(known.is_some(), "a membership's token is known");
        let is_last = known == Some(0);
        if is_last {
            self.0.remove(&hash);
        }
        is_last
    }
}
