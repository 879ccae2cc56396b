//! `lockstep explain`: why a unit is where it is.

mod account;
mod advice;
mod agent;
mod journal;
mod text;

use std::sync::Arc;

use anyhow::anyhow;
use apply::{Cluster, Reference};
use clap::Args;

use super::document::Document;
use super::target::Target;
use super::{Outcome, print};
use crate::api::Kind as _;
use crate::api::helm::HelmRelease;
use crate::api::kustomization::Kustomization;
use crate::api::secret::ExternalSecret;
use crate::redact::Redactor;

/// Tell why a unit is where it is: what it reads, what failed, what it waits for, and what to do.
///
/// A unit is a Kustomization with all that it declares, or a HelmRelease or ExternalSecret that stands alone. What the
/// status does not say is read from the journal in the agent's namespace; without the right to read Secrets there, that
/// part is left out. Values of Secrets are never told.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
                        lockstep explain apps\n  \
                        lockstep explain helmrelease/podinfo -n apps -o yaml")]
pub(super) struct Arguments {
    /// Name of a Kustomization, or `kustomization/NAME`, `helmrelease/NAME`, `externalsecret/NAME`.
    unit: String,
    /// Namespace of the unit.
    #[arg(short, long, value_name = "NAME", default_value = "flux-system")]
    namespace: String,
    /// Namespace of the agent, which holds its keys and journals.
    #[arg(long, value_name = "NAME", default_value = "lockstep-system")]
    agent_namespace: String,
    #[command(flatten)]
    target: Target,
    /// As text, when nothing is said.
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let explained = runtime.block_on(async {
            let cluster = self.target.connect().await?;
            explain(&cluster, &reference(&self.unit, &self.namespace)?, &self.agent_namespace, self.output).await
        })?;
        print(explained.as_bytes())
    }
}

/// The answer as it is printed.
async fn explain(
    cluster: &Arc<dyn Cluster>,
    unit: &Reference,
    agent_namespace: &str,
    output: Option<Document>,
) -> anyhow::Result<String> {
    let redactor = Redactor::default();
    let account = account::gather(cluster, unit, agent_namespace, &redactor).await?;
    let shown = match output {
        None => text::text(&account),
        Some(document) => document.text(&account.to_value()),
    };
    Ok(redactor.redact(&shown).into_owned())
}

/// What `kind/name` means.
fn reference(unit: &str, namespace: &str) -> anyhow::Result<Reference> {
    let (kind, name) = unit.split_once('/').unwrap_or(("kustomization", unit));
    let (version, kind) = match kind.to_ascii_lowercase().as_str() {
        "kustomization" | "kustomizations" | "ks" => (Kustomization::API_VERSION, Kustomization::KIND),
        "helmrelease" | "helmreleases" | "hr" => (HelmRelease::API_VERSION, HelmRelease::KIND),
        "externalsecret" | "externalsecrets" | "es" => (ExternalSecret::API_VERSION, ExternalSecret::KIND),
        other => return Err(anyhow!("{other}: a unit is a kustomization, helmrelease or externalsecret")),
    };
    Ok(Reference::new(version, kind, namespace, name))
}

#[cfg(test)]
mod tests;
