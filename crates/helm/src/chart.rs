//! Charts: read from a tree of files or an archive, never changed afterwards.

mod archive;
mod dependency;
mod ignore;
mod load;
mod metadata;

use std::sync::Arc;

pub(crate) use dependency::is_compatible;
pub use load::ChartError;
pub(crate) use metadata::scalar_text;
pub use metadata::{Dependency, Maintainer, Metadata, Schema};

use crate::values::Values;

/// A file of a chart; its name is relative to the chart.
#[derive(Clone)]
pub struct File {
    /// Path below the chart, with `/`.
    pub name: String,
    /// Content.
    pub data: Arc<[u8]>,
}

/// A chart with its dependencies.
#[derive(Clone)]
pub struct Chart {
    /// What `Chart.yaml` says.
    pub metadata: Metadata,
    /// Defaults: what `values.yaml` says.
    pub values: Values,
    /// `values.schema.json`.
    pub schema: Option<Arc<[u8]>>,
    /// What `Chart.lock` says, as JSON.
    pub lock: Option<serde_json::Value>,
    /// Files below `templates/`.
    pub templates: Vec<File>,
    /// All other files but those that have a place above and the dependencies.
    pub files: Vec<File>,
    /// Charts below `charts/`.
    pub dependencies: Vec<Chart>,
}

impl Chart {
    /// Its name; the alias, when it is a dependency that has one.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Whether it only holds definitions for others.
    pub fn is_library(&self) -> bool {
        self.metadata.kind.eq_ignore_ascii_case("library")
    }

    /// The custom resource definitions of the chart and its dependencies: files below `crds/`, by full path.
    pub fn crds(&self) -> Vec<File> {
        let mut crds = Vec::new();
        self.add_crds(self.name(), &mut crds);
        crds
    }

    fn add_crds(&self, path: &str, crds: &mut Vec<File>) {
        for file in self.files.iter().filter(|file| file.name.starts_with("crds/") && is_manifest(&file.name)) {
            crds.push(File { name: format!("{path}/{}", file.name), data: Arc::clone(&file.data) });
        }
        for dependency in &self.dependencies {
            dependency.add_crds(&format!("{path}/charts/{}", dependency.name()), crds);
        }
    }
}

fn is_manifest(name: &str) -> bool {
    let extension = gotemplate::go::path::ext(name).to_ascii_lowercase();
    matches!(extension.as_str(), ".yaml" | ".yml" | ".json")
}

/// Name and version only: values may be secrets.
impl std::fmt::Debug for Chart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chart({} {})", self.metadata.name, self.metadata.version)
    }
}
