//! The path language: one component at a time, queries, and the multipaths `[a,b]` and `{a,b}`.

use super::modify;
use super::scan::unescape;

/// The first component of a path inside an object.
#[derive(Default)]
pub(super) struct Member<'p> {
    /// Name or pattern, without escapes.
    pub part: String,
    /// What follows a dot.
    pub rest: Option<&'p str>,
    /// What follows a pipe, or a dot before a modifier or multipath.
    pub pipe: Option<&'p str>,
    /// Whether `*` or `?` stands in it.
    pub wild: bool,
}

impl<'p> Member<'p> {
    /// Cuts the first component off.
    pub(super) fn parse(path: &'p str) -> Self {
        let bytes = path.as_bytes();
        let (mut part, mut wild, mut at, mut kept) = (String::new(), false, 0, 0);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' => {
                    part.push_str(&path[kept..at]);
                    kept = at + 1;
                    at += 1 + path[at + 1..].chars().next().map_or(0, char::len_utf8);
                    continue;
                }
                b'|' => {
                    part.push_str(&path[kept..at]);
                    return Self { part, rest: None, pipe: Some(&path[at + 1..]), wild };
                }
                b'.' => {
                    part.push_str(&path[kept..at]);
                    let after = &path[at + 1..];
                    let piper = is_piper(after);
                    return Self { part, rest: (!piper).then_some(after), pipe: piper.then_some(after), wild };
                }
                b'*' | b'?' => wild = true,
                _ => {}
            }
            at += 1;
        }
        part.push_str(&path[kept.min(path.len())..]);
        Self { part, rest: None, pipe: None, wild }
    }
}

/// Whether what follows a dot begins a modifier or a multipath, so that the dot acts as a pipe.
fn is_piper(after: &str) -> bool {
    match after.as_bytes().first() {
        Some(b'[' | b'{') => true,
        Some(b'@') => modify::exists(after[1..].split(['.', '|', ':']).next().unwrap_or_default()),
        _ => false,
    }
}

/// What a list component selects.
pub(super) enum Pick<'p> {
    /// One element; nothing for what is no index.
    Index(Option<usize>),
    /// `#`: how many there are.
    Count,
    /// `#.path`: the path of each element.
    Each(&'p str),
    /// `#(…)`: the first element that fits, or with a second `#` all of them.
    Query(Query),
    /// Another word with a `#` in it, which selects nothing.
    Nothing,
}

/// The first component of a path inside a list.
pub(super) struct Element<'p> {
    /// What it selects.
    pub pick: Pick<'p>,
    /// What follows a dot.
    pub rest: Option<&'p str>,
    /// What follows a pipe, or a dot before a modifier or multipath.
    pub pipe: Option<&'p str>,
}

/// `#(path operator value)`.
pub(super) struct Query {
    pub path: String,
    pub operator: String,
    pub value: String,
    pub all: bool,
}

impl<'p> Element<'p> {
    /// Cuts the first component off.
    pub(super) fn parse(path: &'p str) -> Self {
        if let Some(each) = path.strip_prefix("#.") {
            return Self { pick: Pick::Each(each), rest: None, pipe: None };
        }
        let bytes = path.as_bytes();
        let (mut hash, mut query, mut at) = (false, None, 0);
        if path.starts_with("#(") || path.starts_with("#[") {
            hash = true;
            match Query::parse(path) {
                Some((mut parsed, end)) => {
                    parsed.all = bytes.get(end) == Some(&b'#');
                    query = Some(parsed);
                    at = end;
                }
                None => return Self { pick: Pick::Nothing, rest: None, pipe: None },
            }
        }
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'|' => return Self { pick: pick(&path[..at], hash, query), rest: None, pipe: Some(&path[at + 1..]) },
                b'.' => {
                    let after = &path[at + 1..];
                    let piper = !hash && is_piper(after);
                    return Self {
                        pick: pick(&path[..at], hash, query),
                        rest: (!piper).then_some(after),
                        pipe: piper.then_some(after),
                    };
                }
                b'#' => hash = true,
                _ => {}
            }
            at += 1;
        }
        Self { pick: pick(path, hash, query), rest: None, pipe: None }
    }
}

fn pick<'p>(part: &str, hash: bool, query: Option<Query>) -> Pick<'p> {
    match query {
        Some(query) => Pick::Query(query),
        None if part == "#" => Pick::Count,
        None if hash => Pick::Nothing,
        None => Pick::Index(index(part)),
    }
}

/// Digits alone; leading zeros are fine.
fn index(part: &str) -> Option<usize> {
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    part.parse().ok()
}

