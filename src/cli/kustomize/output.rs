//! `--output` with a folder: a file for each object.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use manifest::Object;
use manifest::kinds::{Scope, scope};

/// Writes each object to a file of its own. The name tells the namespace only where there are several.
pub(super) fn write_each(folder: &Path, objects: &[Object]) -> anyhow::Result<()> {
    let namespaces: BTreeSet<&str> = objects.iter().filter_map(namespace).collect();
    for object in objects {
        let mut name = file_name(object);
        if let Some(namespace) = namespace(object).filter(|_| namespaces.len() > 1) {
            name = format!("{}_{name}", namespace.to_lowercase());
        }
        // Names come from the kustomization, which must not choose where else files are written.
        ensure!(!name.contains('/'), "{}: its name cannot be that of a file", object.id());
        let path = folder.join(name);
        std::fs::write(&path, kustomize::to_yaml(object)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The namespace of an object that may have one.
fn namespace(object: &Object) -> Option<&str> {
    let is_cluster_scoped = scope(&object.gvk()) == Some(Scope::Cluster);
    let namespace = object.namespace();
    (!is_cluster_scoped).then_some(if namespace.is_empty() { "default" } else { namespace })
}

/// `apps_v1_deployment_web.yaml`.
fn file_name(object: &Object) -> String {
    let gvk = object.gvk();
    let words = [&gvk.group, &gvk.version, &gvk.kind, object.name()];
    let words: Vec<String> = words.iter().filter(|word| !word.is_empty()).map(|word| word.to_lowercase()).collect();
    format!("{}.yaml", words.join("_"))
}
