//! The one tree that all formats are read into: ordered, with comments in place.

use std::borrow::Cow;

use yaml::float;

use crate::text::Text;
use crate::{number, time};

/// Collections within collections; deeper files are refused, so that walking a tree cannot exhaust the stack.
pub(crate) const DEEPEST: usize = 256;

/// A line of comment, without its `#`.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Comment {
    pub(crate) text: Text,
    /// Whether it stands behind a value on its line.
    pub(crate) inline: bool,
}

impl Comment {
    pub(crate) fn line(text: impl Into<Text>) -> Self {
        Comment { text: text.into(), inline: false }
    }
}

/// What a document holds, in the types of sops.
#[derive(Clone, PartialEq, Default)]
pub(crate) enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// Above the range of `Int`: can be read and not walked, as in the original.
    Uint(u64),
    Float(f64),
    Str(Text),
    /// Only old files have it.
    Bytes(Text),
    /// RFC 3339 with nanoseconds.
    Time(String),
    /// In a list, or as a key of a branch.
    Comment(Comment),
    Branch(Branch),
    List(Vec<Value>),
}

/// What stands before a value.
#[derive(Clone, PartialEq)]
pub(crate) enum Key {
    Name(Text),
    /// A line of its own between the entries; its value is null.
    Comment(Comment),
    /// A key that is no string, by Go's name of its type; it can be read and not walked.
    Other(&'static str),
}

#[derive(Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) value: Value,
}

/// Entries and comments in the order of the file.
pub(crate) type Branch = Vec<Item>;

impl Item {
    pub(crate) fn new(name: impl Into<Text>, value: Value) -> Self {
        Item { key: Key::Name(name.into()), value }
    }

    pub(crate) fn comment(comment: Comment) -> Self {
        Item { key: Key::Comment(comment), value: Value::Null }
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        matches!(&self.key, Key::Name(text) if text.is(name))
    }

    fn write(&self, line: &mut Vec<u8>) {
        line.push(b'{');
        match &self.key {
            Key::Name(name) => line.extend_from_slice(name.bytes()),
            Key::Comment(comment) => comment.write(line),
            Key::Other(kind) => line.extend_from_slice(kind.as_bytes()),
        }
        line.push(b' ');
        self.value.write(line);
        line.push(b'}');
    }

    /// The name, unless the key is a comment or no string.
    pub(crate) fn name(&self) -> Option<&Text> {
        match &self.key {
            Key::Name(name) => Some(name),
            _ => None,
        }
    }
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Value::Str(text.into())
    }

    /// Go's name of the type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::Time(_) => "time.Time",
            Value::Comment(_) => "sops.Comment",
            Value::Branch(_) => "sops.TreeBranch",
            Value::List(_) => "[]interface {}",
        }
    }

    /// The bytes that are hashed and encrypted; collections have none.
    pub(crate) fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Value::Str(text) | Value::Bytes(text) | Value::Comment(Comment { text, .. }) => Cow::Borrowed(text.bytes()),
            Value::Bool(true) => Cow::Borrowed(b"True"),
            Value::Bool(false) => Cow::Borrowed(b"False"),
            Value::Int(value) => Cow::Owned(value.to_string().into_bytes()),
            Value::Float(value) => Cow::Owned(number::positional(*value).into_bytes()),
            Value::Time(text) => Cow::Borrowed(text.as_bytes()),
            Value::Null | Value::Uint(_) | Value::Branch(_) | Value::List(_) => Cow::Borrowed(b""),
        }
    }

    /// As dotenv and INI write it: Go's `%v`, but for floats and times.
    pub(crate) fn to_line(&self) -> Cow<'_, [u8]> {
        match self {
            Value::Str(text) => Cow::Borrowed(text.bytes()),
            Value::Float(value) => Cow::Owned(number::upper(*value).into_bytes()),
            Value::Time(text) => Cow::Owned(time::to_seconds(text).into_bytes()),
            other => {
                let mut line = Vec::new();
                other.write(&mut line);
                Cow::Owned(line)
            }
        }
    }

    /// Go's `%v`.
    fn write(&self, line: &mut Vec<u8>) {
        match self {
            Value::Null => line.extend_from_slice(b"<nil>"),
            Value::Bool(value) => line.extend_from_slice(value.to_string().as_bytes()),
            Value::Int(value) => line.extend_from_slice(value.to_string().as_bytes()),
            Value::Uint(value) => line.extend_from_slice(value.to_string().as_bytes()),
            Value::Float(value) => line.extend_from_slice(float::general(*value).as_bytes()),
            Value::Time(text) => line.extend_from_slice(text.as_bytes()),
            Value::Str(text) => line.extend_from_slice(text.bytes()),
            Value::Bytes(text) => line.extend_from_slice(number::list(text.bytes()).as_bytes()),
            Value::Comment(comment) => comment.write(line),
            Value::List(list) => write_list(list, line, Value::write),
            Value::Branch(branch) => write_list(branch, line, Item::write),
        }
    }
}

impl Comment {
    fn write(&self, line: &mut Vec<u8>) {
        line.push(b'{');
        line.extend_from_slice(self.text.bytes());
        line.extend_from_slice(if self.inline { b" true}" } else { b" false}" });
    }
}

fn write_list<T>(list: &[T], line: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    line.push(b'[');
    for (place, entry) in list.iter().enumerate() {
        if place > 0 {
            line.push(b' ');
        }
        write(entry, line);
    }
    line.push(b']');
}
