//! Copies of one field into others.

use manifest::Purpose;
use regexp::Regex;
use serde_json::Value;
use yaml::emit::{EmitOptions, node as print};
use yaml::{Kind, Limits, Node, Tag};

use crate::decode::{Leniency, decode};
use crate::error::{Error, Errors, Problem};
use crate::facts::Facts;
use crate::growth::{self, Growth};
use crate::id::{Gvk, Id};
use crate::kustomization::{FieldOptions, Replacement, ReplacementSource, ReplacementTarget};
use crate::loader::Folder;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::selector::{Matcher, bad_expression};
use crate::tree::{self, split_dotted};

/// The field that is meant when none is said.
const DEFAULT_PATH: &str = "metadata.name";

fn wrong(reason: impl Into<String>) -> Problem {
    Problem::Replacement { reason: reason.into() }
}

/// The replacements of a layer, with those of the files that it names.
pub(crate) struct Replacements(Vec<Replacement>);

impl Replacements {
    /// Reads the entries of `replacements`.
    pub(crate) fn read(entries: &[Replacement], folder: &Folder<'_>, file: &str) -> Result<Self, Errors> {
        let mut all = Vec::new();
        let mut errors = Vec::new();
        for entry in entries {
            let is_inline = entry.source.is_some() || entry.targets.as_ref().is_some_and(|targets| !targets.is_empty());
            match (entry.path.is_empty(), is_inline) {
                (true, _) => all.push(entry.clone()),
                (false, true) => {
                    errors.push(Error::in_file(file, wrong("cannot specify both path and inline replacement")))
                }
                (false, false) => match read_file(&entry.path, folder) {
                    Ok(more) => all.extend(more),
                    Err(found) => errors.extend(found.0),
                },
            }
        }
        Errors::unless_any(errors, Self(all))
    }

    /// Copies, in order. Upstream stops at the first failure, since what follows may copy what was not written.
    pub(crate) fn run(&self, resources: &mut Resources, facts: &Facts, file: &str) -> Vec<Error> {
        let (list, growth) = resources.list_and_growth();
        for replacement in &self.0 {
            if let Err(problem) = replace(replacement, list, growth, facts) {
                return vec![Error::in_file(file, problem)];
            }
        }
        Vec::new()
    }
}

fn read_file(path: &str, folder: &Folder<'_>) -> Result<Vec<Replacement>, Errors> {
    let place = folder.path_of(path);
    let text = folder.text(path, Purpose::Recipe)?;
    let value = yaml::from_str(&text).map_err(|error| Errors::one(&place, error))?;
    let problems = |problems| Errors::many(&place, problems);
    match &value {
        Value::Array(_) => decode(value, Leniency::Lenient).map_err(problems),
        Value::Object(_) => decode(value, Leniency::Lenient).map(|one| vec![one]).map_err(problems),
        _ => Err(Errors::one(&place, wrong("unsupported replacement type encountered within replacement path"))),
    }
}

fn replace(
    replacement: &Replacement,
    list: &mut [Resource],
    growth: &mut Growth,
    facts: &Facts,
) -> Result<(), Problem> {
    let has_source = replacement.source.is_some() || replacement.source_value.is_some();
    let Some(targets) = replacement.targets.as_ref().filter(|_| has_source) else {
        return Err(wrong("replacements must specify a source and at least one target"));
    };
    let mut source = match (&replacement.source, &replacement.source_value) {
        (Some(_), Some(_)) => return Err(wrong("value and resource selectors are mutually exclusive")),
        (_, Some(value)) => Source { value: tree::untagged(value), object: None },
        (Some(source), None) => source_of(source, list, facts)?,
        (None, None) => return Ok(()),
    };
    let outcome = targets.iter().try_for_each(|target| write(target, &mut source, list, growth, facts));
    let marked = source.object.and_then(|at| list.get_mut(at)).and_then(|resource| find_marked(&mut resource.node));
    if let Some(field) = marked {
        field.column = 0;
    }
    outcome
}

/// What is copied. Upstream copies from the field itself each time, so that a target which changes the field changes
/// what later targets get.
struct Source {
    /// What the field holds now, or held when it was taken out of its object.
    value: Node,
    /// The object that has the field, which bears the [`MARK`]; nothing where a part of the field is copied, or a text
    /// of the kustomization.
    object: Option<usize>,
}

/// The column of the field that is copied: objects have no use for the one in their file.
const MARK: u32 = u32::MAX;

