//! Values as `fmt`'s `%#v` prints them, for the error texts that quote them.

use super::Decoder;
use crate::error::Error;
use crate::float;
use crate::node::{Kind, Node, Tag};
use crate::resolve::{Resolver, Scalar};

impl Decoder<'_> {
    /// The node as a Go value that was decoded without a type.
    pub(super) fn go_syntax(&mut self, node: &Node) -> Result<String, Error> {
        self.print(node, "<nil>")
    }

    fn print(&mut self, node: &Node, nil: &str) -> Result<String, Error> {
        self.count(node)?;
        match node.kind {
            Kind::Scalar if node.tag == Tag::Binary => Ok(quote(&super::decode_binary(node)?)),
            Kind::Scalar => Ok(match self.resolver.scalar(node)? {
                Scalar::Null => nil.to_owned(),
                Scalar::Bool(value) => value.to_string(),
                Scalar::Int(value) => value.to_string(),
                Scalar::Uint(value) => format!("{value:#x}"),
                Scalar::Float(value) => float::general(value),
                Scalar::Timestamp(_) | Scalar::Merge | Scalar::Str(_) => quote(&node.value),
            }),
            Kind::Alias => {
                let target = self.follow(node)?;
                let text = self.print(target, nil);
                self.leave();
                text
            }
            Kind::Sequence | Kind::Document => {
                self.deeper(node)?;
                let entries = node.children.iter().map(|child| self.print(child, "interface {}(nil)"));
                let entries = entries.collect::<Result<Vec<_>, _>>()?;
                self.depth -= 1;
                Ok(format!("[]interface {{}}{{{}}}", entries.join(", ")))
            }
            Kind::Mapping => {
                self.deeper(node)?;
                let mut entries = Vec::new();
                for (key, value) in node.pairs() {
                    let key = self.print(key, "interface {}(nil)")?;
                    entries.push(format!("{key}:{}", self.print(value, "interface {}(nil)")?));
                }
                self.depth -= 1;
                entries.sort();
                let is_of_strings = self.resolver == Resolver::V3 && self.has_string_keys(node)?;
                let kind = if is_of_strings { "string" } else { "interface {}" };
                Ok(format!("map[{kind}]interface {{}}{{{}}}", entries.join(", ")))
            }
        }
    }
}

/// A text in quotes, as Go's `strconv.Quote` and its verb `%q` write it, and with them the error texts of Go's tools.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0C' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0B' => quoted.push_str("\\v"),
            _ if is_printable(character) => quoted.push(character),
            '\0'..='\x7F' => quoted.push_str(&format!("\\x{:02x}", u32::from(character))),
            '\u{80}'..='\u{FFFF}' => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    quoted.push('"');
    quoted
}

/// Rust's own debug form escapes what is not printable by the same categories as Go's. It also escapes a combining
/// character at the beginning of a text, so one stands before it here.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    let text: String = ['a', character].iter().collect();
    text.escape_debug().eq(text.chars())
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn only_what_can_be_printed_stays() {
        assert_eq!(
            quote("a\"\\\n\x1B\x7Fé\u{300}\u{A0}\u{2028}\u{10FFFF}😀"),
            r#""a\"\\\n\x1b\x7fé̀\u00a0\u2028\U0010ffff😀""#
        );
    }
}
