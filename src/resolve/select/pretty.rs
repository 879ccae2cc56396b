//! `@pretty`: two spaces of indentation, short lists of scalars on one line, a newline at the end.

use super::scan::{Found, Kind};

/// Lines are kept below this where a list allows.
const WIDTH: usize = 80;
/// Deeper values are written as they stand.
const DEPTH: usize = 128;

/// Writes a JSON text in many lines.
pub(super) fn pretty(json: &str) -> String {
    let mut out = Writer { text: String::with_capacity(json.len() * 2), line: 0 };
    out.value(&Found::whole(json), 0);
    if !out.text.is_empty() {
        out.text.push('\n');
    }
    out.text
}

struct Writer {
    text: String,
    /// Where the newline before the current line stands.
    line: usize,
}

impl Writer {
    fn value(&mut self, value: &Found<'_>, depth: usize) {
        if value.kind != Kind::Nested || depth > DEPTH {
            self.text.push_str(&value.raw);
            return;
        }
        let list = value.is_list();
        let room = WIDTH.saturating_sub(self.text.len() - self.line);
        if list
            && room > 3
            && let Some(short) = one_line(value, 0).filter(|short| short.len() <= room)
        {
            self.text.push_str(&short);
            return;
        }
        self.text.push(if list { '[' } else { '{' });
        let members = value.members();
        for (index, (key, member)) in members.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.new_line(depth + 1);
            if !list {
                self.text.push_str(&key.raw);
                self.text.push_str(": ");
            }
            self.value(member, depth + 1);
        }
        if !members.is_empty() {
            self.new_line(depth);
        }
        self.text.push(if list { ']' } else { '}' });
    }

    fn new_line(&mut self, depth: usize) {
        self.line = self.text.len();
        self.text.push('\n');
        for _ in 0..depth {
            self.text.push_str("  ");
        }
    }
}

/// A list without objects, on one line.
fn one_line(list: &Found<'_>, depth: usize) -> Option<String> {
    if depth > DEPTH || list.raw.len() > 64 * WIDTH {
        return None;
    }
    let members = list.members();
    let parts = members.iter().map(|(_, value)| match value.kind {
        Kind::Nested if value.is_list() => one_line(value, depth + 1),
        Kind::Nested => None,
        _ => Some(value.raw.to_string()),
    });
    Some(format!("[{}]", parts.collect::<Option<Vec<_>>>()?.join(", ")))
}
