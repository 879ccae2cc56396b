//! The transformers: each changes all objects of a layer, one after the other.

use std::collections::HashMap;

use yaml::{Node, Tag};

use crate::config::FieldSpec;
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::fieldspec::{Make, follow_from_root, is_about, visit};
use crate::growth::Growth;
use crate::hash;
use crate::id::{Gvk, Id};
use crate::image::ImageChange;
use crate::kustomization::{Pairs, Replica};
use crate::namespace::NamespaceChange;
use crate::patch::{self, Partial, Ready};
use crate::replacement::Replacements;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::tree;

/// A change of all objects of a layer.
pub(crate) enum Transformer {
    /// `patchesStrategicMerge`
    StrategicMerge(Vec<Partial>),
    /// An entry of `patches` or `patchesJson6902`.
    Patch(Ready),
    /// `namespace`
    Namespace(NamespaceChange),
    /// `namePrefix`
    Prefix(String, Vec<FieldSpec>),
    /// `nameSuffix`
    Suffix(String, Vec<FieldSpec>),
    /// `labels`, `commonLabels`, `commonAnnotations`
    Pairs(Pairs, Vec<FieldSpec>),
    /// An entry of `replicas`.
    Replicas(Replica, Vec<FieldSpec>),
    /// An entry of `images`.
    Image(ImageChange, Vec<FieldSpec>),
    /// `replacements`
    Replacements(Replacements),
    /// A plugin that adds a value.
    ValueAdd(crate::plugin::ValueAdd),
    /// The suffixes of generated objects.
    Hash,
    /// Several, in order.
    All(Vec<Transformer>),
    /// Nothing to do.
    Nothing,
}

impl Transformer {
    /// Changes the objects. `file` is whose transformer it is.
    pub(crate) fn run(&self, resources: &mut Resources, facts: &Facts, file: &str) -> Result<(), Vec<Error>> {
        let errors = match self {
            Transformer::StrategicMerge(parts) => patch::run_strategic(parts, resources, facts),
            Transformer::Patch(ready) => return ready.run(resources, facts),
            Transformer::Namespace(change) => change.run(resources, facts),
            Transformer::Prefix(prefix, specs) => rename(resources, facts, specs, prefix, ""),
            Transformer::Suffix(suffix, specs) => rename(resources, facts, specs, "", suffix),
            Transformer::Pairs(pairs, specs) => add_pairs(resources, facts, pairs, specs),
            Transformer::Replicas(replica, specs) => set_replicas(resources, facts, replica, specs, file),
            Transformer::Image(change, specs) => {
                each(resources, facts, |resource, _| change.run(&mut resource.node, specs))
            }
            Transformer::Replacements(replacements) => replacements.run(resources, facts, file),
            Transformer::ValueAdd(change) => change.run(resources, facts),
            Transformer::Hash => add_hashes(resources, facts),
            Transformer::All(all) => {
                all.iter().filter_map(|one| one.run(resources, facts, file).err()).flatten().collect()
            }
            Transformer::Nothing => Vec::new(),
        };
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Changes every object; all failures are found.
pub(crate) fn each<F>(resources: &mut Resources, facts: &Facts, mut change: F) -> Vec<Error>
where
    F: FnMut(&mut Resource, &mut Growth) -> Result<(), Problem>,
{
    let (list, growth) = resources.list_and_growth();
    let all = list.iter_mut();
    all.filter_map(|resource| change(resource, growth).err().map(|problem| resource.error(facts, problem))).collect()
}

/// Kinds that keep their name: one that a definition, an API or a namespace is known by.
fn keeps_name(id: &Id) -> bool {
    let Gvk { group, kind, .. } = &id.gvk;
    kind == "CustomResourceDefinition"
        || kind == "Namespace"
        || (kind == "APIService" && group == "apiregistration.k8s.io")
}

fn rename(resources: &mut Resources, facts: &Facts, specs: &[FieldSpec], prefix: &str, suffix: &str) -> Vec<Error> {
    each(resources, facts, |resource, growth| {
        let original = resource.original_id(facts);
        if keeps_name(&original) {
            return Ok(());
        }
        for spec in specs.iter().filter(|spec| original.gvk.is_selected_by(&spec.gvk)) {
            if spec.path == "metadata/name" {
                note_rename(resource, facts, prefix, suffix);
            }
            visit(&mut resource.node, spec, Make::Text, &mut |node: &mut Node| {
                growth.text(prefix.len() + suffix.len())?;
                let name = format!("{prefix}{}{suffix}", node.value);
                tree::set_scalar(node, tree::untagged(&name))
            })?;
        }
        Ok(())
    })
}

fn note_rename(resource: &mut Resource, facts: &Facts, prefix: &str, suffix: &str) {
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    if !prefix.is_empty() {
        resource.prefixes.push(prefix.into());
    }
    if !suffix.is_empty() {
        resource.suffixes.push(suffix.into());
    }
    resource.remember(facts);
}

/// Adds labels or annotations wherever the specs say. A value that is added to several places of an object is shared.
fn add_pairs(resources: &mut Resources, facts: &Facts, pairs: &Pairs, specs: &[FieldSpec]) -> Vec<Error> {
    let mut by_kind = SpecsByKind::new(specs);
    each(resources, facts, |resource, growth| {
        let specs = by_kind.of(&resource.node);
        for (index, (key, value)) in pairs.iter().enumerate() {
            let group = shared_group(resource, index);
            let mut places = 0_u32;
            for spec in specs {
                follow_from_root(&mut resource.node, spec, Make::Map, &mut |map: &mut Node| {
                    growth.text(key.len() + value.len())?;
                    let anchor = tree::field(map, key)?.is_none().then(|| group.clone());
                    places += u32::from(anchor.is_some());
                    tree::set(map, key, Node { anchor, ..Node::scalar(Tag::Str, value.as_str()) })
                })?;
            }
            resource.has_shared |= places > 1;
        }
        if resource.has_shared {
            tree::settle_shared(&mut resource.node);
        }
        Ok(())
    })
}

/// A name that no other group of the object has.
fn shared_group(resource: &mut Resource, index: usize) -> Box<str> {
    resource.shared_groups += 1;
    format!("{}.{index}", resource.shared_groups).into()
}

/// The specs that are about an object, found once for each kind.
pub(crate) struct SpecsByKind<'a> {
    specs: &'a [FieldSpec],
    known: HashMap<(String, String), Vec<&'a FieldSpec>>,
}

impl<'a> SpecsByKind<'a> {
    pub(crate) fn new(specs: &'a [FieldSpec]) -> Self {
        Self { specs, known: HashMap::new() }
    }

