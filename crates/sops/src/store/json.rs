//! JSON as sops prints it: in the order of the file, indented by tabs, HTML characters escaped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use yaml::float;
use yaml::json::Html;

use super::unwritable;
use crate::Format;
use crate::error::Error;
use crate::tree::{Branch, Key, Value};

/// How collections are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// By tabs.
    Tabs,
    Spaces(usize),
    OneLine,
}

impl Layout {
    pub(super) fn indented(spaces: Option<usize>) -> Self {
        spaces.map_or(Layout::Tabs, Layout::Spaces)
    }
}

pub(super) fn emit(branch: &Branch, spaces: Option<usize>) -> Result<Vec<u8>, Error> {
    let mut printer = Printer { text: String::new(), layout: Layout::indented(spaces), depth: 0 };
    printer.branch(branch)?;
    printer.text.push('\n');
    Ok(printer.text.into_bytes())
}

pub(super) fn emit_value(value: &Value, layout: Layout) -> Result<Vec<u8>, Error> {
    let mut printer = Printer { text: String::new(), layout, depth: 0 };
    printer.value(value)?;
    Ok(printer.text.into_bytes())
}

struct Printer {
    text: String,
    layout: Layout,
    depth: usize,
}

impl Printer {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => self.text.push_str(&value.to_string()),
            Value::Uint(value) => self.text.push_str(&value.to_string()),
            Value::Float(value) if value.is_finite() => self.text.push_str(&float::json(*value)),
            Value::Float(_) => return Err(unwritable(Format::Json, "it holds a number that JSON does not have")),
            Value::Str(text) => self.string(text.bytes()),
            Value::Bytes(text) => self.string(STANDARD.encode(text.bytes()).as_bytes()),
            Value::Time(text) => self.string(text.as_bytes()),
            Value::Comment(_) => return Err(unwritable(Format::Json, "it holds a comment in place of a value")),
            Value::Branch(branch) => self.branch(branch)?,
            Value::List(list) => self.list(list)?,
        }
        Ok(())
    }

    fn branch(&mut self, branch: &Branch) -> Result<(), Error> {
        self.text.push('{');
        self.depth += 1;
        let mut is_empty = true;
        for item in branch {
            let name = match &item.key {
                Key::Comment(_) => continue,
                Key::Other(_) => return Err(unwritable(Format::Json, "a key is no string")),
                Key::Name(name) => name,
            };
            self.separate(&mut is_empty);
            self.string(name.bytes());
            self.text.push_str(if self.layout == Layout::OneLine { ":" } else { ": " });
            self.value(&item.value)?;
        }
        self.close(is_empty, '}');
        Ok(())
    }

    fn list(&mut self, list: &[Value]) -> Result<(), Error> {
        self.text.push('[');
        self.depth += 1;
        let mut is_empty = true;
        for value in list.iter().filter(|value| !matches!(value, Value::Comment(_))) {
            self.separate(&mut is_empty);
            self.value(value)?;
        }
        self.close(is_empty, ']');
        Ok(())
    }

    fn separate(&mut self, is_empty: &mut bool) {
        if !std::mem::replace(is_empty, false) {
            self.text.push(',');
        }
        self.new_line();
    }

    fn close(&mut self, is_empty: bool, bracket: char) {
        self.depth -= 1;
        if !is_empty {
            self.new_line();
        }
        self.text.push(bracket);
    }

    fn new_line(&mut self) {
        let (indent, width) = match self.layout {
            Layout::Tabs => ('\t', 1),
            Layout::Spaces(width) => (' ', width),
            Layout::OneLine => return,
        };
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(indent, self.depth * width));
    }

    /// What is not UTF-8 is replaced by an escape.
    fn string(&mut self, bytes: &[u8]) {
        self.text.push('"');
        for chunk in bytes.utf8_chunks() {
            yaml::json::escape(&mut self.text, chunk.valid(), Html::Escaped);
            self.text.extend(chunk.invalid().iter().map(|_| "\\ufffd"));
        }
        self.text.push('"');
    }
}
