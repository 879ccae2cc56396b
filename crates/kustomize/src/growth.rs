//! How much a build may read and add. A few lines can copy their copies, or one large value to very many places: more
//! than any machine holds, or deeper than any stack.

use serde_json::Value;
use yaml::Node;

use crate::error::Problem;

/// Bytes that changes may add to the objects of a build, about: some megabytes are much.
const MOST_BYTES: usize = 64 << 20;
/// How deep an object may nest: as deep as a file may that is read.
pub(crate) const DEEPEST: usize = 256;
/// What a node counts beside its text.
const NODE: usize = 32;

/// Bytes that changes have added so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth(usize);

impl Growth {
    /// Counts a text that is about to be added.
    pub(crate) fn text(&mut self, length: usize) -> Result<(), Problem> {
        self.0 = self.0.saturating_add(length.saturating_add(NODE));
        self.check()
    }

    /// Counts a value that is about to be put at the end of a path of that many parts, and refuses one that nests too
    /// deep there.
    pub(crate) fn value<'v>(&mut self, value: impl Into<Part<'v>>, path: usize) -> Result<(), Problem> {
        self.below(value.into(), path)
    }

    fn below(&mut self, value: Part<'_>, depth: usize) -> Result<(), Problem> {
        check_depth(depth)?;
        match value {
            Part::Node(node) => {
                self.text(node.value.len())?;
                node.children.iter().try_for_each(|child| self.below(Part::Node(child), depth + 1))
            }
            Part::Json(Value::String(text)) => self.text(text.len()),
            Part::Json(Value::Array(entries)) => {
                self.text(0)?;
                entries.iter().try_for_each(|entry| self.below(Part::Json(entry), depth + 1))
            }
            Part::Json(Value::Object(map)) => map.iter().try_for_each(|(key, value)| {
                self.text(key.len())?;
                self.below(Part::Json(value), depth + 1)
            }),
            Part::Json(_) => self.text(0),
        }
    }

    /// Counts what the layer below has added.
    pub(crate) fn join(&mut self, other: &Growth) {
        self.0 = self.0.saturating_add(other.0);
    }

    fn check(&self) -> Result<(), Problem> {
        if self.0 > MOST_BYTES {
            return Err(Problem::TooMuch { what: "bytes added to the objects of a build", limit: MOST_BYTES });
        }
        Ok(())
    }
}

/// Refuses what would lie below that many others.
pub(crate) fn check_depth(depth: usize) -> Result<(), Problem> {
    if depth > DEEPEST {
        return Err(Problem::TooMuch { what: "fields within one another", limit: DEEPEST });
    }
    Ok(())
}

/// A value, in one of the two forms that an object has.
pub(crate) enum Part<'v> {
    Node(&'v Node),
    Json(&'v Value),
}

impl<'v> From<&'v Node> for Part<'v> {
    fn from(node: &'v Node) -> Self {
        Part::Node(node)
    }
}

impl<'v> From<&'v Value> for Part<'v> {
    fn from(value: &'v Value) -> Self {
        Part::Json(value)
    }
}
