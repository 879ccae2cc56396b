//! Go's `strconv`: quoting and unquoting of strings and characters.

use std::fmt::Write as _;

/// Whether Go prints a character as it is (`strconv.IsPrint`): letters, marks, numbers, punctuation, symbols and the
/// ASCII space.
pub fn is_print(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    // Rust escapes the same characters in debug output, but marks only at the start of a text.
    let text: String = ['a', character].into_iter().collect();
    text.escape_debug().nth(1) == Some(character)
}

/// The bytes as Unicode characters; `None` with its byte for each byte that is not UTF-8.
pub fn runes(bytes: &[u8]) -> impl Iterator<Item = (Option<char>, &[u8])> {
    let mut chunks = bytes.utf8_chunks();
    let mut valid: &str = "";
    let mut invalid: &[u8] = &[];
    std::iter::from_fn(move || {
        loop {
            if let Some(character) = valid.chars().next() {
                let (head, tail) = valid.split_at(character.len_utf8());
                valid = tail;
                return Some((Some(character), head.as_bytes()));
            }
            if let Some((head, tail)) = invalid.split_at_checked(1).filter(|(head, _)| !head.is_empty()) {
                invalid = tail;
                return Some((None, head));
            }
            let chunk = chunks.next()?;
            (valid, invalid) = (chunk.valid(), chunk.invalid());
        }
    })
}

/// A double-quoted Go string literal (`%q`).
pub fn quote(bytes: &[u8]) -> String {
    quote_with(bytes, '"', false)
}

/// A double-quoted Go string literal of ASCII alone (`%+q`).
pub fn quote_to_ascii(bytes: &[u8]) -> String {
    quote_with(bytes, '"', true)
}

/// A single-quoted Go character literal; what is no character becomes U+FFFD.
pub fn quote_rune(code: u32, ascii: bool) -> String {
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    quote_with(character.encode_utf8(&mut [0; 4]).as_bytes(), '\'', ascii)
}

/// Whether a text can stand unchanged between back quotes.
pub fn can_backquote(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| text.chars().all(|c| c != '\u{feff}' && c != '`' && c != '\u{7f}' && (c == '\t' || c >= ' ')))
}

fn quote_with(bytes: &[u8], mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(mark);
    for (character, raw) in runes(bytes) {
        match character {
            Some(character) => push_escaped(&mut out, character, mark, ascii),
            None => raw.iter().for_each(|byte| push_hex(&mut out, "\\x", u32::from(*byte), 2)),
        }
    }
    out.push(mark);
    out
}

fn push_escaped(out: &mut String, character: char, mark: char, ascii: bool) {
    match character {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if character == mark || character == '\\' => out.extend(['\\', character]),
        _ if is_print(character) && (!ascii || character.is_ascii()) => out.push(character),
        _ => push_code(out, u32::from(character)),
    }
}

fn push_code(out: &mut String, code: u32) {
    match code {
        0..0x20 | 0x7f => push_hex(out, "\\x", code, 2),
        0x20..0x1_0000 => push_hex(out, "\\u", code, 4),
        _ => push_hex(out, "\\U", code, 8),
    }
}

#[expect(clippy::let_underscore_must_use, reason = "writing to a String cannot fail")]
fn push_hex(out: &mut String, prefix: &str, code: u32, width: usize) {
    let _ = write!(out, "{prefix}{code:0width$x}");
}

/// The content of a Go string literal, quoted by `"` or a back quote; `None` when it is malformed.
pub fn unquote(literal: &str) -> Option<Vec<u8>> {
    let mark = literal.chars().next()?;
    let inner = literal.strip_prefix(mark)?.strip_suffix(mark).filter(|_| literal.len() >= 2)?;
    match mark {
        '`' => Some(inner.bytes().filter(|byte| *byte != b'\r').collect()),
        '"' => unescape(inner, '"'),
        _ => None,
    }
}

fn unescape(mut rest: &str, mark: char) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, tail) = unquote_char(rest, mark)?;
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Character(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = tail;
    }
    Some(out)
}

/// What one step of a literal stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `\x41` and `\101`: a byte.
    Byte(u8),
    /// A character, escaped or not.
    Character(char),
}

/// The first character or escape of a literal's inside, and what follows (`strconv.UnquoteChar`); `None` when it is
/// malformed or the closing mark.
pub fn unquote_char(text: &str, mark: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == mark || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Character(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = |character| Some((Unit::Character(character), rest));
    match escape {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' => simple('\\'),
        'x' => digits(rest, 2, 16).map(|(code, rest)| (Unit::Byte(code.to_le_bytes()[0]), rest)),
        'u' => scalar(rest, 4),
        'U' => scalar(rest, 8),
        '0'..='7' => octal(text.get(1..)?),
        '"' | '\'' if escape == mark => simple(escape),
        _ => None,
    }
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (head, tail) = text.split_at_checked(count)?;
    head.bytes().all(|byte| char::from(byte).is_digit(radix)).then_some(())?;
    Some((u32::from_str_radix(head, radix).ok()?, tail))
}

fn scalar(text: &str, count: usize) -> Option<(Unit, &str)> {
    let (code, rest) = digits(text, count, 16)?;
    Some((Unit::Character(char::from_u32(code)?), rest))
}

fn octal(text: &str) -> Option<(Unit, &str)> {
    let (code, rest) = digits(text, 3, 8)?;
    Some((Unit::Byte(u8::try_from(code).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_as_go_does() {
        assert_eq!(quote("a\"b\\\n\u{7f}é\u{2028}😀".as_bytes()), "\"a\\\"b\\\\\\n\\x7fé\\u2028😀\"");
        assert_eq!(quote(b"\xff"), "\"\\xff\"");
        assert_eq!(quote_to_ascii("é😀".as_bytes()), "\"\\u00e9\\U0001f600\"");
    }

    #[test]
    fn unquoting_reads_every_escape() {
        assert_eq!(unquote(r#""a\tb\u00e9\x41\101""#), Some("a\tbéAA".into()));
        assert_eq!(unquote(r#""\q""#), None);
        assert_eq!(unquote("`a\r\nb`"), Some("a\nb".into()));
    }
}
