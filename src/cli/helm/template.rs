//! `lockstep helm template`.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use helm::{Action, Rendered};

use super::release::{self, Release};
use super::{Outcome, load, only, original, print, values, warn};

/// Print what a chart renders to, as helm 4.2 does without a cluster.
///
/// The chart lies on the disk, with its dependencies: nothing is fetched, and no cluster is asked.
#[derive(Args)]
#[command(mut_args(original::with_values))]
#[command(override_usage = "lockstep helm template [OPTIONS] [NAME] <CHART>")]
#[command(after_help = "Example: a chart as a release of the cluster would see it\n  \
                        lockstep helm template web ./charts/web -n shop -f production.yaml --set replicas=3")]
pub(super) struct Template {
    /// Name of the release, and the chart's folder or archive; a chart alone is the release 'release-name'.
    #[arg(required = true, num_args = 1..=2, value_name = "NAME|CHART")]
    names: Vec<String>,
    /// Template of the release's name, for a chart alone.
    #[arg(long, value_name = "TEMPLATE")]
    name_template: Option<String>,
    /// Taken for helm's sake: a chart alone is the release 'release-name' there too.
    #[arg(short, long)]
    generate_name: bool,
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
    /// Print the manifests of this template alone; a pattern, may be repeated.
    #[arg(short, long, value_name = "TEMPLATE")]
    show_only: Vec<String>,
    /// Write each template's manifests to a file below this folder, and print the names of the files.
    #[arg(long, value_name = "FOLDER")]
    output_dir: Option<PathBuf>,
    /// Put the release's name below the folder of --output-dir.
    #[arg(long)]
    release_name: bool,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall.
    #[arg(long)]
    is_upgrade: bool,
    /// Version of Kubernetes to render for.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// API versions that the cluster has, beside Kubernetes' own; may be repeated.
    #[arg(short, long, value_name = "VERSION", value_delimiter = ',')]
    api_versions: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "unset")]
    dry_run: Option<String>,
    #[command(flatten)]
    _of_charts: original::OfCharts,
    #[command(flatten)]
    _of_installations: original::OfInstallations,
    #[command(flatten)]
    values: values::Values,
}

impl Template {
    pub(super) fn run(self, namespace: &str, debug: bool) -> Outcome {
        original::check_dry_run(self.dry_run.as_deref())?;
        let (name, place) = self.name_and_chart()?;
        let release = self.release(&name, namespace)?;
        let chart = load(place)?;
        if chart.metadata.deprecated {
            warn("this chart is deprecated");
        }
        let rendered = match release::render(&chart, &release) {
            Err(error) if debug => {
                print(release::failed_output(&chart, &release, &error).as_bytes())?;
                return Err(error.into());
            }
            rendered => rendered?,
        };
        let text = match &self.output_dir {
            Some(folder) => self.write(folder, &name, &rendered, release.with_crds)?,
            None => rendered.template_output(release.with_crds),
        };
        let text = if self.show_only.is_empty() { text } else { only::only(&text, &self.show_only)? };
        print(text.as_bytes())
    }

    fn name_and_chart(&self) -> anyhow::Result<(String, &str)> {
        let taken = |flag: &str| anyhow!("cannot set --{flag} and also specify a name");
        match (self.names.as_slice(), &self.name_template) {
            ([_, _, ..], _) if self.generate_name => Err(taken("generate-name")),
            ([_, _, ..], Some(_)) => Err(taken("name-template")),
            ([name, chart, ..], None) => Ok((name.clone(), chart)),
            ([chart], Some(template)) => Ok((release::name_of(template)?, chart)),
            ([chart], None) => Ok(("release-name".to_owned(), chart)),
            ([], _) => bail!("a chart is needed"),
        }
    }

    fn release(&self, name: &str, namespace: &str) -> anyhow::Result<Release> {
        let mut release = Release::new(name, namespace);
        if let Some(version) = &self.kube_version {
            release.set_kube_version(version)?;
        }
        release.options.capabilities.api_versions.extend(self.api_versions.iter().cloned());
        release.options.action = if self.is_upgrade { Action::Upgrade } else { Action::Install };
        release.options.skips_schema = self.skip_schema_validation;
        release.values = self.values.merged()?;
        release.with_crds = self.include_crds && !self.skip_crds;
        release.without_hooks = self.no_hooks;
        release.without_tests = self.skip_tests;
        Ok(release)
    }

    /// Writes the manifests to files by template; gives what is printed of it.
    fn write(&self, folder: &Path, name: &str, rendered: &Rendered, with_crds: bool) -> anyhow::Result<String> {
        let below = if self.release_name { folder.join(name) } else { folder.to_owned() };
        let mut files = only::Written::default();
        for crd in rendered.crds.iter().filter(|_| with_crds) {
            files.add(folder, &crd.name, &String::from_utf8_lossy(&crd.data))?;
        }
        for manifest in rendered.manifests.iter().chain(rendered.hooks.iter().map(|hook| &hook.manifest)) {
            files.add(&below, &manifest.source, &manifest.text)?;
        }
        // What would be printed without the folder is empty then.
        Ok(format!("{}\n", files.told))
    }
}
