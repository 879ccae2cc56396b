//! Flags and environment, read once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::duration;

/// How `lockstep run` is set up. Flags that Flux's controllers and External Secrets have keep their names.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Namespace of the agent itself: its lease, its keys and its journal.
    #[arg(long, env = "RUNTIME_NAMESPACE", default_value = "lockstep-system", value_name = "NAME")]
    pub namespace: String,
    /// Kubeconfig file; without it the pod's ServiceAccount, then the usual places.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Folder for fetched repositories; it can be lost at any time.
    #[arg(long, env = "LOCKSTEP_CACHE", default_value = "/tmp/lockstep", value_name = "DIR")]
    pub cache: PathBuf,
    /// Fetches sources below FROM from TO instead; the longest FROM wins. May be repeated.
    #[arg(long, value_name = "FROM=TO", value_parser = parse_pair)]
    pub mirror: Vec<String>,
    /// Objects that are worked on side by side; those that only wait for their pods do not count.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub concurrent: usize,
    /// Address of `/metrics`.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub metrics_addr: SocketAddr,
    /// Address of `/healthz` and `/readyz`.
    #[arg(long, default_value = "0.0.0.0:9440", value_name = "ADDRESS")]
    pub health_addr: SocketAddr,
    /// Whether to wait for the leader lease; without it, see to it that there is one replica.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enable_leader_election: bool,
    /// Whether objects of all namespaces are reconciled, or only those of the agent's own.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub watch_all_namespaces: bool,
    /// How long an object whose dependency is not ready waits.
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "DURATION")]
    pub requeue_dependency: Duration,
    /// Labels of the ConfigMaps and Secrets whose readers look as soon as one changes, not with their next interval.
    #[arg(long, default_value = "reconcile.fluxcd.io/watch=Enabled", value_name = "SELECTOR")]
    pub watch_configs_label_selector: String,
    /// Refuses references to objects of other namespaces.
    #[arg(long)]
    pub no_cross_namespace_refs: bool,
    /// Refuses kustomizations with remote bases or files, which are no part of the source's revision.
    #[arg(long)]
    pub no_remote_bases: bool,
    /// ServiceAccount in whose name objects are applied when the spec names none.
    #[arg(long, value_name = "NAME")]
    pub default_service_account: Option<String>,
    /// Secret in the agent's namespace with age identities, for specs whose `decryption` names no Secret.
    #[arg(long, value_name = "NAME")]
    pub sops_age_secret: Option<String>,
    /// ServiceAccount with whose cloud identity key vaults are asked when the spec's `decryption` names none.
    #[arg(long, value_name = "NAME")]
    pub default_decryption_service_account: Option<String>,
    /// ConfigMap in the agent's namespace with the Vault servers where ServiceAccounts log in, as Flux has it: they are
    /// trusted, and no others, when the decryption Secret has no token.
    #[arg(long, value_name = "NAME")]
    pub sops_vault_configmap: Option<String>,
    /// Gates of Flux's controllers, each `NAME=true` or `NAME=false`: AdditiveCELDependencyCheck asks `readyExpr` besides
    /// the readiness of a dependency; StrictPostBuildSubstitutions=false leaves variables without a value empty;
    /// DisableConfigWatchers watches no ConfigMaps and Secrets for their label. The others are taken where they ask for what
    /// Lockstep does anyway.
    #[arg(long, value_name = "NAME=BOOL,...", value_delimiter = ',', value_parser = parse_gate)]
    pub feature_gates: Vec<(String, bool)>,
    /// How much is logged: `trace`, `debug`, `info` or `error`.
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
    /// Proxy for Git, Helm repositories and Key Vault; without it the environment's (HTTPS_PROXY).
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// File with further certificate authorities (PEM) for Git, Helm repositories and Key Vault.
    #[arg(long, env = "SSL_CERT_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl Config {
    /// Whether `postBuild` variables without a value and a default are empty, not a failure.
    pub fn has_lenient_substitutions(&self) -> bool {
        has_lenient_substitutions(&self.feature_gates)
    }

    /// Labels of the ConfigMaps and Secrets that are watched for their readers; `None` where none are.
    pub fn watched_configs(&self) -> Option<&str> {
        let is_off = gate(&self.feature_gates, "DisableConfigWatchers").unwrap_or(false);
        (!is_off).then_some(&self.watch_configs_label_selector)
    }

    /// Whether `readyExpr` is asked besides the readiness of a dependency.
    pub fn has_additive_dependency_check(&self) -> bool {
        gate(&self.feature_gates, "AdditiveCELDependencyCheck").unwrap_or(false)
    }
}

/// Whether `postBuild` variables without a value and a default are empty; Flux's gate is closed then.
pub fn has_lenient_substitutions(gates: &[(String, bool)]) -> bool {
    gate(gates, "StrictPostBuildSubstitutions") == Some(false)
}

/// What is said of a gate; the last word counts.
fn gate(gates: &[(String, bool)], name: &str) -> Option<bool> {
    gates.iter().rev().find(|(gate, _)| gate == name).map(|(_, is_open)| *is_open)
}

