//! Patches: reading what a kustomization names, finding the objects that are meant, changing them.

use manifest::Purpose;
use yaml::Node;

use crate::documents::{self, Wording};
use crate::error::{Error, Errors, Problem};
use crate::facts::Facts;
use crate::growth::Growth;
use crate::id::Id;
use crate::json_patch::JsonPatch;
use crate::kustomization::{Patch, PatchOptions};
use crate::loader::Folder;
use crate::resource::Resource;
use crate::resources::{Found, Resources};
use crate::selector::Matcher;
use crate::strategic::Outcome;
use crate::{output, strategic, tree};

/// A patch, ready to be applied.
pub(crate) enum Ready {
    /// Each for the object that it names.
    Named(Vec<Partial>, PatchOptions),
    /// For the objects that a target means.
    Targeted(Partial, PatchOptions, Box<Matcher>),
    /// A JSON patch for the objects that a target means.
    Json(JsonPatch, Box<Matcher>, Place, Remember),
}

/// Whether an object keeps the identity that it had before a JSON patch: the old `patchesJson6902` does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remember {
    Yes,
    No,
}

/// A strategic-merge patch: part of an object.
pub(crate) struct Partial {
    node: Node,
    place: Place,
}

/// Where a patch stands.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Place {
    fn error(&self, problem: impl Into<Problem>) -> Error {
        let mut error = Error::in_file(&self.file, problem);
        error.origin.line = if error.origin.line == 0 { self.line } else { error.origin.line };
        error
    }
}

/// A patch's text and how errors call it.
struct Source {
    text: String,
    name: String,
    file: String,
}

/// Reads an entry of `patches`; `file` is whose entry it is. `None` for a patch without content.
pub(crate) fn read(patch: &Patch, folder: &Folder<'_>, file: &str) -> Result<Option<Ready>, Errors> {
    let source = source(patch, folder, file)?;
    let fail = |problem: Problem| Errors::one(&source.file, problem);
    let partial = documents::objects(&source.text);
    let json = json_patch(&source.text);
    let name = || source.name.clone();
    match (partial, json) {
        (Ok(parts), Ok(json)) if !parts.is_empty() && !json.is_empty() => {
            Err(fail(Problem::PatchAmbiguous { patch: name() }))
        }
        (Ok(parts), _) => {
            let parts: Vec<Partial> = parts.into_iter().map(|read| partial_of(read, &source.file)).collect();
            named_or_targeted(parts, patch, &source)
        }
        (Err(_), Ok(json)) if json.is_empty() => Ok(None),
        (Err(_), Ok(json)) => {
            let target = patch.target.as_ref().ok_or_else(|| fail(Problem::NoTarget { patch: name() }))?;
            let matcher = Matcher::new(target).map_err(&fail)?;
            let place = Place { file: source.file.clone(), line: 0 };
            Ok(Some(Ready::Json(json, Box::new(matcher), place, Remember::Yes)))
        }
        (Err(problems), Err(other)) => Err(neither(&source, problems, other)),
    }
}

/// A text that is no patch of either kind; what was wrong with it as YAML is said too.
fn neither(source: &Source, problems: Vec<documents::AtLine>, other: Problem) -> Errors {
    let mut errors = Errors::one(&source.file, Problem::NotAPatch { patch: source.name.clone() });
    for (line, problem) in problems {
        errors.0.push(Place { file: source.file.clone(), line }.error(problem));
    }
    errors.0.push(Error::in_file(&source.file, other));
    errors
}

fn source(patch: &Patch, folder: &Folder<'_>, file: &str) -> Result<Source, Errors> {
    let inline = patch.patch.trim();
    match (inline.is_empty(), patch.path.is_empty()) {
        (true, true) => Err(Errors::one(file, Problem::NoPatch)),
        (false, false) => Err(Errors::one(file, Problem::TwoPatches)),
        (false, true) => Ok(Source { text: inline.into(), name: "an inline patch".into(), file: file.into() }),
        (true, false) => Ok(Source {
            text: folder.text(&patch.path, Purpose::Patch)?,
            name: format!("[path: {:?}]", patch.path),
            file: folder.path_of(&patch.path),
        }),
    }
}

fn json_patch(text: &str) -> Result<JsonPatch, Problem> {
    if text.is_empty() {
        return Err(Problem::JsonPatch { reason: "empty json patch operations".into() });
    }
    JsonPatch::read(text)
}

fn partial_of(read: documents::Read, file: &str) -> Partial {
    Partial { place: Place { file: file.into(), line: read.line }, node: read.node }
}

fn named_or_targeted(mut parts: Vec<Partial>, patch: &Patch, source: &Source) -> Result<Option<Ready>, Errors> {
    let options = patch.options.clone().unwrap_or_default();
    let Some(target) = &patch.target else { return Ok((!parts.is_empty()).then_some(Ready::Named(parts, options))) };
    let fail = |problem: Problem| Errors::one(&source.file, problem);
    if parts.len() > 1 {
        return Err(fail(Problem::SeveralPatches { patch: source.name.clone() }));
    }
    let Some(part) = parts.pop() else { return Ok(None) };
    let matcher = Matcher::new(target).map_err(fail)?;
    Ok(Some(Ready::Targeted(part, options, Box::new(matcher))))
}

