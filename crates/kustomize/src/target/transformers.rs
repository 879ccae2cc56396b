//! What changes a layer: the transformers of its kustomization file in their order, those that are given as objects, and
//! validators.

use std::collections::BTreeMap;

use super::{Accumulator, Target};
use crate::config::Config;
use crate::error::{Errors, Problem};
use crate::image::ImageChange;
use crate::kustomization::Label;
use crate::labels;
use crate::namespace::{NamespaceChange, Subjects};
use crate::patch;
use crate::plugin::Plugin;
use crate::provenance::Provenance;
use crate::replacement::Replacements;
use crate::resource::Resource;
use crate::transform::Transformer;

impl Target<'_> {
    pub(super) fn run_transformers(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
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
        errors: &mut Vec<crate::error::Error>,
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
    pub(super) fn run_validators(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
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
            let specs = labels::specs(label, config).map_err(|problem| Errors::one(&self.file, problem))?;
            Ok(Transformer::Pairs(label.pairs.clone(), specs))
        };
        let mut all: Vec<_> = k.labels.iter().map(of_label).collect();
        all.push(Ok(Transformer::Pairs(common, config.common_labels.clone())));
        all
    }
}

fn is_same_but_label(old: &Resource, new: &Resource) -> bool {
    let mut new = new.clone();
    let mut labels: BTreeMap<String, String> = new.pairs("labels");
    if labels.remove("validated-by").is_some() && new.set_pairs("labels", &labels).is_err() {
        return false;
    }
    new.previous == old.previous && new.node == old.node
}
