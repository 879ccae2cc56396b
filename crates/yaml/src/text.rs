//! From bytes to text: encodings, and characters that no YAML may hold.

use std::borrow::Cow;
use std::str::Utf8Error;

use crate::cursor::check_characters;
use crate::error::Error;
use crate::limits::Limits;

/// The text without its byte order mark, which also tells UTF-16 from UTF-8.
pub(crate) fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, str>, Error> {
    let most = limits.bytes.min(u32::MAX as usize / 2);
    if bytes.len() > most {
        return Err(Error::TooLarge { line: 0, what: "the size of the text", limit: most });
    }
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(from_utf16(rest, u16::from_le_bytes)?),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(from_utf16(rest, u16::from_be_bytes)?),
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(from_utf8(rest)?),
        _ => Cow::Borrowed(from_utf8(bytes)?),
    };
    check_characters(&text)?;
    Ok(text)
}

fn from_utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| refuse_utf8(bytes, error))
}

fn refuse_utf8(bytes: &[u8], error: Utf8Error) -> Error {
    let (before, rest) = bytes.split_at(error.valid_up_to());
    Error::unreadable_text(before, utf8_problem(rest))
}

/// What Go says about bytes that do not begin with a character.
fn utf8_problem(bytes: &[u8]) -> &'static str {
    let width = match bytes.first() {
        Some(0xC0..0xE0) => 2,
        Some(0xE0..0xF0) => 3,
        Some(0xF0..0xF8) => 4,
        _ => return "invalid leading UTF-8 octet",
    };
    let Some(sequence) = bytes.get(..width) else { return "incomplete UTF-8 octet sequence" };
    if sequence.iter().skip(1).any(|byte| byte & 0xC0 != 0x80) {
        return "invalid trailing UTF-8 octet";
    }
    match sequence {
        [0xC0 | 0xC1, ..] | [0xE0, 0x80..0xA0, ..] | [0xF0, 0x80..0x90, ..] => "invalid length of a UTF-8 sequence",
        _ => "invalid Unicode character",
    }
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for character in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        match character {
            Ok(character) => text.push(character),
            Err(error) => {
                return Err(Error::unreadable_text(text.as_bytes(), surrogate_problem(error.unpaired_surrogate())));
            }
        }
    }
    if !rest.is_empty() {
        return Err(Error::unreadable_text(text.as_bytes(), "incomplete UTF-16 character"));
    }
    Ok(text)
}

fn surrogate_problem(unit: u16) -> &'static str {
    if unit & 0xFC00 == 0xDC00 { "unexpected low surrogate area" } else { "expected low surrogate area" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_marks_tell_the_encoding() {
        let limits = Limits::default();
        assert_eq!(decode(b"\xEF\xBB\xBFa", &limits).unwrap(), "a");
        assert_eq!(decode(b"\xFF\xFEa\0\x3D\xD8\x00\xDE", &limits).unwrap(), "a\u{1F600}");
        assert_eq!(decode(b"\xFE\xFF\0a", &limits).unwrap(), "a");
        assert_eq!(decode(b"\xFE\xFF\0", &limits).unwrap_err().in_go_words(), "yaml: incomplete UTF-16 character");
    }

    #[test]
    fn broken_utf8_is_refused_in_go_words() {
        let problem = |bytes: &[u8]| decode(bytes, &Limits::default()).unwrap_err().in_go_words();
        assert_eq!(problem(b"a: \xFF"), "yaml: invalid leading UTF-8 octet");
        assert_eq!(problem(b"a: \xC3"), "yaml: incomplete UTF-8 octet sequence");
        assert_eq!(problem(b"a: \xC3("), "yaml: invalid trailing UTF-8 octet");
        assert_eq!(problem(b"a: \xC0\x80"), "yaml: invalid length of a UTF-8 sequence");
        assert_eq!(problem(b"a: \xED\xA0\x80"), "yaml: invalid Unicode character");
    }
}
