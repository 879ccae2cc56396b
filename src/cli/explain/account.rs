//! What is found out about a unit.

use std::sync::Arc;

use apply::journal::{Attempt, Open, Phase};
use apply::{Cluster, Guest, Landing, Proof, Reference};
use jiff::{Timestamp, Unit as Scale};
use manifest::Object;
use serde::Serialize;
use serde_json::Value;

use super::journal::{self, Kept};
use super::{advice, agent};
use crate::api::condition::{READY, STALLED};
use crate::pipeline::{bases, object_version, spec_version};
use crate::redact::{Live, Redactor};
use crate::resolve;
use crate::unit::{MISSING, ReadSet, Thing, Unit};

/// Everything that is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    /// `Kustomization/flux-system/apps`.
    pub(super) unit: String,
    /// That no agent is alive.
    pub(super) agent: Option<String>,
    /// What `READY` says; `Unknown` when it says nothing.
    pub(super) ready: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// How long it has been so.
    pub(super) since: Option<String>,
    pub(super) source: Option<Source>,
    pub(super) last_applied: Option<String>,
    pub(super) last_attempted: Option<String>,
    pub(super) depends_on: Vec<Dependency>,
    pub(super) journal: Told,
    pub(super) next: String,
    pub(super) what_to_do: Vec<String>,
    /// Keeps the values of journaled Secrets known to the redactor until all is printed.
    #[serde(skip)]
    _secrets: Vec<Live>,
}

/// Where it comes from.
#[derive(Serialize)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) revision: Option<String>,
    pub(super) ready: String,
    pub(super) message: String,
}

/// What it waits for by its spec.
#[derive(Serialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) ready: String,
    pub(super) message: String,
}

/// What the journal tells.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// Why it could not be read.
    pub(super) unreadable: Option<String>,
    /// Revision that landed last, whole.
    pub(super) landed: Option<String>,
    /// One that has landed since, but for some parcels.
    pub(super) partly: Option<Partly>,
    /// What that one, or a failed one since, has read.
    pub(super) inputs: Vec<Input>,
    pub(super) open: Option<OpenLanding>,
    pub(super) attempt: Option<Failed>,
    /// What lands together; none when all of it does.
    pub(super) parcels: Vec<Parcel>,
    pub(super) objects: Vec<Part>,
    /// Workloads of other units that roll out with this one's Secrets.
    pub(super) guests: Vec<Reader>,
}

/// A workload of another unit.
#[derive(Serialize)]
pub(super) struct Reader {
    pub(super) name: String,
    /// Whose it is.
    pub(super) unit: String,
    /// What it reads of this unit.
    pub(super) secrets: Vec<String>,
}

/// What lands together.
#[derive(Serialize)]
pub(super) struct Parcel {
    pub(super) name: String,
    /// Whether it stands at what landed before.
    pub(super) held: bool,
    pub(super) members: Vec<String>,
    /// Parcels that it depends on.
    pub(super) needs: Vec<String>,
}

/// One thing that was read.
#[derive(Serialize)]
pub(super) struct Input {
    pub(super) name: String,
    /// Empty where it has none that tells a person anything.
    pub(super) version: String,
    /// `same`, `changed`, or `not asked` where only the agent asks.
    pub(super) now: String,
}

/// A landing of which parcels are held.
#[derive(Serialize)]
pub(super) struct Partly {
    pub(super) revision: String,
    /// Names of those parcels.
    pub(super) without: Vec<String>,
}

/// A landing that has not ended.
#[derive(Serialize)]
pub(super) struct OpenLanding {
    pub(super) revision: String,
    pub(super) phase: String,
    /// What is written and not healthy yet.
    pub(super) awaited: Vec<String>,
}

/// The attempt that failed last.
#[derive(Serialize)]
pub(super) struct Failed {
    pub(super) revision: String,
    pub(super) step: String,
    /// Whether it may pass although no input changes.
    pub(super) transient: bool,
    pub(super) causes: Vec<String>,
}

/// One object of the open landing, or of the one that stands.
#[derive(Serialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) action: String,
    pub(super) proof: String,
}

