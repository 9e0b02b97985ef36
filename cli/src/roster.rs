//! Who is in a cluster, for people and for programs.

use serde_json::{Value, json};
use xlreg::enroll::Roster;
use xlreg::identity::{Name, NodeId, PublicKey, Token};

/// Digits of an ID in a table: enough to tell members apart.
const SHORT_ID: usize = 8;
/// Characters of a fingerprint in a table: `SHA256:` and 72 bits.
const SHORT_FINGERPRINT: usize = 19;

/// The members known, one a line under a head.
pub fn table(roster: &Roster) -> String {
    let head = ["INDEX", "NAME", "ID", "ENDS", "COMMS KEY", "SIG KEY"].map(String::from);
    let rows = roster.members.iter().map(|(index, token)| row(*index, token));
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
    let ends = token.ends.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
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
        "cluster": {
            "name": name.map(Name::as_str),
            "id": cluster.map(|c| c.id.to_string()),
            "max_size": cluster.map(|c| c.max_size),
            "end_point_count": cluster.map(|c| c.end_point_count),
            "attrs": cluster.map(|c| c.attrs.bits()),
        },
        "self_index": roster.and_then(Roster::self_index),
        "complete": roster.is_some_and(Roster::is_complete),
        "members": members.map(|(index, token)| member(*index, token)).collect::<Vec<_>>(),
    })
}

fn member(index: u32, token: &Token) -> Value {
    json!({
        "index": index,
        "name": token.name.as_str(),
        "id": token.id.as_ref().map(NodeId::to_string),
        "attrs": token.attrs.bits(),
        "end_points": token.ends.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "comms_key": token.comms_key.to_openssh(),
        "sig_key": token.sig_key.to_openssh(),
    })
}
