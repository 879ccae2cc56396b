//! YAML: the tree has comments where yaml.v3 attaches them, and prints as yaml.v3 prints it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use yaml::emit::{EmitOptions, string_node};
use yaml::{Aliases, Comments, Kind, Limits, Node, Resolver, Scalar, Style, Tag, float};
use zeroize::Zeroize as _;

use super::{LARGEST, malformed};
use crate::Format;
use crate::error::Error;
use crate::text::Text;
use crate::tree::{Branch, Comment, DEEPEST, Item, Key, Value};

/// Nodes that the aliases of a file may expand to.
const LARGEST_EXPANSION: usize = 400_000;

/// Reads all documents of a file.
pub(super) fn load(bytes: &[u8]) -> Result<Vec<Branch>, Error> {
    let mut documents =
        yaml::parse(bytes, &Limits { bytes: LARGEST, depth: DEEPEST }).map_err(|error| refused(&error))?;
    // The original decodes the first document alone to find keys that are there twice.
    let result = documents.first().map_or(Ok(()), |first| require_mapping(first).and_then(|()| decode(first)));
    let branches = result.and_then(|()| documents.iter().map(document).collect());
    documents.iter_mut().for_each(wipe);
    branches
}

fn decode(first: &Node) -> Result<(), Error> {
    yaml::check(first).map_err(|error| refused(&error))
}

fn refused(error: &yaml::Error) -> Error {
    let text = error.to_string();
    let problem = text.strip_prefix("yaml: ").unwrap_or(&text);
    malformed(Format::Yaml, None, problem)
}

fn require_mapping(document: &Node) -> Result<(), Error> {
    let root = document.root();
    let is_null = root.kind == Kind::Scalar && matches!(Resolver::V3.scalar(root), Ok(Scalar::Null));
    match root.kind {
        Kind::Mapping | Kind::Document | Kind::Alias => Ok(()),
        Kind::Scalar if is_null => Ok(()),
        Kind::Scalar => {
            Err(malformed(Format::Yaml, Some(root.line), "a document must be a mapping, not a single value"))
        }
        Kind::Sequence => Err(malformed(Format::Yaml, Some(root.line), "a document must be a mapping, not a list")),
    }
}

fn document(document: &Node) -> Result<Branch, Error> {
    require_mapping(document)?;
    let mut reader = Reader { aliases: None, document, expanded: 0, depth: 0 };
    let mut branch = Branch::new();
    let root = document.root();
    add_lines(&mut branch, head_and_line(document));
    if root.kind == Kind::Mapping {
        reader.mapping(root, true, &mut branch)?;
    } else {
        add_comments(&mut branch, root);
    }
    add_foot(&mut branch, document);
    Ok(branch)
}

struct Reader<'n> {
    aliases: Option<Aliases<'n>>,
    document: &'n Node,
    /// Nodes reached through aliases.
    expanded: usize,
    depth: usize,
}

impl<'n> Reader<'n> {
    fn mapping(&mut self, node: &'n Node, with_comments: bool, branch: &mut Branch) -> Result<(), Error> {
        self.deeper(node)?;
        if with_comments {
            add_lines(branch, head_and_line(node));
        }
        for (key, value) in node.pairs() {
            add_lines(branch, head_and_line(key));
            let is_single = matches!(value.kind, Kind::Scalar | Kind::Alias);
            if let (true, Some(comments)) = (is_single, &value.comments) {
                add_lines(branch, lines(&comments.head, false));
                add_lines(branch, lines(&comments.line, true));
            }
            let key_value = self.key(key)?;
            let value_value = self.value(value, is_single)?;
            branch.push(Item { key: key_value, value: value_value });
            if is_single {
                add_foot(branch, value);
            }
            add_foot(branch, key);
        }
        if with_comments {
            add_foot(branch, node);
        }
        self.depth -= 1;
        Ok(())
    }

    fn sequence(&mut self, node: &'n Node, with_comments: bool) -> Result<Vec<Value>, Error> {
        self.deeper(node)?;
        let mut list = Vec::new();
        let add = |list: &mut Vec<Value>, comments: Vec<Comment>| {
            list.extend(comments.into_iter().map(Value::Comment));
        };
        if with_comments {
            add(&mut list, head_and_line(node));
        }
        for entry in &node.children {
            if let Some(comments) = &entry.comments {
                add(&mut list, lines(&comments.head, false));
                add(&mut list, lines(&comments.line, true));
            }
            let value = self.value(entry, true)?;
            list.push(value);
            add(&mut list, foot(entry));
        }
        if with_comments {
            add(&mut list, foot(node));
        }
        self.depth -= 1;
        Ok(list)
    }

