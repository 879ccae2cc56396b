//! Charts that a kustomization renders.

use std::error::Error;
use std::sync::Arc;

use anyhow::anyhow;
use helm::values::{self, Values};
use kustomize::Chart;
use manifest::Files;

use crate::cli::helm::release::{self, Release};
use crate::cli::network::{Network, told};
use crate::source::helm::ChartArchive;

/// Renders charts that lie on the disk, and others as `helm pull` finds them.
pub(super) struct Charts<'a> {
    /// What the command line says wins.
    pub(super) kube_version: Option<String>,
    pub(super) api_versions: Vec<String>,
    /// Where charts are fetched from.
    pub(super) network: &'a Network,
}

impl Charts<'_> {
    fn archive(&self, wanted: &Chart) -> anyhow::Result<Arc<ChartArchive>> {
        let newest = if wanted.devel { ">0.0.0-0" } else { "" };
        let version = if wanted.version.is_empty() { newest } else { &wanted.version };
        self.network.chart(&wanted.repository, &wanted.name, version)
    }

    fn template(&self, wanted: &Chart, files: &dyn Files) -> anyhow::Result<String> {
        let chart = match &wanted.folder {
            Some(folder) => helm::Chart::load(files, folder)?,
            None => helm::Chart::from_archive(&self.archive(wanted)?.bytes)?,
        };
        let mut release =
            Release::new(&name_of(wanted)?, if wanted.namespace.is_empty() { "default" } else { &wanted.namespace });
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
        Ok(release::render(&chart, &release)?.template_output(release.with_crds))
    }
}

/// The name of the release.
fn name_of(wanted: &Chart) -> anyhow::Result<String> {
    match (wanted.release.as_str(), wanted.name_template.as_str()) {
        // Upstream makes one of the chart's name and the time, so that no two builds are alike.
        ("", "") => Ok("release-name".into()),
        ("", template) => release::name_of(template),
        (name, "") => Ok(name.into()),
        _ => Err(anyhow!("cannot set --name-template and also specify a name")),
    }
}

fn values_of(wanted: &Chart) -> anyhow::Result<Values> {
    let mut merged = match &wanted.values {
        serde_json::Value::Object(map) => values::from_json(map.clone()),
        _ => Values::new(),
    };
    for (file, text) in &wanted.values_files {
        let given = values::from_yaml(text).map_err(|error| anyhow!("failed to parse {file}: {error}"))?;
        merged = values::merge_maps(merged, given);
    }
    Ok(merged)
}

impl kustomize::Charts for Charts<'_> {
    fn render(&self, chart: &Chart, files: &dyn Files) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.template(chart, files).map_err(told)
    }

    fn file(&self, chart: &Chart, path: &str) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let archive = self.archive(chart).map_err(told)?;
        let mut files = helm::Chart::files_of_archive(&archive.bytes)?.into_iter();
        Ok(files.find(|file| file.name == path).map(|file| file.data.to_vec()))
    }
}
