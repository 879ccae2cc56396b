//! From the text of a file to trees of objects: documents, lists taken apart, aliases followed.

use manifest::Origin;
use serde_json::Value;
use yaml::{Kind, Limits, Node, Resolver, Strictness, Style, Tag};

use crate::error::Problem;
use crate::tree;

/// An object's tree and where it begins.
pub(crate) struct Read {
    /// The root mapping.
    pub(crate) node: Node,
    /// Line of its first key, from 1.
    pub(crate) line: u32,
}

impl Read {
    /// Where this is, given the file.
    pub(crate) fn origin(&self, file: &str) -> Origin {
        Origin { file: file.into(), line: self.line }
    }
}

/// A problem and the line of the file that it concerns; 0 when not known.
pub(crate) type AtLine = (u32, Problem);

/// The objects of a file. All documents are looked at, so that all problems are found.
pub(crate) fn objects(text: &str) -> Result<Vec<Read>, Vec<AtLine>> {
    let mut problems = Vec::new();
    let mut objects = Vec::new();
    for read in trees(text).map_err(|problem| vec![problem])? {
        match check(&read.node) {
            Ok(true) => objects.push(read),
            Ok(false) => {}
            Err(problem) => problems.push((read.line, problem)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    take_lists_apart(objects)
}

/// The trees of a stream, whatever they are.
fn trees(text: &str) -> Result<Vec<Read>, AtLine> {
    let text = text.replace("\r\n", "\n");
    let parts = split(&text)?;
    let alone = parts.len() == 1;
    let mut reads = Vec::new();
    for (part, line) in parts {
        let offset = line - 1;
        let at = |error: yaml::Error| (error.line().map_or(line, |inner| inner + offset), Problem::Yaml(error));
        let mut documents = yaml::parse(part.as_bytes(), &Limits::default()).map_err(at)?;
        if documents.is_empty() {
            continue;
        }
        let Some(mut root) = documents.swap_remove(0).children.pop() else { continue };
        if root.tag == Tag::Null {
            continue;
        }
        follow_aliases(&mut root).map_err(|problem| (line, problem))?;
        let begins = root.line + offset;
        if alone && is_list(&root) {
            let items = tree::clear(&mut root, "items").ok().flatten().map(|items| items.children).unwrap_or_default();
            reads.extend(items.into_iter().map(|node| Read { line: node.line + offset, node }));
        } else {
            reads.push(Read { node: root, line: begins });
        }
    }
    Ok(reads)
}

/// `kind: List` or `ResourceList`, alone in its stream: its items stand for it.
fn is_list(root: &Node) -> bool {
    let kind = root.get("kind").map(tree::text).unwrap_or_default();
    matches!(kind, "List" | "ResourceList") && (root.get("items").is_some() || root.get("functionConfig").is_some())
}

/// Splits a stream at lines that begin with `---`, and says on which line each part begins.
fn split(text: &str) -> Result<Vec<(&str, u32)>, AtLine> {
    let mut parts = Vec::new();
    let (mut begin, mut from, mut line) = (0, 0, 1_u32);
    while let Some(found) = text.get(from..).and_then(|rest| rest.find("\n---")).map(|found| found + from) {
        let Some(end) = text[found + 4..].find('\n').map(|end| found + 4 + end) else { break };
        let behind = text[found + 4..end].trim();
        let above = u32::try_from(text[begin..=found].matches('\n').count()).unwrap_or(u32::MAX);
        if !behind.is_empty() && !behind.starts_with('#') {
            return Err((line + above, Problem::BadSeparator));
        }
        parts.push((&text[begin..=found], line));
        line = line.saturating_add(above).saturating_add(1);
        begin = end + 1;
        from = begin;
    }
    parts.push((&text[begin..], line));
    Ok(parts)
}

/// Whether a tree is an object that counts; empty ones do not.
fn check(node: &Node) -> Result<bool, Problem> {
    if tree::is_empty(node) {
        return Ok(false);
    }
    if node.kind != Kind::Mapping {
        return Err(Problem::NotAnObject);
    }
    validate(node)?;
    Ok(true)
}

/// Whether an object has what every object has: a kind, and a name unless it is a list.
pub(crate) fn validate(node: &Node) -> Result<(), Problem> {
    let field = |name: &str| node.get(name).filter(|value| !tree::is_empty(value));
    let metadata = field("metadata");
    let of_metadata = |name: &str| metadata.and_then(|map| map.get(name)).filter(|value| !tree::is_empty(value));
    let any = ["apiVersion", "kind"].iter().any(|name| field(name).is_some())
        || ["name", "namespace", "labels", "annotations"].iter().any(|name| of_metadata(name).is_some());
    if !any {
        return Err(Problem::NotAnObject);
    }
    let kind = field("kind").map(tree::text).unwrap_or_default();
    if kind.is_empty() {
        return Err(Problem::MissingKind);
    }
    if !kind.ends_with("List") && of_metadata("name").is_none_or(|name| name.value.is_empty()) {
        return Err(Problem::MissingName);
    }
    Ok(())
}

/// Replaces each list by its items, which come after everything else.
fn take_lists_apart(objects: Vec<Read>) -> Result<Vec<Read>, Vec<AtLine>> {
    let mut queue = std::collections::VecDeque::from(objects);
    let mut single = Vec::new();
    let mut problems = Vec::new();
    while let Some(read) = queue.pop_front() {
        let kind = read.node.get("kind").map(tree::text).unwrap_or_default();
        if !kind.ends_with("List") || read.node.get("items").is_none() {
            single.push(read);
            continue;
        }
        match items(&read) {
            Ok(items) => queue.extend(items),
            Err(problem) => problems.push((read.line, problem)),
        }
    }
    if problems.is_empty() { Ok(single) } else { Err(problems) }
}

/// The items of a list. The original writes each as JSON and reads that again, which quotes every text.
fn items(list: &Read) -> Result<Vec<Read>, Problem> {
    let kind = list.node.get("kind").map(tree::text).unwrap_or_default();
    let value = yaml::to_value(&list.node, Resolver::V3, Strictness::Lenient)?;
    let items = match value.get("items") {
        Some(Value::Array(items)) => items,
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(_) => return Err(Problem::ItemsNotAList { kind: kind.into() }),
    };
    let lines: Vec<u32> =
        list.node.get("items").map(|node| node.children.iter().map(|item| item.line).collect()).unwrap_or_default();
    let offset = list.line.saturating_sub(list.node.line);
    let mut reads = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let node = from_value(item, Wording::Json);
        let line = lines.get(index).map_or(list.line, |line| line + offset);
        if is_list(&node) {
            let inner = node.get("items").map(|items| items.children.clone()).unwrap_or_default();
            for node in inner {
                if check(&node)? {
                    reads.push(Read { node, line });
                }
            }
        } else if check(&node)? {
            reads.push(Read { node, line });
        }
    }
    Ok(reads)
}

/// Through which text a value became a tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// Through JSON: every text is quoted.
    Json,
    /// Through yaml.v3's `Marshal` of a value that came from JSON: all numbers are floating.
    Yaml,
}

/// The tree that reading `value` again gives.
pub(crate) fn from_value(value: &Value, wording: Wording) -> Node {
    match value {
        Value::Null => Node::scalar(Tag::Null, "null"),
        Value::Bool(flag) => Node::scalar(Tag::Bool, if *flag { "true" } else { "false" }),
        Value::Number(number) => from_number(number, wording),
        Value::String(text) => from_text(text, wording),
        Value::Array(items) => Node::sequence(items.iter().map(|item| from_value(item, wording)).collect()),
        Value::Object(map) => Node::mapping(
            map.iter().flat_map(|(key, value)| [from_text(key, wording), from_value(value, wording)]).collect(),
        ),
    }
}

fn from_text(text: &str, wording: Wording) -> Node {
    let mut node = tree::string(text);
    match wording {
        Wording::Json => node.style = Style::DoubleQuoted,
        Wording::Yaml => tree::quote_if_needed(&mut node),
    }
    node
}

fn from_number(number: &serde_json::Number, wording: Wording) -> Node {
    let text = match (wording, number.as_f64()) {
        (Wording::Yaml, Some(float)) => shortest(float),
        _ => yaml::json::to_string(&Value::Number(number.clone()), yaml::json::Html::Plain),
    };
    let tag = yaml::resolve_plain(&text, Resolver::V3).tag();
    Node::scalar(tag, text)
}

/// A number as Go's `strconv.FormatFloat(f, 'g', -1, 64)` writes it: with an exponent below 1e-4 and from 1e6.
pub(crate) fn shortest(float: f64) -> String {
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{float}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// How many nodes a document may have once its aliases are followed.
const MOST_NODES: usize = 2_000_000;

/// What the anchors of a document stand for, and how large it may still grow.
struct Anchors {
    named: std::collections::HashMap<Box<str>, Node>,
    left: usize,
}

/// Puts copies in the place of aliases and applies merge keys (`<<`), so that no anchor is left.
fn follow_aliases(root: &mut Node) -> Result<(), Problem> {
    let mut anchors = Anchors { named: std::collections::HashMap::new(), left: MOST_NODES };
    anchors.follow(root)
}

impl Anchors {
    fn follow(&mut self, node: &mut Node) -> Result<(), Problem> {
        self.take(1)?;
        let anchor = node.anchor.take();
        if node.kind == Kind::Alias {
            return self.copy(node);
        }
        for child in &mut node.children {
            self.follow(child)?;
        }
        if node.kind == Kind::Mapping && node.children.iter().step_by(2).any(|key| key.tag == Tag::Merge) {
            apply_merges(node)?;
        }
        if let Some(name) = anchor {
            self.named.insert(name, node.clone());
        }
        Ok(())
    }

    fn copy(&mut self, alias: &mut Node) -> Result<(), Problem> {
        let reason = "an alias lies within its own anchor, or has none";
        let copy = self.named.get(alias.value.as_str()).ok_or(Problem::BadAlias { reason })?.clone();
        self.take(count(&copy))?;
        *alias = copy;
        Ok(())
    }

    fn take(&mut self, nodes: usize) -> Result<(), Problem> {
        self.left =
            self.left.checked_sub(nodes).ok_or(Problem::TooMuch { what: "nodes behind aliases", limit: MOST_NODES })?;
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    1 + node.children.iter().map(count).sum::<usize>()
}

/// Writes the fields of what `<<` names into a mapping that does not have them.
fn apply_merges(map: &mut Node) -> Result<(), Problem> {
    let (mut own, mut merged) = (Vec::new(), None);
    let mut children = std::mem::take(&mut map.children).into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        if key.tag != Tag::Merge {
            own.push((key, value));
        } else if merged.replace(value).is_some() {
            return Err(Problem::BadAlias { reason: "duplicate merge key" });
        }
    }
    let mut fields: Vec<(Node, Node)> = Vec::new();
    for source in merge_sources(merged)? {
        let mut source = source.children.into_iter();
        while let (Some(key), Some(value)) = (source.next(), source.next()) {
            put(&mut fields, key, value);
        }
    }
    // The mapping's own fields keep their places; merged ones follow.
    let mut all = own.clone();
    for (key, value) in fields {
        if !own.iter().any(|(known, _)| known.value == key.value) {
            put(&mut all, key, value);
        }
    }
    map.children = all.into_iter().flat_map(|(key, value)| [key, value]).collect();
    Ok(())
}

fn put(fields: &mut Vec<(Node, Node)>, key: Node, value: Node) {
    match fields.iter_mut().find(|(known, _)| known.value == key.value) {
        Some(field) => *field = (key, value),
        None => fields.push((key, value)),
    }
}

/// The mappings that a merge key names; of a list, the first one wins, so it comes last.
fn merge_sources(value: Option<Node>) -> Result<Vec<Node>, Problem> {
    let reason = "map merge requires map or sequence of maps as the value";
    match value {
        None => Ok(Vec::new()),
        Some(node) if node.kind == Kind::Mapping => Ok(vec![node]),
        Some(node) if node.kind == Kind::Sequence => {
            if node.children.iter().any(|entry| entry.kind != Kind::Mapping) {
                return Err(Problem::BadAlias { reason });
            }
            Ok(node.children.into_iter().rev().collect())
        }
        Some(_) => Err(Problem::BadAlias { reason }),
    }
}