    fn value(&mut self, node: &'n Node, comments_were_read: bool) -> Result<Value, Error> {
        match node.kind {
            Kind::Mapping => {
                let mut branch = Branch::new();
                self.mapping(node, !comments_were_read, &mut branch)?;
                Ok(Value::Branch(branch))
            }
            Kind::Sequence => self.sequence(node, !comments_were_read).map(Value::List),
            Kind::Scalar => Ok(scalar(node)),
            Kind::Alias => {
                let target = self.target(node)?;
                self.deeper(node)?;
                self.expanded += count(target);
                if self.expanded > LARGEST_EXPANSION {
                    return Err(malformed(Format::Yaml, Some(node.line), "aliases expand to too much"));
                }
                let value = self.value(target, false);
                self.depth -= 1;
                value
            }
            Kind::Document => Ok(Value::Null),
        }
    }

    fn key(&mut self, key: &'n Node) -> Result<Key, Error> {
        let key = if key.kind == Kind::Alias { self.target(key)? } else { key };
        Ok(match key.kind {
            Kind::Mapping => Key::Other("map[string]interface {}"),
            Kind::Sequence => Key::Other("[]interface {}"),
            _ => match scalar(key) {
                Value::Str(name) => Key::Name(name),
                other => Key::Other(if other == Value::Null { "<nil>" } else { other.type_name() }),
            },
        })
    }

    fn target(&mut self, alias: &'n Node) -> Result<&'n Node, Error> {
        let aliases = self.aliases.get_or_insert_with(|| Aliases::of(self.document));
        let target = aliases.target(alias);
        target.ok_or_else(|| malformed(Format::Yaml, Some(alias.line), "an alias of an unknown anchor"))
    }

    fn deeper(&mut self, node: &Node) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(malformed(Format::Yaml, Some(node.line), "collections are nested too deep"));
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    1 + node.children.iter().map(count).sum::<usize>()
}

/// A text that is not what its tag says is null, as in the original, which overlooks the error.
fn scalar(node: &Node) -> Value {
    if node.tag == Tag::Binary {
        let text: String = node.value.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
        return STANDARD.decode(text).map_or(Value::Null, |bytes| Value::Str(bytes.into()));
    }
    match Resolver::V3.scalar(node) {
        Err(_) | Ok(Scalar::Null) => Value::Null,
        Ok(Scalar::Bool(value)) => Value::Bool(value),
        Ok(Scalar::Int(value)) => Value::Int(value),
        Ok(Scalar::Uint(value)) => Value::Uint(value),
        Ok(Scalar::Float(value)) => Value::Float(value),
        Ok(Scalar::Timestamp(time)) => Value::Time(time),
        Ok(Scalar::Merge) => Value::text("<<"),
        Ok(Scalar::Str(text)) => Value::text(text),
    }
}

fn lines(text: &str, inline: bool) -> Vec<Comment> {
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines.map(|line| Comment { text: line.get(1..).unwrap_or_default().into(), inline }).collect()
}

/// A comment behind something that holds others is taken for one above it.
fn head_and_line(node: &Node) -> Vec<Comment> {
    let Some(comments) = &node.comments else { return Vec::new() };
    let mut all = lines(&comments.head, false);
    all.extend(lines(&comments.line, false));
    all
}

fn foot(node: &Node) -> Vec<Comment> {
    node.comments.as_ref().map_or_else(Vec::new, |comments| lines(&comments.foot, false))
}

fn add_lines(branch: &mut Branch, comments: Vec<Comment>) {
    branch.extend(comments.into_iter().map(Item::comment));
}

fn add_foot(branch: &mut Branch, node: &Node) {
    add_lines(branch, foot(node));
}

fn add_comments(branch: &mut Branch, node: &Node) {
    add_lines(branch, head_and_line(node));
    add_foot(branch, node);
}

/// Prints all documents.
pub(super) fn emit(branches: &[Branch], indent: usize) -> Vec<u8> {
    let documents =
        branches.iter().map(|branch| Node { kind: Kind::Document, children: vec![mapping(branch)], ..Node::default() });
    let mut documents: Vec<Node> = documents.collect();
    let text = yaml::emit::documents(&documents, EmitOptions { indent, ..EmitOptions::SOPS });
    documents.iter_mut().for_each(wipe);
    text.into_bytes()
}

/// Prints a value alone, with the indentation of yaml.v3 whatever the settings say.
pub(super) fn emit_value(value: &Value) -> Vec<u8> {
    let mut node = value_node(value);
    let text = yaml::emit::node(&node, EmitOptions::SOPS);
    wipe(&mut node);
    text.into_bytes()
}

/// Plaintext goes with the tree that it was printed from.
fn wipe(node: &mut Node) {
    node.value.zeroize();
    if let Some(comments) = &mut node.comments {
        comments.head.zeroize();
        comments.line.zeroize();
        comments.foot.zeroize();
    }
    node.children.iter_mut().for_each(wipe);
}

/// Comments that wait for the node that they belong to.
#[derive(Default)]
struct Waiting {
    head: Vec<u8>,
    line: Vec<u8>,
}

impl Waiting {
    fn add(&mut self, comment: &Comment) {
        let lines = if comment.inline { &mut self.line } else { &mut self.head };
        if !lines.is_empty() {
            lines.push(b'\n');
        }
        lines.push(b'#');
        lines.extend_from_slice(comment.text.bytes());
    }

