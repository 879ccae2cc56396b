//! Reading and changing trees as kyaml's pipes do.
//!
//! kustomize changes the trees of yaml.v3 in place, and what it prints is what that library makes of the changed tree:
//! a new scalar takes the style of the one that it replaces, a text without a tag is read again by its form. These
//! rules are observable, so they live here, once.
//!
//! # Shared scalars
//! A label that kustomize adds to several places of an object is *one* scalar to it: a later change of one place changes
//! all of them. Anchors do not survive loading, so [`Node::anchor`] is free to name such a group and [`Node::line`] of a
//! shared scalar to count its changes; [`settle_shared`] brings a group to the state of its last change.

use yaml::{Kind, Node, Resolver, Scalar, Style, Tag, resolve_plain};

use crate::error::Problem;

/// Whether a value is there and is null.
pub(crate) fn is_null(node: &Node) -> bool {
    node.tag == Tag::Null
}

/// Null, `{}` or `[]`.
pub(crate) fn is_empty(node: &Node) -> bool {
    is_null(node) || (matches!(node.kind, Kind::Mapping | Kind::Sequence) && node.children.is_empty())
}

/// A text, or a scalar whose type nobody has said.
pub(crate) fn is_text(node: &Node) -> bool {
    node.kind == Kind::Scalar && matches!(node.tag, Tag::Str | Tag::None)
}

/// The text of a scalar; empty for null.
pub(crate) fn text(node: &Node) -> &str {
    if is_null(node) { "" } else { &node.value }
}

/// The error unless `node` is null or of `kind`.
pub(crate) fn expect_kind(node: &Node, kind: Kind) -> Result<(), Problem> {
    if is_null(node) || node.kind == kind {
        return Ok(());
    }
    Err(Problem::WrongNodeKind { expected: kind_name(kind), found: kind_name(node.kind) })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Document => "DocumentNode",
        Kind::Mapping => "MappingNode",
        Kind::Sequence => "SequenceNode",
        Kind::Scalar => "ScalarNode",
        Kind::Alias => "AliasNode",
    }
}

/// An empty node of a kind, without a tag.
pub(crate) fn empty(kind: Kind) -> Node {
    Node { kind, ..Node::default() }
}

/// A scalar whose type its form decides when it is printed.
pub(crate) fn untagged(value: &str) -> Node {
    Node::scalar(Tag::None, value)
}

/// A text, in the style that yaml.v3's `SetString` gives it.
pub(crate) fn string(value: &str) -> Node {
    let style = if value.contains('\n') { Style::Literal } else { Style::Plain };
    Node { style, ..Node::string(value) }
}

/// A key as kyaml adds it: without a tag.
pub(crate) fn key(name: &str) -> Node {
    untagged(name)
}

/// The place of a key in a mapping, by its text.
pub(crate) fn position(map: &Node, name: &str) -> Option<usize> {
    if map.kind != Kind::Mapping {
        return None;
    }
    map.children.iter().step_by(2).position(|key| key.value == name && key.kind == Kind::Scalar)
}

/// Removes a field; the first one of that name.
pub(crate) fn clear(map: &mut Node, name: &str) -> Result<Option<Node>, Problem> {
    expect_kind(map, Kind::Mapping)?;
    let Some(at) = position(map, name) else { return Ok(None) };
    let mut removed = map.children.drain(at * 2..at * 2 + 2);
    Ok(removed.nth(1))
}

/// Whether YAML 1.1 reads a plain text as something else.
fn is_no_text_to_yaml11(value: &str) -> bool {
    !value.is_empty() && !value.contains('\n') && !matches!(resolve_plain(value, Resolver::V2), Scalar::Str(_))
}

/// A text that YAML 1.1 would read as something else is quoted.
pub(crate) fn quote_if_needed(value: &mut Node) {
    if is_text(value) && value.style == Style::Plain && !value.tagged && is_no_text_to_yaml11(&value.value) {
        value.style = Style::DoubleQuoted;
    }
}

/// Puts `value` where a scalar stands: it takes the style of what was there.
pub(crate) fn set_scalar(node: &mut Node, value: Node) -> Result<(), Problem> {
    expect_kind(node, Kind::Scalar)?;
    if !is_null(&value) {
        replace(node, value);
    }
    Ok(())
}

