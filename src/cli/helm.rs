//! `lockstep helm`.

pub(super) mod release;
mod show;
mod values;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use clap::{Args, Subcommand};
use helm::{Action, Chart};

use super::disk::Disk;
use super::{Outcome, print, warn};
use release::Release;

/// Render charts.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Template(Box<Template>),
}

/// Print what a chart renders to, as helm 4.2 does without a cluster.
///
/// The chart lies on the disk, with its dependencies: nothing is fetched.
#[derive(Args)]
#[command(override_usage = "lockstep helm template [OPTIONS] [NAME] <CHART>")]
#[command(after_help = "Example: a chart as a release of the cluster would see it\n  \
                        lockstep helm template web ./charts/web -n shop -f production.yaml --set replicas=3")]
struct Template {
    /// Name of the release, and the chart's folder or archive; a chart alone is the release 'release-name'.
    #[arg(required = true, num_args = 1..=2, value_name = "NAME|CHART")]
    names: Vec<String>,
    /// Namespace of the release.
    #[arg(short, long, env = "HELM_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Print the definitions of crds/ too.
    #[arg(long)]
    include_crds: bool,
    /// Print no definitions of crds/, whatever --include-crds says.
    #[arg(long)]
    skip_crds: bool,
    /// Print no test hooks.
    #[arg(long)]
    skip_tests: bool,
    /// Print no hooks.
    #[arg(long)]
    no_hooks: bool,
    /// Check no values against the charts' schemas.
    #[arg(long)]
    skip_schema_validation: bool,
    /// Read the notes of dependencies too, as an installation would; none are printed.
    #[arg(long)]
    render_subchart_notes: bool,
    /// Print the manifests of this template alone; a pattern, may be repeated.
    #[arg(short, long, value_name = "TEMPLATE")]
    show_only: Vec<String>,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall.
    #[arg(long)]
    is_upgrade: bool,
    /// Version of Kubernetes to render for.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// API versions that the cluster has, beside Kubernetes' own; may be repeated.
    #[arg(short, long, value_name = "VERSION", value_delimiter = ',')]
    api_versions: Vec<String>,
    #[command(flatten)]
    values: values::Values,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let Verb::Template(template) = self.verb;
        template.run()
    }
}

impl Template {
    fn run(self) -> Outcome {
        let (name, chart) = match self.names.as_slice() {
            [name, chart] => (name.as_str(), chart),
            names => ("release-name", names.first().context("a chart is needed")?),
        };
        let release = self.release(name)?;
        let chart = load(chart)?;
        if chart.metadata.deprecated {
            warn("this chart is deprecated");
        }
        let text = release::render(&chart, &release)?;
        let text = if self.show_only.is_empty() { text } else { show::only(&text, &self.show_only)? };
        print(text.as_bytes())
    }

    fn release(&self, name: &str) -> anyhow::Result<Release> {
        let mut release = Release::new(name, &self.namespace)?;
        if let Some(version) = &self.kube_version {
            release.set_kube_version(version)?;
        }
        release.options.capabilities.api_versions.extend(self.api_versions.iter().cloned());
        release.options.action = if self.is_upgrade { Action::Upgrade } else { Action::Install };
        release.options.skips_schema = self.skip_schema_validation;
        release.options.with_dependency_notes = self.render_subchart_notes;
        release.values = self.values.merged()?;
        release.with_crds = self.include_crds && !self.skip_crds;
        release.without_hooks = self.no_hooks;
        release.without_tests = self.skip_tests;
        Ok(release)
    }
}

/// Loads a chart from a folder or an archive.
fn load(chart: &str) -> anyhow::Result<Chart> {
    let path = PathBuf::from(chart);
    ensure!(path.exists(), "{}", not_found(&path));
    if path.is_dir() {
        let place = Disk::place(&path)?;
        return Chart::load(&Disk, &place).map_err(|error| Disk::told(&place, &error));
    }
    let archive = std::fs::read(&path).with_context(|| chart.to_owned())?;
    Chart::from_archive(&archive).map_err(|error| anyhow!("{chart}: {error}"))
}

fn not_found(chart: &Path) -> String {
    let chart = chart.display();
    format!("path \"{chart}\" not found; charts are not fetched: `helm pull --untar` puts one on the disk")
}
