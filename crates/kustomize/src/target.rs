//! Building a folder: load, accumulate, generate, transform; then, once, fix references.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use manifest::{EntryKind, Origin, Purpose};

use crate::config::{self, Config, DEFAULTS, FieldSpec};
use crate::documents;
use crate::error::{Error, Errors, Problem};
use crate::facts::{self, Facts};
use crate::generate::{Generator, Makes};
use crate::id::Gvk;
use crate::image::ImageChange;
use crate::kustomization::{Kustomization, Label, Role};
use crate::loader::Folder;
use crate::namespace::{NamespaceChange, Subjects};
use crate::patch;
use crate::plugin::Plugin;
use crate::provenance::Provenance;
use crate::replacement::Replacements;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::variables::Variables;
use crate::{chart, crds, references};

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

    fn run_generators(&self, accumulator: &mut Accumulator, errors: &mut Vec<Error>) {
        let options = self.kustomization.generator_options.as_ref();
        for (makes, all) in [
            (Makes::ConfigMap, &self.kustomization.config_map_generator),
            (Makes::Secret, &self.kustomization.secret_generator),
        ] {
            let by = format!("{makes:?}Generator");
            for args in all {
                let made = Generator::new(makes, args, options).run(&self.folder, &self.file);
                note(errors, made.and_then(|made| self.absorb(accumulator, vec![made], self.builtin(&by))));
            }
        }
        note(errors, self.run_charts(accumulator));
        note(errors, self.run_plugins(accumulator));
    }

    fn run_charts(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        let globals = self.kustomization.helm_globals.clone().unwrap_or_default();
        for one in &self.kustomization.helm_charts {
            let mut one = one.clone();
            for namespace in [&self.kustomization.namespace, &self.chart_namespace] {
                if one.namespace.is_empty() {
                    one.namespace.clone_from(namespace);
                }
            }
            let made = chart::inflate(&globals, &one, &self.folder, &self.file)?;
            self.absorb(accumulator, made, self.builtin("HelmChartInflationGenerator"))?;
        }
        Ok(())
    }

    fn run_plugins(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        for resource in self.plugins(&self.kustomization.generators)? {
            let made = Plugin { resource: &resource, folder: &self.folder }.generate()?;
            let origin = self.provenance.as_ref().and_then(|_| Provenance::of_plugin(&resource));
            self.absorb(accumulator, made, origin)?;
        }
        Ok(())
    }

    /// The objects that configure plugins: each entry is one, inline, or a file or folder with such.
    fn plugins(&self, entries: &[String]) -> Result<Vec<Resource>, Errors> {
        let mut accumulator = Accumulator::empty();
        let facts = self.build.facts();
        let mut errors = Vec::new();
        let mut paths = Vec::new();
        for entry in entries {
            let Ok(reads) = documents::objects(entry) else {
                paths.push(entry.clone());
                continue;
            };
            for read in reads {
                let mut resource = Resource::new(read.node, Origin { file: self.file.clone(), line: 0 });
                if let Some(provenance) = &self.provenance {
                    let origin = provenance.append(self.file_name).to_string();
                    note(
                        &mut errors,
                        resource
                            .set_annotation(crate::resource::ORIGIN, &origin)
                            .map_err(|problem| Errors::one(&self.file, problem)),
                    );
                }
                errors.extend(accumulator.resources.append(resource, &facts).err());
            }
        }
        self.add_resources(&mut accumulator, &paths, &mut errors);
        Errors::unless_any(errors, accumulator.resources.into_list())
    }

    fn absorb(
        &self,
        accumulator: &mut Accumulator,
        made: Vec<Resource>,
        origin: Option<Provenance>,
    ) -> Result<(), Errors> {
        let facts = self.build.facts();
        let mut errors = Vec::new();
        for mut resource in made {
            if let Some(origin) = origin.as_ref().filter(|_| resource.annotation(crate::resource::ORIGIN).is_none()) {
                let result = resource.set_annotation(crate::resource::ORIGIN, &origin.to_string());
                errors.extend(result.err().map(|problem| resource.error(&facts, problem)));
            }
            errors.extend(accumulator.resources.absorb(resource, &facts).err());
        }
        Errors::unless_any(errors, ())
    }

    /// Where what a builtin plugin makes or changes comes from.
    fn builtin(&self, kind: &str) -> Option<Provenance> {
        self.provenance.as_ref().map(|provenance| provenance.builtin(self.file_name, kind))
    }

    fn run_transformers(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        let mut errors = Vec::new();
        let mut transformers = Vec::new();
        for (kind, configured) in self.transformers(&accumulator.config) {
            match configured {
                Ok(transformer) => transformers.push((transformer, self.builtin(kind))),
                Err(found) => errors.extend(found.0),
            }
        }
        match self.external(&self.kustomization.transformers) {
            Ok(external) => transformers.extend(external),
            Err(found) => errors.extend(found.0),
        }
        if errors.is_empty() {
            for (transformer, origin) in transformers {
                self.run(&transformer, origin.as_ref(), accumulator, &mut errors);
            }
        }
        Errors::unless_any(errors, ())
    }

    fn run(
        &self,
        transformer: &Transformer,
        origin: Option<&Provenance>,
        accumulator: &mut Accumulator,
        errors: &mut Vec<Error>,
    ) {
        let facts = self.build.facts();
        errors.extend(transformer.run(&mut accumulator.resources, &facts, &self.file).err().unwrap_or_default());
        if let Some(origin) = origin {
            for resource in accumulator.resources.list_mut().iter_mut().filter(|resource| !resource.deleted) {
                errors.extend(origin.note(resource).err().map(|problem| resource.error(&facts, problem)));
            }
        }
        accumulator.resources.drop_deleted();
    }

    fn external(&self, entries: &[String]) -> Result<Vec<(Transformer, Option<Provenance>)>, Errors> {
        let plugins = self.plugins(entries)?;
        let ready = |resource: &Resource| {
            let origin = self.provenance.as_ref().and_then(|_| Provenance::of_plugin(resource));
            Plugin { resource, folder: &self.folder }.transformer().map(|transformer| (transformer, origin))
        };
        plugins.iter().map(ready).collect()
    }

    /// A validator may add the label `validated-by`, and nothing else.
    fn run_validators(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        let facts = self.build.facts();
        for (validator, _) in self.external(&self.kustomization.validators)? {
            let before = accumulator.resources.clone();
            validator.run(&mut accumulator.resources, &facts, &self.file).map_err(Errors)?;
            let same = before.list().len() == accumulator.resources.list().len()
                && before.list().iter().zip(accumulator.resources.list()).all(|(old, new)| is_same_but_label(old, new));
            if !same {
                return Err(Errors::one(&self.file, Problem::ValidatorChanged));
            }
        }
        Ok(())
    }

    /// The transformers of the file, in the order in which they run.
    fn transformers(&self, config: &Config) -> Vec<(&'static str, Result<Transformer, Errors>)> {
        let k = &self.kustomization;
        let (folder, file) = (&self.folder, self.file.as_str());
        let mut all: Vec<(&'static str, Result<Transformer, Errors>)> = Vec::new();
        if !k.patches_strategic_merge.is_empty() {
            let parts = patch::read_strategic(&k.patches_strategic_merge, "", folder, file);
            all.push(("PatchStrategicMergeTransformer", parts.map(Transformer::StrategicMerge)));
        }
        for entry in &k.patches {
            let ready = patch::read(entry, folder, file);
            all.push(("PatchTransformer", ready.map(|ready| ready.map_or(Transformer::Nothing, Transformer::Patch))));
        }
        if !k.namespace.is_empty() {
            let (namespace, specs) = (k.namespace.clone(), config.namespace.clone());
            let change = NamespaceChange { namespace, specs, unset_only: false, subjects: Subjects::NamedDefault };
            all.push(("NamespaceTransformer", Ok(Transformer::Namespace(change))));
        }
        if !k.name_prefix.is_empty() {
            all.push(("PrefixTransformer", Ok(Transformer::Prefix(k.name_prefix.clone(), config.name_prefix.clone()))));
        }
        if !k.name_suffix.is_empty() {
            all.push(("SuffixTransformer", Ok(Transformer::Suffix(k.name_suffix.clone(), config.name_suffix.clone()))));
        }
        all.extend(self.labels(config).into_iter().map(|labels| ("LabelTransformer", labels)));
        if !k.common_annotations.is_empty() {
            let pairs = Transformer::Pairs(k.common_annotations.clone(), config.common_annotations.clone());
            all.push(("AnnotationsTransformer", Ok(pairs)));
        }
        for entry in &k.patches_json6902 {
            all.push(("PatchJson6902Transformer", patch::read_json(entry, folder, file).map(Transformer::Patch)));
        }
        for replica in &k.replicas {
            all.push(("ReplicaCountTransformer", Ok(Transformer::Replicas(replica.clone(), config.replicas.clone()))));
        }
        for image in &k.images {
            let change = ImageChange::new(image.clone()).map_err(|problem| Errors::one(file, problem));
            all.push(("ImageTagTransformer", change.map(|change| Transformer::Image(change, config.images.clone()))));
        }
        if !k.replacements.is_empty() {
            let replacements = Replacements::read(&k.replacements, folder, file);
            all.push(("ReplacementTransformer", replacements.map(Transformer::Replacements)));
        }
        all
    }

    fn labels(&self, config: &Config) -> Vec<Result<Transformer, Errors>> {
        let k = &self.kustomization;
        let common = k.common_labels.clone().unwrap_or_default();
        if k.labels.is_empty() && common.is_empty() {
            return Vec::new();
        }
        let of_label = |label: &Label| {
            let specs = label_specs(label, config).map_err(|problem| Errors::one(&self.file, problem))?;
            Ok(Transformer::Pairs(label.pairs.clone(), specs))
        };
        let mut all: Vec<_> = k.labels.iter().map(of_label).collect();
        all.push(Ok(Transformer::Pairs(common, config.common_labels.clone())));
        all
    }
}

/// Where an entry of `labels` is written.
fn label_specs(label: &Label, config: &Config) -> Result<Vec<FieldSpec>, Problem> {
    let mut specs = label.fields.clone();
    config::merge_all(&mut specs, &config.labels)?;
    if label.include_selectors {
        config::merge_all(&mut specs, &config.common_labels)?;
        return Ok(specs);
    }
    if label.include_templates {
        config::merge_all(&mut specs, &config.template_labels)?;
    }
    config::merge_one(&mut specs, &FieldSpec::new(Gvk::default(), "metadata/labels", true))?;
    Ok(specs)
}

fn is_same_but_label(old: &Resource, new: &Resource) -> bool {
    let mut new = new.clone();
    let mut labels: BTreeMap<String, String> = new.pairs("labels");
    if labels.remove("validated-by").is_some() && new.set_pairs("labels", &labels).is_err() {
        return false;
    }
    new.previous == old.previous && new.node == old.node
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