impl Account {
    /// For programs.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Finds out about a unit.
pub(super) async fn gather(
    cluster: &Arc<dyn Cluster>,
    at: &Reference,
    agent_namespace: &str,
    redactor: &Redactor,
) -> anyhow::Result<Account> {
    let found = cluster.get(at).await?;
    let asked = found.ok_or_else(|| anyhow::anyhow!("{} not found", at.id()))?;
    let object = whole(cluster, asked).await?;
    let unit = Unit::of(&Reference::of(&object));
    let mut kept = journal::read(cluster, &unit, agent_namespace, redactor).await;
    let secrets = kept.as_mut().map(|kept| std::mem::take(&mut kept.secrets)).unwrap_or_default();
    let ready = condition(&object, READY);
    let text = |pointer: &str| object.text(pointer).map(str::to_owned);
    let attempt = kept.as_ref().ok().and_then(|kept| kept.journal.attempt().cloned());
    let open = kept.as_ref().ok().and_then(|kept| kept.journal.open());
    let facts = advice::Facts {
        object: &object,
        reason: field(&ready, "reason"),
        is_ready: field(&ready, "status") == "True",
        is_stalled: field(&condition(&object, STALLED), "status") == "True",
        attempt: attempt.as_ref(),
        open: open.as_ref().map(|open| open.phase),
    };
    Ok(Account {
        unit: unit.to_string(),
        agent: agent::absent(cluster, agent_namespace).await,
        ready: or_unknown(field(&ready, "status")),
        reason: field(&ready, "reason").into(),
        message: field(&ready, "message").into(),
        since: since(field(&ready, "lastTransitionTime")),
        source: source(cluster, &object).await,
        last_applied: text("/status/lastAppliedRevision"),
        last_attempted: text("/status/lastAttemptedRevision"),
        depends_on: dependencies(cluster, &object).await,
        next: facts.next(),
        what_to_do: facts.what_to_do(),
        _secrets: secrets,
        journal: match kept {
            Ok(kept) => told(cluster, &object, &kept, attempt).await,
            Err(why) => Told { unreadable: Some(why), ..Told::default() },
        },
    })
}

/// The Kustomization that an object lands with, where it is part of one.
async fn whole(cluster: &Arc<dyn Cluster>, object: Object) -> anyhow::Result<Object> {
    let label = |name: &str| object.label(&format!("kustomize.toolkit.fluxcd.io/{name}"));
    if object.kind() == "Kustomization" {
        return Ok(object);
    }
    let (Some(name), Some(namespace)) = (label("name"), label("namespace")) else { return Ok(object) };
    let at = Reference::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization", namespace, name);
    Ok(cluster.get(&at).await?.unwrap_or(object))
}

fn condition(object: &Object, kind: &str) -> Value {
    let list = object.value().pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().find(|condition| condition["type"] == kind).cloned().unwrap_or_default()
}

fn field<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "Unknown".into() } else { text.into() }
}

fn since(time: &str) -> Option<String> {
    ago(time.parse().ok()?)
}

/// How long ago something was.
pub(super) fn ago(time: Timestamp) -> Option<String> {
    let span = Timestamp::now().since((Scale::Second, time)).ok()?;
    let seconds = span.get_seconds();
    Some(match seconds {
        ..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    })
}

async fn source(cluster: &Arc<dyn Cluster>, object: &Object) -> Option<Source> {
    let reference =
        object.value().pointer("/spec/sourceRef").or(object.value().pointer("/spec/chart/spec/sourceRef"))?;
    let (kind, name) = (field(reference, "kind"), field(reference, "name"));
    let namespace = reference.get("namespace").and_then(Value::as_str).unwrap_or(object.namespace());
    let at = Reference::new("source.toolkit.fluxcd.io/v1", kind, namespace, name);
    let found = cluster.get(&at).await;
    let shown = format!("{kind} {namespace}/{name}");
    let said =
        |ready: &str, message: String| Source { name: shown.clone(), revision: None, ready: ready.into(), message };
    Some(match found {
        Ok(Some(source)) => {
            let ready = condition(&source, READY);
            let revision = source.text("/status/artifact/revision").map(str::to_owned);
            Source { revision, ..said(&or_unknown(field(&ready, "status")), field(&ready, "message").into()) }
        }
        Ok(None) => said("False", "it is not there".into()),
        Err(error) => said("Unknown", error.to_string()),
    })
}

async fn dependencies(cluster: &Arc<dyn Cluster>, object: &Object) -> Vec<Dependency> {
    let list = object.value().pointer("/spec/dependsOn").and_then(Value::as_array);
    let mut found = Vec::new();
    for dependency in list.into_iter().flatten() {
        let namespace = dependency.get("namespace").and_then(Value::as_str).unwrap_or(object.namespace());
        let name = field(dependency, "name");
        let at = Reference::new(object.api_version(), object.kind(), namespace, name);
        let (ready, message) = match cluster.get(&at).await {
            Ok(Some(other)) => {
                let ready = condition(&other, READY);
                (or_unknown(field(&ready, "status")), field(&ready, "message").to_owned())
            }
            Ok(None) => ("False".into(), "it is not there".into()),
            Err(error) => ("Unknown".into(), error.to_string()),
        };
        found.push(Dependency { name: format!("{namespace}/{name}"), ready, message });
    }
    found
}

