//! The conversion between protobuf and checked types: the only place that knows both (PROTOCOL 5).
//!
//! Decoding has two steps. [`MessageView`] finds the fields in their record, then each field is
//! checked and becomes the type that is kept. Encoding is done by prost and cannot fail, because a
//! checked type is legal.

use alloc::vec::Vec;

use prost::Message;

use super::form::FieldSet;
use super::proto::XlRegMsg;
use super::proto::xl_reg_msg::Token as WireToken;
use super::view::{MessageView, TokenView};
use super::wire::Malformed;
use super::{
    ClusterInfo, ClusterRef, Create, Field, GetCluster, MAX_CLUSTER_SIZE, MemberEntry, MemberList,
    MemberSet, MessageError, MessageLimits, Op, Reason, Reply, Request,
};
use crate::credential::Credential;
use crate::identity::{
    ClusterAttrs, EndPoint, KeyError, MemberAttrs, Name, NameError, NodeId, Spki, Token, Version,
};

/// Why bytes are not a message or token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not protobuf of this schema. The error gives no details, because a peer must
    /// not learn any.
    #[error("not protobuf of this schema")]
    Malformed,
    /// The bytes are protobuf of this schema, but the message breaks a rule.
    #[error(transparent)]
    Message(MessageError),
}

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<MessageError> for DecodeError {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

/// A message of this schema with an operation. Its other fields are not checked yet.
pub(crate) struct Decoded<'a> {
    op: Op,
    message: MessageView<'a>,
}

impl<'a> Decoded<'a> {
    /// Finds the fields of a message.
    pub(crate) fn new(bytes: &'a [u8], limits: &MessageLimits) -> Result<Self, DecodeError> {
        let message = MessageView::new(bytes, limits)?;
        let tag = message.op.ok_or(MessageError::NoOp)?;
        let op = Op::from_tag(tag).ok_or(MessageError::UnknownOp(tag))?;
        Ok(Self { op, message })
    }

    pub(crate) const fn op(&self) -> Op {
        self.op
    }

    /// Checks a client's message.
    pub(crate) fn into_request(self, limits: &MessageLimits) -> Result<Request, DecodeError> {
        let Self { op, message } = self;
        let check = Check { limits };
        Ok(match op {
            Op::RegCredRequest => Request::RegCred,
            Op::Member => Request::Member(check.signed_token(message.member_specs)?),
            Op::Create => Request::Create(Create {
                name: check.name(Field::ClusterName, message.cluster_name)?,
                max_size: required(Field::ClusterMaxSize, message.cluster_max_size)?,
                // A Create without attrs asks for a cluster without flags.
                attrs: ClusterAttrs::from_bits(message.cluster_attrs.unwrap_or_default()),
                end_point_count: required(Field::EndPointCount, message.end_point_count)?,
            }),
            Op::Join => Request::Join(check.cluster(message.cluster_id, message.cluster_name)?),
            Op::GetCluster => Request::GetCluster(GetCluster {
                cluster: check.cluster(message.cluster_id, message.cluster_name)?,
                which: message.which.map(MemberSet::from_bits),
            }),
            Op::Bye => Request::Bye,
            other => return Err(MessageError::WrongSide(other).into()),
        })
    }

    /// Checks a registry's message. [`encode_reply`] must give the same bytes for it (PROTOCOL
    /// 4.1), except that an Error may lack its text.
    pub(crate) fn into_reply(self, limits: &MessageLimits) -> Result<Reply, DecodeError> {
        let Self { op, message } = self;
        if reply_fields(op).is_some_and(|fields| !message.is_exact_with(fields, SERVED_TOKEN)) {
            return Err(DecodeError::Malformed);
        }
        let check = Check { limits };
        Ok(match op {
            Op::RegCredReply => Reply::RegCred(check.credential(&message)?),
            Op::MemberOk => Reply::MemberOk {
                id: check.id(Field::MemberId, message.member_id)?,
                attrs: MemberAttrs::from_bits(required(Field::MemberAttrs, message.member_attrs)?),
            },
            Op::CreateReply => Reply::Create(check.cluster_info(&message)?),
            Op::JoinReply => Reply::Join(check.cluster_info(&message)?),
            Op::ClusterMembers => Reply::Members(check.members(&message)?),
            Op::Ack => Reply::Ack,
            Op::Error => Reply::Error(check.reason(message.err_desc)?),
            other => return Err(MessageError::WrongSide(other).into()),
        })
    }
}

