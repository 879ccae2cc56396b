//! Why a document was refused: where, and never with which value.

use std::borrow::Cow;
use std::fmt;

use crate::{Format, KeyKind};

/// A document that cannot be read, opened, sealed or printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More bytes than a document may have.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not a document of its format.
    #[error("the {} document cannot be read{}: {problem}", format.name(), at_line(*line))]
    Malformed {
        /// The format that it was read as.
        format: Format,
        /// From 1, where known.
        line: Option<u32>,
        /// What is wrong.
        problem: String,
    },
    /// No metadata: the document is not encrypted.
    #[error("sops metadata not found: the document is not encrypted")]
    NotEncrypted,
    /// Metadata where none may be: the document is encrypted already.
    #[error("the document has a top-level entry '{entry}': it is encrypted already, or the entry needs another name")]
    AlreadyEncrypted {
        /// The entry.
        entry: String,
    },
    /// Metadata that cannot be used.
    #[error("the sops metadata is invalid: {field}: {problem}")]
    Metadata {
        /// The field, with its place.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The data key cannot be recovered from what the document has and the identities that were given.
    #[error("the data key cannot be recovered: {0}")]
    DataKey(#[from] Box<DataKeyFailure>),
    /// A value that cannot be walked, opened or sealed.
    #[error("the value at '{path}' {problem}")]
    Value {
        /// Keys from the root, joined by colons as in sops; empty for the root.
        path: String,
        /// What is wrong.
        problem: ValueProblem,
    },
    /// The document is not as it was when it was encrypted.
    #[error("{0}; restore the file, or encrypt it again with sops")]
    Mac(MacState),
    /// A file that holds no document to be encrypted.
    #[error("the file is empty; there must be at least one document")]
    Empty,
    /// Plaintext that the output format cannot hold.
    #[error("the plaintext cannot be written as {}: {problem}", format.name())]
    Unwritable {
        /// The output format.
        format: Format,
        /// What is wrong, and at which key.
        problem: String,
    },
    /// An entry that no environment can hold.
    #[error("{problem}; offending key {key}")]
    Environment {
        /// The entry.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A path that leads to nothing.
    #[error("nothing at {path}: {problem}")]
    NoSuchPath {
        /// The part of the path that has no target.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A recipient that data keys cannot be wrapped for.
    #[error("the data key cannot be wrapped for {recipient}: {problem}")]
    Recipient {
        /// The recipient as given.
        recipient: String,
        /// What is wrong.
        problem: Cow<'static, str>,
    },
    /// Key groups that a secret cannot be split for.
    #[error("{problem}")]
    Groups {
        /// What is wrong.
        problem: &'static str,
    },
}

/// What was being done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was opened.
    Decrypt,
    /// It was sealed.
    Encrypt,
}

fn at_line(line: Option<u32>) -> String {
    line.map_or_else(String::new, |line| format!(" at line {line}"))
}

impl Error {
    /// The exit code that sops has for such a failure.
    #[must_use]
    pub fn exit_code(&self, action: Action) -> u8 {
        match self {
            Error::Malformed { .. } | Error::TooLarge { .. } if action == Action::Encrypt => 2,
            Error::Value { .. } if action == Action::Encrypt => 23,
            Error::Value { .. } => 25,
            Error::Mac(_) => 51,
            Error::Empty => 92,
            Error::DataKey(_) => 128,
            Error::AlreadyEncrypted { .. } => 203,
            Error::Unwritable { .. } => 4,
            _ => 1,
        }
    }
}

/// What is wrong with a single value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueProblem {
    /// It should be encrypted and is not of the form `ENC[…]`.
    #[error("is not encrypted, although the document's rule selects it")]
    NotSealed,
    /// It should be encrypted and is no text.
    #[error("is of type {found}, although the document's rule selects it and encrypted values are texts")]
    NotText {
        /// Go's name of its type.
        found: &'static str,
    },
    /// A part that is not base64.
    #[error("holds invalid base64 in its {part}")]
    Base64 {
        /// `data`, `iv` or `tag`.
        part: &'static str,
    },
    /// A nonce that is not 32 bytes long.
    #[error("has an initialization vector that is not 32 bytes long")]
    IvLength,
    /// Ciphertext, place or key do not belong together.
    #[error("does not decrypt: it was changed, moved, or encrypted with another data key")]
    Refused,
    /// A type that no version of sops writes.
    #[error("has the unknown type '{kind}'")]
    UnknownType {
        /// The type as found.
        kind: String,
    },
    /// Plaintext that is not what the type says.
    #[error("does not hold the {kind} that its type says")]
    NotOfType {
        /// The type.
        kind: &'static str,
    },
    /// A type that sops cannot walk.
    #[error("is of type {found}, which sops does not support")]
    Unsupported {
        /// Go's name of the type.
        found: &'static str,
    },
    /// A key that is no string.
    #[error("has a key of type {found}; keys must be strings")]
    Key {
        /// Go's name of the type.
        found: &'static str,
    },
    /// A comment that does not decrypt to one.
    #[error("has a comment that holds a {found}")]
    Comment {
        /// Go's name of the type.
        found: &'static str,
    },
    /// An encrypted comment that the rule would take for an open one.
    #[error("has a comment whose ciphertext matches unencrypted_comment_regex, which would leave it sealed for good")]
    Mistaken,
}

/// Whether a document is as it was when it was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MacState {
    /// It is.
    #[error("the MAC is valid")]
    Valid,
    /// It has no MAC.
    #[error("the document has no MAC")]
    Missing,
    /// Its MAC does not open: another document's, or the time of modification was changed.
    #[error("the MAC does not decrypt")]
    Unreadable,
    /// Values were added, removed, changed or reordered by something other than sops.
    #[error("the MAC does not match: values were changed without sops")]
    Stale,
}

