//! Variables (`vars`): `$(NAME)` in some fields stands for a field of an object.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml::{Kind, Node, Style, Tag};

use crate::config::Config;
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::fieldspec::{Make, visit};
use crate::growth::Growth;
use crate::id::{Gvk, Id, split_api_version};
use crate::kustomization::Variable;
use crate::output;
use crate::resources::Resources;
use crate::transform::each;
use crate::tree::{self, is_text};

/// The variables of a build, by name.
#[derive(Default)]
pub(crate) struct Variables(BTreeMap<String, Declared>);

/// A variable and the file that declares it.
struct Declared {
    variable: Variable,
    file: String,
}

fn wrong(reason: String) -> Problem {
    Problem::Variable { reason }
}

impl Variables {
    /// Adds the variables of a layer, and notes them at the objects that they read.
    pub(crate) fn declare(
        &mut self,
        variables: &[Variable],
        resources: &mut Resources,
        facts: &Facts,
        file: &str,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for variable in variables {
            let result = note(variable, resources, facts).and_then(|()| self.add(variable.clone(), file));
            errors.extend(result.err().map(|problem| Error::in_file(file, problem)));
        }
        errors
    }

    fn add(&mut self, variable: Variable, file: &str) -> Result<(), Problem> {
        if self.0.contains_key(&variable.name) {
            return Err(wrong(format!("var '{}' already encountered", variable.name)));
        }
        self.0.insert(variable.name.clone(), Declared { variable, file: file.into() });
        Ok(())
    }

    /// Adds the variables of another layer.
    pub(crate) fn merge(&mut self, other: Self) -> Vec<Error> {
        let add = |declared: Declared| {
            let result = self.add(declared.variable, &declared.file);
            result.err().map(|problem| Error::in_file(&declared.file, problem))
        };
        other.0.into_values().filter_map(add).collect()
    }

    /// Writes the values wherever the variables are named.
    pub(crate) fn resolve(&self, resources: &mut Resources, config: &Config, facts: &Facts) -> Vec<Error> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut values = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, declared) in &self.0 {
            match declared.value(resources) {
                Ok(value) => _ = values.insert(name.as_str(), value),
                Err(problem) => errors.push(Error::in_file(&declared.file, problem)),
            }
        }
        if !errors.is_empty() {
            return errors;
        }
        each(resources, facts, |resource, growth| {
            for spec in &config.var_reference {
                visit(&mut resource.node, spec, Make::Nothing, &mut |node: &mut Node| {
                    expand_field(node, &values, growth)
                })?;
            }
            if resource.has_shared {
                tree::settle_shared(&mut resource.node);
            }
            Ok(())
        })
    }
}

/// Notes a variable at the object that it reads, if that is there yet.
fn note(variable: &Variable, resources: &mut Resources, facts: &Facts) -> Result<(), Problem> {
    let object = &variable.objref;
    let mut gvk = Gvk { group: object.group.clone(), version: object.version.clone(), kind: object.kind.clone() };
    if !object.api_version.is_empty() {
        let (group, version) = split_api_version(&object.api_version);
        gvk.version = version.into();
        gvk.group = if group.is_empty() { gvk.group } else { group.into() };
    }
    let wanted = Id { gvk, name: object.name.clone(), namespace: object.namespace.clone(), cluster: false };
    let by_namespace = !wanted.namespace.is_empty();
    let is_meant = |id: &Id| {
        id.name == wanted.name
            && id.gvk == wanted.gvk
            && (!by_namespace || id.effective_namespace() == wanted.effective_namespace())
    };
    let mut meant = Vec::new();
    for (at, resource) in resources.list().iter().enumerate() {
        let current = resource.id(facts);
        if resource.previous_ids(&current).any(|id| is_meant(&id)) || is_meant(&current) {
            meant.push(at);
        }
    }
    if meant.len() > 1 {
        return Err(wrong(format!(
            "found {} resId matches for var {} (unable to disambiguate)",
            meant.len(),
            variable.name
        )));
    }
    if let Some(resource) = meant.first().and_then(|at| resources.get_mut(*at)) {
        resource.variables.push(variable.name.clone());
    }
    Ok(())
}

