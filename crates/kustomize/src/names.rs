//! `namePrefix` and `nameSuffix`.

use yaml::Node;

use crate::config::FieldSpec;
use crate::error::Error;
use crate::facts::Facts;
use crate::fieldspec::{Make, visit};
use crate::id::{Gvk, Id};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::each;
use crate::tree;

/// Kinds that keep their name: one that a definition, an API or a namespace is known by.
fn keeps_name(id: &Id) -> bool {
    let Gvk { group, kind, .. } = &id.gvk;
    kind == "CustomResourceDefinition"
        || kind == "Namespace"
        || (kind == "APIService" && group == "apiregistration.k8s.io")
}

/// Puts texts before and behind the names of all objects.
pub(crate) fn add(
    resources: &mut Resources,
    facts: &Facts,
    specs: &[FieldSpec],
    prefix: &str,
    suffix: &str,
) -> Vec<Error> {
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
