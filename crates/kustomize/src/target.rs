//! Building a folder: load, accumulate, generate, transform; then, once, fix references. [`build`] is the whole of it, and
//! [`Target::accumulate`] a layer.

mod generators;
mod transformers;

use std::cell::RefCell;
use std::sync::Arc;

use manifest::{EntryKind, Purpose};

use crate::config::{self, Config, DEFAULTS};
use crate::documents;
use crate::error::{Error, Errors, Problem};
use crate::facts::{self, Facts};
use crate::kustomization::{Kustomization, Role};
use crate::loader::Folder;
use crate::patch;
use crate::provenance::Provenance;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::variables::Variables;
use crate::{crds, references};

/// What all layers of a build share.
pub(crate) struct Build {
    /// What is known of kinds; a kustomization's own OpenAPI document changes it.
    facts: RefCell<Arc<Facts>>,
}

/// What the layers so far have given.
struct Accumulator {
    resources: Resources,
    config: Arc<Config>,
    variables: Variables,
}

impl Accumulator {
    fn empty() -> Self {
        Self { resources: Resources::default(), config: Arc::clone(&config::EMPTY), variables: Variables::default() }
    }
}

/// A folder with its kustomization.
pub(crate) struct Target<'a> {
    build: &'a Build,
    folder: Folder<'a>,
    /// Path of the kustomization file.
    file: String,
    file_name: &'static str,
    pub(crate) kustomization: Kustomization,
    provenance: Option<Provenance>,
    /// Namespace of a layer above, for charts.
    chart_namespace: String,
}

/// What a build gives: objects, and the kustomization that was built.
pub(crate) struct Built {
    pub(crate) resources: Resources,
    pub(crate) kustomization: Kustomization,
    pub(crate) facts: Arc<Facts>,
    pub(crate) file: String,
}

/// Builds a folder; `kustomization`, a file's name and content, stands for the one that lies there.
pub(crate) fn build(folder: Folder<'_>, kustomization: Option<(&'static str, Kustomization)>) -> Result<Built, Errors> {
    let build = Build { facts: RefCell::new(Arc::clone(&facts::BUILTIN)) };
    let mut target = match kustomization {
        Some((name, kustomization)) => Target::with(&build, folder, name, kustomization),
        None => Target::load(&build, folder)?,
    };
    build.adopt_schema(&target)?;
    target.provenance = (!target.kustomization.build_metadata.is_empty()).then(Provenance::default);
    let Accumulator { mut resources, config, variables } = target.accumulate(Accumulator::empty())?;
    let facts = build.facts();
    let mut errors = Transformer::Hash.run(&mut resources, &facts, &target.file).err().unwrap_or_default();
    errors.extend(references::fix(&mut resources, &config, &facts));
    errors.extend(variables.resolve(&mut resources, &config, &facts));
    errors.extend(drop_local(&mut resources, &facts));
    let file = target.file;
    let kustomization = target.kustomization;
    Errors::unless_any(errors, Built { resources, kustomization, facts, file })
}

impl Target<'_> {
    /// The layer: its resources, then its configuration, generators, components, transformers, validators, variables.
    fn accumulate(&self, mut accumulator: Accumulator) -> Result<Accumulator, Errors> {
        let mut errors = Vec::new();
        self.add_resources(&mut accumulator, &self.kustomization.resources, &mut errors);
        note(&mut errors, self.add_config(&mut accumulator));
        self.run_generators(&mut accumulator, &mut errors);
        if !errors.is_empty() {
            return Err(Errors(errors));
        }
        for entry in &self.kustomization.components {
            self.add_component(&mut accumulator, entry)?;
        }
        note(&mut errors, self.run_transformers(&mut accumulator));
        if errors.is_empty() {
            note(&mut errors, self.run_validators(&mut accumulator));
            let facts = self.build.facts();
            let Accumulator { resources, variables, .. } = &mut accumulator;
            errors.extend(variables.declare(&self.kustomization.vars, resources, &facts, &self.file));
        }
        Errors::unless_any(errors, accumulator)
    }
}

