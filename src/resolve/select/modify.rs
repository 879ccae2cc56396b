//! Modifiers: `@reverse`, `@keys`, `@flatten:{"deep":true}` and the others.

use std::borrow::Cow;

use super::scan::{Found, Kind, nested_end, quote, string_end};
use super::walk;

/// How deep `@flatten` with `deep`, `@dig` and `@pretty` follow nested values.
const DEPTH: usize = 128;
/// How much text `@dig` may gather.
const SIZE: usize = 4 << 20;

/// Whether there is a modifier of this name.
pub(super) fn exists(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "pretty", "ugly", "reverse", "this", "flatten", "join", "valid", "keys", "values", "tostr", "fromstr", "group",
        "dig",
    ];
    NAMES.contains(&name)
}

/// Runs the modifier at the start of `path`. Answers the new text and what is left of the path.
pub(super) fn run<'a, 'p>(json: &'a str, path: &'p str, depth: usize) -> Option<(Cow<'a, str>, &'p str)> {
    let end = path.find([':', '|', '.']).unwrap_or(path.len());
    let (name, rest) = (&path[1..end], &path[end..]);
    if !exists(name) {
        return None;
    }
    let (argument, rest) = match rest.strip_prefix(':') {
        Some(rest) => argument(rest),
        None => ("", rest),
    };
    let text = match name {
        "this" => Cow::Borrowed(json),
        "valid" => Cow::Borrowed(if is_valid(json) { json } else { "" }),
        "pretty" => Cow::Owned(super::pretty::pretty(json)),
        "ugly" => Cow::Owned(ugly(json)),
        "reverse" => reverse(json),
        "flatten" => flatten(json, flag(argument, "deep"), 0),
        "join" => join(json, flag(argument, "preserve")),
        "keys" => Cow::Owned(keys(json)),
        "values" => values(json),
        "tostr" => Cow::Owned(quote(json)),
        "fromstr" if is_valid(json) => Cow::Owned(Found::whole(json).text().into_owned()),
        "group" => Cow::Owned(group(json)),
        "dig" => Cow::Owned(dig(json, argument, depth)),
        _ => Cow::Borrowed(""),
    };
    Some((text, rest))
}

/// The argument before the next pipe, and what is left. One that is JSON may hold pipes.
fn argument(rest: &str) -> (&str, &str) {
    if rest.starts_with(['{', '[', '"']) && Found::whole(rest).exists() {
        return rest.split_at(squash(rest, 0));
    }
    let mut at = 0;
    while at < rest.len() {
        match rest.as_bytes()[at] {
            b'|' => break,
            b'{' | b'[' | b'"' | b'(' => at = squash(rest, at),
            _ => at += 1,
        }
    }
    rest.split_at(at.min(rest.len()))
}

fn squash(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    if bytes[at] == b'"' { string_end(bytes, at).0 } else { nested_end(bytes, at) }
}

/// A boolean member of a modifier's argument.
fn flag(argument: &str, name: &str) -> bool {
    let argument = Found::whole(argument);
    let members = argument.members();
    let last = members.iter().rfind(|(key, _)| key.text() == name);
    last.is_some_and(|(_, value)| match value.kind {
        Kind::True => true,
        Kind::String => matches!(value.text().to_lowercase().as_str(), "1" | "t" | "true"),
        Kind::Number => value.number() != 0.0,
        _ => false,
    })
}

/// Whether a text is JSON, strictly.
pub(super) fn is_valid(json: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok()
}

/// Without the space between tokens.
fn ugly(json: &str) -> String {
    let bytes = json.as_bytes();
    let (mut out, mut at) = (String::with_capacity(json.len()), 0);
    while at < bytes.len() {
        let end = if bytes[at] == b'"' { string_end(bytes, at).0 } else { at + 1 };
        if bytes[at] > b' ' {
            let end = (end..=bytes.len()).find(|end| json.is_char_boundary(*end)).unwrap_or(bytes.len());
            out.push_str(&json[at..end]);
            at = end;
        } else {
            at += 1;
        }
    }
    out
}

fn joined<T: AsRef<str>>(opening: char, parts: impl IntoIterator<Item = T>, closing: char) -> String {
    let mut out = String::from(opening);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(part.as_ref());
    }
    out.push(closing);
    out
}

