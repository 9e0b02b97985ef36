//! Clusters, members and keys as programs read them.
//!
//! `docs/json-schema.json` describes it: keys may be added, none is ever changed. The same thing
//! has the same keys wherever it is printed.

use serde_json::{Value, json};
use xlreg::enroll::Roster;
use xlreg::identity::{EndPoint, Identity, MemberAttrs, Name, NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, MemberIndex, MemberList};

use super::tables::texts;

/// The roster as JSON. Before the cluster is known its properties are null.
pub fn roster_json(name: Option<&Name>, roster: Option<&Roster>) -> Value {
    let cluster = roster.map(|roster| roster.cluster);
    let members = roster.into_iter().flat_map(|roster| &roster.members);
    json!({
        "cluster": cluster_json(name, cluster.map(|c| c.id), cluster),
        "self_index": roster.and_then(Roster::self_index).map(MemberIndex::get),
        "complete": roster.is_some_and(Roster::is_complete),
        "members": members.map(|(index, token)| member_json(*index, token)).collect::<Vec<_>>(),
    })
}

/// Members of a cluster as someone sees them who is not in it, in the form of [`roster_json`]. Who
/// asks for the members only is told neither the cluster's size nor its other properties; then they
/// are null, and so is whether it is complete.
pub fn list_json(name: Option<&Name>, list: &MemberList, cluster: Option<ClusterInfo>) -> Value {
    let known = u32::try_from(list.members().len()).ok();
    json!({
        "cluster": cluster_json(name, Some(list.cluster()), cluster),
        "self_index": null,
        "complete": cluster.map(|cluster| known >= Some(cluster.max_size)),
        "members": list.iter().map(|(index, token)| member_json(index, token)).collect::<Vec<_>>(),
    })
}

/// The entry of this node in a roster that was printed as JSON, if it stands there with the same
/// ID, name and sig key.
pub fn own_entry<'a>(roster: &'a Value, identity: &Identity) -> Option<&'a Value> {
    let id = identity.id?.to_string();
    let sig_key = identity.sig.public_key().to_openssh();
    roster["members"].as_array()?.iter().find(|member| {
        member["id"] == *id
            && member["name"] == *identity.name.as_str()
            && member["sig_key"] == *sig_key
    })
}

pub(super) fn read_member(member: &Value) -> Option<(MemberIndex, Token)> {
    let text = |key: &str| member[key].as_str();
    let end_points = member["end_points"].as_array()?.iter();
    let token = Token {
        name: text("name")?.parse().ok()?,
        attrs: MemberAttrs::from_bits(member["attrs"].as_u64()?),
        id: Some(text("id")?.parse().ok()?),
        comms_key: text("comms_key")?.parse().ok()?,
        sig_key: text("sig_key")?.parse().ok()?,
        end_points: end_points.map(|end| end.as_str()?.parse().ok()).collect::<Option<_>>()?,
        signature: None,
    };
    let index = u32::try_from(member["index"].as_u64()?).ok()?;
    Some((MemberIndex::new(index)?, token))
}

/// A cluster's properties; what is not known is null.
pub fn cluster_json(name: Option<&Name>, id: Option<NodeId>, info: Option<ClusterInfo>) -> Value {
    json!({
        "name": name.map(Name::as_str),
        "id": id.map(|id| id.to_string()),
        "max_size": info.map(|c| c.max_size),
        "end_point_count": info.map(|c| c.end_point_count),
        "attrs": info.map(|c| c.attrs.bits()),
    })
}

/// A member of a cluster: what it says of itself, and its index in the order of joining.
pub fn member_json(index: MemberIndex, token: &Token) -> Value {
    let mut value = token_json(token);
    value["index"] = index.get().into();
    value
}

/// What a node says of itself.
pub fn token_json(token: &Token) -> Value {
    let mut value = identity_json(&token.name, token.id, [&token.comms_key, &token.sig_key]);
    value["attrs"] = token.attrs.bits().into();
    add_end_points(&mut value, &token.end_points);
    value
}

/// Who somebody is, a node or a registry: name, ID, comms key and sig key.
pub fn identity_json(name: &Name, id: Option<NodeId>, keys: [&PublicKey; 2]) -> Value {
    let mut value = json!({
        "name": name.as_str(),
        "id": id.as_ref().map(NodeId::to_string),
    });
    for (field, key) in ["comms_key", "sig_key"].into_iter().zip(keys) {
        value[field] = key.to_openssh().into();
        value[format!("{field}_bits")] = key.bits().into();
        value[format!("{field}_fingerprint")] = key.fingerprint().to_string().into();
    }
    value
}

/// Where somebody listens: as it is written, and taken apart.
pub fn add_end_points(value: &mut Value, end_points: &[EndPoint]) {
    let apart = |end: &EndPoint| json!({ "host": end.host(), "port": end.port() });
    value["end_points"] = texts(end_points).into();
    value["addresses"] = end_points.iter().map(apart).collect();
}