impl Source {
    /// Looks at the field again, if it stands in this object.
    fn refresh(&mut self, at: usize, object: &mut Node) {
        if self.object == Some(at)
            && let Some(field) = find_marked(object)
        {
            self.value = Node { column: 0, ..field.clone() };
        }
    }
}

fn find_marked(node: &mut Node) -> Option<&mut Node> {
    if node.column == MARK { Some(node) } else { node.children.iter_mut().find_map(find_marked) }
}

/// All identities of an object, present and former, as replacements compare them.
fn ids(resource: &Resource, facts: &Facts) -> Vec<Id> {
    let current = Id { cluster: false, ..resource.id(facts) };
    let former: Vec<Id> = resource.previous_ids(&current).collect();
    std::iter::once(current).chain(former).collect()
}

fn source_of(source: &ReplacementSource, list: &mut [Resource], facts: &Facts) -> Result<Source, Problem> {
    let gvk = Gvk { group: source.group.clone(), version: source.version.clone(), kind: source.kind.clone() };
    let wanted = Id { gvk, name: source.name.clone(), namespace: source.namespace.clone(), cluster: false };
    let is_meant = |id: &Id| {
        (wanted.name.is_empty() || wanted.name == id.name)
            && (wanted.namespace.is_empty() || wanted.effective_namespace() == id.effective_namespace())
            && id.gvk.is_selected_by(&wanted.gvk)
    };
    let name = || {
        let path = if source.field_path.is_empty() { String::new() } else { format!(":{}", source.field_path) };
        format!("{wanted}{path}{}", describe(source.options.as_ref()))
    };
    let mut meant = list.iter_mut().enumerate().filter(|(_, resource)| ids(resource, facts).iter().any(is_meant));
    let (at, resource) = match (meant.next(), meant.next()) {
        (Some(found), None) => found,
        (None, _) => return Err(wrong(format!("nothing selected by {}", name()))),
        _ => return Err(wrong(format!("multiple matches for selector {}", name()))),
    };
    let path = if source.field_path.is_empty() { DEFAULT_PATH } else { &source.field_path };
    let found = tree::lookup_mut(&mut resource.node, &split_dotted(path))
        .map_err(|problem| wrong(format!("error looking up replacement source: {problem}")))?;
    let found = found.filter(|value| !tree::is_empty(value));
    let found = found.ok_or_else(|| wrong(format!("fieldPath `{path}` is missing for replacement source {wanted}")))?;
    if let Some(options) = source.options.as_ref().filter(|options| !options.delimiter.is_empty()) {
        return Ok(Source { value: part_of(found, options)?, object: None });
    }
    let value = found.clone();
    found.column = MARK;
    Ok(Source { value, object: Some(at) })
}

fn describe(options: Option<&FieldOptions>) -> String {
    match options {
        Some(options) if !options.delimiter.is_empty() || options.create => {
            format!(":{}({}), create={}", options.delimiter, options.index, options.create)
        }
        _ => String::new(),
    }
}

/// The part of a value that a delimiter and an index name.
fn part_of(value: &Node, options: &FieldOptions) -> Result<Node, Problem> {
    if value.kind != Kind::Scalar {
        return Err(wrong("delimiter option can only be used with scalar nodes"));
    }
    let part =
        usize::try_from(options.index).ok().and_then(|index| tree::text(value).split(&options.delimiter).nth(index));
    let part = part.ok_or_else(|| wrong(format!("options.index {} is out of bounds", options.index)))?;
    Ok(Node { value: part.into(), ..value.clone() })
}

fn write(
    target: &ReplacementTarget,
    source: &mut Source,
    list: &mut [Resource],
    growth: &mut Growth,
    facts: &Facts,
) -> Result<(), Problem> {
    let select = target.select.as_ref().ok_or_else(|| wrong("target must specify resources to select"))?;
    let select = Matcher::new(select)?;
    let rejects = target.reject.iter().map(Matcher::new).collect::<Result<Vec<_>, _>>()?;
    for (at, resource) in list.iter_mut().enumerate() {
        let rejected = |matcher: &Matcher| matcher.asks_for_metadata && matcher.matches_metadata(&resource.node);
        if !select.matches_metadata(&resource.node) || rejects.iter().any(rejected) {
            continue;
        }
        let ids = ids(resource, facts);
        if rejects.iter().any(|reject| ids.iter().any(|id| reject.rejects_id(id))) {
            continue;
        }
        if ids.iter().any(|id| select.matches_id(id)) {
            write_into(target, source, at, &mut resource.node, growth)?;
            if resource.has_shared {
                tree::settle_shared(&mut resource.node);
            }
        }
    }
    Ok(())
}

