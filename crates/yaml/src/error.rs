//! Why a text was refused, and where.

use std::fmt;

use crate::cursor::Mark;
use crate::{Node, Resolver};

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

/// What scanner and parser refuse, before it is known in whose words.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) in_scanner: bool,
    pub(crate) problem: &'static str,
    pub(crate) mark: Mark,
    /// Where that began which the problem is in.
    pub(crate) context: Option<Mark>,
}

impl Problem {
    pub(crate) fn scanner(problem: &'static str, mark: Mark, context: Option<Mark>) -> Box<Self> {
        Box::new(Problem { in_scanner: true, problem, mark, context })
    }

    pub(crate) fn into_error(self, resolver: Resolver) -> Error {
        let Mark { line, column, .. } = self.mark;
        let go_line = self.go_line(resolver);
        Error::Syntax { line: line + 1, column: column + 1, problem: self.problem.to_owned(), go_line }
    }

    /// Go counts lines from 0, adds 1 in the scanner alone, and takes 0 for none. yaml.v2 looks at the place of the
    /// problem first, yaml.v3 at its context.
    fn go_line(&self, resolver: Resolver) -> u32 {
        let here = self.mark.line;
        let context = self.context.map_or(0, |mark| mark.line);
        let scanner = u32::from(self.in_scanner);
        match resolver {
            Resolver::V2 if here != 0 => here + scanner,
            Resolver::V2 => context,
            Resolver::V3 if context != 0 => context + scanner,
            Resolver::V3 if here != 0 => here + scanner,
            Resolver::V3 => 0,
        }
    }
}

impl Error {
    /// A problem for which Go tells no line.
    pub(crate) fn without_place(mark: Mark, problem: String) -> Self {
        Error::Syntax { line: mark.line + 1, column: mark.column + 1, problem, go_line: 0 }
    }

    /// A problem behind the bytes that could be read.
    pub(crate) fn unreadable_text(before: &[u8], problem: &str) -> Self {
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let count = |bytes: &[u8], counts: fn(u8) -> bool| {
            u32::try_from(bytes.iter().filter(|&&byte| counts(byte)).count()).unwrap_or(u32::MAX - 1)
        };
        let line = count(before, |byte| byte == b'\n');
        let column = count(&before[line_start..], |byte| byte & 0xC0 != 0x80);
        Error::without_place(Mark { index: 0, line, column }, problem.to_owned())
    }

    /// The same problem, at a node.
    pub(crate) fn at(mut self, node: &Node) -> Self {
        if let Error::Unreadable { line, column, .. } = &mut self {
            (*line, *column) = (node.line, node.column);
        }
        self
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
