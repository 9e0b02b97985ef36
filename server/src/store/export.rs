//! The state of a registry as lines of JSON, to and from any store.
//!
//! docs/store.md has the form. It is versioned, and old versions stay readable.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

use serde_json::{Map, Value, json};
use xlreg::identity::{
    ClusterAttrs, EndPoint, Fingerprint, MemberAttrs, Name, NodeId, PublicKey, Token,
};
use xlreg::message::{ClusterInfo, MemberEntry, MemberIndex};
use xlreg::registry::{ApplyError, Change, Day, Registry};

/// The version that is written.
const VERSION: u64 = 1;

/// The longest line that is read, in bytes. The longest that is written has a token with the largest
/// keys and end points.
const MAX_LINE: u64 = 1 << 20;

/// The reason why a text is not the export of a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The text cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it must be.
    #[error("line {line}: {reason}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// The fault.
        reason: String,
    },
    /// A line does not follow from those before it.
    #[error("line {line}: {source}")]
    Rules {
        /// The number of the line, from 1.
        line: u64,
        /// The rule.
        source: ApplyError,
    },
    /// The export is that of another registry.
    #[error("it is of the registry {found}, not {wanted}")]
    OtherRegistry {
        /// The registry in the export.
        found: NodeId,
        /// The registry that it should be.
        wanted: NodeId,
    },
    /// The text ends before the export does.
    #[error("it ends early, after {0} lines")]
    CutShort(u64),
}

/// Writes the state of a registry. `progress` is told now and then how many lines were written.
///
/// # Errors
///
/// Those of `out`.
pub fn export(
    registry: &Registry,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut lines = Lines { out, progress, count: 0 };
    let id = registry.credential().id;
    lines.write(&json!({ "xlreg_export": VERSION, "registry": id.to_string() }))?;
    let mut tokens = HashMap::new();
    let mut members = 0_u64;
    for change in registry.changes() {
        match change {
            Change::NodeBound { id, key, day } => lines.write(&json!({ "node": {
                "id": id.to_string(), "sig_key": key.to_string(), "last_use": day.map(Day::get)
            }}))?,
            Change::ClusterCreated { name, info, created_by } => {
                lines.write(&cluster(&name, &info, created_by))?;
            }
            Change::MemberJoined { cluster, index, member } => {
                let next = tokens.len();
                let number = match tokens.get(&member.hash()) {
                    Some(number) => *number,
                    None => {
                        lines.write(&token(next, &member))?;
                        tokens.insert(member.hash(), next);
                        next
                    }
                };
                members += 1;
                lines.write(&json!({ "member": {
                    "cluster": cluster.to_string(), "index": index.get(), "token": number
                }}))?;
            }
            // A registry's changes from an empty one have no others.
            other => return Err(io::Error::other(format!("no line for {other:?}"))),
        }
    }
    let size = registry.size();
    let (nodes, clusters) = (size.nodes, size.clusters);
    lines.write(&json!({ "end": {
        "nodes": nodes, "clusters": clusters, "tokens": tokens.len(), "members": members
    }}))
}

fn cluster(name: &Name, info: &ClusterInfo, created_by: Option<Fingerprint>) -> Value {
    json!({ "cluster": {
        "id": info.id.to_string(),
        "name": name.as_str(),
        "max_size": info.max_size,
        "attrs": info.attrs.bits(),
        "end_points": info.end_point_count,
        "created_by": created_by.map(|key| key.to_string()),
    }})
}

fn token(number: usize, token: &Token) -> Value {
    let end_points: Vec<_> = token.end_points.iter().map(EndPoint::as_str).collect();
    json!({ "token": {
        "number": number,
        "name": token.name.as_str(),
        "id": token.id.map(|id| id.to_string()),
        "attrs": token.attrs.bits(),
        "comms_key": token.comms_key.to_openssh(),
        "sig_key": token.sig_key.to_openssh(),
        "end_points": end_points,
    }})
}

/// Lines that are written.
struct Lines<'a, W> {
    out: &'a mut W,
    progress: &'a mut dyn FnMut(u64),
    count: u64,
}

impl<W: Write> Lines<'_, W> {
    fn write(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")?;
        self.count += 1;
        if self.count.is_multiple_of(1024) {
            (self.progress)(self.count);
        }
        Ok(())
    }
}

/// Reads an export into an empty registry, which must have the same ID. `progress` is told now and
/// then how many lines were read.
///
/// # Errors
///
/// [`ImportError`]; then the registry has a part of the export.
pub fn import(
    input: &mut impl BufRead,
    registry: &mut Registry,
    progress: &mut dyn FnMut(u64),
) -> Result<(), ImportError> {
    let mut importer = Importer { registry, tokens: Vec::new(), members: 0, line: 0 };
    let mut text = String::new();
    loop {
        text.clear();
        let read = io::Read::take(&mut *input, MAX_LINE).read_line(&mut text)?;
        if read == 0 {
            return Err(ImportError::CutShort(importer.line));
        }
        importer.line += 1;
        if importer.line.is_multiple_of(1024) {
            progress(importer.line);
        }
        if !text.ends_with('\n') {
            return Err(importer.fault("it has no end, or is too long"));
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| importer.fault(format!("it is not JSON: {error}")))?;
        if importer.take(&value)? {
            return Ok(());
        }
    }
}

/// An import under way.
struct Importer<'a> {
    registry: &'a mut Registry,
    tokens: Vec<MemberEntry>,
    members: u64,
    line: u64,
}