/// Puts `value` in the place of `node`, in its style and its group.
fn replace(node: &mut Node, value: Node) {
    let anchor = node.anchor.take();
    let line = if anchor.is_some() { node.line.saturating_add(1) } else { value.line };
    *node = Node { style: node.style, tagged: node.tagged, anchor, line, ..value };
}

/// Writes the text of a scalar and nothing else of it.
pub(crate) fn set_text(node: &mut Node, value: &str) {
    value.clone_into(&mut node.value);
    if node.anchor.is_some() {
        node.line = node.line.saturating_add(1);
    }
}

/// Writes a field; null removes it.
pub(crate) fn set(map: &mut Node, name: &str, mut value: Node) -> Result<(), Problem> {
    quote_if_needed(&mut value);
    expect_kind(map, Kind::Mapping)?;
    if is_null(&value) {
        clear(map, name)?;
        return Ok(());
    }
    match position(map, name).and_then(|at| map.children.get_mut(at * 2 + 1)) {
        Some(field) => replace(field, value),
        None => {
            if is_null(map) {
                become_kind(map, Kind::Mapping, Tag::Map);
            }
            map.children.extend([key(name), value]);
        }
    }
    Ok(())
}

/// Makes a null into an empty node of a kind.
pub(crate) fn become_kind(node: &mut Node, kind: Kind, tag: Tag) {
    node.kind = kind;
    node.tag = tag;
}

/// The field of a mapping, made when missing.
pub(crate) fn get_or_add<'a>(map: &'a mut Node, name: &str, kind: Kind) -> Result<&'a mut Node, Problem> {
    expect_kind(map, Kind::Mapping)?;
    let at = match position(map, name) {
        Some(at) => at * 2 + 1,
        None => {
            if is_null(map) {
                become_kind(map, Kind::Mapping, Tag::Map);
            }
            map.children.extend([key(name), empty(kind)]);
            map.children.len() - 1
        }
    };
    map.children.get_mut(at).ok_or(Problem::PathEnds)
}

/// Writes a field below others, which are made when missing.
pub(crate) fn set_path(root: &mut Node, path: &[&str], value: Node) -> Result<(), Problem> {
    match path {
        [] => set_scalar(root, value),
        [name] => set(root, name, value),
        [name, rest @ ..] => set_path(get_or_add(root, name, Kind::Mapping)?, rest, value),
    }
}

/// A field by name, read as kyaml's `Lookup` reads it: nothing below null, an error below a scalar or list.
pub(crate) fn field<'a>(node: &'a Node, name: &str) -> Result<Option<&'a Node>, Problem> {
    if is_null(node) {
        return Ok(None);
    }
    expect_kind(node, Kind::Mapping)?;
    Ok(node.get(name))
}

/// A step of a path, as kyaml reads it.
pub(crate) enum Step<'a> {
    /// An entry by place.
    Index(usize),
    /// The last entry.
    Last,
    /// The entry whose field has a value, or, without a name, the entry that is the value: `[name=value]`.
    Entry(&'a str, &'a str),
    /// A field.
    Field(&'a str),
}

impl<'a> Step<'a> {
    /// Reads one part of a path.
    pub(crate) fn read(part: &'a str) -> Result<Self, Problem> {
        if let Ok(index) = part.parse::<i64>() {
            return usize::try_from(index)
                .map(Step::Index)
                .map_err(|_| Problem::BadPath { reason: format!("array index {index} cannot be negative") });
        }
        match part {
            "-" => Ok(Step::Last),
            "*" => Err(Problem::BadPath { reason: "wildcard is not supported in PathGetter".into() }),
            _ if is_entry(part) => entry_of(part).map(|(name, value)| Step::Entry(name, value)),
            _ => Ok(Step::Field(part)),
        }
    }
}

/// Whether a part of a path names an entry: `[…]`.
pub(crate) fn is_entry(part: &str) -> bool {
    part.len() > 1 && part.starts_with('[') && part.ends_with(']')
}

/// Name and value of `[name=value]`.
pub(crate) fn entry_of(part: &str) -> Result<(&str, &str), Problem> {
    let inner = part.strip_prefix('[').unwrap_or(part);
    let inner = inner.strip_suffix(']').unwrap_or(inner);
    inner.split_once('=').ok_or_else(|| Problem::BadPath {
        reason: "list path element must contain fieldName=fieldValue for element to match".into(),
    })
}

