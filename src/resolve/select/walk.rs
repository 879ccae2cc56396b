//! Follows a path through a JSON text.

use std::borrow::Cow;

use super::modify;
use super::path::{Element, Member, Pick, Query, branches, default_name, split_pipe};
use super::scan::{Cursor, Found, Kind, nested_end, number, quote};

/// How deep pipes, multipaths, queries and modifiers may call one another. The original's stack is the limit there.
const DEPTH: usize = 64;

/// The value at `path`; one that does not exist when there is none.
pub(super) fn get<'a>(json: &'a str, path: &str, depth: usize) -> Found<'a> {
    if depth > DEPTH {
        return Found::nothing();
    }
    if let Some(found) = special(json, path, depth) {
        return found;
    }
    let path = if path.len() > 1 && path.starts_with(['[', '{']) { broken(path) } else { path };
    let mut walk = Walk { value: Found::nothing(), pipe: None, depth };
    if let Some(path) = path.strip_prefix("..") {
        walk.list(json, 0, path);
    } else if let Some(start) = json.bytes().position(|b| matches!(b, b'{' | b'[')) {
        if json.as_bytes()[start] == b'{' {
            walk.object(json, start + 1, path)
        } else {
            walk.list(json, start + 1, path)
        };
    }
    match walk.pipe {
        Some(pipe) => owned(get(&walk.value.raw, &pipe, depth + 1)),
        None => walk.value,
    }
}

/// A modifier, a literal or a multipath at the start of the path.
fn special<'a>(json: &'a str, path: &str, depth: usize) -> Option<Found<'a>> {
    if path.len() < 2 {
        return None;
    }
    let (text, rest) = match path.as_bytes()[0] {
        b'@' => modify::run(json, path, depth)?,
        b'!' => literal(path)?,
        b'[' | b'{' => {
            let (branches, rest) = branches(path)?;
            if !rest.is_empty() && !rest.starts_with(['|', '.']) {
                return None;
            }
            let opening = path.as_bytes()[0];
            let text = multipath(json, opening, &branches, depth);
            return Some(match rest.get(1..) {
                Some(rest) => owned(get(&text, rest, depth + 1)),
                None => Found::new(Kind::Nested, text),
            });
        }
        _ => return None,
    };
    Some(match rest.strip_prefix(['|', '.']) {
        Some(rest) => owned(get(&text, rest, depth + 1)),
        None => match text {
            Cow::Borrowed(text) => Found::whole(text),
            Cow::Owned(text) => owned(Found::whole(&text)),
        },
    })
}

/// What the original goes on with where a multipath is not closed, or is followed by something else.
fn broken(path: &str) -> &str {
    branches(path).map_or("", |(_, rest)| rest)
}

/// `!"text"`, `!1`, `![…]`, `!true`: a value written in the path.
fn literal(path: &str) -> Option<(Cow<'static, str>, &str)> {
    let name = &path[1..];
    if name.starts_with(['{', '[', '"', '+', '-']) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let end = literal_end(name);
        return Some((Cow::Owned(name[..end].to_owned()), &name[end..]));
    }
    let end = name.find(['|', '.']).unwrap_or(name.len());
    let known = ["true", "false", "null", "nan", "inf"].contains(&name[..end].to_ascii_lowercase().as_str());
    known.then(|| (Cow::Owned(name[..end].to_owned()), &name[end..]))
}

/// The original counts brackets from the second byte, as if the first had opened one.
fn literal_end(name: &str) -> usize {
    let bracketed = format!("({}", &name[1..]);
    nested_end(bracketed.as_bytes(), 0)
}

fn multipath(json: &str, opening: u8, branches: &[super::path::Branch<'_>], depth: usize) -> String {
    let mut out = String::from(if opening == b'{' { "{" } else { "[" });
    for branch in branches {
        let found = get(json, branch.path, depth + 1);
        if !found.exists() {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        if opening == b'{' {
            out.push_str(&branch_name(branch));
            out.push(':');
        }
        out.push_str(&found.raw);
    }
    out.push(if opening == b'{' { '}' } else { ']' });
    out
}

fn branch_name(branch: &super::path::Branch<'_>) -> String {
    if branch.name.is_empty() {
        quote(default_name(branch.path))
    } else if branch.name.starts_with('"') && modify::is_valid(branch.name) {
        branch.name.to_owned()
    } else {
        quote(branch.name)
    }
}

/// Lets go of the text that a value was found in.
fn owned<'a>(found: Found<'_>) -> Found<'a> {
    Found { kind: found.kind, raw: Cow::Owned(found.raw.into_owned()) }
}