/// The fields that [`encode_reply`] writes for an operation; `None` for a client's operation.
const fn reply_fields(op: Op) -> Option<FieldSet> {
    use super::schema::message::*;
    Some(match op {
        Op::RegCredReply => FieldSet::of(&[OP, VERSION, MEMBER_SPECS]),
        Op::MemberOk => FieldSet::of(&[OP, MEMBER_ID, MEMBER_ATTRS]),
        Op::CreateReply | Op::JoinReply => {
            FieldSet::of(&[OP, CLUSTER_ID, CLUSTER_MAX_SIZE, CLUSTER_ATTRS, END_POINT_COUNT])
        }
        Op::ClusterMembers => FieldSet::of(&[OP, CLUSTER_ID, WHICH, TOKENS]),
        Op::Ack => FieldSet::of(&[OP]),
        Op::Error => FieldSet::of(&[OP, ERR_DESC]),
        Op::RegCredRequest | Op::Member | Op::Create | Op::Join | Op::GetCluster | Op::Bye => {
            return None;
        }
    })
}

/// The fields of a token in a registry's message.
const SERVED_TOKEN: FieldSet = {
    use super::schema::token::*;
    FieldSet::of(&[NAME, ATTRS, ID, COMMS_KEY, SIG_KEY, MY_ENDS])
};

fn required<T>(field: Field, value: Option<T>) -> Result<T, MessageError> {
    value.ok_or(MessageError::Missing(field))
}

/// Checks a required count, which is 1 to `most`.
fn in_range(field: Field, value: Option<u32>, most: u32) -> Result<u32, MessageError> {
    match required(field, value)? {
        value if (1..=most).contains(&value) => Ok(value),
        value => Err(MessageError::OutOfRange { field, value, most }),
    }
}

/// The checks of one message, under its limits.
struct Check<'a> {
    limits: &'a MessageLimits,
}

