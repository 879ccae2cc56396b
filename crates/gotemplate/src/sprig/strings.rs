//! Texts: trimmed, cut, joined, quoted, split.

use super::cast::to_text;
use super::{Result, give, wrap};
use crate::function::Entry;
use crate::go::{number, quote};
use crate::value::{Entries, List, Map, Text, Type};
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("abbrev", "func(int, string) string", |c| Ok(wrap::abbreviate(c.bytes(1), 0, c.int(0)).into())),
    Entry("abbrevboth", "func(int, int, string) string", abbrevboth),
    Entry("atoi", "func(string) int", |c| Ok(Value::int(number::atoi(&c.str(0)).unwrap_or(0)))),
    Entry("cat", "func(...any) string", cat),
    Entry("contains", "func(string, string) bool", |c| give(find(c.bytes(1), c.bytes(0)).is_some())),
    Entry("hasPrefix", "func(string, string) bool", |c| give(c.bytes(1).starts_with(c.bytes(0)))),
    Entry("hasSuffix", "func(string, string) bool", |c| give(c.bytes(1).ends_with(c.bytes(0)))),
    Entry("hello", "func() string", |_| give("Hello!")),
    Entry("indent", "func(int, string) string", |c| indent(c, "")),
    Entry("initials", "func(string) string", |c| give(wrap::initials(c.bytes(0)))),
    Entry("join", "func(string, any) string", join),
    Entry("nindent", "func(int, string) string", |c| indent(c, "\n")),
    Entry("nospace", "func(string) string", |c| give(wrap::delete_space(c.bytes(0)))),
    Entry("plural", "func(string, string, int) string", |c| give(c.text(usize::from(c.int(2) != 1)))),
    Entry("quote", "func(...any) string", |c| give(each(c, |value| quote::quote(&to_text(value)).into_bytes()))),
    Entry("repeat", "func(int, string) string", repeat),
    Entry("replace", "func(string, string, string) string", |c| replace(c, 2)),
    Entry("split", "func(string, string) map[string]string", |c| give(numbered(split(c.bytes(1), c.bytes(0), None)))),
    Entry("splitList", "func(string, string) []string", |c| {
        Ok(Value::strings(split(c.bytes(1), c.bytes(0), None).into_iter().map(Text::from)))
    }),
    Entry("splitn", "func(string, int, string) map[string]string", |c| {
        give(numbered(split(c.bytes(2), c.bytes(0), Some(c.int(1)))))
    }),
    Entry("squote", "func(...any) string", |c| {
        give(each(c, |value| [b"'", crate::go::fmt::show(value).as_slice(), b"'"].concat()))
    }),
    Entry("substr", "func(int, int, string) string", substr),
    Entry("toString", "func(any) string", |c| give(to_text(c.value(0)).into_owned())),
    Entry("toStrings", "func(any) []string", |c| Ok(Value::strings(texts(c.value(0))))),
    Entry("trim", "func(string) string", |c| give(c.str(0).trim())),
    Entry("trimAll", "func(string, string) string", trim_all),
    Entry("trimPrefix", "func(string, string) string", |c| {
        give(Text::from(c.bytes(1).strip_prefix(c.bytes(0)).unwrap_or(c.bytes(1))))
    }),
    Entry("trimSuffix", "func(string, string) string", |c| {
        give(Text::from(c.bytes(1).strip_suffix(c.bytes(0)).unwrap_or(c.bytes(1))))
    }),
    Entry("trimall", "func(string, string) string", trim_all),
    Entry("trunc", "func(int, string) string", trunc),
    Entry("wrap", "func(int, string) string", |c| give(wrap::wrap(c.bytes(1), c.int(0), b"\n", false))),
    Entry("wrapWith", "func(int, string, string) string", |c| {
        c.charge(c.bytes(1).len().saturating_mul(c.bytes(2).len()))?;
        let separator = if c.bytes(1).is_empty() { b"\n" } else { c.bytes(1) };
        give(wrap::wrap(c.bytes(2), c.int(0), separator, true))
    }),
];

/// Position of a text in another one.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

/// The parts between separators, `limit` at most; without a separator the characters.
pub(super) fn split<'t>(text: &'t [u8], separator: &[u8], limit: Option<i64>) -> Vec<&'t [u8]> {
    let most = match limit {
        Some(0) => return Vec::new(),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        for (_, raw) in quote::runes(text) {
            if parts.len() + 1 >= most {
                break;
            }
            parts.push(raw);
            rest = &rest[raw.len()..];
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        return parts;
    }
    while parts.len() + 1 < most {
        let Some(at) = find(rest, separator) else { break };
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest);
    parts
}

/// Parts under `_0`, `_1`, and so on.
fn numbered(parts: Vec<&[u8]>) -> Value {
    let entries = parts.into_iter().enumerate();
    let entries: Entries =
        entries.map(|(index, part)| (format!("_{index}").into(), Value::String(part.into()))).collect();
    Value::Map(Map::of(&Type::String, entries))
}

fn abbrevboth(c: &mut Call<'_, '_, '_>) -> Result {
    let (left, right) = (c.int(0), c.int(1));
    if right < 4 || (left > 0 && right < 7) {
        return give(c.text(2));
    }
    give(wrap::abbreviate(c.bytes(2), left, right))
}