struct Walk<'a> {
    value: Found<'a>,
    pipe: Option<String>,
    depth: usize,
}

impl<'a> Walk<'a> {
    /// Looks for `path` in the object whose members start at `at`. Answers whether it was found.
    fn object(&mut self, json: &'a str, at: usize, path: &str) -> bool {
        let member = Member::parse(path);
        if let Some(pipe) = member.pipe {
            self.pipe = Some(pipe.to_owned());
        }
        let mut cursor = Cursor::new(json, at);
        while let Some(key) = cursor.key() {
            let Some(value) = cursor.value() else { return false };
            let key = super::scan::unquote(key);
            let fits = if member.wild { glob(&key, &member.part) } else { key == member.part };
            if fits && self.enter(value, member.rest) {
                return true;
            }
        }
        false
    }

    /// Takes a value that the component fits, or goes on inside it.
    fn enter(&mut self, value: Found<'a>, rest: Option<&str>) -> bool {
        let Some(rest) = rest else {
            self.value = value;
            return true;
        };
        if value.kind != Kind::Nested {
            return false;
        }
        let Cow::Borrowed(text) = value.raw else { return false };
        if text.starts_with('{') { self.object(text, 1, rest) } else { self.list(text, 1, rest) }
    }

    /// Looks for `path` in the list whose elements start at `at`. Answers whether it was found.
    fn list(&mut self, json: &'a str, at: usize, path: &str) -> bool {
        let element = Element::parse(path);
        if let Some(pipe) = element.pipe {
            self.pipe = Some(pipe.to_owned());
        }
        let mut cursor = Cursor::new(json, at);
        let mut elements = std::iter::from_fn(move || cursor.value());
        match element.pick {
            Pick::Nothing | Pick::Index(None) => false,
            Pick::Index(Some(index)) => elements.nth(index).is_some_and(|value| self.enter(value, element.rest)),
            Pick::Count => {
                self.value = Found::new(Kind::Number, elements.count().to_string());
                true
            }
            Pick::Each(path) => {
                self.value = Found::new(Kind::Nested, self.each(elements, path));
                true
            }
            Pick::Query(query) if query.all => {
                let all = self.all(elements, &query, element.rest);
                self.value = Found::new(Kind::Nested, all);
                false
            }
            Pick::Query(query) => {
                let Some(value) = elements.find(|value| query.fits(value, self.depth)) else { return false };
                self.value = match element.rest {
                    Some(rest) => owned(get(&value.raw, self.cut(rest), self.depth + 1)),
                    None => value,
                };
                true
            }
        }
    }

    /// The path before a pipe; what follows it waits for the whole result.
    fn cut<'p>(&mut self, path: &'p str) -> &'p str {
        let Some((left, right)) = split_pipe(path) else { return path };
        self.pipe = Some(right.to_owned());
        left
    }

    /// `#.path`: the list of what each element has there.
    fn each(&mut self, elements: impl Iterator<Item = Found<'a>>, path: &str) -> String {
        let path = self.cut(path);
        let found = elements.map(|value| get(&value.raw, path, self.depth + 1).raw.into_owned());
        list_of(found)
    }

    /// `#(…)#`: the list of all elements that fit, or of what they have at `rest`.
    fn all(&mut self, elements: impl Iterator<Item = Found<'a>>, query: &Query, rest: Option<&str>) -> String {
        let depth = self.depth;
        let mut fitting = elements.filter(|value| query.fits(value, depth)).peekable();
        // Only a hit takes the pipe out of the path, as in the original: without one it stays where it was.
        let rest = if fitting.peek().is_some() { rest.map(|rest| self.cut(rest)) } else { rest };
        list_of(fitting.map(|value| match rest {
            Some(rest) => get(&value.raw, rest, depth + 1).raw.into_owned(),
            None => value.raw.into_owned(),
        }))
    }
}

