//! `replicas`.

use yaml::{Node, Tag};

use crate::config::FieldSpec;
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::fieldspec::{Make, visit};
use crate::id::Id;
use crate::kustomization::Replica;
use crate::resources::Resources;
use crate::tree;

/// Sets the number of replicas of what has or had a name; it is an error when nothing has.
pub(crate) fn set(
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
