//! `-o`: a verb's answer as one document for programs.

use clap::ValueEnum;
use serde_json::Value;

/// The form of the document.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Document {
    Json,
    Yaml,
}

impl Document {
    /// The document's text, with its last line break.
    pub(super) fn text(self, value: &Value) -> String {
        match self {
            Self::Json => format!("{value:#}\n"),
            Self::Yaml => yaml::emit::to_yaml(value),
        }
    }
}
