//! From a tree to the value that is printed.
//!
//! The original prints a tree as yaml.v3 text, reads that text again, and prints what it read. Most scalars survive
//! that as they are; what does not is decided here without the detour, and where only the text can tell, the detour is
//! taken: by these scalars and the collections around them alone, unless what comes back has another shape.

use serde_json::{Map, Value};
use yaml::{Kind, Limits, Node, Resolver, Scalar, Strictness, Style, Tag};

use crate::error::Problem;

/// The value of an object's tree.
pub(crate) fn value(node: &Node) -> Result<Value, Problem> {
    match oddities(node) {
        Oddities::None => convert(node, Place::Root, &mut Vec::new().into_iter()),
        Oddities::Values(printed) => match read_back(&printed)?.filter(|read| same_shape(&printed, read)) {
            Some(mut read) => convert(node, Place::Root, &mut scalars(&mut read).into_iter()),
            None => whole_through_text(node),
        },
        Oddities::Key => whole_through_text(node),
    }
}

/// The odd scalars of a tree as they were read again, in their order.
type ReadAgain = std::vec::IntoIter<Node>;

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Keys need not be texts here.
    Root,
    /// Below, each on its line.
    Block,
    /// Within brackets, where an empty null is printed as an empty text.
    Flow,
}

impl Place {
    fn below(self, node: &Node) -> Self {
        if self == Place::Flow || node.style == Style::Flow { Place::Flow } else { Place::Block }
    }
}

