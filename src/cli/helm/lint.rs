//! `lockstep helm lint`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use helm::values::Values;
use helm::{Chart, Finding, RenderOptions, Severity};
use manifest::MemoryFiles;

use super::release::Release;
use super::{Failure, Outcome, entries, original, print, values};
use crate::cli::disk::Disk;
use crate::system::System;

/// Look for what is wrong with charts.
#[derive(Args)]
#[command(mut_args(original::with_values))]
pub(super) struct Lint {
    /// Folders or archives of charts.
    #[arg(default_value = ".")]
    charts: Vec<String>,
    /// Fail for warnings too.
    #[arg(long)]
    strict: bool,
    /// Look at the charts in charts/ too.
    #[arg(long)]
    with_subcharts: bool,
    /// Print warnings and errors alone.
    #[arg(long)]
    quiet: bool,
    /// Check no values against the charts' schemas.
    #[arg(long)]
    skip_schema_validation: bool,
    /// Version of Kubernetes to render for, and to be warned of what it will not take.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    #[command(flatten)]
    values: values::Values,
}

impl Lint {
    pub(super) fn run(self, namespace: &str) -> Outcome {
        let mut release = Release::new("test-release", namespace);
        if let Some(version) = &self.kube_version {
            release.set_kube_version(version)?;
        }
        release.options.skips_schema = self.skip_schema_validation;
        let values = self.values.merged()?;
        let mut charts = self.charts.clone();
        for chart in self.charts.iter().filter(|_| self.with_subcharts) {
            below(&Path::new(chart).join("charts"), &mut charts)?;
        }
        let (mut told, mut failed, mut found_any) = (String::new(), 0, false);
        for chart in &charts {
            let found = examine(chart, &values, release.options.clone());
            let worst = found.as_ref().map_or(Some(Severity::Error), |found| found.iter().map(|f| f.severity).max());
            let is_bad = worst.is_some_and(|worst| worst > Severity::Info);
            found_any |= is_bad;
            failed += usize::from(worst >= Some(if self.strict { Severity::Warning } else { Severity::Error }));
            if !self.quiet || is_bad {
                told.push_str(&format!("==> Linting {chart}\n{}\n", self.shown(found)));
            }
        }
        print(told.as_bytes())?;
        let summary = format!("{} chart(s) linted, {failed} chart(s) failed", charts.len());
        if failed > 0 {
            return Err(Failure::new(1, anyhow!(summary)));
        }
        if self.quiet && !found_any { Ok(()) } else { print(format!("{summary}\n").as_bytes()) }
    }

    fn shown(&self, found: anyhow::Result<Vec<Finding>>) -> String {
        match found {
            Err(error) => format!("Error {error:#}\n"),
            Ok(found) => {
                let is_shown = |finding: &&Finding| !self.quiet || finding.severity > Severity::Info;
                found.iter().filter(is_shown).map(|finding| format!("{finding}\n")).collect()
            }
        }
    }
}

/// Charts in a folder, and in folders of that.
fn below(folder: &Path, charts: &mut Vec<String>) -> anyhow::Result<()> {
    for path in entries(folder)? {
        let shown = path.display().to_string();
        if path.is_dir() {
            below(&path, charts)?;
        } else if shown.ends_with(".tgz") || shown.ends_with(".tar.gz") {
            charts.push(shown);
        } else if path.file_name().is_some_and(|name| name == "Chart.yaml") {
            charts.push(folder.display().to_string());
        }
    }
    Ok(())
}

fn examine(chart: &str, values: &Values, options: RenderOptions) -> anyhow::Result<Vec<Finding>> {
    if chart.ends_with(".tgz") || chart.ends_with(".tar.gz") {
        let archive = std::fs::read(chart).context("unable to open tarball")?;
        let mut files = MemoryFiles::default();
        for file in Chart::files_of_archive(&archive).context("unable to extract tarball")? {
            files.insert(file.name, file.data.to_vec());
        }
        return Ok(helm::lint(&files, "", chart, values, options, &System)?);
    }
    let path = Path::new(chart).join("Chart.yaml");
    if !path.exists() {
        let shown = path.components().collect::<PathBuf>();
        let words = "unable to check Chart.yaml file in chart";
        return Err(anyhow!("{words}: stat {}: no such file or directory", shown.display()));
    }
    let place = Disk::place(Path::new(chart))?;
    let shown = std::path::absolute(chart)?.components().collect::<PathBuf>().display().to_string();
    helm::lint(&Disk, &place, &shown, values, options, &System).map_err(|error| Disk::told(&place, &error))
}