impl Check<'_> {
    fn name(&self, field: Field, value: Option<&str>) -> Result<Name, MessageError> {
        let text = required(field, value)?;
        let limit = self.limits.name_len;
        let name = if text.len() > limit {
            Err(NameError::TooLong { bytes: text.len(), limit })
        } else {
            text.parse()
        };
        name.map_err(|source| MessageError::Name { field, source })
    }

    fn id(&self, field: Field, value: Option<&[u8]>) -> Result<NodeId, MessageError> {
        NodeId::from_bytes(required(field, value)?)
            .map_err(|source| MessageError::Id { field, source })
    }

    fn key<'k>(&self, field: Field, value: Option<&'k [u8]>) -> Result<Spki<'k>, MessageError> {
        let key = Spki::new(required(field, value)?);
        key.and_then(|key| match key.bits() {
            bits if self.limits.rsa_bits.contains(&bits) => Ok(key),
            bits => Err(KeyError::Bits(bits)),
        })
        .map_err(|source| MessageError::Key { field, source })
    }

    fn end_points(&self, token: &TokenView<'_>) -> Result<Vec<EndPoint>, MessageError> {
        let mut end_points = Vec::with_capacity(token.end_count());
        for (index, end) in token.end_points().enumerate() {
            end_points.push(end.parse().map_err(|source| MessageError::End { index, source })?);
        }
        Ok(end_points)
    }

    fn cluster(&self, id: Option<&[u8]>, name: Option<&str>) -> Result<ClusterRef, MessageError> {
        // PROTOCOL 6.6: the ID goes before the name, so a name beside an ID does not matter.
        Ok(match (id, name) {
            (Some(id), _) => self.id(Field::ClusterId, Some(id))?.into(),
            (None, Some(name)) => self.name(Field::ClusterName, Some(name))?.into(),
            (None, None) => ClusterRef::CURRENT,
        })
    }

    /// Checks a token from a member, which has attrs and a signature.
    fn signed_token(&self, specs: Option<TokenView<'_>>) -> Result<Token, MessageError> {
        let specs = required(Field::MemberSpecs, specs)?;
        let token = self.token(&specs)?;
        required(Field::TokenAttrs, specs.attrs)?;
        required(Field::TokenDigSig, specs.dig_sig)?;
        Ok(token)
    }

    /// Checks a token from a registry, which has attrs.
    fn served_token(&self, view: &TokenView<'_>) -> Result<Token, MessageError> {
        let token = self.token(view)?;
        required(Field::TokenAttrs, view.attrs)?;
        Ok(token)
    }

    fn token(&self, token: &TokenView<'_>) -> Result<Token, MessageError> {
        let name = self.name(Field::TokenName, token.name)?;
        let id = token.id.map(|id| self.id(Field::TokenId, Some(id))).transpose()?;
        let comms_key = self.key(Field::TokenCommsKey, token.comms_key)?;
        let sig_key = self.key(Field::TokenSigKey, token.sig_key)?;
        let end_points = self.end_points(token)?;
        let [comms_key, sig_key] = Spki::keep_both(&comms_key, &sig_key);
        // The callers check whether attrs are required. A kept token without them has no flags.
        let attrs = MemberAttrs::from_bits(token.attrs.unwrap_or_default());
        let signature = token.dig_sig.map(Vec::from);
        Ok(Token { name, attrs, id, comms_key, sig_key, end_points, signature })
    }

    fn members(&self, message: &MessageView<'_>) -> Result<MemberList, MessageError> {
        let cluster = self.id(Field::ClusterId, message.cluster_id)?;
        let which = MemberSet::from_bits(required(Field::Which, message.which)?);
        let mut members = Vec::with_capacity(message.tokens.len());
        for token in &message.tokens {
            members.push(MemberEntry::received(self.served_token(token)?));
        }
        Ok(MemberList::of(cluster, which, members)?)
    }

    fn cluster_info(&self, message: &MessageView<'_>) -> Result<ClusterInfo, MessageError> {
        Ok(ClusterInfo {
            id: self.id(Field::ClusterId, message.cluster_id)?,
            max_size: in_range(
                Field::ClusterMaxSize,
                message.cluster_max_size,
                MAX_CLUSTER_SIZE.into(),
            )?,
            attrs: ClusterAttrs::from_bits(required(Field::ClusterAttrs, message.cluster_attrs)?),
            end_point_count: in_range(Field::EndPointCount, message.end_point_count, 2)?,
        })
    }

    /// Checks the registry's own token (PROTOCOL 5, tag 2). `Version` has four bytes, and `a` is
    /// the lowest.
    fn credential(&self, message: &MessageView<'_>) -> Result<Credential, DecodeError> {
        let version = required(Field::Version, message.version)?;
        let specs = required(Field::MemberSpecs, message.member_specs.as_ref())?;
        let token = self.served_token(specs)?;
        let id = required(Field::TokenId, token.id)?;
        if token.end_points.is_empty() {
            return Err(MessageError::Missing(Field::TokenMyEnds).into());
        }
        // A registry has no flags, and a credential has no place for them.
        if token.attrs != MemberAttrs::NONE {
            return Err(DecodeError::Malformed);
        }
        Ok(Credential {
            name: token.name,
            id,
            comms_key: token.comms_key,
            sig_key: token.sig_key,
            end_points: token.end_points,
            version: Version::from_bytes(version.to_le_bytes()),
        })
    }

    /// Checks the text of an Error. An Error without a text is an Error with an empty one.
    fn reason(&self, text: Option<&str>) -> Result<Reason, MessageError> {
        let text = text.unwrap_or_default();
        let (bytes, limit) = (text.len(), self.limits.text_len);
        if bytes > limit {
            return Err(MessageError::TooLong { field: Field::ErrDesc, bytes, limit });
        }
        Ok(Reason::new(text))
    }
}

/// Appends a request's bytes.
pub(crate) fn encode_request(request: &Request, out: &mut Vec<u8>) {
    let op = request.op();
    append(
        out,
        match request {
            Request::RegCred | Request::Bye => empty(op),
            Request::Member(token) => {
                XlRegMsg { member_specs: Some(wire_token(token)), ..empty(op) }
            }
            Request::Create(create) => XlRegMsg {
                cluster_name: Some(create.name.as_str().into()),
                cluster_max_size: Some(create.max_size),
                cluster_attrs: Some(create.attrs.bits()),
                end_point_count: Some(create.end_point_count),
                ..empty(op)
            },
            Request::Join(cluster) => with_cluster(cluster, empty(op)),
            Request::GetCluster(get) => {
                let message = XlRegMsg { which: get.which.map(MemberSet::bits), ..empty(op) };
                with_cluster(&get.cluster, message)
            }
        },
    );
}

/// The number of bytes to reserve before a reply is appended, so that one allocation is enough.
pub(crate) fn room_for(reply: &Reply) -> usize {
    // The fields of a message without tokens and texts.
    const FIELDS: usize = 96;
    match reply {
        Reply::Members(list) => {
            let fields = list.members().iter().filter_map(|member| member.field());
            // Saturates only for more bytes than memory can hold.
            fields.map(<[u8]>::len).fold(FIELDS, usize::saturating_add)
        }
        _ => FIELDS,
    }
}