/// Removes objects that are for kustomize alone, after a last look at what every object must have: its own identity too,
/// for a lack of which upstream panics here.
fn drop_local(resources: &mut Resources, facts: &Facts) -> Vec<Error> {
    let mut errors = Vec::new();
    for resource in resources.list() {
        errors.extend(documents::validate(&resource.node).err().map(|problem| resource.error(facts, problem)));
    }
    let is_local = |resource: &Resource| {
        resource.annotation("config.kubernetes.io/local-config").is_some_and(|value| value != "false")
    };
    if resources.list().iter().any(is_local) {
        resources.list_mut().retain(|resource| !is_local(resource));
    }
    errors.extend(resources.duplicates(facts));
    errors
}

impl Build {
    fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts.borrow())
    }

    /// Takes over the OpenAPI document that a kustomization names; the first one counts.
    fn adopt_schema(&self, target: &Target<'_>) -> Result<(), Errors> {
        let openapi = &target.kustomization.openapi;
        let fail = |reason: &str| Errors::one(&target.file, Problem::BadSchema { reason: reason.into() });
        let version = openapi.get("version").map(String::as_str).unwrap_or_default();
        let is_set = !Arc::ptr_eq(&self.facts.borrow(), &facts::BUILTIN);
        let Some(path) = openapi.get("path") else {
            let known = is_set || version.is_empty() || version == "v1.21.2" || version == "v1_21_2";
            return if known { Ok(()) } else { Err(fail("the specified OpenAPI version is not built in")) };
        };
        let text = target.folder.text(path, Purpose::Recipe)?;
        if is_set {
            return Ok(());
        }
        if openapi.contains_key("version") {
            return Err(fail("builtin version and custom schema provided, cannot use both"));
        }
        let place = target.folder.path_of(path);
        let document = yaml::from_str(&text).map_err(|error| Errors::one(&place, error))?;
        let keep = target.folder.options().keeps_builtin_schema;
        *self.facts.borrow_mut() = Arc::new(Facts::with_document(&document, keep));
        Ok(())
    }
}

impl<'a> Target<'a> {
    fn load(build: &'a Build, folder: Folder<'a>) -> Result<Self, Errors> {
        let (name, text) = folder.kustomization()?;
        let kustomization =
            Kustomization::read(&text).map_err(|problems| Errors::many(&folder.path_of(name), problems))?;
        Ok(Self::with(build, folder, name, kustomization))
    }

    fn with(build: &'a Build, folder: Folder<'a>, name: &'static str, kustomization: Kustomization) -> Self {
        let file = folder.path_of(name);
        let (provenance, chart_namespace) = (None, String::new());
        Self { build, folder, file, file_name: name, kustomization, provenance, chart_namespace }
    }

    fn add_resources(&self, accumulator: &mut Accumulator, entries: &[String], errors: &mut Vec<Error>) {
        for entry in entries {
            note(errors, self.add_resource(accumulator, entry));
        }
    }

    /// An entry of `resources`: a file, or a folder with a kustomization.
    fn add_resource(&self, accumulator: &mut Accumulator, entry: &str) -> Result<(), Errors> {
        let fail = |problem: Problem| Errors::one(&self.file, problem);
        if crate::remote::is_url(entry) {
            match self.folder.text(entry, Purpose::Resource) {
                // What is no manifest may be the page of a repository.
                Ok(text) => match self.add_text(accumulator, entry, &text) {
                    Err(_) if crate::remote::Address::read(entry).is_some() && is_page(&text) => {}
                    added => return added,
                },
                Err(errors)
                    if crate::remote::Address::read(entry).is_none() || self.folder.options().remote.is_none() =>
                {
                    return Err(errors);
                }
                Err(_) => {}
            }
        } else {
            match self.folder.kind(entry).map_err(|error| fail(error.into())) {
                Ok(Some(EntryKind::File)) => {
                    let text = self.folder.text(entry, Purpose::Resource)?;
                    return self.add_text(accumulator, entry, &text);
                }
                Err(errors) if crate::remote::Address::read(entry).is_none() => return Err(errors),
                _ => {}
            }
        }
        let below = self.enter(entry)?;
        if below.kustomization.role() == Role::Component {
            return Err(fail(Problem::WrongRole {
                expected: "!= 'Component'",
                folder: below.folder.path,
                found: "Component",
            }));
        }
        let inner = below.accumulate(Accumulator::empty())?;
        self.merge(accumulator, inner)
    }