fn list_of(found: impl Iterator<Item = String>) -> String {
    let mut out = String::from("[");
    for raw in found.filter(|raw| !raw.is_empty()) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&raw);
    }
    out.push(']');
    out
}

impl Query {
    /// Whether an element fits.
    fn fits(&self, element: &Found<'_>, depth: usize) -> bool {
        let value = if element.kind == Kind::Nested {
            get(&element.raw, &self.path, depth + 1)
        } else if self.path.is_empty() {
            element.clone()
        } else {
            return false;
        };
        match self.value.strip_prefix('~') {
            Some(word) => match truth(word, &value) {
                Some(truth) => self.compare(&Found::new(if truth { Kind::True } else { Kind::False }, "~"), "true"),
                None => false,
            },
            None => value.exists() && self.compare(&value, &self.value),
        }
    }

    fn compare(&self, value: &Found<'_>, wanted: &str) -> bool {
        if self.operator.is_empty() {
            return true;
        }
        match value.kind {
            Kind::String => self.compare_text(&value.text(), wanted),
            Kind::Number => self.compare_order(value.number().partial_cmp(&number(wanted))),
            Kind::True => match self.operator.as_str() {
                "=" => wanted == "true",
                "!=" => wanted != "true",
                ">" => wanted == "false",
                ">=" => true,
                _ => false,
            },
            Kind::False => match self.operator.as_str() {
                "=" => wanted == "false",
                "!=" => wanted != "false",
                "<" => wanted == "true",
                "<=" => true,
                _ => false,
            },
            Kind::Null | Kind::Nested => false,
        }
    }

    fn compare_text(&self, value: &str, wanted: &str) -> bool {
        match self.operator.as_str() {
            "%" => glob(value, wanted),
            "!%" => !glob(value, wanted),
            _ => self.compare_order(Some(value.cmp(wanted))),
        }
    }

    /// What is not comparable (not a number) is only unequal.
    fn compare_order(&self, order: Option<std::cmp::Ordering>) -> bool {
        match self.operator.as_str() {
            "=" => order.is_some_and(std::cmp::Ordering::is_eq),
            "!=" => order.is_none_or(std::cmp::Ordering::is_ne),
            "<" => order.is_some_and(std::cmp::Ordering::is_lt),
            "<=" => order.is_some_and(std::cmp::Ordering::is_le),
            ">" => order.is_some_and(std::cmp::Ordering::is_gt),
            ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
            _ => false,
        }
    }
}

/// `~true`, `~false`, `~null`, `~*`: what a value amounts to.
fn truth(word: &str, value: &Found<'_>) -> Option<bool> {
    match word {
        "*" => Some(value.exists()),
        "null" => Some(value.kind == Kind::Null),
        "true" => Some(truthy(value) == Some(true)),
        "false" => Some(value.kind == Kind::Null || truthy(value) == Some(false)),
        _ => None,
    }
}

fn truthy(value: &Found<'_>) -> Option<bool> {
    match value.kind {
        Kind::True => Some(true),
        Kind::False => Some(false),
        Kind::Number => Some(value.number() != 0.0),
        Kind::String => match value.text().to_lowercase().as_str() {
            "1" | "t" | "true" => Some(true),
            "0" | "f" | "false" => Some(false),
            _ => None,
        },
        Kind::Null | Kind::Nested => None,
    }
}

/// `*` is any text, `?` any one character, `\` takes the next one as it is. Never more work than both lengths multiplied.
fn glob(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p, mut star) = (0, 0, None);
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        let (step, wanted) = match pattern.get(p) {
            Some('\\') if p + 1 < pattern.len() => (2, Some(pattern[p + 1])),
            Some('?') => (1, text.get(t).copied()),
            other => (1, other.copied()),
        };
        if t < text.len() && p < pattern.len() && wanted == Some(text[t]) {
            (t, p) = (t + 1, p + step);
            continue;
        }
        match star {
            Some((at, from)) if from < text.len() => {
                star = Some((at, from + 1));
                (t, p) = (from + 1, at + 1);
            }
            _ => return false,
        }
    }
}