/// Reads the entries of the old `patchesStrategicMerge`: each a patch or the path of one.
pub(crate) fn read_strategic(
    entries: &[String],
    inline: &str,
    folder: &Folder<'_>,
    file: &str,
) -> Result<Vec<Partial>, Errors> {
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    for entry in entries {
        if let Ok(reads) = documents::objects(entry) {
            parts.extend(reads.into_iter().map(|read| partial_of(read, file)));
            continue;
        }
        let place = folder.path_of(entry);
        match folder.text(entry, Purpose::Recipe) {
            Ok(text) => match documents::objects(&text) {
                Ok(reads) => parts.extend(reads.into_iter().map(|read| partial_of(read, &place))),
                Err(problems) => errors.extend(at_lines(&place, problems)),
            },
            Err(found) => errors.extend(found.0),
        }
    }
    match documents::objects(inline) {
        Ok(reads) => parts.extend(reads.into_iter().map(|read| partial_of(read, file))),
        Err(problems) => errors.extend(at_lines(file, problems)),
    }
    if parts.is_empty() && errors.is_empty() {
        errors.push(Error::in_file(file, Problem::EmptyPatch { patch: format!("files={entries:?}") }));
    }
    Errors::unless_any(errors, parts)
}

/// Problems of a file as errors.
pub(crate) fn at_lines(file: &str, problems: Vec<documents::AtLine>) -> impl Iterator<Item = Error> {
    problems.into_iter().map(move |(line, problem)| Place { file: file.into(), line }.error(problem))
}

/// Reads an entry of the old `patchesJson6902`.
pub(crate) fn read_json(patch: &Patch, folder: &Folder<'_>, file: &str) -> Result<Ready, Errors> {
    let fail = |problem: Problem| Errors::one(file, problem);
    let target = patch.target.as_ref().filter(|target| !target.name.is_empty());
    let target = target.ok_or_else(|| fail(Problem::NoTargetName))?;
    let inline = if patch.json_op.is_empty() { &patch.patch } else { &patch.json_op };
    let (text, place) = match (patch.path.is_empty(), inline.is_empty()) {
        (true, true) => return Err(fail(Problem::NoPatch)),
        (false, false) => return Err(fail(Problem::TwoPatches)),
        (true, false) => (inline.clone(), file.to_owned()),
        (false, true) => (folder.text(&patch.path, Purpose::Recipe)?, folder.path_of(&patch.path)),
    };
    let json = json_patch(&text).map_err(|problem| Errors::one(&place, problem))?;
    if json.is_empty() {
        return Err(Errors::one(&place, Problem::EmptyPatch { patch: patch.path.clone() }));
    }
    let matcher = Matcher::new(target).map_err(fail)?;
    Ok(Ready::Json(json, Box::new(matcher), Place { file: place, line: 0 }, Remember::No))
}

