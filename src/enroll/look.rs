//! The check of a list of members: the only place that decides whether to believe one.

use super::{EnrollError, RegistryKind, Roster};
use crate::identity::{NodeId, Token};
use crate::message::{MemberIndex, MemberList, MemberSet};

/// A look at the members of a cluster: the question, the kind of registry, and what is known
/// already.
///
/// [`Enroll`](super::Enroll) checks every list with it. A client that sends a GetCluster itself
/// checks the answer like this:
///
/// ```
/// # use xlreg::enroll::{EnrollError, Look, RegistryKind};
/// # use xlreg::message::{MemberList, MemberSet};
/// # fn check(list: &MemberList, cluster: xlreg::identity::NodeId) -> Result<(), EnrollError> {
/// let look = Look { registry: RegistryKind::Xlreg, ..Look::new(cluster, MemberSet::ALL) };
/// look.check(list)
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The cluster that was asked about.
    pub cluster: NodeId,
    /// The members that were asked for.
    pub which: MemberSet,
    /// The kind of registry that answers. A deployed server lists a node twice if it has joined
    /// under two names, and may list more members than there are places.
    pub registry: RegistryKind,
    /// All that is known of the cluster already.
    pub roster: Option<&'a Roster>,
    /// The token with which the asking member has joined.
    pub own: Option<&'a Token>,
}

