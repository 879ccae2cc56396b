//! Where in an object names, labels, images and references stand: the original's defaults as a table, and what
//! `configurations` and `crds` add to them.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::decode::{Decode, Decoder, Leniency, decode, record};
use crate::error::Problem;
use crate::id::Gvk;
use crate::tree::split_path;

/// A path within objects of some kinds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FieldSpec {
    pub(crate) gvk: Gvk,
    pub(crate) path: String,
    /// Whether missing parts of the path are made.
    pub(crate) create: bool,
    /// The path in its parts.
    pub(crate) parts: Vec<String>,
}

record!(FieldSpecRecord {
    group: String = "group",
    version: String = "version",
    kind: String = "kind",
    path: String = "path",
    create: bool = "create",
});

impl Decode for FieldSpec {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        let FieldSpecRecord { group, version, kind, path, create } = FieldSpecRecord::decode(value, decoder);
        FieldSpec::new(Gvk { group, version, kind }, &path, create)
    }
}

impl FieldSpec {
    /// A path within the objects that `gvk` selects.
    pub(crate) fn new(gvk: Gvk, path: &str, create: bool) -> Self {
        Self { gvk, path: path.into(), create, parts: split_path(path, '/') }
    }
}

record!(
    /// The fields in which an object is referred to by name.
    NameReference {
        group: String = "group",
        version: String = "version",
        kind: String = "kind",
        referrers: Vec<FieldSpec> = "fieldSpecs",
    }
);

impl NameReference {
    /// The kind that is referred to.
    pub(crate) fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    fn is_of(&self, other: &NameReference) -> bool {
        (&self.group, &self.version, &self.kind) == (&other.group, &other.version, &other.kind)
    }
}

record!(
    /// All field specs of a build's layer.
    Config {
        name_prefix: Vec<FieldSpec> = "namePrefix",
        name_suffix: Vec<FieldSpec> = "nameSuffix",
        namespace: Vec<FieldSpec> = "namespace",
        common_labels: Vec<FieldSpec> = "commonLabels",
        labels: Vec<FieldSpec> = "labels",
        template_labels: Vec<FieldSpec> = "templateLabels",
        common_annotations: Vec<FieldSpec> = "commonAnnotations",
        name_reference: Vec<NameReference> = "nameReference",
        var_reference: Vec<FieldSpec> = "varReference",
        images: Vec<FieldSpec> = "images",
        replicas: Vec<FieldSpec> = "replicas",
    }
);

/// Adds a field spec unless one is there that it selects: a wider one does not come beside a narrower one.
pub(crate) fn merge_one(specs: &mut Vec<FieldSpec>, spec: &FieldSpec) -> Result<(), Problem> {
    match specs.iter().find(|known| known.gvk.is_selected_by(&spec.gvk) && spec.path == known.path) {
        Some(known) if known.create != spec.create => Err(Problem::ConflictingFieldSpecs),
        Some(_) => Ok(()),
        None => {
            specs.push(spec.clone());
            Ok(())
        }
    }
}

/// Adds field specs, in order.
pub(crate) fn merge_all(specs: &mut Vec<FieldSpec>, others: &[FieldSpec]) -> Result<(), Problem> {
    others.iter().try_for_each(|spec| merge_one(specs, spec))
}

impl Config {
    /// Reads a file of `configurations`.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let value = yaml::from_str_strict(text).map_err(|error| vec![Problem::Yaml(error)])?;
        decode(value, Leniency::Strict)
    }

    /// Adds what `other` has.
    pub(crate) fn merge(self: &Arc<Self>, other: &Arc<Self>) -> Result<Arc<Self>, Problem> {
        if Arc::ptr_eq(self, other) {
            return Ok(Arc::clone(self));
        }
        if Arc::ptr_eq(self, &EMPTY) && Arc::ptr_eq(other, &DEFAULTS) {
            return Ok(Arc::clone(other));
        }
        let mut merged = Config::clone(self);
        merged.add(other)?;
        Ok(Arc::new(merged))
    }

    fn add(&mut self, other: &Config) -> Result<(), Problem> {
        merge_all(&mut self.name_prefix, &other.name_prefix)?;
        merge_all(&mut self.name_suffix, &other.name_suffix)?;
        merge_all(&mut self.namespace, &other.namespace)?;
        merge_all(&mut self.common_labels, &other.common_labels)?;
        merge_all(&mut self.labels, &other.labels)?;
        merge_all(&mut self.template_labels, &other.template_labels)?;
        merge_all(&mut self.common_annotations, &other.common_annotations)?;
        merge_all(&mut self.var_reference, &other.var_reference)?;
        merge_all(&mut self.images, &other.images)?;
        merge_all(&mut self.replicas, &other.replicas)?;
        other.name_reference.iter().try_for_each(|reference| self.add_reference(reference))?;
        self.sort();
        Ok(())
    }

    /// Adds the fields in which a kind is referred to.
    pub(crate) fn add_reference(&mut self, reference: &NameReference) -> Result<(), Problem> {
        match self.name_reference.iter_mut().find(|known| known.is_of(reference)) {
            Some(known) => merge_all(&mut known.referrers, &reference.referrers),
            None => {
                self.name_reference.push(reference.clone());
                Ok(())
            }
        }
    }

    /// Into the order in which the original goes through kinds.
    fn sort(&mut self) {
        for specs in [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.common_annotations,
            &mut self.var_reference,
            &mut self.images,
            &mut self.replicas,
        ] {
            specs.sort_by_cached_key(|spec| crate::order::by_kind(&spec.gvk));
        }
        self.name_reference.sort_by_cached_key(|reference| crate::order::by_kind(&reference.gvk()));
    }
}

/// Nothing.
pub(crate) static EMPTY: LazyLock<Arc<Config>> = LazyLock::new(Arc::default);

/// The original's defaults.
pub(crate) static DEFAULTS: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let mut config = Config { name_reference: crate::defaults::references(), ..Config::default() };
    for (list, specs) in crate::defaults::field_specs() {
        match list {
            "name" => {
                config.name_prefix.clone_from(&specs);
                config.name_suffix = specs;
            }
            "namespace" => config.namespace = specs,
            "selectors" => config.common_labels = specs,
            "templates" => {
                config.common_labels.extend_from_slice(&specs);
                config.template_labels = specs;
            }
            "annotations" => config.common_annotations = specs,
            "images" => config.images = specs,
            "replicas" => config.replicas = specs,
            _ => config.var_reference = specs,
        }
    }
    config.sort();
    Arc::new(config)
});