/// The arguments that are not nil, one after another.
fn each(c: &Call<'_, '_, '_>, show: impl Fn(&Value) -> Vec<u8>) -> Vec<u8> {
    let shown = c.rest(0).iter().filter(|value| !matches!(value, Value::Nil)).map(show);
    shown.collect::<Vec<_>>().join(&b' ')
}

fn cat(c: &mut Call<'_, '_, '_>) -> Result {
    give(each(c, crate::go::fmt::show))
}

/// Texts out of anything, as sprig's `strslice`: nil elements are left out.
pub(super) fn texts(value: &Value) -> Vec<Text> {
    let text = |value: &Value| Text::from(to_text(value).into_owned());
    match (value, value.elements()) {
        (_, Some(items)) => items.iter().filter(|item| !matches!(item, Value::Nil)).map(text).collect(),
        (Value::Nil, None) => Vec::new(),
        (value, None) => vec![text(value)],
    }
}

fn join(c: &mut Call<'_, '_, '_>) -> Result {
    let parts = texts(c.value(1));
    c.charge(c.bytes(0).len().saturating_mul(parts.len()))?;
    give(parts.join(c.bytes(0)))
}

fn negative_repeat() -> Failure {
    "strings: negative Repeat count".into()
}

fn repeat(c: &mut Call<'_, '_, '_>) -> Result {
    let count = usize::try_from(c.int(0)).map_err(|_| negative_repeat())?;
    let length = c.bytes(1).len().checked_mul(count).ok_or("strings: Repeat output length overflow")?;
    c.charge(length)?;
    give(c.bytes(1).repeat(count))
}

fn indent(c: &mut Call<'_, '_, '_>, before: &str) -> Result {
    let width = usize::try_from(c.int(0)).map_err(|_| negative_repeat())?;
    let lines = 1 + c.bytes(1).iter().filter(|byte| **byte == b'\n').count();
    c.charge(width.saturating_mul(lines))?;
    let pad = vec![b' '; width];
    let text = c.bytes(1);
    let mut out = Vec::with_capacity(before.len() + text.len() + width * lines);
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(&pad);
    for piece in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            out.extend_from_slice(&pad);
        }
    }
    give(out)
}

/// Replaces all; nothing at all is found before every character and at the end.
fn replace(c: &mut Call<'_, '_, '_>, at: usize) -> Result {
    let (old, new, text) = (c.bytes(0), c.bytes(1), c.bytes(at));
    let found = if old.is_empty() { quote::runes(text).count() + 1 } else { text.len() / old.len() };
    let length = new.len().saturating_mul(found);
    if old == new {
        return give(c.text(at));
    }
    if old.is_empty() {
        c.charge(length)?;
        let mut out = c.bytes(1).to_vec();
        for (_, raw) in quote::runes(c.bytes(at)) {
            out.extend_from_slice(raw);
            out.extend_from_slice(c.bytes(1));
        }
        return give(out);
    }
    let parts = split(text, old, None);
    let length = new.len().saturating_mul(parts.len());
    let joined = if length <= text.len() { parts.join(new) } else { charged_join(c, at, length)? };
    give(joined)
}

/// A replacement that grows is paid for before it is made.
fn charged_join(c: &mut Call<'_, '_, '_>, at: usize, length: usize) -> std::result::Result<Vec<u8>, Failure> {
    c.charge(length)?;
    Ok(split(c.bytes(at), c.bytes(0), None).join(c.bytes(1)))
}

/// A slice of a text as Go cuts it, with Go's words where it cannot.
fn cut(text: &[u8], start: i64, end: i64) -> std::result::Result<&[u8], Failure> {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let problem = match (start, end) {
        (_, end) if end < 0 => format!("[:{end}]"),
        (_, end) if end > length => format!("[:{end}] with length {length}"),
        (start, _) if start < 0 => format!("[{start}:]"),
        (start, end) if start > end => format!("[{start}:{end}]"),
        (start, end) => {
            let bounds = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
            return Ok(&text[bounds]);
        }
    };
    Err(format!("runtime error: slice bounds out of range {problem}").into())
}

fn substr(c: &mut Call<'_, '_, '_>) -> Result {
    let (start, end, text) = (c.int(0), c.int(1), c.bytes(2));
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let part = match (start, end) {
        (start, end) if start < 0 => cut(text, 0, end)?,
        (start, end) if end < 0 || end > length => cut(text, start, length)?,
        (start, end) => cut(text, start, end)?,
    };
    give(Text::from(part))
}

fn trunc(c: &mut Call<'_, '_, '_>) -> Result {
    let (count, text) = (c.int(0), c.bytes(1));
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let part = match count {
        count if count < 0 && length.saturating_add(count) > 0 => cut(text, length + count, length)?,
        count if count >= 0 && length > count => cut(text, 0, count)?,
        _ => text,
    };
    give(Text::from(part))
}

fn trim_all(c: &mut Call<'_, '_, '_>) -> Result {
    let set = c.str(0);
    give(c.str(1).trim_matches(|character| set.contains(character)))
}

/// A `[]string`, `nil` when there is none.
pub(super) fn string_list(items: Option<Vec<Text>>) -> Value {
    match items {
        Some(items) => Value::strings(items),
        None => Value::List(List::nil(&Type::String)),
    }
}
