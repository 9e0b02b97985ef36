//! What a registry remembers of one session, and its requests after the check of the signature.

use crate::crypto::Verify;
use crate::identity::{NodeId, VerifiedToken};
use crate::message::{MemberEntry, Refusal, Request};

/// What a registry remembers of one session.
#[derive(Clone, Debug, Default)]
pub struct ClientState {
    /// The client, once it has proved who it is. The entry has the ID.
    member: Option<(NodeId, MemberEntry)>,
    /// The cluster that the client created or joined last.
    cluster: Option<NodeId>,
}

impl ClientState {
    /// The state of a session whose client has not said who it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client's ID and its token without the signature, once it has registered.
    pub fn member(&self) -> Option<(NodeId, &MemberEntry)> {
        self.member.as_ref().map(|(id, member)| (*id, member))
    }

    pub(super) fn require_member(&self) -> Result<&MemberEntry, Refusal> {
        self.member.as_ref().map(|(_, member)| member).ok_or(Refusal::WrongState)
    }

    pub(super) const fn cluster(&self) -> Option<NodeId> {
        self.cluster
    }

    /// Remembers who the client is. That happens once in a session.
    pub(super) fn register(&mut self, id: NodeId, member: MemberEntry) {
        debug_assert!(self.member.is_none(), "a client registers once");
        debug_assert_eq!(member.id, Some(id), "what is kept of a token has the ID");
        self.member = Some((id, member));
    }

    /// Remembers the cluster that the client has created or joined.
    pub(super) fn enter(&mut self, cluster: NodeId) {
        debug_assert!(self.member.is_some(), "only a registered client enters a cluster");
        self.cluster = Some(cluster);
    }
}

/// A request whose signature, if it has one, has been checked.
#[derive(Clone, Debug)]
pub struct CheckedRequest(pub(super) Checked);

#[derive(Clone, Debug)]
pub(super) enum Checked {
    Member(VerifiedToken),
    /// Anything but a Member.
    Other(Request),
}

impl CheckedRequest {
    /// Checks the signature of a Member; other requests pass as they are.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadSignature`], to be sent to the client.
    pub fn new(request: Request, provider: &dyn Verify) -> Result<Self, Refusal> {
        Ok(Self(match request {
            Request::Member(token) => {
                Checked::Member(token.verify(provider).map_err(|_| Refusal::BadSignature)?)
            }
            other => Checked::Other(other),
        }))
    }
}
