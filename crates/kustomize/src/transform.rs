//! The transformers: each changes all objects of a layer, one after the other. Each has a file of its own, where its field
//! specs are read; the specs themselves are a table (`defaults`).

use crate::config::FieldSpec;
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::growth::Growth;
use crate::image::ImageChange;
use crate::kustomization::{Pairs, Replica};
use crate::namespace::NamespaceChange;
use crate::patch::{self, Partial, Ready};
use crate::replacement::Replacements;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::{hash, labels, names, replicas};

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
            Transformer::Prefix(prefix, specs) => names::add(resources, facts, specs, prefix, ""),
            Transformer::Suffix(suffix, specs) => names::add(resources, facts, specs, "", suffix),
            Transformer::Pairs(pairs, specs) => labels::add(resources, facts, pairs, specs),
            Transformer::Replicas(replica, specs) => replicas::set(resources, facts, replica, specs, file),
            Transformer::Image(change, specs) => {
                each(resources, facts, |resource, _| change.run(&mut resource.node, specs))
            }
            Transformer::Replacements(replacements) => replacements.run(resources, facts, file),
            Transformer::ValueAdd(change) => change.run(resources, facts),
            Transformer::Hash => hash::add(resources, facts),
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