fn pair(key: &str, value: &str) -> String {
    format!("{key}:{value}")
}

fn reverse(json: &str) -> Cow<'_, str> {
    let whole = Found::whole(json);
    let members = whole.members();
    let backwards = members.iter().rev();
    if whole.is_list() {
        Cow::Owned(joined('[', backwards.map(|(_, value)| &value.raw), ']'))
    } else if whole.is_object() {
        Cow::Owned(joined('{', backwards.map(|(key, value)| pair(&key.raw, &value.raw)), '}'))
    } else {
        Cow::Borrowed(json)
    }
}

fn flatten(json: &str, deep: bool, depth: usize) -> Cow<'_, str> {
    let whole = Found::whole(json);
    if !whole.is_list() || depth > DEPTH {
        return Cow::Borrowed(json);
    }
    let members = whole.members();
    let parts = members.iter().map(|(_, value)| {
        let raw =
            if value.is_list() && deep { flatten(&value.raw, deep, depth + 1) } else { Cow::Borrowed(&*value.raw) };
        if value.is_list() { unwrap(&raw).trim().to_owned() } else { raw.trim().to_owned() }
    });
    Cow::Owned(joined('[', parts.filter(|part| !part.is_empty()), ']'))
}

/// The inside of a list or object.
fn unwrap(json: &str) -> &str {
    let json = json.trim_matches(|c| c <= ' ');
    if json.len() >= 2 && json.starts_with(['[', '{']) { json.get(1..json.len() - 1).unwrap_or_default() } else { json }
}

fn keys(json: &str) -> String {
    let whole = Found::whole(json);
    let object = whole.is_object();
    let members = whole.members();
    joined('[', members.iter().map(|(key, _)| if object { &*key.raw } else { "null" }), ']')
}

fn values(json: &str) -> Cow<'_, str> {
    let whole = Found::whole(json);
    if whole.is_list() {
        return Cow::Borrowed(json);
    }
    Cow::Owned(joined('[', whole.members().iter().map(|(_, value)| &value.raw), ']'))
}

fn join(json: &str, preserve: bool) -> Cow<'_, str> {
    let whole = Found::whole(json);
    if !whole.is_list() {
        return Cow::Borrowed(json);
    }
    let members = whole.members();
    let objects = members.iter().map(|(_, value)| value).filter(|value| value.is_object());
    if preserve {
        return Cow::Owned(joined('{', objects.map(|object| unwrap(&object.raw)), '}'));
    }
    let mut merged: Vec<(String, String, String)> = Vec::new();
    for object in objects {
        for (key, value) in object.members() {
            let name = key.text().into_owned();
            match merged.iter_mut().find(|(known, _, _)| *known == name) {
                Some((_, _, kept)) => *kept = value.raw.into_owned(),
                None => merged.push((name, key.raw.into_owned(), value.raw.into_owned())),
            }
        }
    }
    Cow::Owned(joined('{', merged.iter().map(|(_, key, value)| pair(key, value)), '}'))
}

fn group(json: &str) -> String {
    let whole = Found::whole(json);
    if !whole.is_object() {
        return String::new();
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (key, list) in whole.members().iter().filter(|(_, value)| value.is_list()) {
        for (index, (_, value)) in list.members().iter().enumerate() {
            if index == rows.len() {
                rows.push(Vec::new());
            }
            rows[index].push(pair(&key.raw, &value.raw));
        }
    }
    joined('[', rows.iter().map(|row| joined('{', row, '}')), ']')
}

/// What every nested value has at `path`, outer ones first.
fn dig(json: &str, path: &str, depth: usize) -> String {
    let mut found = Vec::new();
    let mut budget = SIZE;
    dig_into(&Found::whole(json), path, depth, 0, &mut found, &mut budget);
    joined('[', found, ']')
}

fn dig_into(value: &Found<'_>, path: &str, depth: usize, level: usize, found: &mut Vec<String>, budget: &mut usize) {
    if level > DEPTH || *budget < value.raw.len() {
        return;
    }
    *budget -= value.raw.len();
    let here = walk::get(&value.raw, path, depth + 1);
    if here.exists() {
        found.push(here.raw.into_owned());
    }
    if value.kind == Kind::Nested {
        for (_, child) in value.members() {
            dig_into(&child, path, depth, level + 1, found, budget);
        }
    }
}
