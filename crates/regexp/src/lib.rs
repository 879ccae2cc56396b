//! Regular expressions as Go's `regexp` reads and runs them, on the `regex` crate: both are RE2's descendants.
//!
//! What differs is translated: `\d`, `\w`, `\s`, `\b` mean ASCII in Go; brackets inside classes, `{` that begins no
//! count, octal escapes and `\Q…\E` are literals. Text that is not UTF-8 is matched with U+FFFD in its place.

mod class;
mod translate;

use regex::Captures;

/// Why a text is no expression, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {problem}: `{part}`")]
pub struct RegexError {
    problem: &'static str,
    part: String,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Regex {
    compiled: regex::Regex,
    /// Names of the groups, the whole match first; empty for a group without one.
    names: Vec<String>,
    /// Whether it takes more than [`SMALL`].
    is_large: bool,
}

/// How long a text may become by replacements, in bytes.
const MAX_TEXT: usize = 64 << 20;
/// Memory that a compiled expression may take, in bytes.
const SIZE_LIMIT: usize = 4 << 20;
/// Memory that an expression takes that is fast on any text.
const SMALL: usize = 64 << 10;

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is none to Go, or too large.
    pub fn new(expression: &str) -> Result<Self, RegexError> {
        let translated = translate::translate(expression)?;
        let compile = |size| regex::RegexBuilder::new(&translated.pattern).size_limit(size).nest_limit(500).build();
        if let Ok(compiled) = compile(SMALL) {
            return Ok(Self { compiled, names: translated.names, is_large: false });
        }
        let too_large = |_| RegexError { problem: "expression too large", part: expression.to_owned() };
        Ok(Self { compiled: compile(SIZE_LIMIT).map_err(too_large)?, names: translated.names, is_large: true })
    }

    /// What a search in a text of that length costs at worst, in steps of a template: each of its bytes may touch all
    /// that is compiled.
    #[must_use]
    pub fn steps(&self, length: usize) -> u64 {
        let length = length as u64;
        if self.is_large { length.saturating_mul(100) } else { length / 4 }
    }

    /// Names of the groups, the whole match first (`SubexpNames`).
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is a match.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The first match.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.compiled.find(text).map(|found| found.as_str())
    }

    /// Byte ranges of the matches, `limit` at most when it is not negative.
    pub fn find_all(&self, text: &str, limit: i64) -> Vec<(usize, usize)> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.compiled.find_iter(text).take(limit).map(|found| (found.start(), found.end())).collect()
    }

    /// The groups of the first match, the whole match first; empty for a group that did not take part.
    pub fn groups<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let found = self.compiled.captures(text)?;
        Some(found.iter().map(|group| group.map_or("", |group| group.as_str())).collect())
    }

    /// The parts between the matches (`Split`): all for a negative `limit`, none for 0, else `limit` at most, the last
    /// one unsplit.
    pub fn split<'t>(&self, text: &'t str, limit: i64) -> Option<Vec<&'t str>> {
        if limit == 0 {
            return None;
        }
        if !self.compiled.as_str().is_empty() && text.is_empty() {
            return Some(vec![""]);
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut parts, mut begin, mut end) = (Vec::new(), 0, 0);
        for (start, stop) in self.find_all(text, limit) {
            if parts.len() + 1 >= most {
                break;
            }
            end = start;
            if stop != 0 {
                parts.push(&text[begin..end]);
            }
            begin = stop;
        }
        if end != text.len() {
            parts.push(&text[begin..]);
        }
        Some(parts)
    }

    /// Replaces all matches; `$1`, `${1}`, `$name` in the replacement are groups, `$$` is `$` (`ReplaceAllString`). Stops
    /// once the text is longer than any may be.
    pub fn replace_all(&self, text: &str, replacement: &str) -> String {
        self.replace(text, |found, out| self.expand(replacement, found, out))
    }

    /// Replaces all matches by a text as it is (`ReplaceAllLiteralString`), up to the same length.
    pub fn replace_all_literal(&self, text: &str, replacement: &str) -> String {
        self.replace(text, |_, out| out.push_str(replacement))
    }

    fn replace(&self, text: &str, mut write: impl FnMut(&Captures<'_>, &mut String)) -> String {
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for found in self.compiled.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&text[end..whole.start()]);
            write(&found, &mut out);
            end = whole.end();
            if out.len() > MAX_TEXT {
                break;
            }
        }
        out.push_str(&text[end..]);
        out
    }

    fn expand(&self, template: &str, found: &Captures<'_>, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$').filter(|_| out.len() <= MAX_TEXT) {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            match reference(rest) {
                Some((name, after)) => {
                    out.push_str(self.group(name, found));
                    rest = after;
                }
                None => out.push('$'),
            }
        }
        out.push_str(rest);
    }

    /// The text of a group by number or name; of several with one name the last that took part.
    fn group<'t>(&self, name: &str, found: &Captures<'t>) -> &'t str {
        let get = |index: usize| found.get(index).map(|group| group.as_str());
        if name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0')) {
            return name.parse().ok().and_then(get).unwrap_or_default();
        }
        let named = self.names.iter().enumerate().filter(|(_, own)| *own == name);
        named.filter_map(|(index, _)| get(index)).next_back().unwrap_or_default()
    }
}

/// The name at the start of what follows a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c == '_' || c.is_alphanumeric();
    if let Some(inner) = text.strip_prefix('{') {
        let length = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
        let (name, rest) = inner.split_at(length);
        return rest.strip_prefix('}').filter(|_| !name.is_empty()).map(|rest| (name, rest));
    }
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    (length > 0).then(|| text.split_at(length))
}

/// Escapes what has a meaning in expressions (`QuoteMeta`).
pub fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
