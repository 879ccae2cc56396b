//! ConfigMaps and Secrets made from literals and files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Origin, Purpose};
use yaml::{Kind, Node, Style, Tag};
use zeroize::Zeroize as _;

use crate::error::{Errors, Problem};
use crate::kustomization::{GeneratorArgs, GeneratorOptions, Pairs};
use crate::loader::Folder;
use crate::resource::{Behavior, Resource};
use crate::tree;

/// What a generator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Makes {
    ConfigMap,
    Secret,
}

impl Makes {
    fn kind(self) -> &'static str {
        match self {
            Makes::ConfigMap => "ConfigMap",
            Makes::Secret => "Secret",
        }
    }

    fn file_purpose(self, key: &str) -> Purpose<'_> {
        match self {
            Makes::ConfigMap => Purpose::ConfigMap,
            Makes::Secret => Purpose::SecretFile { key },
        }
    }

    fn envs_purpose(self) -> Purpose<'static> {
        match self {
            Makes::ConfigMap => Purpose::ConfigMap,
            Makes::Secret => Purpose::SecretEnvs,
        }
    }
}

/// Data of an object; plaintext, so it is wiped when dropped.
#[derive(Default)]
struct Data(BTreeMap<String, Vec<u8>>);

impl Drop for Data {
    fn drop(&mut self) {
        self.0.values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

/// A generator with the options that hold for all generators of its file.
pub(crate) struct Generator {
    pub(crate) makes: Makes,
    pub(crate) args: GeneratorArgs,
}

impl Generator {
    /// Adds the options of the file to those of the generator, which win.
    pub(crate) fn new(makes: Makes, args: &GeneratorArgs, file: Option<&GeneratorOptions>) -> Self {
        let mut args = args.clone();
        if let Some(file) = file {
            let options = args.options.get_or_insert_default();
            add_missing(&mut options.labels, &file.labels);
            add_missing(&mut options.annotations, &file.annotations);
            options.disable_name_suffix_hash |= file.disable_name_suffix_hash;
            options.immutable |= file.immutable;
        }
        Self { makes, args }
    }

    /// Makes the object. All sources are read, so that all that are wrong are found; `file` is whose generator it is.
    pub(crate) fn run(&self, folder: &Folder<'_>, file: &str) -> Result<Resource, Errors> {
        if self.args.name.is_empty() {
            return Err(Errors::one(file, Problem::UnnamedGenerator));
        }
        let data = self.data(folder, file)?;
        let node = self.node(&data).map_err(|problem| Errors::one(file, problem))?;
        let mut resource = Resource::new(node, Origin { file: file.into(), line: 0 });
        resource.needs_hash = !self.args.options.as_ref().is_some_and(|options| options.disable_name_suffix_hash);
        resource.behavior = Some(Behavior::read(&self.args.behavior));
        Ok(resource)
    }

    fn data(&self, folder: &Folder<'_>, file: &str) -> Result<Data, Errors> {
        let mut data = Data::default();
        let mut errors = Vec::new();
        let mut put = |key: String, value: Vec<u8>, errors: &mut Vec<crate::Error>| match data.0.entry(key) {
            Entry::Vacant(slot) => _ = slot.insert(value),
            Entry::Occupied(slot) => {
                let problem = Problem::RepeatedKey { name: self.args.name.clone(), key: slot.key().clone() };
                errors.push(crate::Error::in_file(file, problem));
            }
        };
        for entry in &self.args.envs {
            match self.envs(folder, entry) {
                Ok(pairs) => pairs.into_iter().for_each(|(key, value)| put(key, value, &mut errors)),
                Err(found) => errors.extend(found.0),
            }
        }
        for literal in &self.args.literals {
            match split_literal(literal) {
                Ok((key, value)) => put(key.into(), value.into(), &mut errors),
                Err(problem) => errors.push(crate::Error::in_file(file, problem)),
            }
        }
        for entry in &self.args.files {
            match self.file(folder, entry, file) {
                Ok((key, value)) => put(key, value, &mut errors),
                Err(found) => errors.extend(found.0),
            }
        }
        Errors::unless_any(errors, data)
    }

    fn envs(&self, folder: &Folder<'_>, entry: &str) -> Result<Vec<(String, Vec<u8>)>, Errors> {
        let place = folder.path_of(entry);
        let content = folder.read(entry, self.makes.envs_purpose()).map_err(|problem| Errors::one(&place, problem))?;
        let lines = content.bytes().split(|byte| *byte == b'\n').enumerate();
        let mut pairs = Vec::new();
        let mut errors = Vec::new();
        for (index, line) in lines {
            match read_line(line, index == 0) {
                Ok(pair) => pairs.extend(pair),
                Err(problem) => {
                    let mut error = crate::Error::in_file(&place, problem);
                    error.origin.line = u32::try_from(index + 1).unwrap_or_default();
                    errors.push(error);
                }
            }
        }
        Errors::unless_any(errors, pairs)
    }

    fn file(&self, folder: &Folder<'_>, entry: &str, file: &str) -> Result<(String, Vec<u8>), Errors> {
        let (key, path) = split_file_source(entry).map_err(|problem| Errors::one(file, problem))?;
        let content = folder
            .read(path, self.makes.file_purpose(key))
            .map_err(|problem| Errors::one(&folder.path_of(path), problem))?;
        Ok((key.into(), content.bytes().to_vec()))
    }

    fn node(&self, data: &Data) -> Result<Node, Problem> {
        let args = &self.args;
        let mut node = Node::mapping(vec![
            tree::key("apiVersion"),
            Node::string("v1"),
            tree::key("kind"),
            Node::string(self.makes.kind()),
        ]);
        tree::set_path(&mut node, &["metadata", "name"], tree::string(&args.name))?;
        if !args.namespace.is_empty() {
            tree::set_path(&mut node, &["metadata", "namespace"], tree::string(&args.namespace))?;
        }
        match self.makes {
            Makes::ConfigMap => put_data(&mut node, &data.0)?,
            Makes::Secret => {
                let secret_type = if args.secret_type.is_empty() { "Opaque" } else { &args.secret_type };
                tree::set(&mut node, "type", tree::string(secret_type))?;
                let map = tree::get_or_add(&mut node, "data", Kind::Mapping)?;
                data.0.iter().try_for_each(|(key, value)| tree::set(map, key, scalar(&encode(value))))?;
            }
        }
        if let Some(options) = &args.options {
            add_options(&mut node, options)?;
        }
        Ok(node)
    }
}

fn add_missing(pairs: &mut Pairs, others: &Pairs) {
    for (key, value) in others {
        pairs.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn add_options(node: &mut Node, options: &GeneratorOptions) -> Result<(), Problem> {
    for (field, pairs) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        for (key, value) in pairs {
            let quoted = Node { style: Style::SingleQuoted, ..Node::string(value) };
            tree::set_path(node, &["metadata", field, key], quoted)?;
        }
    }
    if options.immutable {
        tree::set(node, "immutable", Node::scalar(Tag::Bool, "true"))?;
    }
    Ok(())
}

/// Texts go to `data`, other bytes to `binaryData`.
fn put_data(node: &mut Node, data: &BTreeMap<String, Vec<u8>>) -> Result<(), Problem> {
    for (key, value) in data {
        let (field, value) = match std::str::from_utf8(value) {
            Ok(text) => ("data", scalar(text)),
            Err(_) => ("binaryData", scalar(&encode(value))),
        };
        tree::set(tree::get_or_add(node, field, Kind::Mapping)?, key, value)?;
    }
    Ok(())
}

fn scalar(text: &str) -> Node {
    let style = if text.contains('\n') { Style::Literal } else { Style::Plain };
    Node { style, ..Node::string(text) }
}

/// Base64; what is longer than a line of 70 is broken into such lines.
fn encode(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let mut flat = STANDARD.encode(bytes);
    if flat.len() < LINE {
        return flat;
    }
    let mut lines = String::with_capacity(flat.len() + flat.len() / LINE + 1);
    for line in flat.as_bytes().chunks(LINE) {
        lines.extend(line.iter().map(|byte| char::from(*byte)));
        lines.push('\n');
    }
    flat.zeroize();
    lines
}

/// `key=value`; quotes around the value are taken off.
fn split_literal(literal: &str) -> Result<(&str, &str), Problem> {
    let (key, value) = literal.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| Problem::BadPair {
        reason: "literal sources: invalid literal source, expected key=value".into(),
    })?;
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Ok((key, quoted.unwrap_or(value)))
}

/// `key=path`, or a path whose last part is the key.
fn split_file_source(source: &str) -> Result<(&str, &str), Problem> {
    let bad = |reason: String| Err(Problem::BadPair { reason: format!("file sources: {reason}") });
    match source.split_once('=') {
        None => Ok((source.trim_end_matches('/').rsplit('/').next().unwrap_or(source), source)),
        Some((_, path)) if path.contains('=') => bad(format!("source {source:?} key name or file path contains '='")),
        Some(("", path)) => bad(format!("missing key name for file path {path:?} in source {source:?}")),
        Some((key, "")) => bad(format!("missing file path for key name {key:?} in source {source:?}")),
        Some(pair) => Ok(pair),
    }
}

/// A line of an env file; `None` for an empty one or a comment.
fn read_line(line: &[u8], is_first: bool) -> Result<Option<(String, Vec<u8>)>, Problem> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line)
        .map_err(|_| Problem::BadPair { reason: "env source files: line has invalid utf8 bytes".into() })?;
    let text = if is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    let text = text.trim_start();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((!key.is_empty()).then(|| (key.into(), value.into())))
}