/// Appends a reply's bytes.
pub(crate) fn encode_reply(reply: &Reply, out: &mut Vec<u8>) {
    let op = reply.op();
    append(
        out,
        match reply {
            Reply::RegCred(credential) => with_credential(credential, empty(op)),
            Reply::MemberOk { id, attrs } => XlRegMsg {
                member_id: Some(id.as_bytes().into()),
                member_attrs: Some(attrs.bits()),
                ..empty(op)
            },
            Reply::Create(info) | Reply::Join(info) => XlRegMsg {
                cluster_id: Some(info.id.as_bytes().into()),
                cluster_max_size: Some(info.max_size),
                cluster_attrs: Some(info.attrs.bits()),
                end_point_count: Some(info.end_point_count),
                ..empty(op)
            },
            Reply::Members(list) => XlRegMsg {
                cluster_id: Some(list.cluster().as_bytes().into()),
                which: Some(list.which().bits()),
                ..empty(op)
            },
            Reply::Ack => empty(op),
            Reply::Error(reason) => {
                XlRegMsg { err_desc: Some(reason.as_str().into()), ..empty(op) }
            }
        },
    );
    if let Reply::Members(list) = reply {
        append_members(list, out);
    }
}

/// Appends the members of a list. Their field has the highest number in the message, so prost would
/// write it here too. Each member was encoded when it joined.
fn append_members(list: &MemberList, out: &mut Vec<u8>) {
    for member in list.members() {
        match member.field() {
            Some(field) => out.extend_from_slice(field),
            None => out.extend_from_slice(&encode_listed(member)),
        }
    }
}

/// Encodes a token as a field of a ClusterMembers.
pub(super) fn encode_listed(token: &Token) -> Vec<u8> {
    let mut field = Vec::new();
    let tokens = alloc::vec![wire_token(token)];
    append(&mut field, XlRegMsg { tokens, ..XlRegMsg::default() });
    field
}

/// Encodes a token as it is inside a message. A store can keep these bytes for a member.
pub fn encode_token(token: &Token) -> Vec<u8> {
    wire_token(token).encode_to_vec()
}

/// Reads and checks a token's bytes. A signature is not verified.
///
/// # Errors
///
/// [`DecodeError`] if the bytes are not a token within the limits.
pub fn decode_token(bytes: &[u8], limits: &MessageLimits) -> Result<Token, DecodeError> {
    Ok(Check { limits }.token(&TokenView::new(bytes, limits)?)?)
}

fn append(out: &mut Vec<u8>, message: XlRegMsg) {
    out.reserve(message.encoded_len());
    // Encoding fails only if the buffer is too small, and a `Vec` grows.
    let encoded = message.encode(out);
    debug_assert!(encoded.is_ok());
}

fn empty(op: Op) -> XlRegMsg {
    XlRegMsg { op: Some(op.tag()), ..XlRegMsg::default() }
}

fn with_cluster(cluster: &ClusterRef, message: XlRegMsg) -> XlRegMsg {
    XlRegMsg {
        cluster_id: cluster.id.map(|id| id.as_bytes().into()),
        cluster_name: cluster.name.as_ref().map(|name| name.as_str().into()),
        ..message
    }
}

fn wire_token(token: &Token) -> WireToken {
    WireToken {
        name: Some(token.name.as_str().into()),
        attrs: Some(token.attrs.bits()),
        id: token.id.map(|id| id.as_bytes().into()),
        comms_key: Some(token.comms_key.spki_der().into()),
        sig_key: Some(token.sig_key.spki_der().into()),
        my_ends: token.end_points.iter().map(|end| end.as_str().into()).collect(),
        dig_sig: token.signature.clone(),
    }
}

fn with_credential(credential: &Credential, message: XlRegMsg) -> XlRegMsg {
    XlRegMsg {
        version: Some(u32::from_le_bytes(credential.version.to_bytes())),
        member_specs: Some(WireToken {
            name: Some(credential.name.as_str().into()),
            attrs: Some(MemberAttrs::NONE.bits()),
            id: Some(credential.id.as_bytes().into()),
            comms_key: Some(credential.comms_key.spki_der().into()),
            sig_key: Some(credential.sig_key.spki_der().into()),
            my_ends: credential.end_points.iter().map(|end| end.as_str().into()).collect(),
            dig_sig: None,
        }),
        ..message
    }
}