fn write_into(
    target: &ReplacementTarget,
    source: &mut Source,
    at: usize,
    object: &mut Node,
    growth: &mut Growth,
) -> Result<(), Problem> {
    let default = [DEFAULT_PATH.to_owned()];
    let paths = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    let create = target.options.as_ref().is_some_and(|options| options.create).then_some(source.value.kind);
    for path in paths {
        let parts = split_dotted(path);
        growth::check_depth(parts.len())?;
        if write_into_text(object, &parts, &source.value, create).is_ok() {
            source.refresh(at, object);
            continue;
        }
        let what = if create.is_some() { "find or create" } else { "find" };
        let unable = || format!("unable to {what} field {path:?} in replacement target");
        let mut failure = None;
        let found = each_match(object, &parts, create, &mut |field| {
            if failure.is_none() {
                let paid = growth.value(&source.value, parts.len());
                failure = paid.and_then(|()| set_field(target.options.as_ref(), field, &source.value)).err();
                source.refresh(at, field);
            }
        });
        match (found, failure) {
            (_, Some(problem)) => return Err(problem),
            (Ok(0), None) => return Err(wrong(unable())),
            (Ok(_), None) => source.refresh(at, object),
            (Err(problem), None) => return Err(wrong(format!("{}: {problem}", unable()))),
        }
    }
    Ok(())
}

fn set_field(options: Option<&FieldOptions>, field: &mut Node, value: &Node) -> Result<(), Problem> {
    let mut value = value.clone();
    value.anchor = None;
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        if field.kind != Kind::Scalar {
            return Err(wrong("delimiter option can only be used with scalar nodes"));
        }
        value.value = put_part(&field.value, tree::text(&value), options);
    }
    if field.kind == Kind::Scalar {
        tree::set_text(field, &value.value);
    } else {
        *field = Node { column: field.column, ..value };
    }
    Ok(())
}

/// Puts a part into a text: before it, behind it, or in the place of one.
fn put_part(text: &str, part: &str, options: &FieldOptions) -> String {
    let mut parts: Vec<&str> = text.split(options.delimiter.as_str()).collect();
    match usize::try_from(options.index) {
        Err(_) => parts.insert(0, part),
        Ok(index) => match parts.get_mut(index) {
            Some(slot) => *slot = part,
            None => parts.push(part),
        },
    }
    parts.join(&options.delimiter)
}

/// The kind of what is made for a part of a path, by the part behind it.
fn kind_before(next: Option<&String>, last: Kind) -> Kind {
    match next {
        None => last,
        Some(part) if tree::is_entry(part) || part.parse::<u64>().is_ok() => Kind::Sequence,
        Some(_) => Kind::Mapping,
    }
}

/// Calls `found` with every field that a path leads to, which may hold `*` and `[name=expression]`; how many there are.
fn each_match(
    node: &mut Node,
    path: &[String],
    create: Option<Kind>,
    found: &mut dyn FnMut(&mut Node),
) -> Result<usize, Problem> {
    let Some((part, rest)) = path.split_first() else {
        found(node);
        return Ok(1);
    };
    if let Ok(index) = part.parse::<usize>() {
        return at_index(node, index, rest, create, found);
    }
    if tree::is_entry(part) {
        return at_entries(node, part, rest, create, found);
    }
    if part == "*" {
        tree::expect_kind(node, Kind::Sequence)?;
        return node.children.iter_mut().map(|entry| each_match(entry, rest, create, found)).sum();
    }
    at_field(node, part, rest, create, found)
}

fn at_index(
    node: &mut Node,
    index: usize,
    rest: &[String],
    create: Option<Kind>,
    found: &mut dyn FnMut(&mut Node),
) -> Result<usize, Problem> {
    tree::expect_kind(node, Kind::Sequence)?;
    let length = node.children.len();
    if let Some(kind) = create.filter(|_| index == length) {
        node.children.push(tree::empty(kind_before(rest.first(), kind)));
    }
    match node.children.get_mut(index) {
        Some(entry) => each_match(entry, rest, create, found),
        None => Err(wrong(format!("index {index} specified but only {length} elements found"))),
    }
}