    fn add_text(&self, accumulator: &mut Accumulator, entry: &str, text: &str) -> Result<(), Errors> {
        let place = self.folder.path_of(entry);
        let facts = self.build.facts();
        let reads = documents::objects(text).map_err(|problems| Errors(patch::at_lines(&place, problems).collect()))?;
        let mut resources: Vec<Resource> = reads
            .into_iter()
            .map(|read| {
                let origin = read.origin(&place);
                Resource::new(read.node, origin)
            })
            .collect();
        if let Some(provenance) = &self.provenance {
            let origin = provenance.append(entry).to_string();
            for resource in &mut resources {
                let result = resource.set_annotation(crate::resource::ORIGIN, &origin);
                result.map_err(|problem| resource.error(&facts, problem))?;
            }
        }
        let errors = accumulator.resources.append_all(resources, &facts);
        Errors::unless_any(errors, ())
    }

    fn enter(&self, entry: &str) -> Result<Target<'a>, Errors> {
        let folder = self.folder.enter(entry).map_err(|problem| Errors::one(&self.file, problem))?;
        let mut below = Target::load(self.build, folder)?;
        below.kustomization.build_metadata.clone_from(&self.kustomization.build_metadata);
        below.provenance = self.provenance.as_ref().map(|provenance| provenance.append(entry));
        let namespaces = [&self.kustomization.namespace, &self.chart_namespace];
        below.chart_namespace =
            namespaces.into_iter().find(|namespace| !namespace.is_empty()).cloned().unwrap_or_default();
        self.build.adopt_schema(&below)?;
        Ok(below)
    }

    /// A component works on what its user has so far.
    fn add_component(&self, accumulator: &mut Accumulator, entry: &str) -> Result<(), Errors> {
        let below = self.enter(entry)?;
        if below.kustomization.role() != Role::Component {
            let problem =
                Problem::WrongRole { expected: "'Component'", folder: below.folder.path, found: "Kustomization" };
            return Err(Errors::one(&self.file, problem));
        }
        let outer = std::mem::replace(accumulator, Accumulator::empty());
        *accumulator = below.accumulate(outer)?;
        Ok(())
    }

    fn merge(&self, accumulator: &mut Accumulator, inner: Accumulator) -> Result<(), Errors> {
        let facts = self.build.facts();
        accumulator.resources.growth.join(&inner.resources.growth);
        let mut errors = accumulator.resources.append_all(inner.resources.into_list(), &facts);
        match accumulator.config.merge(&inner.config) {
            Ok(config) => accumulator.config = config,
            Err(problem) => errors.push(Error::in_file(&self.file, problem)),
        }
        errors.extend(accumulator.variables.merge(inner.variables));
        Errors::unless_any(errors, ())
    }

    fn add_config(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        let merge = |path: &str, config: &Arc<Config>, other: &Arc<Config>| {
            config.merge(other).map_err(|problem| Errors::one(path, problem))
        };
        let mut own = Arc::clone(&config::EMPTY);
        for path in &self.kustomization.configurations {
            let text = self.folder.text(path, Purpose::Recipe)?;
            let place = self.folder.path_of(path);
            let config = Config::read(&text).map_err(|problems| Errors::many(&place, problems))?;
            own = merge(&place, &own, &Arc::new(config))?;
        }
        let layer = if self.kustomization.configurations.is_empty() {
            Arc::clone(&DEFAULTS)
        } else {
            merge(&self.file, &DEFAULTS, &own)?
        };
        accumulator.config = merge(&self.file, &accumulator.config, &layer)?;
        for path in &self.kustomization.crds {
            let text = self.folder.text(path, Purpose::Recipe)?;
            let place = self.folder.path_of(path);
            let config = crds::read(&text).map_err(|problem| Errors::one(&place, problem))?;
            accumulator.config = merge(&place, &accumulator.config, &Arc::new(config))?;
        }
        Ok(())
    }
}

/// Keeps the errors of a result.
fn note(errors: &mut Vec<Error>, result: Result<(), Errors>) {
    if let Err(found) = result {
        errors.extend(found.0);
    }
}

/// Whether a text is a page for browsers.
fn is_page(text: &str) -> bool {
    text.trim_start().starts_with('<')
}
