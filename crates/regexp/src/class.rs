//! Character classes and escapes.

use crate::RegexError;
use crate::translate::fail;

/// Appends a character that stands for itself.
pub(crate) fn push_literal(out: &mut String, character: char) {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        out.push(character);
    } else {
        out.push_str(&format!("\\x{:02x}", u32::from(character)));
    }
}

/// What an escape stands for: a character, or a set in the target's words, to stand inside brackets.
pub(crate) enum Escape {
    Character(char),
    Set(String),
}

/// Reads an escape that means the same inside and outside of brackets; `text` begins with the backslash. Answers what
/// follows it too.
pub(crate) fn escape(text: &str) -> Result<(Escape, &str), RegexError> {
    let mut chars = text.chars();
    chars.next();
    let Some(character) = chars.next() else {
        return fail("trailing backslash at end of expression", "");
    };
    let rest = chars.as_str();
    let set = |set: &str| Ok((Escape::Set(set.to_owned()), rest));
    let one = |character| Ok((Escape::Character(character), rest));
    match character {
        'd' => set("0-9"),
        'D' => set("[^0-9]"),
        's' => set(r"\t\n\x0C\r\x20"),
        'S' => set(r"[^\t\n\x0C\r\x20]"),
        'w' => set("0-9A-Za-z_"),
        'W' => set("[^0-9A-Za-z_]"),
        'p' | 'P' => property(text),
        'a' => one('\u{7}'),
        'f' => one('\u{c}'),
        'n' => one('\n'),
        'r' => one('\r'),
        't' => one('\t'),
        'v' => one('\u{b}'),
        'x' => hexadecimal(text, rest),
        '0'..='7' => octal(text, character),
        _ if character.is_ascii() && !character.is_ascii_alphanumeric() => one(character),
        _ => invalid(text, rest),
    }
}

fn invalid<T>(text: &str, rest: &str) -> Result<T, RegexError> {
    fail("invalid escape sequence", &text[..text.len() - rest.len()])
}

/// `\pN`, `\p{Greek}`, `\p{^Greek}`, `\P{Greek}`.
fn property(text: &str) -> Result<(Escape, &str), RegexError> {
    let mut is_negated = text.starts_with("\\P");
    let after = &text[2..];
    let (name, rest) = match after.strip_prefix('{') {
        Some(inner) => match inner.split_once('}') {
            Some(parts) => parts,
            None => return fail("invalid character class range", text),
        },
        None => after.split_at(after.chars().next().map_or(0, char::len_utf8)),
    };
    let shown = &text[..text.len() - rest.len()];
    let plain = name.strip_prefix('^').unwrap_or(name);
    is_negated ^= plain.len() != name.len();
    if plain == "Any" {
        let set = if is_negated { "[^\\x00-\\x{10FFFF}]" } else { "\\x00-\\x{10FFFF}" };
        return Ok((Escape::Set(set.to_owned()), rest));
    }
    let set = format!("\\{}{{{plain}}}", if is_negated { 'P' } else { 'p' });
    let is_known = plain.starts_with(|c: char| c.is_ascii_uppercase())
        && plain.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
        && regex::Regex::new(&set).is_ok();
    if is_known { Ok((Escape::Set(set), rest)) } else { fail("invalid character class range", shown) }
}

/// `\x7F` and `\x{10FFFF}`.
fn hexadecimal<'t>(text: &'t str, after: &'t str) -> Result<(Escape, &'t str), RegexError> {
    let (digits, rest) = match after.strip_prefix('{') {
        Some(inner) => inner.split_once('}').unwrap_or(("", "")),
        None => after.split_at_checked(2).unwrap_or(("", "")),
    };
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    match code.and_then(char::from_u32) {
        Some(character) => Ok((Escape::Character(character), rest)),
        None => invalid(text, rest),
    }
}

/// `\0`, `\017`, `\123`; a single digit that is not 0 would be a reference, which Go has not.
fn octal(text: &str, first: char) -> Result<(Escape, &str), RegexError> {
    let digits = text[1..].bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let rest = &text[1 + digits..];
    if first != '0' && digits < 2 {
        return invalid(text, rest);
    }
    let code = u32::from_str_radix(&text[1..=digits], 8).ok().and_then(char::from_u32);
    code.map_or_else(|| invalid(text, rest), |character| Ok((Escape::Character(character), rest)))
}

/// Names between `[:` and `:]`; ASCII in both worlds.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Reads a class; `text` begins with the bracket. Answers what follows it too.
pub(crate) fn class<'t>(text: &'t str, out: &mut String) -> Result<&'t str, RegexError> {
    let mut rest = &text[1..];
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut is_first = true;
    loop {
        if rest.is_empty() {
            return fail("missing closing ]", text);
        }
        if rest.starts_with(']') && !is_first {
            out.push(']');
            return Ok(&rest[1..]);
        }
        is_first = false;
        rest = member(text, rest, out)?;
    }
}

/// One range, character or set of a class.
fn member<'t>(text: &'t str, rest: &'t str, out: &mut String) -> Result<&'t str, RegexError> {
    if let Some(after) = posix(rest, out)? {
        return Ok(after);
    }
    let (low, after) = match one(text, rest)? {
        (Escape::Set(set), after) => {
            out.push_str(&set);
            return Ok(after);
        }
        (Escape::Character(low), after) => (low, after),
    };
    let is_range = after.starts_with('-') && !after[1..].starts_with(']') && after.len() > 1;
    if !is_range {
        push_literal(out, low);
        return Ok(after);
    }
    let (high, after) = match one(text, &after[1..])? {
        (Escape::Character(high), after) => (high, after),
        (Escape::Set(_), after) => {
            return fail("invalid character class range", &rest[..rest.len() - after.len()]);
        }
    };
    if high < low {
        return fail("invalid character class range", &rest[..rest.len() - after.len()]);
    }
    push_literal(out, low);
    out.push('-');
    push_literal(out, high);
    Ok(after)
}

fn one<'t>(text: &'t str, rest: &'t str) -> Result<(Escape, &'t str), RegexError> {
    match rest.chars().next() {
        None => fail("missing closing ]", text),
        Some('\\') => escape(rest),
        Some(character) => Ok((Escape::Character(character), &rest[character.len_utf8()..])),
    }
}

/// `[:alpha:]` and `[:^alpha:]`.
fn posix<'t>(rest: &'t str, out: &mut String) -> Result<Option<&'t str>, RegexError> {
    let Some((name, after)) = rest.strip_prefix("[:").and_then(|inner| inner.split_once(":]")) else {
        return Ok(None);
    };
    if !POSIX.contains(&name.trim_start_matches('^')) {
        return fail("invalid character class range", &rest[..name.len() + 4]);
    }
    out.push_str(&format!("[:{name}:]"));
    Ok(Some(after))
}
