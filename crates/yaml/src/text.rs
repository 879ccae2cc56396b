//! From bytes to text: encodings, and characters that no YAML may hold.

use std::borrow::Cow;

use crate::error::Error;
use crate::limits::Limits;

/// What could be read of a text.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Why the rest could not. Go reads in pieces, so a document before that piece is still read.
    pub(crate) fault: Option<Error>,
}

/// The bytes that Go decodes at once.
const PIECE: usize = 512;

/// The text without its byte order mark, which also tells UTF-16 from UTF-8.
pub(crate) fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Text<'a>, Error> {
    let most = limits.bytes.min(u32::MAX as usize / 2);
    if bytes.len() > most {
        return Err(Error::TooLarge { line: 0, what: "the size of the text", limit: most });
    }
    match bytes {
        [0xFF, 0xFE, rest @ ..] => from_utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => from_utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => Ok(from_utf8(rest, 3)),
        _ => Ok(from_utf8(bytes, 0)),
    }
}

/// `mark` is the number of bytes before, which count for the first piece.
fn from_utf8(bytes: &[u8], mark: usize) -> Text<'_> {
    let (valid, rest) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            (std::str::from_utf8(valid).unwrap_or_default(), Some(rest))
        }
    };
    let (end, problem) = match (refused_character(valid), rest) {
        (Some(at), _) => (at, CONTROL_CHARACTER),
        (None, Some(rest)) => (valid.len(), utf8_problem(rest)),
        (None, None) => return Text { text: Cow::Borrowed(valid), fault: None },
    };
    let fault = Error::unreadable_text(&bytes[..end], problem);
    Text { text: Cow::Borrowed(&valid[..piece_start(valid, end, mark)]), fault: Some(fault) }
}

const CONTROL_CHARACTER: &str = "control characters are not allowed";

/// Where the piece begins that holds the byte `at`. A piece ends with a whole character.
fn piece_start(text: &str, at: usize, mark: usize) -> usize {
    let mut start = 0;
    let mut end = text.floor_char_boundary(PIECE - mark);
    while end <= at && end < text.len() {
        start = end;
        end = text.floor_char_boundary(end + PIECE);
    }
    start
}

/// The first character that YAML has no place for: a control character, or a code point that means nothing.
fn refused_character(text: &str) -> Option<usize> {
    const CHUNK: usize = 64;
    let mut chunks = text.as_bytes().chunks(CHUNK).enumerate();
    chunks.find_map(|(at, chunk)| {
        // Without a branch for each byte, which compiles to a few instructions for all of them.
        let found = chunk.iter().fold(false, |found, &byte| found | is_suspect(byte));
        let bytes = at * CHUNK..at * CHUNK + chunk.len();
        found.then(|| bytes.into_iter().find(|&at| is_refused(text.as_bytes().get(at..).unwrap_or_default())))?
    })
}

/// Whether a character that is refused may begin with the byte.
fn is_suspect(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\n') || byte == 0x7F || byte == 0xC2 || byte == 0xEF
}

fn is_refused(bytes: &[u8]) -> bool {
    match bytes {
        [b'\t' | b'\n' | b'\r', ..] => false,
        [0..0x20 | 0x7F, ..] | [0xC2, 0x80..=0x84 | 0x86..=0x9F, ..] | [0xEF, 0xBF, 0xBE | 0xBF, ..] => true,
        _ => false,
    }
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

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Text<'static>, Error> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for character in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        match character {
            Ok(character) => text.push(character),
            Err(error) => {
                let problem = surrogate_problem(error.unpaired_surrogate());
                return Err(Error::unreadable_text(text.as_bytes(), problem));
            }
        }
    }
    if !rest.is_empty() {
        return Err(Error::unreadable_text(text.as_bytes(), "incomplete UTF-16 character"));
    }
    match refused_character(&text) {
        Some(at) => Err(Error::unreadable_text(&text.as_bytes()[..at], CONTROL_CHARACTER)),
        None => Ok(Text { text: Cow::Owned(text), fault: None }),
    }
}

fn surrogate_problem(unit: u16) -> &'static str {
    if unit & 0xFC00 == 0xDC00 { "unexpected low surrogate area" } else { "expected low surrogate area" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        let text = decode(bytes, &Limits::default()).map_err(|error| error.in_go_words())?;
        text.fault.map_or(Ok(text.text.into_owned()), |fault| Err(fault.in_go_words()))
    }

    #[test]
    fn byte_order_marks_tell_the_encoding() {
        assert_eq!(read(b"\xEF\xBB\xBFa").unwrap(), "a");
        assert_eq!(read(b"\xFF\xFEa\0\x3D\xD8\x00\xDE").unwrap(), "a\u{1F600}");
        assert_eq!(read(b"\xFE\xFF\0a").unwrap(), "a");
        assert_eq!(read(b"\xFE\xFF\0").unwrap_err(), "yaml: incomplete UTF-16 character");
    }

    #[test]
    fn broken_utf8_is_refused_in_go_words() {
        let problem = |bytes: &[u8]| read(bytes).unwrap_err();
        assert_eq!(problem(b"a: \xFF"), "yaml: invalid leading UTF-8 octet");
        assert_eq!(problem(b"a: \xC3"), "yaml: incomplete UTF-8 octet sequence");
        assert_eq!(problem(b"a: \xC3("), "yaml: invalid trailing UTF-8 octet");
        assert_eq!(problem(b"a: \xC0\x80"), "yaml: invalid length of a UTF-8 sequence");
        assert_eq!(problem(b"a: \xED\xA0\x80"), "yaml: invalid Unicode character");
    }

    #[test]
    fn control_characters_are_refused_and_line_ends_are_not() {
        assert!(read("a\tb\r\nc\u{85}d\u{FEFF}e\u{FFFD}".as_bytes()).is_ok());
        for bad in ["\0", "\u{1B}", "\u{7F}", "\u{80}", "\u{9F}", "\u{FFFE}", "\u{FFFF}"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_stands_before_the_piece_of_a_fault_is_read() {
        let mut bytes = vec![b'a'; 2 * PIECE - 1];
        bytes.extend("é\0".as_bytes());
        let text = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!((text.text.len(), text.fault.is_some()), (2 * PIECE - 1, true));
    }
}
