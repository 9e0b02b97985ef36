//! What may be believed of a list of members: the one place where this is checked.

use super::{EnrollError, RegistryKind, Roster};
use crate::identity::{NodeId, Token};
use crate::message::{MemberIndex, MemberList, MemberSet};

/// A look at a cluster's members: what was asked, of whom, and what is known already.
///
/// [`Enroll`](super::Enroll) takes no list that does not pass. Who sends a GetCluster of its own
/// checks the answer with it:
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
    /// Who answers. Deployed servers list a node twice that has joined under two names, and more
    /// members than there are places.
    pub registry: RegistryKind,
    /// What is known of the cluster already.
    pub roster: Option<&'a Roster>,
    /// What the member who asks said when it joined.
    pub own: Option<&'a Token>,
}

impl Look<'_> {
    /// A look of somebody who knows nothing yet, at a registry that may be a deployed server.
    pub const fn new(cluster: NodeId, which: MemberSet) -> Self {
        Self { cluster, which, registry: RegistryKind::Unknown, roster: None, own: None }
    }

    /// Whether a registry that tells the truth could have answered this.
    ///
    /// # Errors
    ///
    /// Why not, as precisely as it shows: [`EnrollError::WrongCluster`],
    /// [`WrongKeys`](EnrollError::WrongKeys), [`Cloned`](EnrollError::Cloned),
    /// [`NotAskedFor`](EnrollError::NotAskedFor), [`BeyondSize`](EnrollError::BeyondSize),
    /// [`NameTwice`](EnrollError::NameTwice), [`IdTwice`](EnrollError::IdTwice),
    /// [`Vanished`](EnrollError::Vanished), [`Replaced`](EnrollError::Replaced),
    /// [`Gap`](EnrollError::Gap), [`TooFewEnds`](EnrollError::TooFewEnds). Nothing of the list
    /// should be believed then.
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

    /// What a member said of itself it knows better than anybody.
    fn check_own(&self, list: &MemberList) -> Result<(), EnrollError> {
        let (Some(roster), Some(said)) = (self.roster, self.own) else { return Ok(()) };
        let own = || list.iter().filter(|(_, token)| token.id == Some(roster.id));
        // No record has a MAC and no token served a signature, but of one member the truth is known
        // here.
        let keys = |token: &Token| (token.comms_key.clone(), token.sig_key.clone());
        if own().any(|(_, token)| keys(token) != keys(said)) {
            return Err(EnrollError::WrongKeys);
        }
        // Deployed servers are not known to keep the flags.
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

    /// Who asks for some gets no others. Deployed clusters overflow, though.
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

    /// Within one answer only: between two looks members may change their names.
    fn check_names(&self, list: &MemberList) -> Result<(), EnrollError> {
        let twice = twice(self.entries(list), |a, b| a.name == b.name);
        match twice {
            None => Ok(()),
            Some((first, second, token)) => {
                Err(EnrollError::NameTwice { name: token.name.clone(), first, second })
            }
        }
    }

    /// Deployed servers give a node that comes under another name a second place.
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

    /// Members keep their places, their IDs and their sig keys for ever; all else may change.
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

    /// Places are taken in order, by members with the end points that the cluster asks for.
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

/// The first two entries that are alike, if any: their indexes, and the second's token.
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
