//! From a Kustomization and a folder to objects, as Flux's command line goes.
//!
//! Unlike kustomize-controller it opens nothing that SOPS sealed, substitutes what is not set with nothing unless told
//! otherwise, and labels and masks before common metadata is added.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use apply::Reference;
use kustomize::{Options, Remote, flux};
use manifest::{EntryKind, Object};
use serde_json::{Map, Value};

use super::local::{self, Live, LocalSource};
use super::mask::mask;
use crate::api::kustomization::{KustomizationSpec, SubstituteStrategy, ValuesKind};
use crate::cli::disk::Disk;
use crate::cli::network::Network;
use crate::pipeline::compile::values_of;
use crate::pipeline::owner_labels;
use crate::redact::Masked;
use crate::status::kustomization::GROUP;
use crate::substitute::{self, Unset, Variables, value_of};

/// How Kustomizations are built.
pub(super) struct Build {
    /// The cluster that they and their variables are of; without one, those of files are all there is.
    pub(super) live: Option<Live>,
    /// Patterns of what is left out, a line each.
    pub(super) ignored: String,
    pub(super) unset: Unset,
    /// Whether what they declare is built too.
    pub(super) is_recursive: bool,
    pub(super) sources: Vec<LocalSource>,
    /// Who fetches remote bases; without, they are refused.
    pub(super) network: Option<Network>,
}

/// A Kustomization that is still to be built, and who led to it.
struct Open {
    object: Object,
    folder: PathBuf,
    /// Namespace and name of those that declare it, itself last.
    path: Vec<(String, String)>,
}

impl Open {
    fn new(object: Object, folder: PathBuf, mut path: Vec<(String, String)>) -> Self {
        path.push((object.namespace().to_owned(), object.name().to_owned()));
        Self { object, folder, path }
    }
}

impl Build {
    /// Builds a Kustomization from a folder, and then, one after the other, those that it declares.
    pub(super) fn run(
        &self,
        namespace: &str,
        name: &str,
        file: Option<&Path>,
        folder: &Path,
    ) -> anyhow::Result<Vec<Masked>> {
        let live = self.live(namespace, name)?;
        if self.live.is_some() && live.is_none() {
            bail!("failed to get kustomization object: {namespace}/{name} not found");
        }
        let object = match file {
            Some(file) => local::read(file, namespace, name)?,
            None => live.context("dry-run mode requires a kustomization file")?,
        };
        let mut open = vec![Open::new(object, folder.into(), Vec::new())];
        let mut objects = Vec::new();
        while let Some(next) = open.pop() {
            let built = self.one(&next.object, &next.folder)?;
            if self.is_recursive {
                let objects = built.iter().filter_map(Masked::unmasked);
                let declared = objects.filter(|object| local::is_kustomization(object));
                let declared = declared.filter_map(|object| self.declared(object, &next).transpose());
                let mut declared: Vec<Open> = declared.collect::<anyhow::Result<_>>()?;
                declared.reverse();
                open.extend(declared);
            }
            objects.extend(built);
        }
        Ok(objects)
    }

    fn live(&self, namespace: &str, name: &str) -> anyhow::Result<Option<Object>> {
        let Some(live) = &self.live else { return Ok(None) };
        live.get(&Reference::new(&format!("{GROUP}/v1"), "Kustomization", namespace, name))
            .context("failed to get kustomization object")
    }

    /// A Kustomization that another one declares, as it stands in the cluster when it does; `None` for the other itself.
    fn declared(&self, object: &Object, by: &Open) -> anyhow::Result<Option<Open>> {
        let own = (object.namespace().to_owned(), object.name().to_owned());
        if by.path.last() == Some(&own) {
            return Ok(None);
        }
        if by.path.contains(&own) {
            bail!("kustomization {}/{} declares itself through others", own.0, own.1);
        }
        let folder = self.folder_of(object)?;
        let live = self.live(&own.0, &own.1)?;
        Ok(Some(Open::new(live.unwrap_or_else(|| object.clone()), folder, by.path.clone())))
    }

