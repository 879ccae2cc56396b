//! Visits the values of a tree in file order, with their place and whether the document's rule selects them.

use crate::error::{Error, ValueProblem};
use crate::selection::{Remarks, Selection};
use crate::tree::{Branch, Item, Key, Value};

/// What is done with a leaf: a scalar, or a comment.
pub(crate) trait Visitor {
    /// Changes the value in place. Errors get their path from the walk.
    fn visit(&mut self, value: &mut Value, place: &Place<'_>) -> Result<(), ValueProblem>;
}

/// Where a leaf is.
pub(crate) struct Place<'p> {
    /// Keys from the root, each with a colon behind it. Authenticated with the value.
    pub(crate) path: &'p [u8],
    /// Whether the value is encrypted in a file.
    pub(crate) is_selected: bool,
    /// Whether it stands as a comment in the file.
    pub(crate) is_comment: bool,
}

/// Visits all documents of a file.
pub(crate) fn walk(branches: &mut [Branch], selection: &Selection, visitor: &mut impl Visitor) -> Result<(), Error> {
    for branch in branches {
        let mut walk = Walk { selection, visitor, path: Vec::new(), key_matched: false, remarks: Vec::new() };
        walk.branch(branch)?;
    }
    Ok(())
}

struct Walk<'w, V> {
    selection: &'w Selection,
    visitor: &'w mut V,
    path: Vec<u8>,
    key_matched: bool,
    /// One for each collection around the current place.
    remarks: Vec<Remarks>,
}

impl<V: Visitor> Walk<'_, V> {
    fn branch(&mut self, branch: &mut Branch) -> Result<(), Error> {
        self.remarks.push(Remarks::default());
        for item in branch {
            self.item(item)?;
        }
        self.remarks.pop();
        Ok(())
    }

    fn item(&mut self, item: &mut Item) -> Result<(), Error> {
        let name = match &mut item.key {
            Key::Comment(_) => return self.comment(&mut item.key),
            Key::Other(found) => return Err(self.error(ValueProblem::Key { found })),
            Key::Name(name) => name,
        };
        let (length, matched) = (self.path.len(), self.key_matched);
        self.key_matched |= self.selection.matches_key(name);
        self.path.extend_from_slice(name.bytes());
        self.path.push(b':');
        self.value(&mut item.value)?;
        self.path.truncate(length);
        self.key_matched = matched;
        Ok(())
    }

    /// A comment between entries, which remains one whatever was in it.
    fn comment(&mut self, key: &mut Key) -> Result<(), Error> {
        let Key::Comment(comment) = key else { return Ok(()) };
        let inline = comment.inline;
        let mut value = Value::Comment(std::mem::take(comment));
        self.value(&mut value)?;
        *comment = match value {
            Value::Comment(comment) => comment,
            Value::Str(text) => crate::tree::Comment { text, inline },
            other => return Err(self.error(ValueProblem::Comment { found: other.type_name() })),
        };
        Ok(())
    }

    fn value(&mut self, value: &mut Value) -> Result<(), Error> {
        let is_comment = matches!(value, Value::Comment(_));
        if let (Value::Comment(comment), Some(remarks)) = (&*value, self.remarks.last_mut()) {
            self.selection.remark(remarks, &comment.text);
        }
        match value {
            Value::Null => {}
            Value::Branch(branch) => self.branch(branch)?,
            Value::List(list) => self.list(list)?,
            Value::Uint(_) => return Err(self.error(ValueProblem::Unsupported { found: value.type_name() })),
            _ => self.leaf(value, is_comment)?,
        }
        // A comment speaks for what follows it, up to the next entry.
        if let (false, Some(remarks)) = (is_comment, self.remarks.last_mut()) {
            *remarks = Remarks::default();
        }
        Ok(())
    }

    /// Entries of a list share the path of the list.
    fn list(&mut self, list: &mut [Value]) -> Result<(), Error> {
        self.remarks.push(Remarks::default());
        for value in list {
            self.value(value)?;
        }
        self.remarks.pop();
        Ok(())
    }

    fn leaf(&mut self, value: &mut Value, is_comment: bool) -> Result<(), Error> {
        let path: &[u8] = if self.path.is_empty() { b":" } else { &self.path };
        let is_selected = self.selection.selects(self.key_matched, &self.remarks, is_comment);
        let result = self.visitor.visit(value, &Place { path, is_selected, is_comment });
        result.map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: ValueProblem) -> Error {
        let path = self.path.strip_suffix(b":").unwrap_or_default();
        Error::Value { path: String::from_utf8_lossy(path).into_owned(), problem }
    }
}