/// How Lockstep stands to a gate of Flux.
enum Gate {
    /// Each value is heeded, or there is nothing here that it would change.
    Either,
    /// Only this value is what happens here; what happens where the other is asked for.
    Only(bool, &'static str),
}
use Gate::{Either, Only};

/// The gates of the newest kustomize-, helm- and source-controller.
const GATES: [(&str, Gate); 20] = [
    ("AdditiveCELDependencyCheck", Either),
    ("AdoptLegacyReleases", Either),
    ("AllowDNSLookups", Only(false, "no names are looked up while a chart is rendered")),
    ("CacheSecretsAndConfigMaps", Either),
    ("CancelHealthCheckOnNewRevision", Only(true, "a new revision always ends the wait for an older one's health")),
    ("CorrectDrift", Only(false, "a HelmRelease says it itself, in spec.driftDetection")),
    (
        "DefaultToRetryOnFailure",
        Only(false, "a HelmRelease says it itself, in its spec.install.strategy and spec.upgrade.strategy"),
    ),
    ("DetectDrift", Only(false, "a HelmRelease says it itself, in spec.driftDetection")),
    ("DirectSourceFetch", Either),
    ("DisableChartDigestTracking", Either),
    ("DisableConfigWatchers", Either),
    ("DisableFailFastBehavior", Only(false, "a wait for health ends with the first failure")),
    ("DisableStatusPollerCache", Either),
    ("ExternalArtifact", Only(false, "ExternalArtifacts are no sources here")),
    ("GroupChangeLog", Either),
    ("MigrateAPIVersion", Only(false, "field managers keep the API versions with which they wrote")),
    ("OOMWatch", Only(false, "the agent does not watch its memory: a landing goes on after it was killed")),
    ("ObjectLevelWorkloadIdentity", Only(true, "an object that names a ServiceAccount for a cloud is always served")),
    ("StrictPostBuildSubstitutions", Either),
    ("UseHelm3Defaults", Only(false, "charts are applied as Helm 4 does it")),
];

/// A gate and its value, as Go reads them.
pub fn parse_gate(text: &str) -> Result<(String, bool), String> {
    let expected = "expected NAME=true or NAME=false";
    let (name, value) = text.split_once('=').ok_or(expected)?;
    let is_open = match value.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(expected.into()),
    };
    let name = name.trim();
    match GATES.iter().find(|(known, _)| *known == name) {
        None => Err("no controller of Flux has this gate".into()),
        Some((_, Only(only, why))) if *only != is_open => Err(format!("{name}={is_open} is not supported: {why}")),
        Some(_) => Ok((name.to_owned(), is_open)),
    }
}

fn parse_pair(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok(text.to_owned()),
        _ => Err("expected FROM=TO"),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::Duration::parse(text).map(|duration| duration.span()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn flags_have_the_names_of_the_originals() {
        let line = ["lockstep", "--concurrent=4", "--mirror", "https://a/=file:///b", "--requeue-dependency", "5s"];
        let config = Line::try_parse_from(line).unwrap().config;
        assert_eq!((config.concurrent, config.requeue_dependency), (4, Duration::from_secs(5)));
        assert_eq!(config.mirror, ["https://a/=file:///b"]);
        assert!(Line::try_parse_from(["lockstep", "--mirror", "nothing"]).is_err());
        let gates = |text: &str| Line::try_parse_from(["lockstep", "--feature-gates", text]);
        let additive = |text: &str| gates(text).unwrap().config.has_additive_dependency_check();
        assert!(additive("AdditiveCELDependencyCheck=true") && !additive("GroupChangeLog=1"));
        assert!(!additive("AdditiveCELDependencyCheck=true, AdditiveCELDependencyCheck=False"), "the last word counts");
        let lenient = |text: &str| gates(text).unwrap().config.has_lenient_substitutions();
        assert!(lenient("StrictPostBuildSubstitutions=false") && !lenient("StrictPostBuildSubstitutions=true"));
        let watched = |text: &str| gates(text).unwrap().config.watched_configs().map(str::to_owned);
        assert_eq!(watched("GroupChangeLog=1").as_deref(), Some("reconcile.fluxcd.io/watch=Enabled"));
        assert_eq!(watched("DisableConfigWatchers=true"), None);
        let error = |text: &str| gates(text).err().unwrap().to_string();
        assert!(error("Other=true").contains("no controller of Flux has this gate"));
        assert!(error("GroupChangeLog=maybe").contains("expected NAME=true or NAME=false"));
        for (name, gate) in &GATES {
            for value in [true, false] {
                let is_taken = gates(&format!("{name}={value}")).is_ok();
                assert_eq!(is_taken, !matches!(gate, Only(only, _) if *only != value), "{name}={value}");
            }
        }
        let refused = error("DisableFailFastBehavior=true");
        assert!(refused.contains("DisableFailFastBehavior=true is not supported: a wait for health"), "{refused}");
    }
}
