//! Clusters, members and keys in JSON.
//!
//! `docs/json-schema.json` describes it. Keys may be added, and none changes. The same value has
//! the same keys in all outputs.

use serde_json::{Value, json};
use xlreg::enroll::Roster;
use xlreg::identity::{EndPoint, Identity, MemberAttrs, Name, NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, MemberIndex, MemberList};

use super::tables::texts;

/// Writes a roster. Before the cluster is known its properties are null.
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

/// Writes the members of a cluster as seen from outside, in the form of [`roster_json`]. The answer
/// to GetCluster has no size and no other properties. Without them they are null, and so is the
/// completeness.
pub fn list_json(name: Option<&Name>, list: &MemberList, cluster: Option<ClusterInfo>) -> Value {
    let known = u32::try_from(list.members().len()).ok();
    json!({
        "cluster": cluster_json(name, Some(list.cluster()), cluster),
        "self_index": null,
        "complete": cluster.map(|cluster| known >= Some(cluster.max_size)),
        "members": list.iter().map(|(index, token)| member_json(index, token)).collect::<Vec<_>>(),
    })
}

/// Finds the entry of this node in a printed roster, by ID, name and sig key.
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

/// Writes a cluster's properties. Unknown ones are null.
pub fn cluster_json(name: Option<&Name>, id: Option<NodeId>, info: Option<ClusterInfo>) -> Value {
    json!({
        "name": name.map(Name::as_str),
        "id": id.map(|id| id.to_string()),
        "max_size": info.map(|c| c.max_size),
        "end_point_count": info.map(|c| c.end_point_count),
        "attrs": info.map(|c| c.attrs.bits()),
    })
}

/// Writes a member of a cluster: its token and its index.
pub fn member_json(index: MemberIndex, token: &Token) -> Value {
    let mut value = token_json(token);
    value["index"] = index.get().into();
    value
}

/// Writes a token.
pub fn token_json(token: &Token) -> Value {
    let mut value = identity_json(&token.name, token.id, [&token.comms_key, &token.sig_key]);
    value["attrs"] = token.attrs.bits().into();
    add_end_points(&mut value, &token.end_points);
    value
}

/// Writes the identity of a node or a registry: name, ID, comms key and sig key.
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

/// Writes end points: the text, and its parts.
pub fn add_end_points(value: &mut Value, end_points: &[EndPoint]) {
    let apart = |end: &EndPoint| json!({ "host": end.host(), "port": end.port() });
    value["end_points"] = texts(end_points).into();
    value["addresses"] = end_points.iter().map(apart).collect();
}
