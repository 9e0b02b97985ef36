//! The form of a deployed registry's `reg.config`: nested blocks of fields, and keys as PEM.
//!
//! ```text
//! regNode {
//!     node {
//!         name: xlReg
//!         ckPriv: -----BEGIN -----
//! MIIEowIB...
//! -----END -----
//!         endPoints {
//!             TcpEndPoint: 127.0.0.1:45678
//!         }
//!     }
//! }
//! ```
//!
//! A line opens a block, closes one, is a field, or, inside a list such as `endPoints`, an entry
//! without a name. Blank lines and indentation mean nothing. A PEM block may have any label, and
//! has none in the files seen.

use std::fmt;

/// The depth of blocks inside blocks. Deployed files have five.
const MAX_DEPTH: usize = 16;
/// The start and the end of the lines around a PEM block.
const DASHES: &str = "-----";

/// A block: `name {`, its content, `}`.
pub struct Block<'a> {
    pub name: &'a str,
    pub fields: Vec<Field<'a>>,
    pub blocks: Vec<Block<'a>>,
}

/// A field: `name: value`.
pub struct Field<'a> {
    pub name: &'a str,
    pub value: Value<'a>,
    /// The line where it starts.
    pub line: usize,
}

/// The value of a field.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    /// The lines between the header and the end of a PEM block.
    Pem(&'a str),
}

/// A line is not one of those allowed at its place.
#[derive(Debug, PartialEq, Eq)]
pub struct FormError {
    line: usize,
    problem: &'static str,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// Parses a text, which is one block.
pub fn parse(text: &str) -> Result<Block<'_>, FormError> {
    let mut lines = Lines { rest: text.strip_prefix('\u{feff}').unwrap_or(text), number: 0 };
    // The open blocks. The innermost is the last.
    let mut open: Vec<Block<'_>> = Vec::new();
    let mut whole = None;
    while let Some((line, number)) = lines.next_line() {
        let wrong = |problem| FormError { line: number, problem };
        if whole.is_some() {
            return Err(wrong("nothing is expected behind the end of the first block"));
        }
        if let Some(name) = line.strip_suffix('{').map(str::trim_end) {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(wrong("a block needs a name"));
            }
            if open.len() >= MAX_DEPTH {
                return Err(wrong("too many blocks inside each other"));
            }
            open.push(Block { name, fields: Vec::new(), blocks: Vec::new() });
            continue;
        }
        let Some(mut block) = open.pop() else {
            return Err(wrong("'regNode {' is expected first"));
        };
        if line == "}" {
            match open.last_mut() {
                Some(outer) => outer.blocks.push(block),
                None => whole = Some(block),
            }
            continue;
        }
        // End points have colons without a space, and need no name.
        let field = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")));
        match field {
            Some((name, text)) => {
                let value = lines.value(text.trim_start(), number)?;
                block.fields.push(Field { name, value, line: number });
            }
            None if matches!(block.name, "regNode" | "node") => {
                return Err(wrong("'name: value', 'name {' or '}' is expected"));
            }
            None => {}
        }
        open.push(block);
    }
    whole.ok_or(FormError { line: lines.number, problem: "the text ends inside a block" })
}

/// The lines of a text.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the last line.
    number: usize,
}

impl<'a> Lines<'a> {
    /// Takes the next line, trimmed. It may be blank.
    fn take(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(line.trim())
    }

    /// Takes the next line that is not blank, and its number.
    fn next_line(&mut self) -> Option<(&'a str, usize)> {
        loop {
            let line = self.take()?;
            if !line.is_empty() {
                return Some((line, self.number));
            }
        }
    }

    /// Reads the value of a field that starts with this text, on this line.
    fn value(&mut self, start: &'a str, number: usize) -> Result<Value<'a>, FormError> {
        let wrong = |problem| Err(FormError { line: number, problem });
        let Some(header) = start.strip_prefix(DASHES) else { return Ok(Value::Text(start)) };
        let label = header.strip_prefix("BEGIN").and_then(|it| it.strip_suffix(DASHES));
        let Some(label) = label else { return wrong("this is no header of a PEM block") };
        let all = self.rest;
        loop {
            let before = self.rest;
            let Some(line) = self.take() else { return wrong("this PEM block does not end") };
            let Some(end) = line.strip_prefix(DASHES) else { continue };
            let end = end.strip_prefix("END").and_then(|it| it.strip_suffix(DASHES));
            return match end {
                Some(end) if end == label => {
                    let len = all.len().saturating_sub(before.len());
                    Ok(Value::Pem(all.get(..len).unwrap_or_default()))
                }
                _ => wrong("this PEM block has another end than its header says"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn blocks_fields_and_pem_are_found() {
        let text = "\u{feff}\r\na {\r\n\r\n  n: x y: z\r\n  e:\r\n  b {\r\n 1.2.3.4:5\r\n T: [::]:5\r\n  }\n\
                    k: -----BEGIN A B-----\nAAAA\n\n BBBB\n-----END A B-----\n}\n\n";
        let block = parse(text).map_err(|error| error.to_string()).unwrap();
        let [n, e, k] = &block.fields[..] else { panic!("{}", block.fields.len()) };
        assert!(matches!((n.name, n.value, n.line), ("n", Value::Text("x y: z"), 4)));
        assert!(matches!((e.name, e.value, e.line), ("e", Value::Text(""), 5)));
        assert!(matches!((k.name, k.value), ("k", Value::Pem("AAAA\n\n BBBB\n"))));
        let [b] = &block.blocks[..] else { panic!() };
        assert!(matches!((b.name, b.fields[0].value), ("b", Value::Text("[::]:5"))));
    }

    #[test]
    fn what_is_no_such_text_is_named_with_its_line() {
        let cases = [
            ("", "line 0: the text ends inside a block"),
            ("x\n", "line 1: 'regNode {' is expected first"),
            ("}\n", "line 1: 'regNode {' is expected first"),
            ("a {\n", "line 1: the text ends inside a block"),
            ("a {\n}\n}\n", "line 3: nothing is expected behind the end"),
            ("a {\n}\nb {\n}", "line 3: nothing is expected behind the end"),
            ("a {\n{\n", "line 2: a block needs a name"),
            ("a {\nx y {\n", "line 2: a block needs a name"),
            ("regNode {\nb\n", "line 2: 'name: value'"),
            ("regNode {\nnode {\nc:d\n", "line 3: 'name: value'"),
            ("a {\nk: -----BEGIN\n", "line 2: this is no header of a PEM block"),
            ("a {\nk: -----BEGIN -----\nAA\n}\n", "line 2: this PEM block does not end"),
            (
                "a {\nk: -----BEGIN -----\n-----END A-----\n}\n",
                "line 2: this PEM block has another",
            ),
        ];
        for (text, expected) in cases {
            let problem = problem(text);
            assert!(problem.starts_with(expected), "{text:?}: {problem}");
        }
        assert!(problem(&"a {\n".repeat(17)).contains("line 17: too many blocks"));
    }
}