    fn folder_of(&self, object: &Object) -> anyhow::Result<PathBuf> {
        let text = |pointer: &str| object.text(pointer).unwrap_or_default();
        let namespace = match text("/spec/sourceRef/namespace") {
            "" => object.namespace(),
            namespace => namespace,
        };
        let source = [text("/spec/sourceRef/kind"), namespace, text("/spec/sourceRef/name")].join("/");
        let local = self.sources.iter().rev().find(|local| local.source == source);
        let local =
            local.with_context(|| format!("cannot get local path for {source} of kustomization {}", object.name()))?;
        Ok(local.folder.join(text("/spec/path").trim_start_matches('/')))
    }

    fn one(&self, object: &Object, folder: &Path) -> anyhow::Result<Vec<Masked>> {
        let spec = object.value().get("spec").cloned().unwrap_or_default();
        let spec: KustomizationSpec =
            serde_json::from_value(spec).with_context(|| format!("kustomization {}", object.name()))?;
        let place = Disk::place(folder)?;
        let told = |error: &dyn std::fmt::Display| Disk::told(&place, error);
        let rules = local::rules(folder, &self.ignored)?;
        let is_ignored = |path: &str, kind: EntryKind| rules.exclude(path, kind == EntryKind::Folder);
        let remote = self.network.as_ref().map(|network| network as &dyn Remote);
        let options = Options { ignored: Some(&is_ignored), remote, ..Options::default() };
        let built = flux::build(&Disk, &place, &serde_json::to_value(&spec)?, &options);
        let built = built.map_err(|errors| told(&errors).context("kustomize build failed"))?;
        let built = match self.variables(object, &spec)? {
            Some(variables) => substitute::all(built, &variables, self.unset)
                .map_err(|errors| told(&errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?,
            None => built,
        };
        let finished = built.into_iter().map(|built| finish(built, object, &spec).map_err(|error| told(&error)));
        finished.collect()
    }

    /// The variables of `postBuild`; `None` when nothing is to be substituted.
    fn variables(&self, object: &Object, spec: &KustomizationSpec) -> anyhow::Result<Option<Variables>> {
        let Some(post_build) = &spec.post_build else { return Ok(None) };
        let mut variables = Variables::new();
        for source in post_build.substitute_from.iter().filter(|_| self.live.is_some()) {
            let Some(live) = &self.live else { break };
            let kind = if source.kind == ValuesKind::Secret { "Secret" } else { "ConfigMap" };
            let found = live.get(&Reference::new("v1", kind, object.namespace(), &source.name));
            let failed = || format!("substitute from '{kind}/{}' error", source.name);
            match found.with_context(failed)? {
                Some(found) => variables.extend(variables_of(&found)),
                None if source.optional => {}
                None => return Err(anyhow!("not found").context(failed())),
            }
        }
        variables.extend(post_build.substitute.iter().map(|(key, value)| (key.clone(), value_of(value))));
        let is_meant = !variables.is_empty() || post_build.substitute_strategy == SubstituteStrategy::Always;
        Ok(is_meant.then_some(variables))
    }
}

fn variables_of(object: &Object) -> Vec<(String, String)> {
    if object.is_secret() {
        let values = values_of(object).into_iter();
        return values.map(|(key, value)| (key, value_of(&String::from_utf8_lossy(&value)))).collect();
    }
    let data = object.value().get("data").and_then(Value::as_object).into_iter().flatten();
    data.filter_map(|(key, value)| Some((key.clone(), value_of(value.as_str()?)))).collect()
}

/// Labels and masks a built object.
fn finish(mut built: Object, owner: &Object, spec: &KustomizationSpec) -> anyhow::Result<Masked> {
    for (key, value) in owner_labels(owner.namespace(), owner.name()) {
        built.set_label(&key, &value);
    }
    let mut masked = mask(built)?;
    if let Some(metadata) = &spec.common_metadata {
        add_all(masked.metadata(), "labels", metadata.labels.iter());
        add_all(masked.metadata(), "annotations", metadata.annotations.iter());
    }
    Ok(masked)
}

/// Adds labels or annotations. Those that are there go where one of them is no text, as in Go's accessors.
fn add_all<'a>(
    metadata: &mut Map<String, Value>,
    field: &str,
    texts: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) {
    let own = metadata.get(field).and_then(Value::as_object);
    let own = own.filter(|own| own.values().all(Value::is_string)).cloned().unwrap_or_default();
    if texts.len() > 0 {
        let added = texts.map(|(key, value)| (key.clone(), Value::String(value.clone())));
        metadata.insert(field.into(), own.into_iter().chain(added).collect());
    }
}