/// The error for what the command line cannot print: yaml.v2 reads no control characters, and they all but the first
/// ones reach it unescaped.
pub(crate) fn check_printable(value: &Value) -> Result<(), Problem> {
    match value {
        Value::String(text) => check_text(text),
        Value::Array(entries) => entries.iter().try_for_each(check_printable),
        Value::Object(map) => {
            map.iter().try_for_each(|(key, value)| check_text(key).and_then(|()| check_printable(value)))
        }
        _ => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), Problem> {
    let is_control = |c: char| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    if text.bytes().any(|byte| byte >= 0x7f) && text.contains(is_control) {
        return Err(Problem::Unprintable);
    }
    Ok(())
}

/// What of a tree the printed text may change.
enum Oddities {
    None,
    /// These scalars, with the collections that they stand in and nothing beside.
    Values(Node),
    /// Among others, a key.
    Key,
}

fn oddities(node: &Node) -> Oddities {
    let kept = match node.kind {
        Kind::Scalar if is_odd(node) => Vec::new(),
        Kind::Mapping => match odd_pairs(node) {
            Some(kept) => kept,
            None => return Oddities::Key,
        },
        Kind::Scalar => return Oddities::None,
        _ => {
            let mut kept = Vec::new();
            for child in &node.children {
                match oddities(child) {
                    Oddities::None => {}
                    Oddities::Values(child) => kept.push(child),
                    Oddities::Key => return Oddities::Key,
                }
            }
            kept
        }
    };
    if kept.is_empty() && node.kind != Kind::Scalar {
        return Oddities::None;
    }
    Oddities::Values(Node { children: kept, ..bare(node) })
}

/// The pairs with odd values; nothing if there is an odd key.
fn odd_pairs(map: &Node) -> Option<Vec<Node>> {
    let mut kept = Vec::new();
    for (key, value) in map.pairs() {
        match (oddities(key), oddities(value)) {
            (Oddities::None, Oddities::None) => {}
            (Oddities::None, Oddities::Values(value)) => kept.extend([bare(key), value]),
            _ => return None,
        }
    }
    Some(kept)
}

/// A node without children and anchor, which only names a group of shared scalars here.
fn bare(node: &Node) -> Node {
    Node {
        kind: node.kind,
        style: node.style,
        tagged: node.tagged,
        tag: node.tag.clone(),
        value: node.value.clone(),
        comments: node.comments.clone(),
        ..Node::default()
    }
}

/// Whether the printed text may change a scalar.
fn is_odd(node: &Node) -> bool {
    let block = matches!(node.style, Style::Literal | Style::Folded);
    let odd = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let plain_lines = block || (node.style == Style::Plain && node.value.contains('\n'));
    (plain_lines && (node.style == Style::Folded || starts_oddly(&node.value))) || node.value.contains(odd)
}

/// A block scalar that begins with a blank needs an indentation hint.
fn starts_oddly(text: &str) -> bool {
    text.starts_with([' ', '\n', '\t']) || text.contains("\n\t") || text.contains(" \n")
}

/// What the original reads of a tree that it has printed.
fn read_back(node: &Node) -> Result<Option<Node>, Problem> {
    let text = yaml::emit::node(node, yaml::emit::EmitOptions::KYAML);
    let document = yaml::parse(text.as_bytes(), &Limits::default())?.into_iter().next();
    Ok(document.and_then(|mut document| document.children.pop()))
}

/// Whether what was read has the keys and entries that were printed: then text of one scalar was not taken for more.
fn same_shape(printed: &Node, read: &Node) -> bool {
    let is_key = |at: usize| printed.kind == Kind::Mapping && at.is_multiple_of(2);
    let mut children = printed.children.iter().zip(&read.children).enumerate();
    printed.kind == read.kind
        && printed.children.len() == read.children.len()
        && children.all(|(at, (a, b))| if is_key(at) { a.value == b.value } else { same_shape(a, b) })
}

/// The scalars of a tree that are no keys, in their order.
fn scalars(node: &mut Node) -> Vec<Node> {
    match node.kind {
        Kind::Scalar => vec![std::mem::take(node)],
        Kind::Mapping => node.children.iter_mut().skip(1).step_by(2).flat_map(scalars).collect(),
        _ => node.children.iter_mut().flat_map(scalars).collect(),
    }
}

fn whole_through_text(node: &Node) -> Result<Value, Problem> {
    let mut node = node.clone();
    drop_anchors(&mut node);
    match read_back(&node)? {
        Some(read) => convert(&read, Place::Root, &mut Vec::new().into_iter()),
        None => Ok(Value::Null),
    }
}

/// Anchors only name groups of shared scalars here.
fn drop_anchors(node: &mut Node) {
    node.anchor = None;
    node.children.iter_mut().for_each(drop_anchors);
}

fn convert(node: &Node, place: Place, again: &mut ReadAgain) -> Result<Value, Problem> {
    match node.kind {
        Kind::Mapping => map(node, place, again).map(Value::Object),
        Kind::Sequence => {
            let below = place.below(node);
            node.children.iter().map(|child| convert(child, below, again)).collect::<Result<_, _>>().map(Value::Array)
        }
        Kind::Scalar if again.len() > 0 && is_odd(node) => scalar(&again.next().unwrap_or_default()),
        Kind::Scalar if place == Place::Flow && node.value.is_empty() && node.style == Style::Plain => Ok("".into()),
        Kind::Scalar => scalar(node),
        Kind::Document | Kind::Alias => Ok(yaml::to_value(node, Resolver::V3, Strictness::Strict)?),
    }
}

fn map(node: &Node, place: Place, again: &mut ReadAgain) -> Result<Map<String, Value>, Problem> {
    let mut map = Map::new();
    let below = place.below(node);
    for (key, value) in node.pairs() {
        if key.kind != Kind::Scalar || !(place == Place::Root || is_text_key(key)) {
            return Err(Problem::KeyNotText { key: key.value.clone() });
        }
        // Loading writes a null key a second time (upstream `mergeAll`), so that no object with one can be printed.
        let is_null = key.tag == Tag::Null && !key.value.is_empty();
        if map.insert(key.value.clone(), convert(value, below, again)?).is_some() || is_null {
            return Err(Problem::KeyTwice { key: key.value.clone() });
        }
    }
    Ok(map)
}

fn is_text_key(key: &Node) -> bool {
    match key.tag {
        Tag::Str | Tag::Merge => true,
        Tag::None => {
            key.style != Style::Plain
                || key.value.is_empty()
                || matches!(yaml::resolve_plain(&key.value, Resolver::V3), Scalar::Str(_))
        }
        _ => false,
    }
}

fn scalar(node: &Node) -> Result<Value, Problem> {
    let plain = node.style == Style::Plain && !node.value.contains('\n');
    let resolved = match &node.tag {
        Tag::Str => return Ok(node.value.as_str().into()),
        Tag::None if !plain => return Ok(node.value.as_str().into()),
        Tag::None => yaml::resolve_plain(&node.value, Resolver::V3),
        // A tag that the form shows anyway is not written, and a quoted text without a tag is a text.
        tag if !plain && !node.tagged && yaml::resolve_plain(&node.value, Resolver::V3).tag() == *tag => {
            return Ok(node.value.as_str().into());
        }
        Tag::Binary => return binary(&node.value),
        tag => Resolver::V3.resolve(tag, &node.value)?,
    };
    from_scalar(resolved)
}

/// What `!!binary` says, as text.
fn binary(text: &str) -> Result<Value, Problem> {
    use base64::Engine as _;
    let flat: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(flat);
    let bytes = bytes.map_err(|_| Problem::BadPath { reason: "!!binary value contains invalid base64 data".into() })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn from_scalar(scalar: Scalar<'_>) -> Result<Value, Problem> {
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => flag.into(),
        Scalar::Int(number) => number.into(),
        Scalar::Uint(number) => number.into(),
        Scalar::Float(number) => match serde_json::Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => {
                return Err(Problem::BadPath { reason: "json: unsupported value: a number that is not finite".into() });
            }
        },
        Scalar::Timestamp(text) => text.into(),
        Scalar::Merge => "<<".into(),
        Scalar::Str(text) => text.into(),
    })
}
