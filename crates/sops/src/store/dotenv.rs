//! Lines of `KEY=value`. Everything is text; a line break within a value is written `\n`.

use super::{malformed, unwritable};
use crate::Format;
use crate::error::Error;
use crate::tree::{Branch, Comment, Item, Key, Value};

pub(super) fn load(bytes: &[u8]) -> Result<Branch, Error> {
    let mut branch = Branch::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let item = match line {
            [] => continue,
            [b'#', comment @ ..] => Item::comment(Comment::line(comment)),
            line => {
                let at = line.iter().position(|byte| *byte == b'=');
                let at = at.ok_or_else(|| malformed(Format::Dotenv, Some(number), "a line without '='"))?;
                let (name, value) = line.split_at(at);
                Item::new(name, Value::Str(replace(value.get(1..).unwrap_or_default(), b"\\n", b"\n").into()))
            }
        };
        branch.push(item);
    }
    Ok(branch)
}

pub(super) fn emit(branch: &Branch) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for item in branch {
        match &item.key {
            Key::Comment(comment) => {
                text.push(b'#');
                text.extend_from_slice(comment.text.bytes());
            }
            Key::Name(name) => {
                if matches!(item.value, Value::Branch(_) | Value::List(_)) {
                    let problem = format!("'{}' holds more than a single value", name.lossy());
                    return Err(unwritable(Format::Dotenv, problem));
                }
                let line = item.value.to_line();
                text.extend_from_slice(name.bytes());
                text.push(b'=');
                match &item.value {
                    Value::Str(_) => text.extend(replace(&line, b"\n", b"\\n")),
                    _ => text.extend_from_slice(&line),
                }
            }
            Key::Other(_) => return Err(unwritable(Format::Dotenv, "a key is no string")),
        }
        text.push(b'\n');
    }
    Ok(text)
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                replaced.extend_from_slice(to);
                rest = after;
            }
            None => {
                replaced.push(*first);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    replaced
}