/// What was tried to recover a data key.
#[derive(Debug)]
pub struct DataKeyFailure {
    /// Groups that must open.
    pub needed: usize,
    /// What became of each group, in the order of the file.
    pub groups: Vec<GroupOutcome>,
    /// Names of the identities that were given.
    pub identities: Vec<String>,
    /// Set when enough groups opened and their parts do not fit together.
    pub combine: Option<&'static str>,
}

/// What became of one group of keys.
#[derive(Debug)]
pub struct GroupOutcome {
    /// Whether one of the keys opened it.
    pub opened: bool,
    /// The keys that did not, and why.
    pub failures: Vec<KeyFailure>,
}

/// Why a key did not open.
#[derive(Debug)]
pub struct KeyFailure {
    /// What it is wrapped by.
    pub kind: KeyKind,
    /// Recipient, fingerprint or address.
    pub name: String,
    /// What is wrong.
    pub problem: KeyProblem,
}

/// Why a wrapped data key did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// Wrapped for somebody else.
    #[error("no identity given matches")]
    NoMatch,
    /// None was given.
    #[error("no identity was given")]
    NoIdentity,
    /// Wrapped by a passphrase, which no file of sops is.
    #[error("a passphrase wraps it, and none is asked for")]
    Passphrase,
    /// The wrapped key cannot be read.
    #[error("the wrapped key is damaged")]
    Damaged,
    /// A way of wrapping that nobody here can undo: no service was given, or it is none of ours.
    #[error("keys of this kind are not supported yet")]
    Unsupported,
    /// The service that holds the key did not open it.
    #[error("{0}")]
    Service(String),
}

impl fmt::Display for DataKeyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = self.combine {
            return write!(f, "the parts of the key groups do not fit together: {problem}");
        }
        let opened = self.groups.iter().filter(|group| group.opened).count();
        if self.groups.len() > 1 {
            write!(f, "{opened} of {} needed key groups opened; ", self.needed)?;
        }
        f.write_str("the file is encrypted for ")?;
        let mut separator = "";
        for (place, group) in self.groups.iter().enumerate() {
            for failure in &group.failures {
                write!(f, "{separator}{} {} (", failure.kind, failure.name)?;
                if self.groups.len() > 1 {
                    write!(f, "group {}, ", place + 1)?;
                }
                write!(f, "{})", failure.problem)?;
                separator = ", ";
            }
        }
        let mut failures = self.groups.iter().flat_map(|group| &group.failures);
        let wants_identity = failures.any(|failure| matches!(failure.kind, KeyKind::Age | KeyKind::Pgp));
        if wants_identity && !self.identities.is_empty() {
            write!(f, "; tried {}", self.identities.join(", "))?;
        }
        let first = match wants_identity {
            true => "give an identity of one of these recipients",
            false => "be somebody who may use one of these keys",
        };
        write!(f, "; {first}, or have sops updatekeys add yours to the file")
    }
}

impl std::error::Error for DataKeyFailure {}