impl Declared {
    fn value(&self, resources: &Resources) -> Result<Node, Problem> {
        let name = &self.variable.name;
        let reads = |resource: &&crate::resource::Resource| resource.variables.contains(name);
        let resource =
            resources.list().iter().find(reads).ok_or_else(|| {
                wrong(format!("var '{name}' cannot be mapped to a field in the set of known resources"))
            })?;
        let path = match self.variable.fieldref.field_path.as_str() {
            "" => "metadata.name",
            path => path,
        };
        let parts: Vec<String> = tree::split_dotted(path).into_iter().flat_map(|part| split_index(&part)).collect();
        let missing = || wrong(format!("field specified in var '{name}' not found in corresponding resource"));
        tree::lookup(&resource.node, &parts).ok().flatten().cloned().ok_or_else(missing)
    }
}

/// `name[0]` is two parts.
fn split_index(part: &str) -> Vec<String> {
    let inner = part.strip_suffix(']').and_then(|inner| inner.rsplit_once('['));
    match inner.filter(|(_, index)| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(("", index)) => vec![index.into()],
        Some((name, index)) => vec![name.into(), index.into()],
        None => vec![part.into()],
    }
}

type Values<'v> = BTreeMap<&'v str, Node>;

fn expand_field(node: &mut Node, values: &Values<'_>, growth: &mut Growth) -> Result<(), Problem> {
    if tree::is_null(node) {
        return Ok(());
    }
    match node.kind {
        Kind::Scalar if is_text(node) => expand(node, values, growth),
        Kind::Scalar => Ok(()),
        Kind::Mapping => {
            for pair in node.children.chunks_exact_mut(2) {
                let [key, value] = pair else { continue };
                if !is_text(key) {
                    return Err(wrong(format!("invalid map key: value='{}', tag='{}'", key.value, key.tag.as_str())));
                }
                if is_text(value) {
                    expand(value, values, growth)?;
                }
            }
            Ok(())
        }
        Kind::Sequence => node.children.iter_mut().try_for_each(|entry| match is_text(entry) {
            true => expand(entry, values, growth),
            false => Err(wrong("invalid value type expect a string".into())),
        }),
        _ => Err(wrong("invalid type encountered".into())),
    }
}

/// A value as it is written in the place of a whole text, or as a part of one.
enum Piece {
    Whole(Node),
    Text(String),
}

fn expand(node: &mut Node, values: &Values<'_>, growth: &mut Growth) -> Result<(), Problem> {
    let line = node.line;
    let expanded = match replace(&node.value, values, growth)? {
        Piece::Whole(value) => value,
        Piece::Text(text) => Node { tag: Tag::Str, style: Style::Plain, ..tree::string(&text) },
    };
    let anchor = node.anchor.take();
    *node = Node { style: Style::Plain, tagged: false, line: line.saturating_add(1), anchor, ..expanded };
    Ok(())
}

/// `$(NAME)` becomes the value, `$$` a dollar; anything else stays.
fn replace(text: &str, values: &Values<'_>, growth: &mut Growth) -> Result<Piece, Problem> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$').filter(|at| at + 1 < rest.len()) {
        result.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(escaped) = behind.strip_prefix('$') {
            result.push('$');
            rest = escaped;
            continue;
        }
        let closed = behind.strip_prefix('(').and_then(|inner| Some((inner, inner.find(')')?)));
        let Some((inner, end)) = closed else {
            let length = behind.chars().next().map_or(0, char::len_utf8);
            result.push_str(&rest[at..=at + length]);
            rest = &behind[length..];
            continue;
        };
        let name = &inner[..end];
        let whole = format!("$({name})");
        let value = values.get(name).filter(|value| value.kind == Kind::Scalar);
        growth.text(value.map_or(0, |value| value.value.len()))?;
        match value {
            Some(value) if text == whole => return typed(value).map(Piece::Whole),
            Some(value) => result.push_str(&typed(value)?.value),
            None => result.push_str(&whole),
        }
        rest = &inner[end + 1..];
    }
    result.push_str(rest);
    Ok(Piece::Text(result))
}

/// A value with the type that it has where it is read.
fn typed(value: &Node) -> Result<Node, Problem> {
    Ok(match value.tag {
        Tag::Int | Tag::Bool => Node::scalar(value.tag.clone(), value.value.clone()),
        Tag::Float => match output::value(value)? {
            Value::Number(number) => {
                Node::scalar(Tag::Float, number.as_f64().map(|float| format!("{float}")).unwrap_or_default())
            }
            other => Node::string(other.as_str().unwrap_or_default()),
        },
        _ => tree::string(&value.value),
    })
}