    /// Above a node, and above what is there already.
    fn put_head(&mut self, node: &mut Node) {
        put(&mut self.head, |text| {
            let comments = node.comments.get_or_insert_default();
            comments.head = if comments.head.is_empty() { text } else { format!("{text}\n{}", comments.head) };
        });
    }

    fn put_line(&mut self, node: &mut Node) {
        put(&mut self.line, |text| {
            let comments: &mut Comments = node.comments.get_or_insert_default();
            comments.line = text;
        });
    }

    /// What no node follows comes below the last one, or above the collection when that is empty.
    fn put_rest(mut self, collection: &mut Node, from_end: usize) {
        let line = std::mem::take(&mut self.line);
        if !self.head.is_empty() && !line.is_empty() {
            self.head.push(b'\n');
        }
        self.head.extend(line);
        let last = collection.children.len().checked_sub(from_end);
        match last.and_then(|last| collection.children.get_mut(last)) {
            Some(node) => put(&mut self.head, |text| {
                let comments = node.comments.get_or_insert_default();
                if !comments.foot.is_empty() {
                    comments.foot.push('\n');
                }
                comments.foot.push_str(&text);
            }),
            None => self.put_head(collection),
        }
    }
}

fn put(lines: &mut Vec<u8>, put: impl FnOnce(String)) {
    if !lines.is_empty() {
        put(String::from_utf8_lossy(&std::mem::take(lines)).into_owned());
    }
}

fn mapping(branch: &Branch) -> Node {
    let mut node = Node::mapping(Vec::with_capacity(branch.len() * 2));
    let mut waiting = Waiting::default();
    for item in branch {
        let mut key = match &item.key {
            Key::Comment(comment) => {
                waiting.add(comment);
                continue;
            }
            Key::Name(name) => text_node(name),
            Key::Other(_) => Node::scalar(Tag::Null, "null"),
        };
        if node.children.is_empty() {
            waiting.put_head(&mut node);
        }
        waiting.put_head(&mut key);
        let mut value = value_node(&item.value);
        // Deliberately different: of a key that is called so and merges nothing sops writes `!!merge <<`, too, and cannot
        // read it again.
        if key.tag == Tag::Merge && !can_be_merged(&value) {
            (key.tag, key.style) = (Tag::Str, Style::DoubleQuoted);
        }
        waiting.put_line(&mut value);
        node.children.extend([key, value]);
    }
    waiting.put_rest(&mut node, 2);
    node
}

fn can_be_merged(value: &Node) -> bool {
    let is_mapping = |node: &Node| node.kind == Kind::Mapping;
    is_mapping(value) || value.kind == Kind::Sequence && value.children.iter().all(is_mapping)
}

fn sequence(list: &[Value]) -> Node {
    let mut node = Node::sequence(Vec::with_capacity(list.len()));
    let mut waiting = Waiting::default();
    for value in list {
        if let Value::Comment(comment) = value {
            waiting.add(comment);
            continue;
        }
        if node.children.is_empty() {
            waiting.put_head(&mut node);
        }
        let mut entry = value_node(value);
        waiting.put_head(&mut entry);
        waiting.put_line(&mut entry);
        node.children.push(entry);
    }
    waiting.put_rest(&mut node, 1);
    node
}

fn value_node(value: &Value) -> Node {
    let plain = |text: String| Node::scalar(Tag::None, text);
    match value {
        Value::Null => plain("null".to_owned()),
        Value::Bool(value) => plain(value.to_string()),
        Value::Int(value) => plain(value.to_string()),
        Value::Uint(value) => plain(value.to_string()),
        Value::Float(value) => plain(match float::word(*value) {
            Some("+Inf") => ".inf".to_owned(),
            Some("-Inf") => "-.inf".to_owned(),
            Some(_) => ".nan".to_owned(),
            None => float::general(*value),
        }),
        Value::Time(text) => plain(text.clone()),
        Value::Str(text) => text_node(text),
        // Go takes bytes for a list of numbers.
        Value::Bytes(text) => Node::sequence(text.bytes().iter().map(|byte| plain(byte.to_string())).collect()),
        Value::Branch(branch) => mapping(branch),
        Value::List(list) => sequence(list),
        // A mapping of Go's fields: the type of a value is not authenticated, so that a changed file can say so.
        Value::Comment(comment) => Node::mapping(vec![
            string_node("value"),
            text_node(&comment.text),
            string_node("inline"),
            plain(comment.inline.to_string()),
        ]),
    }
}

/// What is not UTF-8 is written in base64, in lines of 70.
fn text_node(text: &Text) -> Node {
    if let Some(text) = text.as_str() {
        return string_node(text);
    }
    let encoded = STANDARD.encode(text.bytes());
    let lines: Vec<&str> = encoded.as_bytes().chunks(70).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let value = if lines.len() > 1 { lines.join("\n") + "\n" } else { encoded };
    let style = if value.contains('\n') { Style::Literal } else { Style::Plain };
    Node { tagged: true, style, ..Node::scalar(Tag::Binary, value) }
}
