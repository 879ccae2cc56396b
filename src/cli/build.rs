//! `lockstep build`.

mod kustomization;
mod local;
mod mask;

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Subcommand};

use super::network::Network;
use super::target::Target;
use super::{Outcome, print};
use crate::substitute::Unset;
use kustomization::Build;
use local::{Live, LocalSource};

/// Build what a Flux Kustomization lands.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Kustomization(Box<Kustomization>),
}

/// Print what a Kustomization builds from a folder, as `flux build kustomization` 2.9 does.
///
/// The Kustomization is that of the cluster, or with --kustomization-file that of a file; with --dry-run no cluster is
/// asked, and variables of Secrets and ConfigMaps are not substituted. What SOPS sealed stays sealed and is shown as
/// **SOPS**. The folder is only read: the kustomization that Flux would make is made in memory.
#[derive(Args)]
#[command(visible_alias = "ks")]
#[command(after_help = "Example: what a change would land, before it is pushed\n  \
                        lockstep build kustomization apps --path ./apps --kustomization-file clusters/eu/apps.yaml --dry-run")]
struct Kustomization {
    /// Name of the Kustomization.
    name: String,
    /// Folder with the manifests; the Kustomization's own path does not count.
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
    /// File with the Kustomization, among others.
    #[arg(long, value_name = "FILE")]
    kustomization_file: Option<PathBuf>,
    /// Ask no cluster.
    #[arg(long)]
    dry_run: bool,
    /// What is left out beside what .sourceignore files name, in the form of .gitignore; may be repeated.
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    ignore_paths: Vec<String>,
    /// Fail when a variable is not set and has no default.
    #[arg(long)]
    strict_substitute: bool,
    /// Build the Kustomizations that it declares, too, and those that they declare.
    #[arg(short, long)]
    recursive: bool,
    /// Where the sources of these lie: GitRepository/namespace/name=path; may be repeated.
    #[arg(long, value_name = "SOURCE=DIR", value_delimiter = ',')]
    local_sources: Vec<LocalSource>,
    /// Refuse what would have to be fetched.
    #[arg(long)]
    no_remote_bases: bool,
    /// Taken for Flux's sake: nothing is ever written.
    #[arg(long, hide = true)]
    in_memory_build: bool,
    /// Namespace of the Kustomization.
    #[arg(short, long, value_name = "NAME", default_value = "flux-system")]
    namespace: String,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let Verb::Kustomization(kustomization) = self.verb;
        kustomization.run()
    }
}

impl Kustomization {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.path.is_dir(), "invalid resource path '{}'", self.path.display());
        ensure!(!self.dry_run || self.kustomization_file.is_some(), "dry-run mode requires a kustomization file");
        if let Some(file) = &self.kustomization_file {
            ensure!(file.is_file(), "invalid kustomization file '{}'", file.display());
        }
        Ok(())
    }

    fn run(self) -> Outcome {
        self.check()?;
        let build = Build {
            live: if self.dry_run { None } else { Some(Live::connect(&self.target)?) },
            ignored: self.ignore_paths.join("\n"),
            unset: if self.strict_substitute { Unset::Error } else { Unset::Empty },
            is_recursive: self.recursive,
            sources: self.local_sources,
            network: (!self.no_remote_bases).then(Network::default),
        };
        let file = self.kustomization_file.as_deref();
        let objects = build.run(&self.namespace, &self.name, file, &self.path)?;
        let texts = objects.iter().map(|object| object.show(kustomize::to_yaml) + "---\n");
        print(texts.collect::<String>().as_bytes())
    }
}
