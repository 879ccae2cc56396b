//! `lockstep kustomize`.

mod charts;
mod output;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use kustomize::{Options, Order, Restriction};

use super::disk::Disk;
use super::{Outcome, print};

/// Build kustomizations.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Build(Build),
}

/// Print what a kustomization builds, as kustomize 5.8.1 does.
///
/// Nothing is fetched and no program is run: remote bases, and plugins that are programs, are refused. Flux reads files
/// outside of a kustomization's folder and keeps their order: `--load-restrictor LoadRestrictionsNone --reorder none`.
#[derive(Args)]
#[command(after_help = "Example: what would be applied, and what would change\n  \
                        lockstep kustomize build ./apps/production | kubectl diff -f -")]
struct Build {
    /// Folder with a kustomization file.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Write to this file; to a file for each object, when it is a folder.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Which files a kustomization may read, beside other kustomizations.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = LoadRestrictor::RootOnly)]
    load_restrictor: LoadRestrictor,
    /// The order of objects, where the kustomization has no sortOptions.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Reorder::Legacy)]
    reorder: Reorder,
    /// Render the charts that a kustomization names under helmCharts, where they lie beside it.
    #[arg(long)]
    enable_helm: bool,
    /// Version of Kubernetes that charts are rendered for.
    #[arg(long, value_name = "VERSION", requires = "enable_helm")]
    helm_kube_version: Option<String>,
    /// API version that charts see, beside Kubernetes' own; may be repeated.
    #[arg(long, value_name = "VERSION", requires = "enable_helm")]
    helm_api_versions: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LoadRestrictor {
    /// Those in and below its own folder.
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    /// Any.
    #[value(name = "LoadRestrictionsNone")]
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reorder {
    /// Namespaces first, webhooks last.
    Legacy,
    /// As they were built.
    None,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let Verb::Build(build) = self.verb;
        build.run()
    }
}

impl Build {
    fn run(self) -> Outcome {
        let charts = charts::Charts::new(self.helm_kube_version.clone(), self.helm_api_versions.clone());
        let options = Options {
            order: match self.reorder {
                Reorder::Legacy => Order::Legacy,
                Reorder::None => Order::AsBuilt,
            },
            restriction: match self.load_restrictor {
                LoadRestrictor::RootOnly => Restriction::RootOnly,
                LoadRestrictor::None => Restriction::None,
            },
            charts: self.enable_helm.then_some(&charts),
            ..Options::default()
        };
        let place = place(&self.folder)?;
        let built = kustomize::build(&Disk, &place, &options);
        let objects = built.map_err(|errors| Disk::told(&place, &errors))?;
        match self.output {
            None => print(kustomize::print(&objects).as_bytes()),
            Some(folder) if folder.is_dir() => Ok(output::write_each(&folder, &objects)?),
            Some(file) => {
                let written = std::fs::write(&file, kustomize::print(&objects));
                Ok(written.with_context(|| file.display().to_string())?)
            }
        }
    }
}

fn place(folder: &Path) -> anyhow::Result<String> {
    if !folder.exists() && looks_remote(&folder.to_string_lossy()) {
        bail!("{}: nothing is fetched; clone the repository and name the folder", folder.display());
    }
    if folder.is_file() {
        bail!("{}: a file; name the folder that holds the kustomization file", folder.display());
    }
    Disk::place(folder)
}

fn looks_remote(path: &str) -> bool {
    path.contains("://") || path.contains('@') || path.starts_with("github.com")
}
