//! Messages: a message that decodes encodes to bytes that decode to the same message, and a reply
//! encodes to the same bytes. All other bytes are refused with a short error.
use std::fmt::Debug;

use xlreg::internals::{
    compare_with_prost, decode_reply, decode_request, encode_reply, encode_request,
};
use xlreg::message::{ClusterRef, DecodeError, MessageLimits, Op, Reply, Request};

use crate::checks::{message_limits, name_within, one_line, refused, token_within};
use crate::input::Input;

/// A script: the limits, and the message.
pub fn codec(data: &[u8]) {
    let input = &mut Input::new(data);
    let limits = message_limits(input);
    let bytes = input.rest();
    compare_with_prost(bytes);
    let request = stable(bytes, &limits, decode_request, encode_request);
    let reply = stable(bytes, &limits, decode_reply, encode_reply);
    assert!(request.is_none() || reply.is_none(), "both sides may say it");
    if let Some((op, request)) = request {
        assert_eq!(op, request.op());
        request_within(&request, &limits);
    }
    if let Some((op, reply)) = reply {
        assert_eq!(op, reply.op());
        as_encoded(bytes, &reply);
        reply_within(&reply, &limits);
    }
}

/// A client accepts only bytes that a registry would have written (PROTOCOL 4.1). An Error may lack
/// its text.
fn as_encoded(bytes: &[u8], reply: &Reply) {
    let without_text = [8, 13];
    let encoded = encode_reply(reply);
    assert!(
        bytes == encoded || bytes == without_text,
        "taken, though a registry writes it otherwise"
    );
}

/// Checks the message in the bytes, if there is one: encoded and decoded again it is the same, and
/// so are its bytes.
fn stable<T: Debug + PartialEq>(
    bytes: &[u8],
    limits: &MessageLimits,
    decode: impl Fn(&[u8], &MessageLimits) -> Result<(Op, T), DecodeError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<(Op, T)> {
    let (op, message) = decode(bytes, limits).map_err(|error| refused(&error)).ok()?;
    let encoded = encode(&message);
    let again = decode(&encoded, limits).expect("what was encoded decodes");
    assert_eq!(again, (op, message));
    assert_eq!(encode(&again.1), encoded, "one message, two encodings");
    Some(again)
}

fn request_within(request: &Request, limits: &MessageLimits) {
    let cluster = match request {
        Request::Member(token) => {
            assert!(token.signature.is_some(), "a Member without a signature");
            return token_within(token, limits);
        }
        Request::Create(create) => return name_within(&create.name, limits),
        Request::Join(cluster) => cluster,
        Request::GetCluster(get) => &get.cluster,
        Request::RegCred | Request::Bye => return,
    };
    let ClusterRef { id, name } = cluster;
    assert!(id.is_none() || name.is_none(), "the ID goes before the name");
    if let Some(name) = name {
        name_within(name, limits);
    }
}

fn reply_within(reply: &Reply, limits: &MessageLimits) {
    match reply {
        Reply::RegCred(credential) => {
            assert!((1..=limits.end_points).contains(&credential.end_points.len()));
            name_within(&credential.name, limits);
            for key in [&credential.comms_key, &credential.sig_key] {
                assert!(limits.rsa_bits.contains(&key.bits()));
            }
        }
        Reply::Create(info) | Reply::Join(info) => {
            assert!((1..=64).contains(&info.max_size) && (1..=2).contains(&info.end_point_count));
        }
        Reply::Members(list) => {
            let members: Vec<_> = list.iter().map(|(_, token)| token).collect();
            assert!(members.len() <= limits.tokens);
            assert_eq!(u32::try_from(members.len()), Ok(list.which().count()));
            for token in members {
                assert!(token.id.is_some() && token.signature.is_none());
                token_within(token, limits);
            }
        }
        Reply::Error(reason) => {
            let text = reason.as_str();
            assert!(text.len() <= limits.text_len);
            // A character is escaped to ten bytes at most.
            one_line(reason, 10 * text.len());
            assert!(reason.refusal().is_none_or(|refusal| refusal.as_str() == text));
        }
        Reply::MemberOk { .. } | Reply::Ack => {}
    }
}
