//! Functions over texts, as cel-go's standard library and its extension for strings have them.

use gotemplate::go;

use super::super::evaluate::Outcome;
use super::super::value::Value;
use super::{LARGEST, format};

/// Calls a function; `None` when it is none of these, or takes no such values.
pub(super) fn call<'a>(function: &str, values: &[Value<'a>]) -> Option<Outcome<'a>> {
    use Value::{Bool, Int, Text};
    Some(match (function, values) {
        ("contains", [Text(text), Text(part)]) => Ok(Bool(text.contains(part.as_ref()))),
        ("startsWith", [Text(text), Text(part)]) => Ok(Bool(text.starts_with(part.as_ref()))),
        ("endsWith", [Text(text), Text(part)]) => Ok(Bool(text.ends_with(part.as_ref()))),
        ("matches", [Text(text), Text(pattern)]) => matches(text, pattern),
        ("charAt", [Text(text), Int(index)]) => character(text, *index),
        ("indexOf", [Text(text), Text(part)]) => index_of(text, part, 0),
        ("indexOf", [Text(text), Text(part), Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Text(text), Text(part)]) => last_index_of(text, part, None),
        ("lastIndexOf", [Text(text), Text(part), Int(from)]) => last_index_of(text, part, Some(*from)),
        ("lowerAscii", [Text(text)]) => Ok(Value::text(text.to_ascii_lowercase())),
        ("upperAscii", [Text(text)]) => Ok(Value::text(text.to_ascii_uppercase())),
        ("replace", [Text(text), Text(old), Text(new)]) => replaced(text, old, new, -1),
        ("replace", [Text(text), Text(old), Text(new), Int(count)]) => replaced(text, old, new, *count),
        ("split", [Text(text), Text(separator)]) => Ok(split(text, separator, -1)),
        ("split", [Text(text), Text(separator), Int(count)]) => Ok(split(text, separator, *count)),
        ("substring", [Text(text), Int(start)]) => part(text, *start, None),
        ("substring", [Text(text), Int(start), Int(end)]) => part(text, *start, Some(*end)),
        ("trim", [Text(text)]) => Ok(Value::text(text.trim())),
        ("reverse", [Text(text)]) => Ok(Value::text(text.chars().rev().collect::<String>())),
        ("join", [list]) => joined(list, "")?,
        ("join", [list, Text(separator)]) => joined(list, separator)?,
        ("strings.quote", [Text(text)]) => Ok(Value::text(quoted(text))),
        ("format", [Text(form), list]) => format::format(form, &list.elements()?),
        _ => return None,
    })
}

fn matches<'a>(text: &str, pattern: &str) -> Outcome<'a> {
    let pattern = go::regex::Regex::new(pattern).map_err(|error| error.to_string())?;
    Ok(Value::Bool(pattern.is_match(text)))
}

fn out_of_range(index: i64) -> String {
    format!("index out of range: {index}")
}

fn character<'a>(text: &str, index: i64) -> Outcome<'a> {
    let at = usize::try_from(index).map_err(|_| out_of_range(index))?;
    match text.chars().nth(at) {
        Some(found) => Ok(Value::text(found)),
        None if at == text.chars().count() => Ok(Value::text("")),
        None => Err(out_of_range(index)),
    }
}

fn int<'a>(index: usize) -> Value<'a> {
    Value::Int(i64::try_from(index).unwrap_or(i64::MAX))
}

/// Places are counted in characters.
fn index_of<'a>(text: &str, part: &str, from: i64) -> Outcome<'a> {
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let Some((start, _)) = text.char_indices().nth(from) else { return Ok(Value::Int(-1)) };
    let found = text[start..].find(part).map(|at| from + text[start..start + at].chars().count());
    Ok(found.map_or(Value::Int(-1), int))
}

fn last_index_of<'a>(text: &str, part: &str, from: Option<i64>) -> Outcome<'a> {
    let length = text.chars().count();
    if part.is_empty() {
        return Ok(from.map_or_else(|| int(length), Value::Int));
    }
    let from = match from {
        Some(from) => usize::try_from(from).map_err(|_| out_of_range(from))?,
        None => length.saturating_sub(1),
    };
    let Some((start, _)) = text.char_indices().nth(from) else { return Ok(Value::Int(-1)) };
    // Where a match may end at the latest: one that begins at `from`.
    let end = (start + part.len()).min(text.len());
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    let found = text[..end].rfind(part).filter(|at| *at <= start);
    Ok(found.map_or(Value::Int(-1), |at| int(text[..at].chars().count())))
}

/// The first `count` of all; all of them when it is negative.
fn replaced<'a>(text: &str, old: &str, new: &str, count: i64) -> Outcome<'a> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    if text.len().saturating_add(found.min(count).saturating_mul(new.len())) > LARGEST {
        return Err("the result is too large".into());
    }
    Ok(Value::text(text.replacen(old, new, count)))
}

fn split<'a>(text: &str, separator: &str, count: i64) -> Value<'a> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    if separator.is_empty() {
        let mut rest = text;
        while parts.len() + 1 < count
            && let Some(first) = rest.chars().next()
            && first.len_utf8() < rest.len()
        {
            let (head, tail) = rest.split_at(first.len_utf8());
            parts.push(head);
            rest = tail;
        }
        if count > 0 && !text.is_empty() {
            parts.push(rest);
        }
    } else {
        parts = text.splitn(count, separator).collect();
    }
    Value::list(parts.into_iter().map(Value::text).collect())
}

fn part<'a>(text: &str, start: i64, end: Option<i64>) -> Outcome<'a> {
    let length = text.chars().count();
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(format!("invalid substring range. start: {start}, end: {end}"));
    }
    let place = |index: i64| {
        let at = usize::try_from(index).ok().filter(|at| *at <= length);
        at.ok_or_else(|| out_of_range(index))
    };
    let (from, to) = (place(start)?, end.map_or(Ok(length), place)?);
    Ok(Value::text(text.chars().skip(from).take(to - from).collect::<String>()))
}

/// `None` when the list holds something else than texts.
fn joined<'a>(list: &Value<'a>, separator: &str) -> Option<Outcome<'a>> {
    let elements = list.elements()?;
    let mut texts = Vec::with_capacity(elements.len());
    for element in &elements {
        let Value::Text(text) = element else { return None };
        texts.push(text.as_ref());
    }
    let length: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
    if length > LARGEST {
        return Some(Err("the result is too large".into()));
    }
    Some(Ok(Value::text(texts.join(separator))))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
