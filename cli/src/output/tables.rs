//! Clusters, members and keys as text.

use serde_json::Value;
use xlreg::enroll::Roster;
use xlreg::identity::{PublicKey, Token};
use xlreg::message::MemberIndex;

use super::json::read_member;

/// The number of digits of an ID in a table. They are enough to tell members apart.
const SHORT_ID: usize = 8;
/// The number of characters of a fingerprint in a table: `SHA256:` and 72 bits.
const SHORT_FINGERPRINT: usize = 19;

/// Writes the known members, one a line, under a heading.
pub fn table(roster: &Roster) -> String {
    members_table(roster.members.iter().map(|(index, token)| (*index, token)))
}

/// Writes members with their indexes, one a line, under a heading.
pub fn members_table<'a>(members: impl Iterator<Item = (MemberIndex, &'a Token)>) -> String {
    let head = ["INDEX", "NAME", "ID", "END POINTS", "COMMS KEY", "SIG KEY"].map(String::from);
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

fn row(index: MemberIndex, token: &Token) -> [String; 6] {
    let end_points = texts(&token.end_points).join(" ");
    let id = token.id.map(|id| short(&id.to_string(), SHORT_ID)).unwrap_or_default();
    let fingerprint = |key: &PublicKey| short(&key.fingerprint().to_string(), SHORT_FINGERPRINT);
    [
        index.to_string(),
        token.name.to_string(),
        id,
        end_points,
        fingerprint(&token.comms_key),
        fingerprint(&token.sig_key),
    ]
}

fn short(text: &str, len: usize) -> String {
    text.chars().take(len).collect()
}

/// Writes the members of a printed JSON roster, one a line, under a heading. Illegal ones are left
/// out.
pub fn table_of(roster: &Value) -> String {
    let members = roster["members"].as_array().cloned().unwrap_or_default();
    let read: Vec<_> = members.iter().filter_map(read_member).collect();
    members_table(read.iter().map(|(index, token)| (*index, token)))
}

/// Writes values as texts.
pub fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Writes values with labels, one a line.
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let line = |(label, value): &(&str, String)| {
        format!("{}\n", format!("{label:width$}  {value}").trim_end())
    };
    fields.iter().map(line).collect()
}

/// Writes a key as `ssh-keygen -lf` does. There is no comment, because a credential has none.
pub fn ssh_line(key: &PublicKey) -> String {
    format!("{} {} no comment (RSA)", key.bits(), key.fingerprint())
}