fn at_entries(
    node: &mut Node,
    part: &str,
    rest: &[String],
    create: Option<Kind>,
    found: &mut dyn FnMut(&mut Node),
) -> Result<usize, Problem> {
    let (name, text) = tree::entry_of(part)?;
    let expression = Regex::new(text).map_err(bad_expression)?;
    tree::expect_kind(node, Kind::Sequence)?;
    let mut count = 0;
    for entry in &mut node.children {
        let is_meant = if name.is_empty() { Some(&*entry) } else { entry.get(name) };
        if is_meant.is_some_and(|value| expression.is_match(print(value, EmitOptions::KYAML).trim())) {
            count += if name.is_empty() {
                each_match(entry, &[], create, found)?
            } else {
                each_match(entry, rest, create, found)?
            };
        }
    }
    if count > 0 || create.is_none() {
        return Ok(count);
    }
    let value = tree::untagged(text);
    let entry =
        if name.is_empty() { value } else { Node { tag: Tag::None, ..Node::mapping(vec![tree::key(name), value]) } };
    node.children.push(entry);
    match node.children.last_mut() {
        Some(entry) if !name.is_empty() => each_match(entry, rest, create, found),
        Some(entry) => each_match(entry, &[], create, found),
        None => Ok(0),
    }
}

fn at_field(
    node: &mut Node,
    name: &str,
    rest: &[String],
    create: Option<Kind>,
    found: &mut dyn FnMut(&mut Node),
) -> Result<usize, Problem> {
    if tree::field(node, name)?.is_none() {
        let Some(kind) = create else { return Ok(0) };
        if tree::is_null(node) {
            return Ok(0);
        }
        tree::get_or_add(node, name, kind_before(rest.first(), kind))?;
    }
    let Some(field) = node.get_mut(name) else { return Ok(0) };
    if field.kind == Kind::Scalar && !rest.is_empty() && !tree::is_null(field) {
        // Within a text: found there, but not written, as upstream drops the tree that it reads from the text.
        let mut inner = parse_one(&field.value)?;
        return each_match(&mut inner, rest, create, found);
    }
    each_match(field, rest, create, found)
}

fn parse_one(text: &str) -> Result<Node, Problem> {
    let documents = yaml::parse(text.as_bytes(), &Limits::default())?;
    let root = documents.into_iter().next().and_then(|mut document| document.children.pop());
    root.ok_or_else(|| wrong("no document in the text"))
}

/// Writes into a text that is itself YAML or JSON, when the path leads through one.
fn write_into_text(object: &mut Node, path: &[String], value: &Node, create: Option<Kind>) -> Result<(), Problem> {
    let is_text = |length: &usize| {
        let node = path.get(..*length).and_then(|path| tree::lookup(object, path).ok().flatten());
        node.is_some_and(|node| node.kind == Kind::Scalar && parse_one(&node.value).is_ok() && !node.value.is_empty())
    };
    let length = (1..path.len()).find(is_text).ok_or_else(|| wrong("no structured data found in path"))?;
    let (outer, inner) = path.split_at(length);
    let Some(scalar) = tree::lookup_mut(object, outer)? else { return Err(wrong("no structured data found in path")) };
    let mut data = yaml::parse(scalar.value.as_bytes(), &Limits::default())?;
    let Some(document) = data.first_mut() else { return Err(wrong("no document in the text")) };
    let Some(root) = document.children.first_mut() else { return Err(wrong("no document in the text")) };
    let found = each_match(root, inner, create, &mut |field| {
        if field.kind == Kind::Scalar {
            tree::set_text(field, &value.value);
        } else {
            *field = Node { anchor: None, ..value.clone() };
        }
    })?;
    if found == 0 {
        return Err(wrong("unable to find field in structured data"));
    }
    let text = serialize(document, &scalar.value)?;
    tree::set_text(scalar, &text);
    Ok(())
}

/// In the form that the text had: JSON on one line or indented, or YAML.
fn serialize(document: &Node, original: &str) -> Result<String, Problem> {
    let printed = print(document, EmitOptions::KYAML);
    if !original.trim_start().starts_with(['{', '[']) {
        return Ok(printed.trim().into());
    }
    let documents = yaml::parse(printed.as_bytes(), &Limits::default())?;
    let root = documents.first().ok_or_else(|| wrong("no document in the text"))?;
    let value = yaml::to_value(root, yaml::Resolver::V3, yaml::Strictness::Lenient)?;
    let indented = original.contains('\n') && original.contains("  ");
    Ok(match indented {
        true => yaml::json::to_string_indent(&value, "  ", yaml::json::Html::Escaped),
        false => yaml::json::to_string(&value, yaml::json::Html::Escaped),
    })
}