impl Query {
    /// Parses `#(…)` at the start of `text`; also answers where it ends.
    fn parse(text: &str) -> Option<(Self, usize)> {
        let (end, value_start, escaped) = bounds(text.as_bytes())?;
        let Some(value_start) = value_start else {
            let query =
                Self { path: trim(&text[2..end]).into(), operator: String::new(), value: String::new(), all: false };
            return Some((query, end + 1));
        };
        let (operator, value) = operator(trim(&text[value_start..end]));
        let value = match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some(inner) if escaped => unescape(inner).into_owned(),
            Some(inner) => inner.to_owned(),
            None => value.to_owned(),
        };
        Some((Self { path: trim(&text[2..value_start]).into(), operator: operator.into(), value, all: false }, end + 1))
    }
}

/// Where the closing bracket stands, where the operator begins, and whether a quoted value holds an escape.
fn bounds(bytes: &[u8]) -> Option<(usize, Option<usize>, bool)> {
    let (mut at, mut depth, mut value, mut escaped) = (2, 1, None, false);
    while let Some(byte) = bytes.get(at) {
        if depth == 1 && value.is_none() && b"!=<>%".contains(byte) {
            value = Some(at);
            at += 1;
            continue;
        }
        match byte {
            b'\\' => at += 1,
            b'[' | b'(' => depth += 1,
            b']' | b')' => {
                depth -= 1;
                if depth == 0 {
                    return Some((at, value, escaped));
                }
            }
            b'"' => {
                let start = at;
                at = super::scan::string_end(bytes, at).0 - 1;
                escaped |= bytes[start..=at].contains(&b'\\');
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Cuts the operator off its value; `==` is `=`.
fn operator(text: &str) -> (&str, &str) {
    for two in ["!=", "!%", "<=", ">="] {
        if let Some(value) = text.strip_prefix(two) {
            return (two, trim(value));
        }
    }
    let text = if text.starts_with("==") { &text[1..] } else { text };
    let size = usize::from(!text.is_empty());
    (&text[..size], trim(&text[size..]))
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Cuts a path at its first pipe that stands outside of a query or multipath.
pub(super) fn split_pipe(path: &str) -> Option<(&str, &str)> {
    let bytes = path.as_bytes();
    if path.starts_with('{') {
        let end = super::scan::nested_end(bytes, 0);
        return (bytes.get(end) == Some(&b'|')).then(|| (&path[..end], &path[end + 1..]));
    }
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'|' => return Some((&path[..at], &path[at + 1..])),
            // As the original has it, a pipe right behind `.#` does not count.
            b'.' if bytes.get(at + 1) == Some(&b'#') => {
                at += 2;
                if matches!(bytes.get(at), Some(b'(' | b'[')) {
                    at = super::scan::nested_end(bytes, at) - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// One path of a multipath, with the name that `{}` gives it.
pub(super) struct Branch<'p> {
    pub name: &'p str,
    pub path: &'p str,
}

/// The paths of the multipath at the start of `path`, and what follows its closing bracket.
pub(super) fn branches(path: &str) -> Option<(Vec<Branch<'_>>, &str)> {
    let bytes = path.as_bytes();
    let (mut found, mut depth, mut start, mut colon, mut modifier, mut at) = (Vec::new(), 1, 1, None, false, 1);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'@' if matches!(bytes[at - 1], b'.' | b'|') => modifier = true,
            b':' if !modifier && colon.is_none() && depth == 1 => colon = Some(at),
            b',' if depth == 1 => {
                found.push(branch(path, start, colon.take(), at));
                (start, modifier) = (at + 1, false);
            }
            b'"' => at = super::scan::string_end(bytes, at).0 - 1,
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    found.push(branch(path, start, colon, at));
                    return Some((found, &path[at + 1..]));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn branch(path: &str, start: usize, colon: Option<usize>, end: usize) -> Branch<'_> {
    match colon {
        Some(colon) => Branch { name: &path[start..colon], path: &path[colon + 1..end] },
        None => Branch { name: "", path: &path[start..end] },
    }
}

/// The name that a path without one gets: its last component when that is a plain name, else `_`.
pub(super) fn default_name(path: &str) -> &str {
    let bytes = path.as_bytes();
    let cut = (0..bytes.len()).rev().find(|at| b"|.".contains(&bytes[*at]) && (*at == 0 || bytes[*at - 1] != b'\\'));
    let last = cut.map_or(path, |at| &path[at + 1..]);
    let plain = !last.bytes().any(|b| b < b' ' || b"[]{}()#|!".contains(&b));
    if plain { last } else { "_" }
}
