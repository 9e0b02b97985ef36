//! The progress for programs: one JSON object a line on stderr for each event.
//! `docs/json-schema.json` describes them.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Value, json};
use xlreg::enroll::EnrollEvent;
use xlreg::identity::{Name, NodeId, Token, Version};
use xlreg::message::{ClusterInfo, MemberIndex};
use xlreg::session::Dialect;

use super::json::{cluster_json, member_json};
use crate::output::{MessageFormat, stderr};

#[derive(Debug, clap::Args)]
pub struct ProgressArgs {
    /// The progress on stderr
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub progress: ProgressChoice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressChoice {
    /// A bar that fills, if stderr is a terminal
    #[default]
    Auto,
    /// One JSON object a line for each event; notes and errors too
    Json,
    /// Nothing
    None,
}

impl ProgressChoice {
    /// Whether there is progress for people.
    pub fn for_people(self) -> bool {
        self == Self::Auto
    }

    /// The form of the output on stderr, together with `--json`.
    pub const fn message_format(self, json: bool) -> MessageFormat {
        match self {
            Self::Json => MessageFormat::Json,
            Self::Auto | Self::None => MessageFormat::of(json),
        }
    }
}

/// The progress lines, if they are wanted.
pub struct ProgressLines {
    wanted: bool,
    /// The name of the cluster, if it is known.
    name: Option<Name>,
    /// The reported members. After a retry all of them come again.
    told: BTreeMap<MemberIndex, Token>,
}

impl ProgressLines {
    /// Starts for a cluster, before any event.
    pub fn new(progress: ProgressChoice, name: Option<&Name>) -> Self {
        let wanted = progress == ProgressChoice::Json;
        Self { wanted, name: name.cloned(), told: BTreeMap::new() }
    }

    /// Reports an event.
    pub fn tell(&mut self, event: &EnrollEvent) {
        let described = match event {
            _ if !self.wanted => return,
            EnrollEvent::Member { index, token } | EnrollEvent::Changed { index, token } => {
                return self.tell_member(*index, token);
            }
            event => self.describe(event),
        };
        if let Some(event) = described {
            write(&event);
        }
    }

    /// Reports the session of a visitor that has registered.
    pub fn tell_session(&mut self, dialect: Dialect, version: Version, token: &Token) {
        self.tell(&EnrollEvent::Connected { dialect, version });
        if let Some(id) = token.id {
            self.tell(&EnrollEvent::Registered { id, attrs: token.attrs });
        }
    }

    /// Reports the end.
    pub fn tell_done(&mut self) {
        self.tell(&EnrollEvent::Done);
    }

    /// Reports a cluster that was found from outside. Unknown properties are `null`.
    pub fn tell_found(&self, id: NodeId, cluster: Option<ClusterInfo>) {
        if self.wanted {
            let cluster = cluster_json(self.name.as_ref(), Some(id), cluster);
            write(&json!({ "event": "found", "cluster": cluster }));
        }
    }

    /// Reports a member that is new or has changed.
    pub fn tell_member(&mut self, index: MemberIndex, token: &Token) {
        if !self.wanted {
            return;
        }
        let event = match self.told.insert(index, token.clone()) {
            Some(told) if told == *token => return,
            Some(_) => "changed",
            None => "member",
        };
        write(&json!({ "event": event, "member": member_json(index, token) }));
    }

    /// Describes an event. An event without words in this version is not reported.
    fn describe(&self, event: &EnrollEvent) -> Option<Value> {
        let cluster =
            |info: &ClusterInfo| cluster_json(self.name.as_ref(), Some(info.id), Some(*info));
        Some(match event {
            EnrollEvent::Connected { dialect, version } => json!({
                "event": "connected",
                "dialect": dialect.to_string(),
                "version": version.to_string(),
            }),
            EnrollEvent::Registered { id, attrs } => json!({
                "event": "identified",
                "id": id.to_string(),
                "attrs": attrs.bits(),
            }),
            EnrollEvent::Created(info) => json!({ "event": "created", "cluster": cluster(info) }),
            EnrollEvent::Joined(info) => json!({ "event": "joined", "cluster": cluster(info) }),
            EnrollEvent::ListedTwice { id, first, second } => json!({
                "event": "listed_twice",
                "id": id.to_string(),
                "indexes": [first.get(), second.get()],
            }),
            EnrollEvent::ListedBeyond { index, token } => {
                json!({ "event": "listed_beyond", "member": member_json(*index, token) })
            }
            EnrollEvent::Done => json!({ "event": "done" }),
            _ => return None,
        })
    }
}

fn write(event: &Value) {
    stderr::write(&format!("{event}\n"));
}
