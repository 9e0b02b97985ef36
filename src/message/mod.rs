//! Messages as checked types: the requests of a client and the replies of a registry (PROTOCOL 5).
//!
//! Every [`Request`] and [`Reply`] is legal: its names, IDs, keys and counts have been checked. The
//! bytes on the wire are protobuf. Only `codec` knows both.

mod codec;
mod error;
mod form;
mod limits;
mod member_entry;
mod member_index;
mod member_set;
mod op;
#[cfg(any(test, feature = "internals"))]
pub(crate) mod prost_diff;
mod proto;
mod refusal;
mod reply;
mod request;
mod schema;
mod view;
pub(crate) mod wire;

pub use codec::{DecodeError, decode_token, encode_token};
pub(crate) use codec::{Decoded, encode_reply, encode_request, room_for};
pub use error::{Field, MessageError};
pub use limits::MessageLimits;
pub use member_entry::MemberEntry;
pub use member_index::{MemberIndex, MemberIndexError};
pub use member_set::{MemberSet, MemberSetError};
pub use op::{Op, UnknownOp};
pub use refusal::{Reason, Refusal, UnknownRefusal};
pub use reply::{ClusterInfo, MemberList, MemberListError, Reply};
pub use request::{ClusterRef, Create, GetCluster, Request};
pub use schema::MAX_CLUSTER_SIZE;
