//! What a build is given beside its folder: the Kustomization, its cluster, where other sources lie, what is left out.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use apply::{Cluster, Reference};
use manifest::Object;
use serde_json::Value;

use crate::cli::target::Target;
use crate::source::folder;
use crate::source::ignore::Rules;
use crate::status::kustomization::GROUP;

/// A cluster that is read.
pub(super) struct Live {
    runtime: tokio::runtime::Runtime,
    cluster: Arc<dyn Cluster>,
}

impl Live {
    pub(super) fn connect(target: &Target) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let cluster = runtime.block_on(target.connect())?;
        Ok(Self { runtime, cluster })
    }

    /// Reads an object; `None` when there is none.
    pub(super) fn get(&self, at: &Reference) -> anyhow::Result<Option<Object>> {
        Ok(self.runtime.block_on(self.cluster.get(at))?)
    }
}

/// Where the files of a source lie: `GitRepository/flux-system/apps=./apps`.
#[derive(Clone)]
pub(super) struct LocalSource {
    pub(super) source: String,
    pub(super) folder: PathBuf,
}

impl FromStr for LocalSource {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (source, folder) = text.split_once('=').context("not Kind/namespace/name=path")?;
        Ok(Self { source: source.trim().into(), folder: folder.into() })
    }
}

/// Whether this is a Kustomization of Flux.
pub(super) fn is_kustomization(object: &Object) -> bool {
    object.gvk().group == GROUP && object.kind() == "Kustomization"
}

/// The Kustomization of a file; one without a namespace may be of any.
pub(super) fn read(file: &Path, namespace: &str, name: &str) -> anyhow::Result<Object> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read kustomization file {shown}"))?;
    for document in yaml::documents(&text) {
        let value: Value = yaml::from_str(document.text)
            .map_err(|error| anyhow!("failed to read kustomization file {shown}: {error}"))?;
        let Ok(object) = Object::new(value) else { continue };
        let is_meant = object.name() == name && ["", namespace].contains(&object.namespace());
        if is_meant && is_kustomization(&object) {
            return Ok(object);
        }
    }
    Err(anyhow!("failed to find kustomization with name '{name}' and namespace '{namespace}' in file '{shown}'"))
}

/// What is left out of a folder, by its own ignore files and further patterns.
pub(super) fn rules(folder: &Path, further: &str) -> anyhow::Result<Rules> {
    let files = folder::ignores(folder)?;
    Ok(Rules::beside_defaults(files.iter().map(|(folder, text)| (folder.as_str(), text.as_str())), further))
}
