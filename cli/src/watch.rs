//! Waiting for the members of a cluster from outside: how many are wanted, and when to look again.
//!
//! A registry lists the members for a node outside the cluster, but not its size. Only the answer
//! to Create has the size, and a Create of an existing cluster changes nothing.

use std::time::Duration;

use rand_core::Rng;
use xlreg::enroll::EnrollError;
use xlreg::identity::{ClusterAttrs, Name, NodeId};
use xlreg::message::{ClusterInfo, Create, MemberList};

use crate::client::Cluster;
use crate::output::Failure;
use crate::random;

/// The first pause between two looks. It doubles with each look without news.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// Wait until all members are there, or this number of them; without --timeout for ever
    #[arg(
        long, value_name = "N", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", value_parser = wait_parser
    )]
    pub wait: Option<WaitFor>,
}

/// The number of members to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// As many as the cluster may have.
    All,
    /// This number.
    Members(u32),
}

fn wait_parser(text: &str) -> Result<WaitFor, String> {
    match text.parse() {
        Ok(members @ 1..=64) => Ok(WaitFor::Members(members)),
        _ if text == "all" => Ok(WaitFor::All),
        _ => Err("a number from 1 to 64 is expected, or all".into()),
    }
}

impl WaitFor {
    /// # Errors
    ///
    /// The size of this cluster cannot be found out.
    pub fn check(self, cluster: &Cluster) -> Result<(), String> {
        match (self, cluster) {
            (Self::All, Cluster::WithId(_)) => {
                Err("--wait needs a number with --id, as --wait=3: \
                 a registry tells a cluster's size to those who know its name"
                    .into())
            }
            (Self::All, Cluster::Named(_)) | (Self::Members(_), _) => Ok(()),
        }
    }
}

/// The request for the properties of a cluster with this name. Send it only after the cluster was
/// seen: clusters stay, so nothing is created.
pub fn question(name: &Name) -> Create {
    Create { name: name.clone(), max_size: 1, attrs: ClusterAttrs::NONE, end_point_count: 1 }
}

/// Checks that the answer to the [`question`] is about the cluster that was seen.
///
/// # Errors
///
/// [`EnrollError::WrongCluster`].
pub fn answer(seen: NodeId, cluster: ClusterInfo) -> Result<ClusterInfo, EnrollError> {
    match cluster.id == seen {
        true => Ok(cluster),
        false => Err(EnrollError::WrongCluster { asked: seen, got: cluster.id }),
    }
}

/// Looks until enough members are there.
pub struct Watch {
    wanted: u32,
    seen: Option<MemberList>,
    pause: Duration,
}

impl Watch {
    /// Starts with the known properties of the cluster.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the cluster has fewer places.
    pub fn new(
        wait: WaitFor,
        cluster: &Cluster,
        known: Option<ClusterInfo>,
    ) -> Result<Self, Failure> {
        let size = known.map(|known| known.max_size);
        let wanted = match (wait, size) {
            (WaitFor::Members(wanted), Some(size)) if wanted > size => {
                return Err(Failure::new(format!(
                    "{cluster} has room for {size} members, {wanted} will never be there"
                )));
            }
            (WaitFor::Members(wanted), _) => wanted,
            (WaitFor::All, Some(size)) => size,
            (WaitFor::All, None) => {
                // To wait for all needs the name, see `check`, and the name was used to ask for the
                // size.
                debug_assert!(false, "the size of {cluster} was not asked for");
                return Err(Failure::new(format!(
                    "it is not known how many {cluster} has room for"
                )));
            }
        };
        Ok(Self { wanted, seen: None, pause: FIRST_PAUSE })
    }

    /// The number of members to wait for.
    pub const fn wanted(&self) -> u32 {
        self.wanted
    }

    /// The pause before the next look, if there are not enough members yet.
    pub fn look(&mut self, list: &MemberList) -> Option<Duration> {
        if u32::try_from(list.members().len()).is_ok_and(|there| there >= self.wanted) {
            return None;
        }
        let news = self.seen.as_ref() != Some(list);
        let pause = if news { FIRST_PAUSE } else { LONGEST_PAUSE.min(self.pause * 2) };
        (self.seen, self.pause) = (Some(list.clone()), pause);
        Some(jittered(pause))
    }
}

/// Makes a pause up to a quarter shorter, so that clients that wait together do not ask together.
fn jittered(pause: Duration) -> Duration {
    let quarter = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) / 4;
    let less = random::system().next_u64().checked_rem(quarter).unwrap_or(0);
    pause.saturating_sub(Duration::from_millis(less))
}

#[cfg(test)]
mod tests {
    use xlreg::message::MemberSet;

    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_until_there_is_something_new() {
        let cluster = Cluster::WithId([1; 20].into());
        let list = |id: u8| MemberList::new([id; 20].into(), MemberSet::NONE, Vec::new()).unwrap();
        let mut watch = Watch::new(WaitFor::Members(1), &cluster, None).unwrap();
        let mut look = |id| watch.look(&list(id)).unwrap();
        for most in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = look(1);
            let most = Duration::from_millis(most);
            assert!(pause <= most && pause >= most * 3 / 4, "{pause:?} of {most:?}");
        }
        assert!(look(2) <= FIRST_PAUSE);
    }
}
