//! What an encrypted document says about itself: who can open it, which of its values are encrypted, and its MAC.

mod fields;
mod flatten;
mod read;
mod write;

use crate::Format;
use crate::error::Error;
use crate::key::MasterKey;
use crate::selection::Rule;
use crate::text::Text;
use crate::tree::{Branch, Item, Value};

/// The key that holds the metadata.
const ENTRY: &str = "sops";
/// Where formats without collections keep it.
const PREFIX: &str = "sops_";

/// The metadata of a document.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) groups: Vec<Vec<MasterKey>>,
    pub(crate) threshold: usize,
    /// RFC 3339, to the second: the additional data of the MAC.
    pub(crate) last_modified: String,
    pub(crate) mac: Text,
    pub(crate) mac_only_encrypted: bool,
    /// Binary files are made without one.
    pub(crate) rule: Option<Rule>,
    pub(crate) version: String,
}

/// How a format holds the metadata.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// As any other entry.
    Nested,
    /// A section of single values, in which line breaks are written `\n`.
    Section,
    /// Top-level entries of their own.
    Prefixed,
}

impl Layout {
    fn of(format: Format) -> Self {
        match format {
            Format::Yaml | Format::Json | Format::Binary => Layout::Nested,
            Format::Ini => Layout::Section,
            Format::Dotenv => Layout::Prefixed,
        }
    }
}

/// Takes the metadata out of the documents of a file; the first one's counts.
pub(crate) fn extract(branches: &mut [Branch], format: Format) -> Result<Metadata, Error> {
    let layout = Layout::of(format);
    let entries = match layout {
        Layout::Prefixed => extract_prefixed(branches),
        _ => extract_entry(branches)?,
    };
    let mut entries = entries.ok_or(Error::NotEncrypted)?;
    if layout == Layout::Section {
        replace_in_texts(&mut entries, "\\n", "\n");
    }
    if layout != Layout::Nested {
        entries = flatten::unflatten(entries)?;
    }
    read::metadata(&entries)
}

fn extract_entry(branches: &mut [Branch]) -> Result<Option<Branch>, Error> {
    let mut found = None;
    for (place, branch) in branches.iter_mut().enumerate() {
        for item in branch.extract_if(.., |item| item.is_named(ENTRY)) {
            match item.value {
                _ if place > 0 => {}
                _ if found.is_some() => return Err(invalid(ENTRY, "is there twice")),
                Value::Branch(entries) => found = Some(entries),
                _ => return Err(invalid(ENTRY, "is not a mapping")),
            }
        }
    }
    Ok(found)
}

fn extract_prefixed(branches: &mut [Branch]) -> Option<Branch> {
    let branch = branches.first_mut()?;
    let entries: Branch = branch
        .extract_if(.., |item| is_prefixed(item))
        .filter_map(|item| {
            let name = item.name()?.bytes().strip_prefix(PREFIX.as_bytes())?.to_vec();
            Some(Item::new(name, item.value))
        })
        .collect();
    (!entries.is_empty()).then_some(entries)
}

fn is_prefixed(item: &Item) -> bool {
    item.name().is_some_and(|name| name.bytes().starts_with(PREFIX.as_bytes()))
}

/// Refuses a file that has metadata, or entries where the metadata must go.
pub(crate) fn refuse_entries(branches: &[Branch], format: Format) -> Result<(), Error> {
    let is_taken = |item: &&Item| match Layout::of(format) {
        Layout::Prefixed => is_prefixed(item),
        _ => item.is_named(ENTRY),
    };
    match branches.iter().flatten().find(is_taken).and_then(Item::name) {
        Some(name) => Err(Error::AlreadyEncrypted { entry: name.lossy() }),
        None => Ok(()),
    }
}

/// Puts the metadata into each document of a file.
pub(crate) fn embed(branches: &mut [Branch], metadata: &Metadata, format: Format) {
    let layout = Layout::of(format);
    let mut entries = write::entries(metadata);
    if layout != Layout::Nested {
        entries = flatten::flatten(entries, if layout == Layout::Prefixed { PREFIX } else { "" });
    }
    if layout == Layout::Section {
        replace_in_texts(&mut entries, "\n", "\\n");
    }
    for branch in branches {
        match layout {
            Layout::Prefixed => branch.extend(entries.iter().cloned()),
            _ => branch.push(Item::new(ENTRY, Value::Branch(entries.clone()))),
        }
    }
}

fn replace_in_texts(entries: &mut Branch, from: &str, to: &str) {
    for item in entries {
        if let Value::Str(text) = &mut item.value
            && let Some(replaced) = text.as_str().filter(|text| text.contains(from)).map(|text| text.replace(from, to))
        {
            *text = replaced.into();
        }
    }
}

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Metadata { field: field.into(), problem: problem.into() }
}