    pub(crate) fn of(&mut self, object: &Node) -> &[&'a FieldSpec] {
        let text = |name: &str| object.get(name).map(|value| value.value.clone()).unwrap_or_default();
        let specs = self.specs;
        let about = || specs.iter().filter(|spec| is_about(spec, object)).collect();
        self.known.entry((text("apiVersion"), text("kind"))).or_insert_with(about)
    }
}

fn set_replicas(
    resources: &mut Resources,
    facts: &Facts,
    replica: &Replica,
    specs: &[FieldSpec],
    file: &str,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut found = false;
    for spec in specs {
        for resource in resources.list_mut() {
            let current = resource.id(facts);
            let is_meant = |id: &Id| id.name == replica.name && id.gvk.is_selected_by(&spec.gvk);
            if !is_meant(&current) && !resource.previous_ids(&current).any(|id| is_meant(&id)) {
                continue;
            }
            found = true;
            let set = &mut |node: &mut Node| tree::set_scalar(node, Node::scalar(Tag::Int, replica.count.to_string()));
            let result = visit(&mut resource.node, spec, Make::Int, set);
            errors.extend(result.err().map(|problem| resource.error(facts, problem)));
        }
    }
    if !found {
        let kinds = specs.iter().map(|spec| spec.gvk.to_string()).collect::<Vec<_>>().join(" ");
        errors.push(Error::in_file(file, Problem::NoReplicas { name: replica.name.clone(), kinds }));
    }
    errors
}

fn add_hashes(resources: &mut Resources, facts: &Facts) -> Vec<Error> {
    each(resources, facts, |resource, _| {
        if !resource.needs_hash {
            return Ok(());
        }
        let suffix = hash::suffix(&resource.node)?;
        let name = format!("{}-{suffix}", resource.id(facts).name);
        resource.remember(facts);
        resource.set_name(&name)
    })
}