/// What stands at a path; `None` when something on the way is missing or null.
pub(crate) fn lookup<'a, S: AsRef<str>>(root: &'a Node, path: &[S]) -> Result<Option<&'a Node>, Problem> {
    let mut node = root;
    for part in path.iter().map(|part| part.as_ref().trim()).filter(|part| !part.is_empty()) {
        match step(node, part)? {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

fn step<'a>(node: &'a Node, part: &str) -> Result<Option<&'a Node>, Problem> {
    match Step::read(part)? {
        Step::Field(name) => field(node, name),
        Step::Index(index) => expect_kind(node, Kind::Sequence).map(|()| node.children.get(index)),
        Step::Last => expect_kind(node, Kind::Sequence).map(|()| node.children.last()),
        Step::Entry(name, value) => {
            expect_kind(node, Kind::Sequence)?;
            Ok(node.children.iter().find(|entry| entry_matches(entry, name, value)))
        }
    }
}

/// Whether an entry's field `name` has the text `value`; without a name, whether the entry itself has it.
pub(crate) fn entry_matches(entry: &Node, name: &str, value: &str) -> bool {
    if name.is_empty() {
        return entry.value == value;
    }
    entry.kind == Kind::Mapping && entry.get(name).is_some_and(|found| found.value == value)
}

/// As [`lookup`], to change what is found.
pub(crate) fn lookup_mut<'a, S: AsRef<str>>(root: &'a mut Node, path: &[S]) -> Result<Option<&'a mut Node>, Problem> {
    let mut node = root;
    for part in path.iter().map(|part| part.as_ref().trim()).filter(|part| !part.is_empty()) {
        let at = match Step::read(part)? {
            Step::Field(name) => match field(node, name)? {
                Some(_) => position(node, name).map(|at| at * 2 + 1),
                None => None,
            },
            Step::Index(index) => expect_kind(node, Kind::Sequence).map(|()| Some(index))?,
            Step::Last => expect_kind(node, Kind::Sequence).map(|()| node.children.len().checked_sub(1))?,
            Step::Entry(name, value) => {
                expect_kind(node, Kind::Sequence)?;
                node.children.iter().position(|entry| entry_matches(entry, name, value))
            }
        };
        match at.and_then(|at| node.children.get_mut(at)) {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

/// Splits a path; `\` before the delimiter makes it part of a name, and a leading delimiter is passed over.
pub(crate) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut pieces = path.split(delimiter).peekable();
    if path.starts_with(delimiter) && path.len() > 1 {
        pieces.next();
    }
    for piece in pieces {
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(piece);
            }
            _ => parts.push(piece.into()),
        }
    }
    parts
}

/// As [`split_path`] with dots, and what stands in brackets is one part: `[a.b/c]` a name, `[a.b=c.d]` an entry.
pub(crate) fn split_dotted(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut pieces = split_path(path, '.').into_iter();
    while let Some(piece) = pieces.next() {
        if !piece.starts_with('[') || piece.ends_with(']') {
            parts.push(piece);
            continue;
        }
        let mut joined = piece;
        for next in pieces.by_ref() {
            joined.push('.');
            joined.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        let is_name = !joined.contains('=');
        parts.push(if is_name { joined.trim_matches(['[', ']']).into() } else { joined });
    }
    parts
}

/// Brings every group of shared scalars to the state of its last change.
pub(crate) fn settle_shared(root: &mut Node) {
    let mut latest: Vec<(Box<str>, Node)> = Vec::new();
    find_latest(root, &mut latest);
    if !latest.is_empty() {
        write_latest(root, &latest);
    }
}

fn find_latest(node: &Node, latest: &mut Vec<(Box<str>, Node)>) {
    if let Some(group) = &node.anchor {
        match latest.iter_mut().find(|(name, _)| name == group) {
            Some((_, newest)) if newest.line < node.line => *newest = node.clone(),
            Some(_) => {}
            None => latest.push((group.clone(), node.clone())),
        }
    }
    for child in &node.children {
        find_latest(child, latest);
    }
}

fn write_latest(node: &mut Node, latest: &[(Box<str>, Node)]) {
    if let Some((_, newest)) = node.anchor.as_ref().and_then(|group| latest.iter().find(|(name, _)| name == group)) {
        node.clone_from(newest);
        return;
    }
    for child in &mut node.children {
        write_latest(child, latest);
    }
}
