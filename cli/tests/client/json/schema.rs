//! What `docs/json-schema.json` says, held against what is printed.
//!
//! It knows the keywords that are used there, and panics at any other. The crates that know all of
//! them need 45 others, of licences and in versions that `deny.toml` does not take; where Python's
//! `jsonschema` is installed it has the last word.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json-schema.json")
}

/// The schema, and all that was held against it.
pub struct Schema {
    definitions: Map<String, Value>,
    seen: Vec<(String, Value)>,
}

impl Schema {
    pub fn read() -> Self {
        let schema: Value = serde_json::from_str(&fs::read_to_string(path()).unwrap()).unwrap();
        Self { definitions: schema["$defs"].as_object().unwrap().clone(), seen: Vec::new() }
    }

    /// The value is as this definition says, and has no key that it does not know.
    pub fn check(&mut self, definition: &str, value: &Value) {
        if let Err(why) = self.holds(&self.definitions[definition], value, definition) {
            panic!("{why}: {value:#}");
        }
        self.seen.push((definition.into(), value.clone()));
    }

    /// The names of the definitions.
    pub fn definitions(&self) -> impl Iterator<Item = &String> {
        self.definitions.keys()
    }

    fn holds(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        for (keyword, rule) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "description" => Ok(()),
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.holds(&self.definitions[name], value, at)
                }
                "oneOf" => {
                    let alternatives = rule.as_array().unwrap().iter();
                    let holding = alternatives.filter(|it| self.holds(it, value, at).is_ok());
                    expect(holding.count() == 1, at, "is not just one of the alternatives")
                }
                "const" => expect(rule == value, at, "is something else"),
                "enum" => expect(rule.as_array().unwrap().contains(value), at, "is none of those"),
                "type" => expect(is_of(rule, value), at, "is of another type"),
                "minimum" => expect(value.as_f64() >= rule.as_f64(), at, "is too small"),
                "maximum" => expect(value.as_f64() <= rule.as_f64(), at, "is too large"),
                "pattern" => expect(matches(rule, value), at, "does not look like it"),
                "items" => {
                    let mut items = value.as_array().into_iter().flatten().enumerate();
                    items.try_for_each(|(n, it)| self.holds(rule, it, &format!("{at}[{n}]")))
                }
                "required" => {
                    let mut keys = rule.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
                    let missing = keys.find(|key| value.get(key).is_none());
                    expect(missing.is_none(), at, &format!("lacks {missing:?}"))
                }
                "properties" => {
                    value.as_object().into_iter().flatten().try_for_each(|(key, it)| {
                        let at = format!("{at}.{key}");
                        match rule.get(key) {
                            Some(rule) => self.holds(rule, it, &at),
                            None => Err(format!("{at} is not in the schema")),
                        }
                    })
                }
                other => panic!("{other} is not understood here"),
            }?;
        }
        Ok(())
    }

    /// Lets a whole implementation say the same of all that was held against it; of each also
    /// without a key, and with one of another type, so that it is known that it says no.
    pub fn confirm(&self) {
        let mut known = Command::new("python3");
        known.args(["-c", "import jsonschema"]).stderr(Stdio::null());
        if !known.status().is_ok_and(|status| status.success()) {
            let needed =
                ["CI", "XLREG_REQUIRE_TOOLS"].iter().any(|it| std::env::var_os(it).is_some());
            assert!(!needed, "python3-jsonschema must be here");
            crate::common::place::skipped(
                "the JSON schema by Python's jsonschema, which is not there",
            );
            return;
        }
        let mut documents = Vec::new();
        for (definition, value) in &self.seen {
            documents.push(json!([definition, value, true]));
            for key in value.as_object().unwrap().keys() {
                let (mut without, mut other) = (value.clone(), value.clone());
                without.as_object_mut().unwrap().remove(key);
                other[key] = json!([{}]);
                documents.extend([
                    json!([definition, without, false]),
                    json!([definition, other, false]),
                ]);
            }
        }
        const SCRIPT: &str = "\
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
for name, value, good in json.load(sys.stdin):
    validator = Draft202012Validator({**schema, '$ref': '#/$defs/' + name})
    errors = list(validator.iter_errors(value))
    assert (not errors) == good, (name, good, value, errors)
";
        let mut python = Command::new("python3");
        python.args(["-c", SCRIPT]).arg(path()).stdin(Stdio::piped());
        let mut python = python.spawn().unwrap();
        let text = Value::from(documents).to_string();
        python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(python.wait().unwrap().success());
    }
}

fn expect(holds: bool, at: &str, why: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| format!("{at} {why}"))
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is not understood here"),
    };
    match kinds.as_array() {
        Some(kinds) => kinds.iter().any(is),
        None => is(kinds),
    }
}

/// The patterns that are used, each by hand.
fn matches(pattern: &Value, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return true };
    let base64 =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    match pattern.as_str().unwrap() {
        "^[0-9a-f]{40}([0-9a-f]{24})?$" => {
            [40, 64].contains(&text.len())
                && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }
        "^ssh-rsa [A-Za-z0-9+/=]+$" => text.strip_prefix("ssh-rsa ").is_some_and(base64),
        "^SHA256:[A-Za-z0-9+/]{43}$" => {
            text.strip_prefix("SHA256:").is_some_and(|text| text.len() == 43 && base64(text))
        }
        other => panic!("{other} is not understood here"),
    }
}
