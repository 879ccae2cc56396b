//! Charts that a kustomization renders.

use std::error::Error;

use anyhow::{anyhow, ensure};
use helm::values::{self, Values};
use kustomize::Chart;
use manifest::{Files as _, Purpose};

use crate::cli::disk::Disk;
use crate::cli::helm::release::{self, Release};

/// Renders charts that lie on the disk.
pub(super) struct Charts {
    /// What the command line says wins.
    kube_version: Option<String>,
    api_versions: Vec<String>,
}

impl Charts {
    pub(super) fn new(kube_version: Option<String>, api_versions: Vec<String>) -> Self {
        Self { kube_version, api_versions }
    }

    fn template(&self, wanted: &Chart) -> anyhow::Result<String> {
        let Some(folder) = &wanted.folder else {
            return Err(anyhow!("charts are not fetched; put version '{}' of it into the chart home", wanted.version));
        };
        ensure!(wanted.name_template.is_empty(), "nameTemplate is not supported; set releaseName");
        let chart = helm::Chart::load(&Disk, folder)?;
        // What helm calls a release that nobody named.
        let name = if wanted.release.is_empty() { "release-name" } else { &wanted.release };
        let mut release = Release::new(name, if wanted.namespace.is_empty() { "default" } else { &wanted.namespace })?;
        release.values = values_of(wanted)?;
        release.with_crds = wanted.include_crds;
        release.without_hooks = wanted.skip_hooks;
        release.without_tests = wanted.skip_tests;
        let kube_version = self.kube_version.as_deref().unwrap_or(&wanted.kube_version);
        if !kube_version.is_empty() {
            release.set_kube_version(kube_version)?;
        }
        let api_versions = if self.api_versions.is_empty() { &wanted.api_versions } else { &self.api_versions };
        release.options.capabilities.api_versions.extend(api_versions.iter().cloned());
        release::render(&chart, &release)
    }
}

fn values_of(wanted: &Chart) -> anyhow::Result<Values> {
    let mut merged = match &wanted.values {
        serde_json::Value::Object(map) => values::from_json(map.clone()),
        _ => Values::new(),
    };
    for file in &wanted.values_files {
        let content = Disk.read(file, Purpose::Recipe)?;
        let text = content.text().ok_or_else(|| anyhow!("{file}: not valid UTF-8"))?;
        let given = values::from_yaml(text).map_err(|error| anyhow!("failed to parse {file}: {error}"))?;
        merged = values::merge_maps(merged, given);
    }
    Ok(merged)
}

impl kustomize::Charts for Charts {
    fn render(&self, chart: &Chart) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.template(chart).map_err(Into::into)
    }
}
