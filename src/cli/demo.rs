//! `lockstep demo`: the whole story on one machine, without a network.

mod account;
mod record;
mod repository;
mod stage;
mod steps;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use manifest::Object;
use serde_json::{Value, json};

use super::document::Document;
use super::folder::Folder;
use super::table::Columns;
use super::{Outcome, print};
use account::Account;
use stage::Stage;

/// Kinds of the last table: group, version, kind.
const KINDS: [(&str, &str, &str); 3] = [
    ("external-secrets.io", "v1", "ExternalSecret"),
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"),
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease"),
];

/// Watch secrets and workloads land together: a Git repository, a cluster and the agent, all in this process.
///
/// The repository is that of `keys-example/`, with a password that SOPS sealed, an ExternalSecret and a store. Five steps
/// show its first landing, a commit that changes a secret and who reads it, a rotation in the store, a commit with
/// mistakes, and a bad release. Each step checks in the cluster what it says; the demo fails if anything does not hold.
/// Nothing is fetched, and no program is started.
#[derive(Args)]
#[command(after_help = "Example: look around afterwards\n  \
                        lockstep demo --keep ./demo && git clone ./demo/repository.git")]
pub(super) struct Arguments {
    /// Keep the repository (repository.git) and the cluster (cluster) in this folder, which must be empty.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print one document when it is over, instead of telling the story.
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let folder = match &self.keep {
            Some(path) => Folder::kept(path)?,
            None => Folder::temporary("demo")?,
        };
        let (value, holds) = runtime.block_on(play(folder.path(), self.keep.is_some(), self.output.is_none()))?;
        if let Some(document) = self.output {
            print(document.text(&value).as_bytes())?;
        }
        match holds {
            true => Ok(()),
            false => Err(anyhow::anyhow!("something that the demo claims does not hold").into()),
        }
    }
}

/// Plays the story, unless somebody interrupts; the account of it, and whether everything holds.
async fn play(folder: &Path, keeps: bool, is_live: bool) -> anyhow::Result<(Value, bool)> {
    tokio::select! {
        played = story(folder, keeps, is_live) => played,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn story(folder: &Path, keeps: bool, is_live: bool) -> anyhow::Result<(Value, bool)> {
    let began = Instant::now();
    let mut stage = Stage::open(folder, keeps, account::progress(is_live)).await?;
    let mut account = Account::new(is_live, stage.redactor.clone());
    account.say("A Git repository, a cluster and the agent, all in this process. Nothing leaves this machine.");
    let holds = tell(&mut stage, &mut account).await?;
    let objects = objects(&stage).await?;
    account.say(&format!("\n$ kubectl get externalsecret,kustomization,helmrelease -A\n{}", tables(&objects)));
    stage.close().await?;
    let took = began.elapsed().as_secs_f64();
    account.say(&format!("{took:.1} s in all."));
    if keeps {
        account.say(&format!("The repository is {0}/repository.git, the cluster {0}/cluster.", folder.display()));
    }
    let objects: Vec<Value> = objects.iter().map(summary).collect();
    let seconds = (took * 1000.0).round() / 1000.0;
    Ok((json!({"holds": holds, "seconds": seconds, "steps": account.to_value(), "objects": objects}), holds))
}

/// All steps, until one claims what does not hold.
async fn tell(stage: &mut Stage, account: &mut Account) -> anyhow::Result<bool> {
    Ok(steps::first_landing(stage, account).await?
        && steps::together(stage, account).await?
        && steps::rotation(stage, account).await?
        && steps::errors(stage, account).await?
        && steps::reverted(stage, account).await?)
}

async fn objects(stage: &Stage) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    for (group, version, kind) in KINDS {
        objects.extend(stage.list(&format!("{group}/{version}"), kind).await?);
    }
    Ok(objects)
}

fn tables(objects: &[Object]) -> String {
    let columns = KINDS.iter().filter_map(|(group, _, kind)| Columns::of(group, kind));
    let tables = columns.map(|columns| columns.table(objects, Timestamp::now())).filter(|table| !table.is_empty());
    tables.collect::<Vec<_>>().join("\n")
}

fn summary(object: &Object) -> Value {
    let (ready, reason, _) = stage::ready(object).unwrap_or_default();
    json!({"kind": object.kind(), "namespace": object.namespace(), "name": object.name(), "ready": ready, "reason": reason})
}
