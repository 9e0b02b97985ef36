//! The rules, written once (PROTOCOL 6), as pure functions over a [`View`].
//!
//! The rules for the members of one cluster are in [`Cluster`].

use rand_core::CryptoRng;

use super::client_state::{Checked, CheckedRequest, ClientState};
use super::room::check_room;
use super::{Change, Cluster, View};
use crate::identity::{NodeId, Token};
use crate::message::{ClusterRef, Create, GetCluster, MemberEntry, Refusal, Reply, Request};

/// The result of a request: a reply for the client and a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the change must be durable before the reply goes out"]
pub struct Decision {
    /// The reply for the client. Send it when the change and everything that the view has shown are
    /// durable.
    pub reply: Reply,
    /// The change to make, if any. The view does not have it yet.
    pub change: Option<Change>,
}

impl Decision {
    const fn unchanged(reply: Reply) -> Self {
        Self { reply, change: None }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::unchanged(Reply::Error(refusal.into()))
    }
}

/// Decides a request whose signature has been checked. Changes only `state`, which is the session's
/// own.
///
/// New IDs are drawn from `rng`. It should not be a session's own.
pub fn decide(
    view: &impl View,
    state: &mut ClientState,
    request: CheckedRequest,
    rng: &mut dyn CryptoRng,
) -> Decision {
    let decided = match request.0 {
        Checked::Member(token) => register(view, state, token.into_inner(), rng),
        Checked::Other(Request::RegCred) => {
            Ok(Decision::unchanged(Reply::RegCred(view.credential().clone())))
        }
        Checked::Other(Request::Bye) => Ok(Decision::unchanged(Reply::Ack)),
        Checked::Other(Request::Create(create)) => create_cluster(view, state, create, rng),
        Checked::Other(Request::Join(cluster)) => join(view, state, &cluster),
        Checked::Other(Request::GetCluster(get)) => get_cluster(view, state, &get),
        Checked::Other(Request::Member(_)) => {
            debug_assert!(false, "a Member has been verified");
            Err(Refusal::BadSignature)
        }
    };
    decided.unwrap_or_else(Decision::refused)
}

/// PROTOCOL 6.3.
fn register(
    view: &impl View,
    state: &mut ClientState,
    mut token: Token,
    rng: &mut dyn CryptoRng,
) -> Result<Decision, Refusal> {
    if state.member().is_some() {
        return Err(Refusal::WrongState);
    }
    let key = token.sig_key.fingerprint();
    let id = match token.id {
        Some(id) => id,
        None => fresh_id(view, rng)?,
    };
    let today = view.today();
    let change = match view.node(&id) {
        Some(node) if node.key == key => {
            let news = today.filter(|day| node.is_news(*day));
            news.map(|day| Change::NodeUsed { id, day })
        }
        Some(_) => return Err(Refusal::IdInUse),
        None if view.is_taken(&id) => return Err(Refusal::IdInUse),
        None => {
            let change = Change::NodeBound { id, key, day: today };
            check_room(view, &key, &change)?;
            Some(change)
        }
    };
    let attrs = token.attrs;
    token.id = Some(id);
    state.register(id, MemberEntry::new(token));
    Ok(Decision { reply: Reply::MemberOk { id, attrs }, change })
}

/// PROTOCOL 6.5.
fn create_cluster(
    view: &impl View,
    state: &mut ClientState,
    create: Create,
    rng: &mut dyn CryptoRng,
) -> Result<Decision, Refusal> {
    let creator = state.require_member()?.sig_key.fingerprint();
    if let Some(existing) = view.cluster_named(&create.name) {
        let info = *existing.info();
        state.enter(info.id);
        return Ok(Decision::unchanged(Reply::Create(info)));
    }
    let cluster = Cluster::create(fresh_id(view, rng)?, create, Some(creator))?;
    let change = cluster.creation();
    check_room(view, &creator, &change)?;
    let info = *cluster.info();
    state.enter(info.id);
    Ok(Decision { reply: Reply::Create(info), change: Some(change) })
}

/// PROTOCOL 6.6.
fn join(
    view: &impl View,
    state: &mut ClientState,
    cluster: &ClusterRef,
) -> Result<Decision, Refusal> {
    let member = state.require_member()?;
    let cluster = find(view, state, cluster)?;
    let joined = cluster.join(member)?;
    if let Some(change) = &joined.change {
        check_room(view, &member.sig_key.fingerprint(), change)?;
    }
    let info = *cluster.info();
    state.enter(info.id);
    Ok(Decision { reply: Reply::Join(info), change: joined.change })
}

/// PROTOCOL 6.7.
fn get_cluster(
    view: &impl View,
    state: &ClientState,
    get: &GetCluster,
) -> Result<Decision, Refusal> {
    state.require_member()?;
    let cluster = find(view, state, &get.cluster)?;
    Ok(Decision::unchanged(Reply::Members(cluster.list(get.which)?)))
}

/// Finds a cluster: by its ID, else by its name, else the one that the session entered last.
fn find<'a>(
    view: &'a impl View,
    state: &ClientState,
    cluster: &ClusterRef,
) -> Result<&'a Cluster, Refusal> {
    match (&cluster.id, &cluster.name) {
        (Some(id), _) => view.cluster(id).ok_or(Refusal::NoClusterWithId),
        (None, Some(name)) => view.cluster_named(name).ok_or(Refusal::NoClusterWithName),
        (None, None) => {
            let entered = state.cluster().and_then(|id| view.cluster(&id));
            entered.ok_or(Refusal::NoClusterGiven)
        }
    }
}

/// Draws an ID that is not in use. A second draw is needed only if the generator is broken.
fn fresh_id(view: &impl View, rng: &mut dyn CryptoRng) -> Result<NodeId, Refusal> {
    core::iter::repeat_with(|| NodeId::random(rng))
        .take(4)
        .find(|id| !view.is_taken(id))
        .ok_or(Refusal::Unavailable)
}
