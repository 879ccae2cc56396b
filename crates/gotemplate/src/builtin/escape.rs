//! Escaping for HTML, JavaScript and URLs.

use crate::go::quote::{is_print, runes};

/// `HTMLEscapeString`.
pub(crate) fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
    out
}

/// `JSEscapeString`.
pub(crate) fn js(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for (character, _) in runes(text) {
        match character.unwrap_or(char::REPLACEMENT_CHARACTER) {
            character @ ('\\' | '\'' | '"') => out.extend(['\\', character]),
            character @ ('<' | '>' | '&' | '=') => out.push_str(&format!("\\u{:04X}", u32::from(character))),
            character if is_print(character) => out.push(character),
            character => out.push_str(&format!("\\u{:04X}", u32::from(character))),
        }
    }
    out.into_bytes()
}

/// `url.QueryEscape`.
pub(crate) fn url_query(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
