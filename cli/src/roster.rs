//! Clusters, members and keys as they are printed, for people and for programs.
//!
//! What programs get is described by `docs/json-schema.json`: keys may be added, none is ever changed. The same thing has
//! the same keys wherever it is printed.

use serde_json::{Value, json};
use xlreg::enroll::Roster;
use xlreg::identity::{EndPoint, Identity, MemberAttrs, Name, NodeId, PublicKey, Token};
use xlreg::message::{ClusterInfo, MemberList};

/// Digits of an ID in a table: enough to tell members apart.
const SHORT_ID: usize = 8;
/// Characters of a fingerprint in a table: `SHA256:` and 72 bits.
const SHORT_FINGERPRINT: usize = 19;

/// The members known, one a line under a head.
pub fn table(roster: &Roster) -> String {
    members_table(roster.members.iter().map(|(index, token)| (*index, token)))
}

/// Members with their indexes, one a line under a head.
pub fn members_table<'a>(members: impl Iterator<Item = (u32, &'a Token)>) -> String {
    let head = ["INDEX", "NAME", "ID", "ENDS", "COMMS KEY", "SIG KEY"].map(String::from);
    let rows = members.map(|(index, token)| row(index, token));
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(index: u32, token: &Token) -> [String; 6] {
    let ends = texts(&token.ends).join(" ");
    let id = token.id.map(|id| short(&id.to_string(), SHORT_ID)).unwrap_or_default();
    let fingerprint = |key: &PublicKey| short(&key.fingerprint().to_string(), SHORT_FINGERPRINT);
    [
        index.to_string(),
        token.name.to_string(),
        id,
        ends,
        fingerprint(&token.comms_key),
        fingerprint(&token.sig_key),
    ]
}

fn short(text: &str, len: usize) -> String {
    text.chars().take(len).collect()
}

/// The roster as JSON. Before the cluster is known its properties are null.
pub fn json(name: Option<&Name>, roster: Option<&Roster>) -> Value {
    let cluster = roster.map(|roster| roster.cluster);
    let members = roster.into_iter().flat_map(|roster| &roster.members);
    json!({
        "cluster": cluster_json(name, cluster.map(|c| c.id), cluster),
        "self_index": roster.and_then(Roster::self_index),
        "complete": roster.is_some_and(Roster::is_complete),
        "members": members.map(|(index, token)| member(*index, token)).collect::<Vec<_>>(),
    })
}

/// Members of a cluster as someone sees them who is not in it, in the form of [`json`]. Who asks for the members only is
/// told neither the cluster's size nor its other properties; then they are null, and so is whether it is complete.
pub fn outside_json(name: Option<&Name>, list: &MemberList, cluster: Option<ClusterInfo>) -> Value {
    let known = u32::try_from(list.members().len()).ok();
    json!({
        "cluster": cluster_json(name, Some(list.cluster()), cluster),
        "self_index": null,
        "complete": cluster.map(|cluster| known >= Some(cluster.max_size)),
        "members": list.iter().map(|(index, token)| member(index, token)).collect::<Vec<_>>(),
    })
}

/// The entry of this node in a roster that was printed as JSON, if it stands there with the same ID, name and sig key.
pub fn own_entry<'a>(roster: &'a Value, identity: &Identity) -> Option<&'a Value> {
    let id = identity.id?.to_string();
    let sig_key = identity.sig.public_key().to_openssh();
    roster["members"].as_array()?.iter().find(|member| {
        member["id"] == *id
            && member["name"] == *identity.name.as_str()
            && member["sig_key"] == *sig_key
    })
}

/// The members of a roster that was printed as JSON, one a line under a head. What cannot be read is left out.
pub fn table_of(roster: &Value) -> String {
    let members = roster["members"].as_array().cloned().unwrap_or_default();
    let read: Vec<_> = members.iter().filter_map(read_member).collect();
    members_table(read.iter().map(|(index, token)| (*index, token)))
}

fn read_member(member: &Value) -> Option<(u32, Token)> {
    let text = |key: &str| member[key].as_str();
    let ends = member["end_points"].as_array()?.iter();
    let token = Token {
        name: text("name")?.parse().ok()?,
        attrs: MemberAttrs::from_bits(member["attrs"].as_u64()?),
        id: Some(text("id")?.parse().ok()?),
        comms_key: text("comms_key")?.parse().ok()?,
        sig_key: text("sig_key")?.parse().ok()?,
        ends: ends.map(|end| end.as_str()?.parse().ok()).collect::<Option<_>>()?,
        signature: None,
    };
    Some((u32::try_from(member["index"].as_u64()?).ok()?, token))
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
pub fn member(index: u32, token: &Token) -> Value {
    let mut value = token_json(token);
    value["index"] = index.into();
    value
}

/// What a node says of itself.
pub fn token_json(token: &Token) -> Value {
    let mut value = identity_json(&token.name, token.id, [&token.comms_key, &token.sig_key]);
    value["attrs"] = token.attrs.bits().into();
    add_end_points(&mut value, &token.ends);
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
pub fn add_end_points(value: &mut Value, ends: &[EndPoint]) {
    let apart = |end: &EndPoint| json!({ "host": end.host(), "port": end.port() });
    value["end_points"] = texts(ends).into();
    value["addresses"] = ends.iter().map(apart).collect();
}

/// Values as their texts.
pub fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Labelled values, one a line.
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let line = |(label, value): &(&str, String)| {
        format!("{}\n", format!("{label:width$}  {value}").trim_end())
    };
    fields.iter().map(line).collect()
}

/// A key as `ssh-keygen -lf` prints it. A credential drops the comment of a key, so there is none.
pub fn ssh_line(key: &PublicKey) -> String {
    format!("{} {} no comment (RSA)", key.bits(), key.fingerprint())
}
