//! The tree of a document, as yaml.v3 has it.

use std::borrow::Cow;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// A whole document; its only child is the root.
    Document,
    /// Children are key, value, key, value.
    Mapping,
    /// Children are the entries.
    Sequence,
    /// A text with a tag.
    #[default]
    Scalar,
    /// Stands for the node whose anchor is its value.
    Alias,
}

/// How a node is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// A plain scalar or a block collection.
    #[default]
    Plain,
    /// `'text'`
    SingleQuoted,
    /// `"text"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
    /// `[a, b]` and `{a: b}`
    Flow,
}

/// The type of a node, as Go's short tags name it (`!!str`), or a tag of the file's own (`!vault`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Tag {
    /// Not said; the reader's resolver decides.
    #[default]
    None,
    /// `!!null`
    Null,
    /// `!!bool`
    Bool,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!str`
    Str,
    /// `!!timestamp`
    Timestamp,
    /// `!!binary`
    Binary,
    /// `!!merge`
    Merge,
    /// `!!map`
    Map,
    /// `!!seq`
    Seq,
    /// Any other, in short form.
    Other(Box<str>),
}

impl Tag {
    /// The short form: `!!str`, `!vault`; empty for [`Tag::None`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Tag::None => "",
            Tag::Null => "!!null",
            Tag::Bool => "!!bool",
            Tag::Int => "!!int",
            Tag::Float => "!!float",
            Tag::Str => "!!str",
            Tag::Timestamp => "!!timestamp",
            Tag::Binary => "!!binary",
            Tag::Merge => "!!merge",
            Tag::Map => "!!map",
            Tag::Seq => "!!seq",
            Tag::Other(tag) => tag,
        }
    }
}

impl From<&str> for Tag {
    /// Takes the short (`!!str`) and the long form (`tag:yaml.org,2002:str`).
    fn from(tag: &str) -> Self {
        let short = match tag.strip_prefix("tag:yaml.org,2002:") {
            Some(rest) => Cow::Owned(format!("!!{rest}")),
            None => Cow::Borrowed(tag),
        };
        match &*short {
            "" => Tag::None,
            "!!null" => Tag::Null,
            "!!bool" => Tag::Bool,
            "!!int" => Tag::Int,
            "!!float" => Tag::Float,
            "!!str" => Tag::Str,
            "!!timestamp" => Tag::Timestamp,
            "!!binary" => Tag::Binary,
            "!!merge" => Tag::Merge,
            "!!map" => Tag::Map,
            "!!seq" => Tag::Seq,
            _ => Tag::Other(short.into()),
        }
    }
}

/// Comments of a node, each with its `#`, lines joined by line breaks, as yaml.v3 attaches them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comments {
    /// On lines of their own above the node.
    pub head: String,
    /// Behind it on its line.
    pub line: String,
    /// Below it, before an empty line.
    pub foot: String,
}

/// A node of a document: what it says, how it is written and where.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// How it is written; plain where that does not apply.
    pub style: Style,
    /// Whether the tag is written out in the text.
    pub tagged: bool,
    /// The type: written out, or what yaml.v3 resolves it to.
    pub tag: Tag,
    /// The text of a scalar; the anchor's name of an alias; otherwise empty.
    pub value: String,
    /// Its `&name`.
    pub anchor: Option<Box<str>>,
    /// Entries; of a mapping: key, value, key, value; of a document: the root.
    pub children: Vec<Node>,
    /// What is said around it.
    pub comments: Option<Box<Comments>>,
    /// From 1; 0 for a node that was not read.
    pub line: u32,
    /// In characters, from 1; 0 for a node that was not read.
    pub column: u32,
}

impl std::fmt::Debug for Node {
    /// Shape and place; no value, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} at {}:{}", self.kind, self.tag.as_str(), self.line, self.column)
    }
}

impl Node {
    /// A scalar in plain style; an emitter quotes it where `tag` needs that.
    #[must_use]
    pub fn scalar(tag: Tag, value: impl Into<String>) -> Self {
        Node { kind: Kind::Scalar, tag, value: value.into(), ..Node::default() }
    }

    /// A string in plain style, quoted by an emitter where needed.
    #[must_use]
    pub fn string(value: impl Into<String>) -> Self {
        Node::scalar(Tag::Str, value)
    }

    /// A block sequence of `children`.
    #[must_use]
    pub fn sequence(children: Vec<Node>) -> Self {
        Node { kind: Kind::Sequence, tag: Tag::Seq, children, ..Node::default() }
    }

    /// A block mapping; `children` are key, value, key, value.
    #[must_use]
    pub fn mapping(children: Vec<Node>) -> Self {
        Node { kind: Kind::Mapping, tag: Tag::Map, children, ..Node::default() }
    }

    /// The root of a document; any other node is its own root.
    #[must_use]
    pub fn root(&self) -> &Node {
        match (self.kind, self.children.first()) {
            (Kind::Document, Some(root)) => root,
            _ => self,
        }
    }

    /// Keys and values of a mapping, in the order of the file; nothing for other kinds.
    pub fn pairs(&self) -> impl Iterator<Item = (&Node, &Node)> {
        let children: &[Node] = if self.kind == Kind::Mapping { &self.children } else { &[] };
        children.chunks_exact(2).filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
    }

    /// The value of the first `key` of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().find(|(name, _)| name.kind == Kind::Scalar && name.value == key).map(|(_, value)| value)
    }

    /// The value of the first `key` of a mapping, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let at = self.pairs().position(|(name, _)| name.kind == Kind::Scalar && name.value == key)?;
        self.children.get_mut(at * 2 + 1)
    }
}
