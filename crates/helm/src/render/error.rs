//! What went wrong in a template, in Helm's words.

use gotemplate::{Error, ExecuteError, Failure, go};

/// A template that was not rendered. `Display` is Helm's text, which may quote values of the chart's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The innermost file that the failure is known to be in, by full path.
    pub file: String,
    /// Line in it, from 1; 0 when it is not known.
    pub line: u32,
    /// Bytes before the action on its line.
    pub column: u32,
    /// Helm's text.
    pub message: String,
    /// Whether the author of the chart said so on purpose (`fail`, `required`).
    pub is_raised: bool,
}

impl TemplateError {
    /// A file that is no template.
    pub(super) fn parse(file: &str, error: &Error) -> Self {
        let text = error.to_string();
        let tokens: Vec<&str> = text.split(": ").collect();
        let place = tokens.get(1).copied().unwrap_or(file);
        let last = tokens.last().copied().unwrap_or_default();
        Self::new(file, error, format!("parse error at ({place}): {last}"), false)
    }

    /// A template that failed.
    pub(super) fn execute(file: &str, error: &Error) -> Self {
        let Error::Execute(execute) = error else {
            return Self::new(file, error, error.to_string(), false);
        };
        if let Some(raised) = execute.failure.raised() {
            let message = format!("execution error at ({}): {raised}", place(execute));
            return Self::new(file, error, message, true);
        }
        let mut links = Vec::new();
        let told = trace(execute, &mut links);
        let message = if told { links.concat().trim().to_owned() } else { error.to_string() };
        Self::new(file, error, message, false)
    }

    fn new(file: &str, error: &Error, message: String, is_raised: bool) -> Self {
        let (file, line, column) = innermost(error).unwrap_or((file, 0, 0));
        Self { file: file.to_owned(), line, column, message, is_raised }
    }
}

fn place(execute: &ExecuteError) -> String {
    let ExecuteError { file, line, column, template, .. } = execute;
    if *line == 0 { template.clone() } else { format!("{file}:{line}:{column}") }
}

/// The place of the last template in the chain of causes.
fn innermost(error: &Error) -> Option<(&str, u32, u32)> {
    let inner = match error {
        Error::Execute(execute) => inner_error(&execute.failure).and_then(innermost),
        _ => None,
    };
    inner.or_else(|| error.place())
}

fn inner_error(failure: &Failure) -> Option<&Error> {
    match failure {
        Failure::Template(error) => Some(error),
        Failure::Wrapped { cause, .. } => inner_error(cause),
        _ => None,
    }
}

/// Lists the chain of failing templates, outermost first. Helm lists it only when every link is a template's error;
/// `false` when one is not.
fn trace(execute: &ExecuteError, links: &mut Vec<String>) -> bool {
    let name = go::quote::quote(execute.template.as_bytes());
    let message = execute.failure.to_string();
    let message = message.split(" template:").next().unwrap_or_default();
    let link = format!("{}\n  executing {name} at <{}>:\n    {message}\n", place(execute), execute.context);
    if links.last() != Some(&link) {
        links.push(link);
    }
    match execute.failure.cause() {
        None => true,
        Some(Failure::Template(error)) => match error.as_ref() {
            Error::Execute(inner) => trace(inner, links),
            other => {
                links.push(format!("{other}\n"));
                true
            }
        },
        Some(_) => false,
    }
}
