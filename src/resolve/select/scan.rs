//! A scanner of JSON that forgives: it takes what it can read and never complains, as the original's path library does.

use std::borrow::Cow;

/// What kind of value stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    False,
    True,
    Number,
    String,
    /// An object or a list.
    Nested,
}

/// A value and its source text. One that does not exist is `Null` without text.
#[derive(Clone)]
pub(super) struct Found<'a> {
    pub kind: Kind,
    pub raw: Cow<'a, str>,
}

impl<'a> Found<'a> {
    /// The value that is not there.
    pub(super) fn nothing() -> Self {
        Self { kind: Kind::Null, raw: Cow::Borrowed("") }
    }

    /// A value of source text.
    pub(super) fn new(kind: Kind, raw: impl Into<Cow<'a, str>>) -> Self {
        Self { kind, raw: raw.into() }
    }

    /// The one value that a whole text is; an object or a list keeps whatever follows it.
    pub(super) fn whole(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let Some(start) = bytes.iter().position(|b| *b > b' ') else { return Self::nothing() };
        match bytes[start] {
            b'{' | b'[' => Self::new(Kind::Nested, slice(text, start, bytes.len())),
            b'"' => Self::new(Kind::String, slice(text, start, string_end(bytes, start).0)),
            _ => match scalar_kind(bytes, start) {
                Some(Kind::Number) => {
                    let end = bytes[start + 1..].iter().position(|b| *b <= b' ' || b",]}".contains(b));
                    Self::new(Kind::Number, slice(text, start, end.map_or(bytes.len(), |end| start + 1 + end)))
                }
                Some(kind) => Self::new(kind, slice(text, start, word_end(bytes, start))),
                None => Self::nothing(),
            },
        }
    }

    /// Whether there is a value.
    pub(super) fn exists(&self) -> bool {
        self.kind != Kind::Null || !self.raw.is_empty()
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        self.kind == Kind::Nested && self.raw.starts_with('[')
    }

    /// Whether it is an object.
    pub(super) fn is_object(&self) -> bool {
        self.kind == Kind::Nested && self.raw.starts_with('{')
    }

    /// The value as text: strings without quotes, numbers that are not plain digits as Go prints a float.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self.kind {
            Kind::Null => Cow::Borrowed(""),
            Kind::False => Cow::Borrowed("false"),
            Kind::True => Cow::Borrowed("true"),
            Kind::Nested => Cow::Borrowed(&self.raw),
            Kind::String => unquote(&self.raw),
            Kind::Number if is_plain_integer(&self.raw) => Cow::Borrowed(&self.raw),
            Kind::Number => Cow::Owned(float_text(number(&self.raw))),
        }
    }

    /// The number that it is; 0 for what Go cannot parse.
    pub(super) fn number(&self) -> f64 {
        number(&self.raw)
    }

    /// Its members: (key, value) of an object, (nothing, value) of a list, itself of a scalar.
    pub(super) fn members(&self) -> Vec<(Found<'_>, Found<'_>)> {
        if !self.exists() {
            return Vec::new();
        }
        if self.kind != Kind::Nested {
            return vec![(Found::nothing(), Found::new(self.kind, &*self.raw))];
        }
        let mut found = Vec::new();
        let mut cursor = Cursor::new(&self.raw, 1);
        let object = self.is_object();
        loop {
            let key =
                if object { cursor.key().map(|key| Found::new(Kind::String, key)) } else { Some(Found::nothing()) };
            let (Some(key), Some(value)) = (key, cursor.value()) else { return found };
            found.push((key, value));
        }
    }
}

fn is_plain_integer(raw: &str) -> bool {
    raw.strip_prefix('-').unwrap_or(raw).bytes().all(|b| b.is_ascii_digit())
}

/// `strconv.ParseFloat`, and 0 where it fails; hexadecimal floats and digit separators are not worth having here.
pub(super) fn number(text: &str) -> f64 {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number,
        _ => special(text),
    }
}

fn special(text: &str) -> f64 {
    let (negative, word) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let size = match word.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        // Too large: Go answers infinity beside its error, which the original drops.
        digits if digits.parse::<f64>().is_ok() => f64::INFINITY,
        _ => return 0.0,
    };
    if negative { -size } else { size }
}

/// `strconv.FormatFloat(n, 'f', -1, 64)`.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{number}")
    }
}

