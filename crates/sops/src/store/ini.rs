//! Sections of `key = value`, as gopkg.in/ini.v1 reads and prints them.

mod read;

use super::{malformed, unwritable};
use crate::Format;
use crate::error::Error;
use crate::tree::{Branch, Comment, Item, Key, Value};

/// What stands before the first section header; always there.
const DEFAULT: &str = "DEFAULT";

pub(super) fn load(bytes: &[u8]) -> Result<Branch, Error> {
    let sections = read::sections(bytes).map_err(|(line, problem)| malformed(Format::Ini, Some(line), problem))?;
    Ok(sections.into_iter().map(section_item).collect())
}

fn section_item(section: read::Section) -> Item {
    let mut entries = Branch::new();
    entries.extend(comment_item(&section.comment));
    for entry in section.entries {
        let comment = comment_item(&entry.comment);
        entries.push(Item::new(entry.name, Value::Str(entry.value.into())));
        entries.extend(comment);
    }
    Item::new(section.name, Value::Branch(entries))
}

/// Without the character that makes it a comment.
fn comment_item(comment: &[u8]) -> Option<Item> {
    let mark = *comment.first()?;
    let is_marked = mark == b';' || mark == b'#';
    let start = comment.iter().position(|byte| !is_marked || (*byte != mark && *byte != b' '));
    let text = start.and_then(|start| comment.get(start..)).unwrap_or_default();
    Some(Item::comment(Comment::line(text)))
}

/// A section as it is printed: a comment stands above what it belongs to.
struct Section<'b> {
    name: &'b [u8],
    comment: &'b [u8],
    entries: Vec<Entry<'b>>,
}

struct Entry<'b> {
    name: &'b [u8],
    value: Vec<u8>,
    comment: &'b [u8],
}

pub(super) fn emit(branches: &[Branch]) -> Result<Vec<u8>, Error> {
    let mut sections = Vec::new();
    for item in branches.iter().flatten() {
        let name = match &item.key {
            Key::Comment(_) => continue,
            Key::Other(_) => return Err(unwritable(Format::Ini, "a key is no string")),
            Key::Name(name) if name.is_empty() => return Err(unwritable(Format::Ini, "a section has no name")),
            Key::Name(name) => name,
        };
        let Value::Branch(branch) = &item.value else {
            return Err(unwritable(Format::Ini, format!("'{}' is no section", name.lossy())));
        };
        sections.push(section(name.bytes(), branch)?);
    }
    let mut text = Vec::new();
    for (place, section) in sections.iter().enumerate() {
        section.print(place == 0, place + 1 == sections.len(), &mut text);
    }
    Ok(text)
}

fn section<'b>(name: &'b [u8], branch: &'b Branch) -> Result<Section<'b>, Error> {
    let mut section = Section { name, comment: b"", entries: Vec::new() };
    // Where the last entry that was written has its place: a name that is there twice keeps its first one.
    let mut last: Option<usize> = None;
    for (place, item) in branch.iter().enumerate() {
        match (&item.key, last) {
            (Key::Comment(comment), _) if place == 0 => section.comment = comment.text.bytes(),
            (Key::Comment(comment), Some(last)) => {
                if let Some(entry) = section.entries.get_mut(last) {
                    entry.comment = comment.text.bytes();
                }
            }
            (Key::Comment(_), None) => {}
            (Key::Other(_), _) => return Err(unwritable(Format::Ini, "a key is no string")),
            (Key::Name(name), _) => last = Some(section.insert(name.bytes(), &item.value)?),
        }
    }
    Ok(section)
}

impl<'b> Section<'b> {
    fn insert(&mut self, name: &'b [u8], value: &Value) -> Result<usize, Error> {
        if name.is_empty() {
            return Err(unwritable(Format::Ini, "a key is empty"));
        }
        let value = value.to_line().into_owned();
        if let Some(place) = self.entries.iter().position(|entry| entry.name == name) {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.value = value;
            }
            return Ok(place);
        }
        self.entries.push(Entry { name, value, comment: b"" });
        Ok(self.entries.len() - 1)
    }

    fn print(&self, is_first: bool, is_last: bool, text: &mut Vec<u8>) {
        print_comment(self.comment, Trim::AsItIs, text);
        let is_default = self.name.eq_ignore_ascii_case(DEFAULT.as_bytes());
        if is_first && is_default {
            if self.entries.is_empty() {
                return;
            }
        } else {
            text.push(b'[');
            text.extend_from_slice(self.name);
            text.extend_from_slice(b"]\n");
        }
        let names: Vec<Vec<u8>> = self.entries.iter().map(|entry| written_name(entry.name)).collect();
        let width = names.iter().map(Vec::len).max().unwrap_or(0);
        for (entry, name) in self.entries.iter().zip(names) {
            print_comment(entry.comment, Trim::Blanks, text);
            text.extend_from_slice(&name);
            text.extend(std::iter::repeat_n(b' ', width - name.len()));
            text.extend_from_slice(b" = ");
            print_value(&entry.value, text);
            text.push(b'\n');
        }
        if !is_last {
            text.push(b'\n');
        }
    }
}

/// What becomes of blanks around a comment that has no mark of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trim {
    AsItIs,
    Blanks,
}

fn print_comment(comment: &[u8], trim: Trim, text: &mut Vec<u8>) {
    if comment.is_empty() {
        return;
    }
    for line in comment.split(|byte| *byte == b'\n') {
        match line {
            [mark @ (b'#' | b';'), rest @ ..] => {
                text.extend([*mark, b' ']);
                text.extend_from_slice(rest.trim_ascii());
            }
            line => {
                text.extend_from_slice(b"; ");
                text.extend_from_slice(if trim == Trim::Blanks { line.trim_ascii() } else { line });
            }
        }
        text.push(b'\n');
    }
}

/// Names that would be read as something else are quoted.
fn written_name(name: &[u8]) -> Vec<u8> {
    let quote: &[u8] = if name.iter().any(|byte| b"\"=:".contains(byte)) {
        b"`"
    } else if name.contains(&b'`') {
        b"\"\"\""
    } else {
        b""
    };
    [quote, name, quote].concat()
}

fn print_value(value: &[u8], text: &mut Vec<u8>) {
    let quote: &[u8] = if value.iter().any(|byte| b"\n`".contains(byte)) {
        b"\"\"\""
    } else if value.iter().any(|byte| b"#;".contains(byte)) {
        b"`"
    } else if read::trim(value).len() != value.len() {
        b"\""
    } else {
        b""
    };
    text.extend_from_slice(quote);
    text.extend_from_slice(value);
    text.extend_from_slice(quote);
}
