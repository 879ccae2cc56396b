//! `lockstep kustomize`.

mod charts;
mod many;
mod output;
mod unused;

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use kustomize::{Options, Order, Restriction};
use manifest::Object;

use super::disk::Disk;
use super::network::Network;
use super::{Failure, Outcome};

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

/// Print what kustomizations build, as kustomize 5.8.1 does.
///
/// Remote files and bases are fetched, with the credentials of their addresses, and bases with those of ~/.netrc; no
/// program is run, so no credential helper and no ssh, and plugins that are programs are refused. Flux reads files outside
/// of a kustomization's folder and keeps their order: `--load-restrictor LoadRestrictionsNone --reorder none`.
///
/// Of several folders everything is one stream, with a comment where each begins, or with --output a folder of files for
/// each. Whatever fails is told of all of them, and then nothing is printed or written.
#[derive(Args)]
#[command(after_help = "Example: what would be applied, and what would change; what every cluster gets\n  \
                        lockstep kustomize build ./apps/production | kubectl diff -f -\n  \
                        lockstep kustomize build clusters/* -o rendered")]
struct Build {
    /// Folder with a kustomization file, or the address of one in a Git repository; the current folder, when none is
    /// named.
    #[arg(default_value = ".", hide_default_value = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Write to this file; to a file for each object, when it is a folder. Of several folders, each writes to the folder
    /// of its name below this one.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Which files a kustomization may read, beside other kustomizations.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = LoadRestrictor::RootOnly)]
    load_restrictor: LoadRestrictor,
    /// The order of objects, where the kustomization has no sortOptions.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Reorder::Legacy)]
    reorder: Reorder,
    /// Refuse what would have to be fetched.
    #[arg(long)]
    no_remote_bases: bool,
    /// Render the charts that a kustomization names under helmCharts; those that do not lie beside it are fetched.
    #[arg(long)]
    enable_helm: bool,
    /// Version of Kubernetes that charts are rendered for.
    #[arg(long, value_name = "VERSION")]
    helm_kube_version: Option<String>,
    /// API version that charts see, beside Kubernetes' own; may be repeated.
    #[arg(long, value_name = "VERSION")]
    helm_api_versions: Vec<String>,
    #[command(flatten)]
    unused: unused::Unused,
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
        self.unused.check()?;
        let target = output::Target::new(self.output.as_deref(), &self.folders)?;
        let network = Network::default();
        let (kube_version, api_versions) = (self.helm_kube_version, self.helm_api_versions);
        let charts = charts::Charts { kube_version, api_versions, network: &network };
        let options = Options {
            order: match self.reorder {
                Reorder::Legacy => Order::Legacy,
                Reorder::None => Order::AsBuilt,
            },
            restriction: match self.load_restrictor {
                LoadRestrictor::RootOnly => Restriction::RootOnly,
                LoadRestrictor::None => Restriction::None,
            },
            remote: (!self.no_remote_bases).then_some(&network),
            charts: self.enable_helm.then_some(&charts),
            ..Options::default()
        };
        let built = many::each(&self.folders, |folder| build(folder, &options));
        target.write(&all(&self.folders, built)?)
    }
}

fn build(folder: &Path, options: &Options<'_>) -> anyhow::Result<Vec<Object>> {
    let named = folder.to_string_lossy();
    if let Some(built) = kustomize::build_remote(&named, options) {
        return built.map_err(anyhow::Error::from);
    }
    let place = place(folder)?;
    kustomize::build(&Disk, &place, options).map_err(|errors| Disk::told(&place, &errors))
}

/// What every folder built. Of several that failed, each is told by its name.
fn all(folders: &[PathBuf], built: Vec<anyhow::Result<Vec<Object>>>) -> Result<Vec<Vec<Object>>, Failure> {
    if folders.len() == 1 {
        return Ok(built.into_iter().collect::<Result<_, _>>()?);
    }
    let failed = folders.iter().zip(&built).filter_map(|(folder, built)| Some((folder, built.as_ref().err()?)));
    for (folder, error) in failed {
        super::fail(&format!("{}: {error:#}", folder.display()));
    }
    built.into_iter().collect::<Result<_, _>>().map_err(|_| Failure::silent(1))
}

fn place(folder: &Path) -> anyhow::Result<String> {
    let named = folder.display();
    ensure!(folder.exists(), "must build at directory: '{named}': no such file or directory");
    ensure!(!folder.is_file(), "must build at directory: '{named}': file is not directory");
    Disk::place(folder)
}
