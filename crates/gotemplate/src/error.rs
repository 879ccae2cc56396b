//! What can go wrong, in Go's words, with its place.

use std::fmt;

/// Why a template was not parsed or not executed. `Display` is Go's text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The text is no template.
    Parse {
        /// Name of the template that was parsed.
        template: String,
        /// Line, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// An action failed.
    Execute(Box<ExecuteError>),
    /// A template was asked for that does not exist.
    NoTemplate {
        /// The name asked for.
        name: String,
        /// The template set's own name.
        root: String,
    },
    /// The execution cost too much.
    Limit {
        /// Which limit.
        limit: &'static str,
    },
}

/// Where and why an action failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteError {
    /// Name of the file (the outermost template of the parsed text).
    pub file: String,
    /// Line, from 1; 0 when the template as a whole is meant.
    pub line: u32,
    /// Bytes before the action on its line, as Go counts.
    pub column: u32,
    /// Name of the template that was executing.
    pub template: String,
    /// The action or operand, printed back.
    pub context: String,
    /// What happened.
    pub failure: Failure,
}

/// What happened, as a chain: each link may have a cause, as Go's wrapped errors have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Plain words.
    Message(String),
    /// What the author of a template says on purpose (Helm's `fail` and `required`).
    Raised(String),
    /// Words before a cause, joined by `: `.
    Wrapped {
        /// The words.
        message: String,
        /// The cause.
        cause: Box<Failure>,
    },
    /// A template that was executed by a function.
    Template(Box<Error>),
}

impl Failure {
    /// Plain words.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// The same, with words before it.
    #[must_use]
    pub fn wrap(self, message: impl Into<String>) -> Self {
        Self::Wrapped { message: message.into(), cause: Box::new(self) }
    }

    /// The next link of the chain.
    pub fn cause(&self) -> Option<&Failure> {
        match self {
            Self::Message(_) | Self::Raised(_) => None,
            Self::Wrapped { cause, .. } => Some(cause),
            Self::Template(error) => match error.as_ref() {
                Error::Execute(execute) => execute.failure.cause(),
                _ => None,
            },
        }
    }

    /// What the author of a template said on purpose, somewhere below.
    pub fn raised(&self) -> Option<&str> {
        match self {
            Self::Message(_) => None,
            Self::Raised(message) => Some(message),
            Self::Wrapped { cause, .. } => cause.raised(),
            Self::Template(error) => match error.as_ref() {
                Error::Execute(execute) => execute.failure.raised(),
                _ => None,
            },
        }
    }

    /// The limit that was exceeded somewhere below, if that is what happened.
    pub(crate) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Message(_) | Self::Raised(_) => None,
            Self::Wrapped { cause, .. } => cause.limit(),
            Self::Template(error) => match error.as_ref() {
                Error::Limit { limit } => Some(limit),
                _ => None,
            },
        }
    }
}

impl Error {
    /// The place of the innermost failing action: file, line from 1, column in bytes from 0.
    pub fn place(&self) -> Option<(&str, u32, u32)> {
        match self {
            Self::Parse { template, line, .. } => Some((template, *line, 0)),
            Self::Execute(execute) => Some((&execute.file, execute.line, execute.column)),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Template(Box::new(error))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) | Self::Raised(message) => f.write_str(message),
            Self::Wrapped { message, cause } => write!(f, "{message}: {cause}"),
            Self::Template(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse { template, line, message } => write!(f, "template: {template}:{line}: {message}"),
            Self::Execute(execute) => execute.fmt(f),
            Self::NoTemplate { name, root } => {
                let (name, root) = (crate::go::quote::quote(name.as_bytes()), crate::go::quote::quote(root.as_bytes()));
                write!(f, "template: no template {name} associated with template {root}")
            }
            Self::Limit { limit } => write!(f, "template: {limit} limit exceeded"),
        }
    }
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, template, context, failure } = self;
        if *line == 0 {
            return write!(f, "template: {template}: {failure}");
        }
        let name = crate::go::quote::quote(template.as_bytes());
        write!(f, "template: {file}:{line}:{column}: executing {name} at <{context}>: {failure}")
    }
}

impl std::error::Error for Error {}
impl std::error::Error for Failure {}
