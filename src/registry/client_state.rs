//! What a registry remembers of one session, and what it is asked.

use crate::crypto::Verify;
use crate::identity::{NodeId, VerifiedToken};
use crate::message::{MemberEntry, Refusal, Request};

/// What a registry remembers of one session.
#[derive(Clone, Debug, Default)]
pub struct ClientState {
    /// Who the client has proved to be; with an ID.
    member: Option<(NodeId, MemberEntry)>,
    /// The cluster that it created or joined last.
    cluster: Option<NodeId>,
}

impl ClientState {
    /// A session whose client has not said who it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ID of the client and its token without the signature, once it is known.
    pub fn member(&self) -> Option<(NodeId, &MemberEntry)> {
        self.member.as_ref().map(|(id, member)| (*id, member))
    }

    pub(super) fn require_member(&self) -> Result<&MemberEntry, Refusal> {
        self.member.as_ref().map(|(_, member)| member).ok_or(Refusal::WrongState)
    }

    pub(super) const fn cluster(&self) -> Option<NodeId> {
        self.cluster
    }

    /// The client has proved who it is, which it does once.
    pub(super) fn register(&mut self, id: NodeId, member: MemberEntry) {
        debug_assert!(self.member.is_none(), "a client registers once");
        debug_assert_eq!(member.id, Some(id), "what is kept of a token has the ID");
        self.member = Some((id, member));
    }

    /// The client has created or joined this cluster.
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