/// Walks through the members of an object or list.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts behind the opening bracket, at `at`.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The next key with its quotes; nothing at the end of the object.
    pub(super) fn key(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at + bytes.get(self.at..)?.iter().position(|b| matches!(b, b'"' | b'}'))?;
        self.at = start + 1;
        if bytes[start] == b'}' {
            return None;
        }
        let (end, closed) = string_end(bytes, start);
        self.at = end;
        closed.then(|| slice(self.text, start, end))
    }

    /// The next value; nothing at the end of the list. Bytes that start no value are passed over.
    pub(super) fn value(&mut self) -> Option<Found<'a>> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            let start = self.at;
            match byte {
                b']' => return None,
                b'"' => {
                    let (end, closed) = string_end(bytes, start);
                    self.at = end;
                    return closed.then(|| Found::new(Kind::String, slice(self.text, start, end)));
                }
                b'{' | b'[' => {
                    self.at = nested_end(bytes, start);
                    return Some(Found::new(Kind::Nested, slice(self.text, start, self.at)));
                }
                _ => {
                    if let Some(kind) = scalar_kind(bytes, start) {
                        self.at = scalar_end(bytes, start, kind);
                        return Some(Found::new(kind, slice(self.text, start, self.at)));
                    }
                    self.at += 1;
                }
            }
        }
        None
    }
}

/// What kind of scalar starts at `at`; `nul…` is null, any other `n…` a number (`nan`).
fn scalar_kind(bytes: &[u8], at: usize) -> Option<Kind> {
    Some(match bytes[at] {
        b't' => Kind::True,
        b'f' => Kind::False,
        b'n' if bytes.get(at + 1).is_none_or(|next| *next == b'u') => Kind::Null,
        b'n' | b'+' | b'-' | b'0'..=b'9' | b'i' | b'I' | b'N' => Kind::Number,
        _ => return None,
    })
}

fn scalar_end(bytes: &[u8], start: usize, kind: Kind) -> usize {
    if kind != Kind::Number {
        return word_end(bytes, start);
    }
    let rest = &bytes[start + 1..];
    start + 1 + rest.iter().position(|b| *b <= b' ' || b",]}".contains(b)).unwrap_or(rest.len())
}

fn word_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start + 1..];
    start + 1 + rest.iter().position(|b| !b.is_ascii_lowercase()).unwrap_or(rest.len())
}

/// Where the string that starts at the quote `start` ends, and whether it is closed.
pub(super) fn string_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (at + 1, true),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (bytes.len(), false)
}

/// Where the value that opens with the bracket at `start` ends. Brackets are counted, not matched.
pub(super) fn nested_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at).0;
                continue;
            }
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// A part of a text; nothing where a cut would split a character.
fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end.min(text.len())).unwrap_or_default()
}

/// The content of a quoted string. Ends early at an escape that does not exist, as the original does.
pub(super) fn unquote(raw: &str) -> Cow<'_, str> {
    let inner = raw.strip_prefix('"').unwrap_or(raw);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    unescape(inner)
}

/// Resolves the escapes of a JSON string's content.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '\\' => match escape(rest) {
                Some((resolved, used)) => {
                    out.push(resolved);
                    rest = &rest[used..];
                }
                None => break,
            },
            control if control < ' ' => break,
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The character that an escape means and how many bytes it takes after its backslash.
fn escape(rest: &str) -> Option<(char, usize)> {
    let simple = match rest.as_bytes().first()? {
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'"' => '"',
        b'u' => return unicode(rest),
        _ => return None,
    };
    Some((simple, 1))
}

/// `uXXXX`, and the low half of a surrogate pair behind it; half a pair is U+FFFD.
fn unicode(rest: &str) -> Option<(char, usize)> {
    let first = hex(rest.get(1..5)?);
    if !(0xD800..0xE000).contains(&first) {
        return Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 5));
    }
    let Some(low) = rest.get(5..).and_then(|rest| rest.strip_prefix("\\u")?.get(..4)) else {
        return Some((char::REPLACEMENT_CHARACTER, 5));
    };
    let low = hex(low);
    let paired = first < 0xDC00 && (0xDC00..0xE000).contains(&low);
    let code = if paired { 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00) } else { 0xFFFD };
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11))
}

fn hex(digits: &str) -> u32 {
    u32::from_str_radix(digits, 16).unwrap_or_default()
}

/// Writes a JSON string as the original does: control characters, `<`, `>`, `&` and line separators escaped.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\0'..=' ' if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