async fn told(cluster: &Arc<dyn Cluster>, object: &Object, kept: &Kept, attempt: Option<Attempt>) -> Told {
    let open = kept.journal.open();
    let landed = kept.journal.landed();
    let read_set = attempt.as_ref().map(|attempt| &attempt.read_set);
    let read_set = open.as_ref().map(|open| &open.landing.read_set).or(read_set);
    let read_set = read_set.or(landed.map(|landed| &landed.read_set)).map(ReadSet::from_value).unwrap_or_default();
    let mut inputs = Vec::new();
    for (thing, version) in read_set.iter() {
        inputs.extend(input(cluster, object, thing, version).await);
    }
    let shown = open.as_ref().map(|open| &open.landing).or(landed);
    Told {
        unreadable: None,
        landed: revision(object, landed.map(Arc::as_ref)),
        partly: landed
            .filter(|landed| !landed.held.is_empty())
            .map(|landed| Partly { revision: landed.revision.clone(), without: landed.parcels.names(&landed.held) }),
        inputs,
        parcels: shown.map(|landing| parcels(landing)).unwrap_or_default(),
        objects: shown.map(|landing| parts(landing)).unwrap_or_default(),
        guests: shown.map(|landing| guests(landing)).unwrap_or_default(),
        attempt: attempt.map(|attempt| Failed {
            revision: attempt.revision,
            step: format!("{:?}", attempt.step).to_lowercase(),
            transient: attempt.transient,
            causes: attempt.failures,
        }),
        open: match open {
            Some(open) => Some(progress(cluster, &open).await),
            None => None,
        },
    }
}

/// The revision of which all is live: what landed last, or what landed before one of which parcels are held.
fn revision(object: &Object, landed: Option<&Landing>) -> Option<String> {
    let landed = landed?;
    let before = object.text("/status/lastAppliedRevision");
    if landed.held.is_empty() { Some(landed.revision.clone()) } else { before.map(str::to_owned) }
}

/// How far an open landing has come, by what stands in the cluster.
async fn progress(cluster: &Arc<dyn Cluster>, open: &Open) -> OpenLanding {
    let (phase, awaited) = match open.phase {
        Phase::Commit | Phase::Health => journal::how_far(cluster, open).await,
        phase => (journal::phase(phase), Vec::new()),
    };
    OpenLanding { revision: open.landing.revision.clone(), phase: phase.into(), awaited }
}

/// What was read, and whether it is so still; what follows from the rest is not told.
async fn input(cluster: &Arc<dyn Cluster>, object: &Object, thing: &Thing, version: &str) -> Option<Input> {
    let compared = |now: &str| (if now == version { "same" } else { "changed" }).to_owned();
    let (name, now) = match thing {
        Thing::Spec => ("its own spec and switches".into(), compared(&spec_version(object))),
        Thing::Remote { store, request } => {
            let (name, version) = resolve::shown(store, request, version);
            return Some(Input { name, version, now: "not asked".into() });
        }
        Thing::Object { api_version, kind, namespace, name } => {
            let at = Reference::new(api_version, kind, namespace, name);
            let now = match cluster.get(&at).await {
                Ok(found) => compared(&object_version(found.as_ref())),
                Err(_) => "not readable".into(),
            };
            (format!("{kind} {namespace}/{name}"), now)
        }
        Thing::Artifact { kind, namespace, name } => (format!("{kind} {namespace}/{name}"), "not asked".into()),
        Thing::Base(base) => (bases::shown(base), "not asked".into()),
        Thing::Chart { release } => (format!("the chart of {release}"), "not asked".into()),
        Thing::Capabilities => ("what the API server can do".into(), "not asked".into()),
        Thing::Declared { .. } | Thing::Built | Thing::Paths { .. } => return None,
    };
    // The digest of a Secret would give a weak one away; that of a spec tells nobody anything.
    let is_untold = match thing {
        Thing::Object { kind, .. } => kind == "Secret",
        thing => *thing == Thing::Spec,
    };
    let version = match version {
        MISSING => "not there".into(),
        _ if is_untold => String::new(),
        version => version.trim_start_matches("sha256:").chars().take(12).collect(),
    };
    Some(Input { name, version, now })
}

fn parcels(landing: &Landing) -> Vec<Parcel> {
    let parcel = |(number, parcel): (usize, &apply::Parcel)| Parcel {
        name: parcel.name.clone(),
        held: landing.held.contains(&number),
        members: parcel.members.iter().map(ToString::to_string).collect(),
        needs: landing.parcels.names(&parcel.needs),
    };
    landing.parcels.list().iter().enumerate().map(parcel).collect()
}

fn parts(landing: &Landing) -> Vec<Part> {
    let part = |change: &apply::plan::Change| Part {
        name: change.desired.object.id().to_string(),
        action: change.action.to_string(),
        proof: proof(change.proof).into(),
    };
    landing.changes().map(part).collect()
}

fn guests(landing: &Landing) -> Vec<Reader> {
    let reader = |guest: &Guest| Reader {
        name: guest.workload.id().to_string(),
        unit: guest.host.clone(),
        secrets: guest.secrets.iter().cloned().collect(),
    };
    landing.guests.iter().filter(|guest| guest.stamp.is_some()).map(reader).collect()
}

fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Pending => "not tried",
        Proof::Server => "server",
        Proof::StandIn => "stand-in",
        Proof::Schema => "schema",
        Proof::None => "none",
    }
}
