//! Formats: from bytes to trees and back.

mod dotenv;
mod ini;
mod json;
mod json_read;
mod yaml;

use crate::Format;
use crate::error::Error;
use crate::tree::{Branch, Item, Value};

/// Bytes of a document: what Flux takes at most.
pub const LARGEST: usize = 5 << 20;

/// Reads an encrypted document; a binary one is JSON.
pub(crate) fn load_sealed(bytes: &[u8], format: Format) -> Result<Vec<Branch>, Error> {
    match format {
        Format::Binary => load_plain(bytes, Format::Json),
        format => load_plain(bytes, format),
    }
}

/// Reads a plain document.
pub(crate) fn load_plain(bytes: &[u8], format: Format) -> Result<Vec<Branch>, Error> {
    if bytes.len() > LARGEST {
        return Err(Error::TooLarge { limit: LARGEST });
    }
    match format {
        Format::Yaml => yaml::load(bytes),
        Format::Json => json_read::load(bytes).map(|branch| vec![branch]),
        Format::Dotenv => dotenv::load(bytes).map(|branch| vec![branch]),
        Format::Ini => ini::load(bytes).map(|branch| vec![branch]),
        Format::Binary => Ok(vec![vec![Item::new("data", Value::Str(bytes.into()))]]),
    }
}

/// Reads a single value of JSON.
pub(crate) fn load_value(json: &[u8]) -> Result<Value, Error> {
    if json.len() > LARGEST {
        return Err(Error::TooLarge { limit: LARGEST });
    }
    json_read::load_value(json)
}

/// How far collections are indented; `stores` of `.sops.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indents {
    /// Spaces a level in YAML.
    pub yaml: usize,
    /// Spaces a level in JSON; a tab when nothing is said.
    pub json: Option<usize>,
}

impl Default for Indents {
    fn default() -> Self {
        Indents { yaml: 4, json: None }
    }
}

/// Prints an encrypted document; a binary one is JSON.
pub(crate) fn emit_sealed(branches: &[Branch], format: Format, indents: Indents) -> Result<Vec<u8>, Error> {
    match format {
        Format::Binary => emit_plain(branches, Format::Json, indents),
        format => emit_plain(branches, format, indents),
    }
}

/// Prints a plain document. Of several documents all formats but YAML hold the first one alone; INI joins them.
pub(crate) fn emit_plain(branches: &[Branch], format: Format, indents: Indents) -> Result<Vec<u8>, Error> {
    let first = || branches.first().ok_or_else(|| unwritable(format, "the document is empty"));
    match format {
        Format::Yaml => Ok(yaml::emit(branches, indents.yaml)),
        Format::Json => json::emit(first()?, indents.json),
        Format::Dotenv => dotenv::emit(first()?),
        Format::Ini => ini::emit(branches),
        Format::Binary if branches.len() != 1 => Err(unwritable(format, "there must be exactly one document")),
        Format::Binary => binary(first()?),
    }
}

/// Prints a single value.
pub(crate) fn emit_value(value: &Value, format: Format, indents: Indents) -> Result<Vec<u8>, Error> {
    match format {
        Format::Yaml => Ok(yaml::emit_value(value)),
        Format::Json => json::emit_value(value, json::Layout::indented(indents.json)),
        Format::Ini => json::emit_value(value, json::Layout::OneLine),
        Format::Dotenv => Err(unwritable(format, "only texts can be extracted")),
        Format::Binary => Err(unwritable(format, "nothing can be extracted from binary files")),
    }
}

fn binary(branch: &Branch) -> Result<Vec<u8>, Error> {
    match branch.iter().find(|item| item.is_named("data")).map(|item| &item.value) {
        Some(Value::Str(text)) => Ok(text.bytes().to_vec()),
        Some(_) => Err(unwritable(Format::Binary, "its key 'data' holds no text")),
        None => Err(unwritable(Format::Binary, "it has no key 'data'; give another output type")),
    }
}

pub(crate) fn malformed(format: Format, line: Option<u32>, problem: impl Into<String>) -> Error {
    Error::Malformed { format, line, problem: problem.into() }
}

pub(crate) fn unwritable(format: Format, problem: impl Into<String>) -> Error {
    Error::Unwritable { format, problem: problem.into() }
}