impl Importer<'_> {
    fn fault(&self, reason: impl Into<String>) -> ImportError {
        ImportError::Line { line: self.line, reason: reason.into() }
    }

    /// Takes a line. Whether it was the last one.
    fn take(&mut self, value: &Value) -> Result<bool, ImportError> {
        let object = value.as_object().ok_or_else(|| self.fault("it is not an object"))?;
        if self.line == 1 {
            return self.take_head(object).map(|()| false);
        }
        let Some((kind, fields)) = object.iter().next().filter(|_| object.len() == 1) else {
            return Err(self.fault("it has not one key"));
        };
        let fields = Fields { line: self.line, kind, fields };
        match kind.as_str() {
            "node" => {
                let (id, key) = (fields.parse("id")?, fields.parse::<Fingerprint>("sig_key")?);
                let day = match fields.get("last_use")? {
                    Value::Null => None,
                    _ => Some(Day::new(fields.number("last_use")?)),
                };
                self.apply(&Change::NodeBound { id, key, day })?;
            }
            "cluster" => {
                let info = ClusterInfo {
                    id: fields.parse("id")?,
                    max_size: fields.number("max_size")?,
                    attrs: ClusterAttrs::from_bits(fields.number("attrs")?),
                    end_point_count: fields.number("end_points")?,
                };
                let created_by = match fields.get("created_by")? {
                    Value::Null => None,
                    _ => Some(fields.parse("created_by")?),
                };
                let name = fields.parse("name")?;
                self.apply(&Change::ClusterCreated { name, info, created_by })?;
            }
            "token" => self.take_token(&fields)?,
            "member" => {
                let number: usize = fields.number("token")?;
                let member = self.tokens.get(number).cloned();
                let member = member.ok_or_else(|| self.fault("no token has this number"))?;
                let index = MemberIndex::new(fields.number("index")?);
                let index = index.ok_or_else(|| self.fault("no member can have this index"))?;
                let cluster = fields.parse("cluster")?;
                self.members += 1;
                self.apply(&Change::MemberJoined { cluster, index, member })?;
            }
            "end" => return self.check_end(&fields).map(|()| true),
            other => return Err(self.fault(format!("the kind '{other}' is not known"))),
        }
        Ok(false)
    }

    fn take_head(&self, head: &Map<String, Value>) -> Result<(), ImportError> {
        match head.get("xlreg_export").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => return Err(self.fault(format!("version {other} is not known"))),
            None => return Err(self.fault("it does not start an export of xlreg")),
        }
        let found = head.get("registry").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let found: NodeId = found.ok_or_else(|| self.fault("it names no registry"))?;
        let wanted = self.registry.credential().id;
        match found == wanted {
            true => Ok(()),
            false => Err(ImportError::OtherRegistry { found, wanted }),
        }
    }

    fn take_token(&mut self, fields: &Fields<'_>) -> Result<(), ImportError> {
        if fields.number::<usize>("number")? != self.tokens.len() {
            return Err(self.fault("a token before it is missing"));
        }
        let end_points = fields.get("end_points")?.as_array();
        let end_points = end_points.ok_or_else(|| fields.fault("end_points", "not a list"))?;
        let end_points = end_points.iter().map(|end| {
            let end = end.as_str().ok_or_else(|| fields.fault("end_points", "not a text"))?;
            end.parse()
                .map_err(|error: xlreg::identity::EndPointError| fields.fault("end_points", error))
        });
        let token = Token {
            name: fields.parse("name")?,
            attrs: MemberAttrs::from_bits(fields.number("attrs")?),
            id: Some(fields.parse("id")?),
            comms_key: fields.parse::<PublicKey>("comms_key")?,
            sig_key: fields.parse::<PublicKey>("sig_key")?,
            end_points: end_points.collect::<Result<_, _>>()?,
            signature: None,
        };
        self.tokens.push(token.into());
        Ok(())
    }

    fn apply(&mut self, change: &Change) -> Result<(), ImportError> {
        let line = self.line;
        self.registry.apply(change).map_err(|source| ImportError::Rules { line, source })
    }

    fn check_end(&self, fields: &Fields<'_>) -> Result<(), ImportError> {
        let size = self.registry.size();
        let here =
            [size.nodes as u64, size.clusters as u64, self.tokens.len() as u64, self.members];
        let names = ["nodes", "clusters", "tokens", "members"];
        for (name, here) in names.into_iter().zip(here) {
            if fields.number::<u64>(name)? != here {
                return Err(self.fault(format!("lines are missing: there are {here} {name}")));
            }
        }
        Ok(())
    }
}

/// The fields of a line.
struct Fields<'a> {
    line: u64,
    kind: &'a str,
    fields: &'a Value,
}

impl Fields<'_> {
    fn fault(&self, name: &str, reason: impl ToString) -> ImportError {
        let reason = format!("{}.{name}: {}", self.kind, reason.to_string());
        ImportError::Line { line: self.line, reason }
    }

    fn get(&self, name: &str) -> Result<&Value, ImportError> {
        self.fields.get(name).ok_or_else(|| self.fault(name, "it is missing"))
    }

    /// A text that has the form of a type.
    fn parse<T: std::str::FromStr<Err: ToString>>(&self, name: &str) -> Result<T, ImportError> {
        let text = self.get(name)?.as_str().ok_or_else(|| self.fault(name, "not a text"))?;
        text.parse().map_err(|error: T::Err| self.fault(name, error))
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, ImportError> {
        let number = self.get(name)?.as_u64().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.fault(name, "not a number, or too large"))
    }
}