impl Look<'_> {
    /// Makes a first look, at a registry that may be a deployed server. Nothing is known yet.
    pub const fn new(cluster: NodeId, which: MemberSet) -> Self {
        Self { cluster, which, registry: RegistryKind::Unknown, roster: None, own: None }
    }

    /// Checks that an honest registry could have given this answer.
    ///
    /// # Errors
    ///
    /// The contradiction, as precisely as it is known: [`EnrollError::WrongCluster`],
    /// [`WrongKeys`](EnrollError::WrongKeys), [`Cloned`](EnrollError::Cloned),
    /// [`NotAskedFor`](EnrollError::NotAskedFor), [`BeyondSize`](EnrollError::BeyondSize),
    /// [`NameTwice`](EnrollError::NameTwice), [`IdTwice`](EnrollError::IdTwice),
    /// [`Vanished`](EnrollError::Vanished), [`Replaced`](EnrollError::Replaced),
    /// [`Gap`](EnrollError::Gap), [`TooFewEnds`](EnrollError::TooFewEnds). Believe nothing of
    /// the list then.
    pub fn check(&self, list: &MemberList) -> Result<(), EnrollError> {
        let (asked, got) = (self.cluster, list.cluster());
        if asked != got {
            return Err(EnrollError::WrongCluster { asked, got });
        }
        self.check_own(list)?;
        self.check_which(list)?;
        self.check_names(list)?;
        self.check_ids(list)?;
        self.check_known(list)?;
        match self.registry {
            RegistryKind::Xlreg => self.check_places(list),
            RegistryKind::Unknown => Ok(()),
        }
    }

    /// The entries that were asked for.
    fn entries<'b>(
        &self,
        list: &'b MemberList,
    ) -> impl Iterator<Item = (MemberIndex, &'b Token)> + Clone + use<'b> {
        let which = self.which;
        let members = list.members().iter().map(|member| &**member);
        list.which().iter().zip(members).filter(move |(index, _)| which.contains(*index))
    }

    /// Checks the entry of the asking member, which knows its own token best.
    fn check_own(&self, list: &MemberList) -> Result<(), EnrollError> {
        let (Some(roster), Some(said)) = (self.roster, self.own) else { return Ok(()) };
        let own = || list.iter().filter(|(_, token)| token.id == Some(roster.id));
        // Records have no MAC and served tokens have no signature. Only this entry can be verified.
        let keys = |token: &Token| (token.comms_key.clone(), token.sig_key.clone());
        if own().any(|(_, token)| keys(token) != keys(said)) {
            return Err(EnrollError::WrongKeys);
        }
        // It is not known whether deployed servers keep the flags.
        let is_same = |token: &Token| {
            let attrs = self.registry == RegistryKind::Unknown || token.attrs == said.attrs;
            attrs && token.name == said.name && token.end_points == said.end_points
        };
        match own().next() {
            Some((_, other)) if !own().any(|(_, token)| is_same(token)) => {
                let (name, end_points) = (other.name.clone(), other.end_points.clone());
                Err(EnrollError::Cloned { name, end_points })
            }
            _ => Ok(()),
        }
    }

    /// Checks that all listed members were asked for. A deployed server may list members beyond the
    /// size of the cluster.
    fn check_which(&self, list: &MemberList) -> Result<(), EnrollError> {
        let others = list.which().without(self.which);
        let places = self.roster.map(|roster| (roster.places(), roster.cluster.max_size));
        for index in others.iter() {
            return Err(match places.filter(|(places, _)| !places.contains(index)) {
                None => EnrollError::NotAskedFor { index },
                Some(_) if self.registry == RegistryKind::Unknown => continue,
                Some((_, size)) => EnrollError::BeyondSize { index, size },
            });
        }
        Ok(())
    }

    /// Checks that the names in one answer differ. Between two looks a member may change its name.
    fn check_names(&self, list: &MemberList) -> Result<(), EnrollError> {
        let twice = twice(self.entries(list), |a, b| a.name == b.name);
        match twice {
            None => Ok(()),
            Some((first, second, token)) => {
                Err(EnrollError::NameTwice { name: token.name.clone(), first, second })
            }
        }
    }

    /// Checks that all IDs differ. A deployed server gives a node with a new name a second place,
    /// so there they are not checked.
    fn check_ids(&self, list: &MemberList) -> Result<(), EnrollError> {
        if self.registry == RegistryKind::Unknown {
            return Ok(());
        }
        let known = self.roster.into_iter().flat_map(|roster| &roster.members);
        let known = known.map(|(index, token)| (*index, token));
        let all = known.filter(|(index, _)| !list.which().contains(*index));
        let twice = twice(all.chain(self.entries(list)), |a, b| a.id == b.id);
        match twice.and_then(|(first, second, token)| Some((first, second, token.id?))) {
            None => Ok(()),
            Some((first, second, id)) => Err(EnrollError::IdTwice { id, first, second }),
        }
    }

    /// Checks that members have kept their places, IDs and sig keys. All else may change.
    fn check_known(&self, list: &MemberList) -> Result<(), EnrollError> {
        let Some(roster) = self.roster else { return Ok(()) };
        for (index, was) in &roster.members {
            let index = *index;
            if !self.which.contains(index) {
                continue;
            }
            match self.entries(list).find(|(listed, _)| *listed == index) {
                None => return Err(EnrollError::Vanished { index, name: was.name.clone() }),
                Some((_, is)) if (is.id, &is.sig_key) != (was.id, &was.sig_key) => {
                    let (name, by) = (was.name.clone(), is.name.clone());
                    return Err(EnrollError::Replaced { index, name, by });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Checks that there is no gap, and that each member has the end points that the cluster needs.
    fn check_places(&self, list: &MemberList) -> Result<(), EnrollError> {
        let known = self.roster.map_or(MemberSet::NONE, Roster::known);
        let taken = known.or(list.which());
        let empty = MemberSet::ALL.without(taken).iter().next();
        if let Some(index) = empty
            && taken.iter().any(|taken| taken > index)
            && self.which.contains(index)
        {
            return Err(EnrollError::Gap { index });
        }
        let Some(roster) = self.roster else { return Ok(()) };
        let needed = roster.cluster.end_point_count;
        let few = |token: &Token| {
            u32::try_from(token.end_points.len()).is_ok_and(|end_points| end_points < needed)
        };
        match self.entries(list).find(|(_, token)| few(token)) {
            None => Ok(()),
            Some((index, token)) => {
                let (name, got) = (token.name.clone(), token.end_points.len());
                Err(EnrollError::TooFewEnds { index, name, got, needed })
            }
        }
    }
}

/// Finds the first two entries that are alike: their indexes, and the token of the second.
fn twice<'a>(
    entries: impl Iterator<Item = (MemberIndex, &'a Token)> + Clone,
    alike: impl Fn(&Token, &Token) -> bool,
) -> Option<(MemberIndex, MemberIndex, &'a Token)> {
    let mut after = entries.clone();
    entries.into_iter().find_map(|(first, token)| {
        after.next();
        let mut others = after.clone();
        let (second, other) = others.find(|(_, other)| alike(token, other))?;
        Some((first, second, other))
    })
}
