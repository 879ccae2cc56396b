//! YAML and JSON as Go's libraries read and write them.
//!
//! The tools whose repositories Lockstep runs are written in Go. What a file means to them is decided by two YAML
//! libraries that disagree with each other and with the specification: `sigs.k8s.io/yaml` (yaml.v2's rules: Helm,
//! kubectl, Flux's own files) and `go.yaml.in/yaml/v3` (kustomize, SOPS). This crate reads and prints as they do.
//!
//! # Flow
//! ```text
//! text -> scanner (tokens, comments) -> parser (events) -> Node -> Value      parse, to_value, from_str
//! Value -> text                                                               emit::to_yaml, emit::to_kyaml, json
//! Node  -> text, comments kept                                                emit::node
//! ```
//!
//! # Guarantees
//! - No text panics, hangs or overflows the stack: size and depth are limited by [`Limits`], and aliases as in Go. Trees
//!   and values that a caller builds are followed as deep as they are.
//! - Every step is linear in the size of its input.
//! - Printing does not depend on the order of keys in a [`serde_json::Map`]: the order is Go's.
//!
//! # Errors
//! [`Error`] shows where (line, column) and why, never a value of the file; [`Error::in_go_words`] is the text of the
//! original, which may quote one, for those who must return that text (`fromYaml` of Helm).

pub mod emit;
pub mod float;
pub mod json;

mod cursor;
mod error;
mod limits;
mod node;
mod parser;
mod resolve;
mod scanner;
mod text;
mod token;
mod value;

pub use error::Error;
pub use limits::Limits;
pub use node::{Comments, Kind, Node, Style, Tag};
pub use resolve::{Resolver, Scalar, resolve_plain};
pub use value::{Aliases, Strictness, check, from_str, from_str_strict, quote, to_value};

use parser::Parser;

/// Reads all documents of a stream into trees, with comments, styles and positions as yaml.v3 attaches them. Each tree
/// is a [`Kind::Document`] whose only child is its root. An empty stream has no documents. As in
/// yaml.v3 a later document may name an anchor of an earlier one; [`to_value`] and [`Aliases`] then do not find it, since
/// they see one document.
///
/// # Errors
/// The first syntax error, an alias without its anchor, or a limit exceeded.
pub fn parse(text: &[u8], limits: &Limits) -> Result<Vec<Node>, Error> {
    let text = text::decode(text, limits)?;
    let mut parser = Parser::new(&text, Resolver::V3, limits);
    let mut documents = Vec::new();
    while let Some(document) = parser.next_document()? {
        documents.push(document);
    }
    Ok(documents)
}

/// One document of a stream of manifests, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// The text between two separators, without them.
    pub text: &'a str,
    /// The line of the stream on which the text begins, from 1.
    pub line: u32,
}

/// Splits a stream where a line begins with `---`, as Kubernetes' own decoder does before it parses each part alone; what
/// else stands on such a line is dropped with it. At the beginning of the stream it stays, for the parser. Parts of
/// blanks and comments alone are kept: whether they count is the caller's rule. kustomize and Helm split by rules of
/// their own.
#[must_use]
pub fn documents(stream: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut rest, mut line) = (stream, 1);
    while let Some((text, after)) = rest.split_once("\n---") {
        documents.push(Document { text, line });
        let (_, next) = after.split_once('\n').unwrap_or((after, ""));
        line = line.saturating_add(count_lines(text) + 2);
        rest = next;
    }
    documents.push(Document { text: rest, line });
    documents
}

fn count_lines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_split_at_lines_that_begin_with_three_dashes() {
        let split = |stream| documents(stream).iter().map(|part| (part.text, part.line)).collect::<Vec<_>>();
        assert_eq!(split("---\na: 1\n\n--- # next\nb: 2\n---"), [("---\na: 1\n", 1), ("b: 2", 5), ("", 7)]);
        assert_eq!(split("a: x---\n"), [("a: x---\n", 1)]);
        assert_eq!(split(""), [("", 1)]);
    }
}