/// Makes what a generator made out of what was there: `merge` adds to its data, `replace` takes its place.
pub(crate) fn add_to(made: &mut Resource, old: &Resource, behavior: Behavior) -> Result<(), Problem> {
    for field in ["labels", "annotations"] {
        let mut pairs = old.pairs(field);
        pairs.extend(made.pairs(field));
        made.set_pairs(field, &pairs)?;
    }
    made.needs_hash = made.needs_hash && old.needs_hash;
    made.previous.clone_from(&old.previous);
    made.prefixes.clone_from(&old.prefixes);
    made.suffixes.clone_from(&old.suffixes);
    made.behavior = old.behavior;
    made.from_chart = old.from_chart;
    made.variables.clone_from(&old.variables);
    let of_old =
        |name: &str| old.node.get("metadata").and_then(|metadata| metadata.get(name)).map(|value| value.value.clone());
    made.set_name(&of_old("name").unwrap_or_default())?;
    made.set_namespace(&of_old("namespace").unwrap_or_default())?;
    if behavior == Behavior::Merge {
        merge_data(made, old)?;
        if let Some(origin) = old.annotation(crate::resource::ORIGIN) {
            made.set_annotation(crate::resource::ORIGIN, origin)?;
        }
    }
    Ok(())
}

fn merge_data(made: &mut Resource, old: &Resource) -> Result<(), Problem> {
    for field in ["data", "binaryData"] {
        let mut data = data_of(&old.node, field);
        data.extend(data_of(&made.node, field));
        tree::clear(&mut made.node, field)?;
        if !data.is_empty() {
            let map = tree::get_or_add(&mut made.node, field, Kind::Mapping)?;
            data.iter().try_for_each(|(key, value)| tree::set(map, key, scalar(value)))?;
        }
    }
    Ok(())
}

fn data_of(node: &Node, field: &str) -> BTreeMap<String, String> {
    let pairs = node.get(field).into_iter().flat_map(Node::pairs);
    pairs.map(|(key, value)| (key.value.clone(), tree::text(value).to_owned())).collect()
}
