//! `lockstep helm`.

mod dependency;
mod lint;
mod only;
pub(super) mod original;
pub(super) mod release;
mod show;
mod template;
mod values;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use clap::{Args, Subcommand};
use helm::{Chart, File};

use super::disk::Disk;
use super::{Failure, Outcome, print, warn};

/// Render and examine charts.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
#[command(mut_args(original::with_values))]
pub(super) struct Arguments {
    /// Namespace of the release that templates see.
    #[arg(short, long, env = "HELM_NAMESPACE", default_value = "default", global = true)]
    namespace: String,
    /// Print what fails, as far as it was rendered.
    #[arg(long, global = true)]
    debug: bool,
    #[command(flatten)]
    _of_all: original::OfAll,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Template(Box<template::Template>),
    #[command(visible_alias = "inspect", subcommand)]
    Show(show::Show),
    Lint(Box<lint::Lint>),
    #[command(visible_alias = "dep", alias = "dependencies", subcommand)]
    Dependency(dependency::Dependency),
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        match self.verb {
            Verb::Template(template) => template.run(&self.namespace, self.debug),
            Verb::Show(show) => show.run(),
            Verb::Lint(lint) => lint.run(&self.namespace),
            Verb::Dependency(dependency) => dependency.run(),
        }
    }
}

/// Loads a chart from a folder or an archive.
fn load(chart: &str) -> anyhow::Result<Chart> {
    let path = PathBuf::from(chart);
    if path.is_dir() {
        let place = Disk::place(&path)?;
        return Chart::load(&Disk, &place).map_err(|error| Disk::told(&place, &error));
    }
    Chart::from_files(files(chart)?).map_err(|error| anyhow!("{chart}: {error}"))
}

/// The files of a chart, those that it ignores left out.
fn files(chart: &str) -> anyhow::Result<Vec<File>> {
    let path = PathBuf::from(chart);
    ensure!(path.exists(), "{}", not_found(&path));
    if path.is_dir() {
        let place = Disk::place(&path)?;
        return Chart::files_of(&Disk, &place).map_err(|error| Disk::told(&place, &error));
    }
    let archive = std::fs::read(&path).with_context(|| chart.to_owned())?;
    Chart::files_of_archive(&archive).map_err(|error| anyhow!("{chart}: {error}"))
}

/// The paths in a folder, sorted; nothing in one that is not there.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn not_found(chart: &Path) -> String {
    let chart = chart.display();
    format!("path \"{chart}\" not found; charts are not fetched: `helm pull --untar` puts one on the disk")
}