impl Ready {
    /// Applies the patch.
    pub(crate) fn run(&self, resources: &mut Resources, facts: &Facts) -> Result<(), Vec<Error>> {
        let errors = match self {
            Ready::Named(parts, options) => {
                parts.iter().filter_map(|part| part.apply_named(options, resources, facts).err()).collect()
            }
            Ready::Targeted(part, options, matcher) => {
                let mut errors = part.apply_targeted(options, &selected(matcher, resources, facts), resources, facts);
                if options.allow_name_change || options.allow_kind_change {
                    errors.extend(resources.duplicates(facts));
                }
                errors
            }
            Ready::Json(json, matcher, place, remember) => {
                let selected = selected(matcher, resources, facts);
                selected
                    .into_iter()
                    .filter_map(|at| apply_json(json, *remember, resources, at, facts, place).err())
                    .collect()
            }
        };
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// The places of the objects that a target means.
pub(crate) fn selected(matcher: &Matcher, resources: &Resources, facts: &Facts) -> Vec<usize> {
    let is_meant = |resource: &Resource| {
        let current = resource.id(facts);
        !resource.deleted && matcher.selects(&resource.original_id(facts), &current, &resource.node)
    };
    resources.list().iter().enumerate().filter(|(_, resource)| is_meant(resource)).map(|(at, _)| at).collect()
}

/// Applies the patches of `patchesStrategicMerge`, each to the object that it names.
pub(crate) fn run_strategic(parts: &[Partial], resources: &mut Resources, facts: &Facts) -> Vec<Error> {
    let mut errors = Vec::new();
    for part in parts {
        match part.find(resources, facts) {
            Ok(at) => errors.extend(part.apply_targeted(&PatchOptions::default(), &[at], resources, facts)),
            Err(error) => errors.push(error),
        }
    }
    errors
}

impl Partial {
    fn id(&self, facts: &Facts) -> Id {
        Id::of(&self.node, facts)
    }

    fn find(&self, resources: &mut Resources, facts: &Facts) -> Result<usize, Error> {
        let id = self.id(facts);
        match resources.find_any(&id, facts) {
            Found::One(at) => Ok(at),
            Found::Nothing => Err(self.place.error(Problem::NoMatch { id: id.to_string() })),
            Found::Several => Err(self.place.error(Problem::ManyMatches { id: id.to_string() })),
        }
    }

    fn apply_named(&self, options: &PatchOptions, resources: &mut Resources, facts: &Facts) -> Result<(), Error> {
        let at = self.find(resources, facts)?;
        apply_strategic(self.node.clone(), options, resources, at, facts)
            .map_err(|problem| self.error(resources, at, facts, problem))
    }

    /// Applies the patch to several objects. Its labels and annotations become texts first, even a null, and it takes
    /// the version of each object; both as upstream does.
    fn apply_targeted(
        &self,
        options: &PatchOptions,
        places: &[usize],
        resources: &mut Resources,
        facts: &Facts,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for at in places {
            let paid = resources.growth.value(&self.node, 0);
            let result = paid
                .and_then(|()| self.for_object(resources.list().get(*at)))
                .and_then(|patch| apply_strategic(patch, options, resources, *at, facts));
            errors.extend(result.err().map(|problem| self.error(resources, *at, facts, problem)));
        }
        errors
    }

    fn for_object(&self, object: Option<&Resource>) -> Result<Node, Problem> {
        let mut patch = Resource::new(self.node.clone(), manifest::Origin::default());
        for field in ["labels", "annotations"] {
            let pairs = patch.pairs(field);
            patch.set_pairs(field, &pairs)?;
        }
        if let Some(object) = object {
            tree::set(&mut patch.node, "apiVersion", tree::untagged(object.text("apiVersion")))?;
        }
        Ok(patch.node)
    }

    fn error(&self, resources: &Resources, at: usize, facts: &Facts, problem: Problem) -> Error {
        let mut error = self.place.error(problem);
        error.object = resources.list().get(at).map(|resource| resource.id(facts).to_string());
        error
    }
}

fn apply_strategic(
    mut patch: Node,
    options: &PatchOptions,
    resources: &mut Resources,
    at: usize,
    facts: &Facts,
) -> Result<(), Problem> {
    let changes_identity = options.allow_name_change || options.allow_kind_change;
    let Some(resource) = resources.get_mut(at) else { return Ok(()) };
    let before = resource.id(facts);
    if changes_identity {
        resource.remember(facts);
    }
    let drops_books = annotations_are_dropped(&patch);
    match strategic::apply(&mut resource.node, &mut patch, facts)? {
        Outcome::Object if !tree::is_empty(&resource.node) => {}
        // `$patch: replace` for a whole object: upstream goes on with the object as it was.
        Outcome::Patch => return Ok(()),
        _ => {
            resource.deleted = true;
            _ = resources.list_mut();
            return Ok(());
        }
    }
    if resource.has_shared {
        tree::settle_shared(&mut resource.node);
    }
    if drops_books {
        resource.forget();
    }
    if !options.allow_kind_change {
        tree::set(&mut resource.node, "kind", tree::untagged(&before.gvk.kind))?;
    }
    if !options.allow_name_change {
        resource.set_name(&before.name)?;
    }
    resource.set_namespace(&before.namespace)?;
    if resource.id(facts) != before || changes_identity {
        _ = resources.list_mut();
    }
    Ok(())
}

/// Whether a patch removes all annotations, and with them those in which upstream keeps its books.
fn annotations_are_dropped(patch: &Node) -> bool {
    let is_gone = |map: &Node| tree::is_null(map) || map.get("$patch").is_some_and(|word| word.value != "merge");
    let metadata = patch.get("metadata");
    metadata.is_some_and(is_gone) || metadata.and_then(|metadata| metadata.get("annotations")).is_some_and(is_gone)
}

fn apply_json(
    json: &JsonPatch,
    remember: Remember,
    resources: &mut Resources,
    at: usize,
    facts: &Facts,
    place: &Place,
) -> Result<(), Error> {
    let (list, growth) = resources.list_and_growth();
    let Some(resource) = list.get_mut(at) else { return Ok(()) };
    let id = resource.id(facts);
    if remember == Remember::Yes {
        resource.remember(facts);
    }
    let books = resource.clone_books();
    change_by_json(json, resource, growth).map_err(|problem| {
        let mut error = place.error(problem);
        error.object = Some(id.to_string());
        error
    })?;
    resource.restore_books(books);
    Ok(())
}

/// The books are visible to the patch, as annotations, and survive it.
fn change_by_json(json: &JsonPatch, resource: &mut Resource, growth: &mut Growth) -> Result<(), Problem> {
    resource.reveal()?;
    let value = json.apply(output::value(&resource.node)?, growth)?;
    resource.node = documents::from_value(&value, Wording::Yaml);
    resource.has_shared = false;
    resource.conceal();
    let annotations = resource.pairs("annotations");
    resource.set_pairs("annotations", &annotations)
}
