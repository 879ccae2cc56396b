//! Violations, and the words for them.

use gotemplate::go;
use serde_json::Value;

/// One violation, and those that caused it.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// Place in the values.
    pub(super) at: Vec<String>,
    pub(super) kind: Kind,
    pub(super) causes: Vec<Violation>,
}

/// What a violation is, as far as its place in the list depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words.
    Said(String),
    /// Several violations of one schema.
    Group,
    /// The violations of the schema that a reference leads to; one alone stands for itself.
    Reference,
}

impl Violation {
    /// All lines, the first level without indentation.
    pub(super) fn lines(self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.kind {
            Kind::Group => self.causes.iter().for_each(|cause| cause.push(&mut lines, 0)),
            _ => self.push(&mut lines, 0),
        }
        lines
    }

    fn push(&self, lines: &mut Vec<String>, indent: usize) {
        let is_skipped = self.kind == Kind::Reference && self.causes.len() == 1;
        if !is_skipped {
            let said = match &self.kind {
                Kind::Said(said) => said,
                Kind::Group | Kind::Reference => "validation failed",
            };
            lines.push(format!("{}- at {}: {said}", "  ".repeat(indent), quoted(&pointer(&self.at))));
        }
        let indent = indent + usize::from(!is_skipped);
        self.causes.iter().for_each(|cause| cause.push(lines, indent));
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// A text between single quotes.
pub(super) fn quoted(text: &str) -> String {
    let quoted = go::quote::quote(text.as_bytes()).replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{}'", &quoted[1..quoted.len() - 1])
}

/// Texts between single quotes, with commas between them.
pub(super) fn all_quoted<T: AsRef<str>>(texts: &[T]) -> String {
    texts.iter().map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A value of a schema.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Object(_) => "value".into(),
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    }
}

/// A number with commas between its thousands.
pub(super) fn number(value: f64) -> String {
    let text = go::float::format(value.abs(), 'f', None, go::float::Bits::B64);
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// A count with commas between its thousands.
#[expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
pub(super) fn count(value: usize) -> String {
    number(value as f64)
}

/// JSON Schema's word for a type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
