//! Why a text was refused, and where.

use std::fmt;

/// Text that may be a secret: printed by nobody but [`Error::in_go_words`].
#[derive(Clone, PartialEq, Eq)]
pub struct Quoted(pub(crate) String);

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// A text or value that Go's libraries refuse too, or that exceeds a limit of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not YAML to Go's scanner or parser.
    #[error("yaml: line {line}, column {column}: {problem}")]
    Syntax {
        /// Where the problem was seen, from 1; 0 where it has no place.
        line: u32,
        /// In characters, from 1.
        column: u32,
        /// Go's words for it.
        problem: String,
        /// Go's line for it, which is often another one, and 0 where Go says none.
        go_line: u32,
    },
    /// Several keys of mappings were found twice, where that is refused.
    #[error("yaml: line {line}: key {key:?} already set in map")]
    DuplicateKey {
        /// The line of the second one, from 1.
        line: u32,
        /// The first key that was found twice.
        key: String,
        /// All findings in Go's words.
        findings: Vec<String>,
    },
    /// A scalar, key or merge that has no meaning for the reader.
    #[error("yaml: line {line}, column {column}: {problem}")]
    Unreadable {
        /// Where the node begins, from 1.
        line: u32,
        /// In characters, from 1.
        column: u32,
        /// What is wrong, without the value.
        problem: &'static str,
        /// Go's words, which may quote the value.
        go_words: Quoted,
    },
    /// A value that cannot be written, such as an infinite number in JSON.
    #[error("{problem}")]
    Unwritable {
        /// What is wrong, without the value.
        problem: &'static str,
    },
    /// A bound of [`crate::Limits`] is exceeded.
    #[error("yaml: line {line}: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// Where it was seen, from 1; 0 for the text as a whole.
        line: u32,
        /// What is bounded.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
}

impl Error {
    pub(crate) fn syntax(line: u32, column: u32, problem: impl Into<String>) -> Self {
        Error::Syntax { line, column, problem: problem.into(), go_line: line }
    }

    /// The text that the Go library gives for the same input. May quote a value: not for logs.
    #[must_use]
    pub fn in_go_words(&self) -> String {
        match self {
            Error::Syntax { go_line: 0, problem, .. } => format!("yaml: {problem}"),
            Error::Syntax { go_line, problem, .. } => format!("yaml: line {go_line}: {problem}"),
            Error::DuplicateKey { findings, .. } => format!("yaml: unmarshal errors:\n  {}", findings.join("\n  ")),
            Error::Unreadable { go_words, .. } => go_words.0.clone(),
            Error::Unwritable { .. } | Error::TooLarge { .. } => self.to_string(),
        }
    }

    /// The line where the problem was seen, from 1, where it has one.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        match self {
            Error::Syntax { line, .. }
            | Error::DuplicateKey { line, .. }
            | Error::Unreadable { line, .. }
            | Error::TooLarge { line, .. } => (*line > 0).then_some(*line),
            Error::Unwritable { .. } => None,
        }
    }
}
