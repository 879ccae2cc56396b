//! Looking for what a unit needs of others: whether it is there, who makes it, and what of the unit waits for that.
//!
//! The agent asks so before it lands, and `lockstep plan` before it tells what would land.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use apply::desired::LandingScope;
use apply::parcels::edges;
use apply::report::Step;
use apply::{Call, Candidate, Cluster, ClusterError, Desired, Failure, Landing, Parcels, Reference};
use jiff::Timestamp;
use manifest::{Gvk, Object, ObjectId};
use serde_json::Value;

use super::{Lack, Need, Needs, foreign, served_by};
use crate::api::kustomization::{KustomizationSpec, ValuesKind};
use crate::health;
use crate::unit::Unit;

/// Within this time the server takes notice of the kinds of an API that has become available.
const NOTICED: Duration = Duration::from_secs(90);
/// How long an API that is starting is left alone: a quarter of the time that it has taken already, within these.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

/// Whether something is there, or who makes it.
#[derive(Clone)]
enum State {
    /// It is there, or there is no hope that it will be.
    Settled,
    /// A unit has it among what it will make, or this, which it comes of.
    MadeBy(Unit, Need),
    /// Units are left of which nobody knows what they make.
    Unknown,
    /// An APIService is there that will serve it, and does not yet.
    Starting(Starting),
}

/// An API that is not served yet.
#[derive(Clone)]
struct Starting {
    id: ObjectId,
    /// What it says itself.
    message: String,
    /// When to look again.
    again: Duration,
}

/// Who looks, and where.
pub struct Search<'a> {
    /// The unit that needs something.
    pub unit: &'a Unit,
    /// What all units need and promise.
    pub needs: &'a Needs,
    /// Where it may be.
    pub cluster: &'a Arc<dyn Cluster>,
    /// Whether units are left of which nobody knows what they make.
    pub is_anybody_unknown: &'a (dyn Fn() -> bool + Send + Sync),
}

/// What a unit lacks, and what of it waits.
#[derive(Default)]
pub struct Lacking {
    /// What it lacks.
    pub lack: Lack,
    /// One for each object and thing that it waits for.
    pub failures: Vec<Failure>,
    /// When to look again, where something is on its way of which nobody tells.
    pub again: Option<Duration>,
}

impl Search<'_> {
    /// What the objects of a candidate lack, which itself makes `own`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_candidate(
        &self,
        candidate: &Candidate,
        own: &BTreeSet<Need>,
        landed: Option<&Landing>,
        scope: LandingScope,
    ) -> Result<Lacking, ClusterError> {
        let foreign = foreign(candidate, own);
        let kinds: BTreeMap<_, _> = candidate.objects.iter().map(|desired| kind_of(&desired.object)).collect();
        let states = self.states(foreign.values().flatten().cloned().collect(), &kinds).await?;
        let mut failures = Vec::new();
        for (id, needs) in &foreign {
            let found = candidate.objects.iter().find(|desired| desired.object.id() == *id);
            let object = found.map(|desired| &desired.object);
            failures.extend(needs.iter().filter_map(|need| told(id, object, need, states.get(need)?)));
        }
        let held = held(&candidate.objects, landed, scope, &failures, own);
        let again = again(&states);
        Ok(Lacking { lack: lack(states, &kinds, held), failures, again })
    }

    /// What a Kustomization lacks that is read before it is built.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_build(&self, object: &Object, spec: &KustomizationSpec) -> Result<Lacking, ClusterError> {
        let states = self.states(reads(object.namespace(), spec), &BTreeMap::new()).await?;
        let id = object.id();
        let failures = states.iter().filter_map(|(need, state)| told(&id, Some(object), need, state)).collect();
        let lack = lack(states, &BTreeMap::new(), self.needs.promises(self.unit));
        Ok(Lacking { lack, failures, again: None })
    }

    /// Keeps what is lacking for those who will make it, and names the circle in the failures when that is the unit itself;
    /// those who are to look, since they are part of it and do not know yet.
    pub fn note(&self, lacking: &mut Lacking) -> Vec<Unit> {
        if lacking.lack.needs.is_empty() {
            self.needs.has_all(self.unit);
            return Vec::new();
        }
        let is_news = self.needs.lacks(self.unit, lacking.lack.clone());
        let Some(circle) = self.needs.circle(self.unit) else { return Vec::new() };
        let names: Vec<String> = circle.iter().map(ToString::to_string).collect();
        for failure in &mut lacking.failures {
            failure.message =
                format!("{}; units wait for each other in a circle: {}", failure.message, names.join(" -> "));
        }
        circle.into_iter().filter(|other| is_news && other != self.unit).collect()
    }

    async fn states(
        &self,
        needs: BTreeSet<Need>,
        kinds: &BTreeMap<(String, String), Gvk>,
    ) -> Result<BTreeMap<Need, State>, ClusterError> {
        let mut states = BTreeMap::new();
        for need in needs {
            let state = self.state(&need, kinds).await?;
            states.insert(need, state);
        }
        Ok(states)
    }

    /// Looks for a thing where somebody may be about to make it, and nowhere else: that costs a request. A kind is looked for
    /// in any case: nothing of it can be written while nobody serves it.
    async fn state(&self, need: &Need, kinds: &BTreeMap<(String, String), Gvk>) -> Result<State, ClusterError> {
        if self.needs.has_seen(need) {
            return Ok(State::Settled);
        }
        let gvk = kind_among(need, kinds);
        let made = [Some(need.clone()), gvk.map(served_by)].into_iter().flatten();
        let maker = made.into_iter().find_map(|made| Some((self.needs.maker(self.unit, &made)?, made)));
        let is_awaited = maker.is_some() || is_worth_a_look(need) && (self.is_anybody_unknown)();
        if !is_awaited && gvk.is_none() {
            return Ok(State::Settled);
        }
        if is_there(self.cluster, need, gvk).await? {
            self.needs.saw(need);
            return Ok(State::Settled);
        }
        match (maker, gvk) {
            (Some((maker, made)), _) => Ok(State::MadeBy(maker, made)),
            (None, Some(gvk)) => match starting(self.cluster, gvk).await? {
                Some(starting) => Ok(State::Starting(starting)),
                None if is_awaited => Ok(State::Unknown),
                None => Ok(State::Settled),
            },
            (None, None) => Ok(State::Unknown),
        }
    }
}

/// The API that is to serve a kind and does not yet: its APIService says so, or has become available only a moment ago, which
/// the server takes notice of a little later.
async fn starting(cluster: &Arc<dyn Cluster>, gvk: &Gvk) -> Result<Option<Starting>, ClusterError> {
    let live = match cluster.get(&super::api(gvk)).await {
        Ok(Some(live)) if edges::is_api(&live) && !live.is_terminating() => live,
        Err(error) if error.is_transient() => return Err(error),
        Ok(_) | Err(_) => return Ok(None),
    };
    let now = Timestamp::now();
    let health = health::status(&live, health::Reading::Served, now);
    let age = age(&live, now);
    if health.is_current() && age > NOTICED {
        return Ok(None);
    }
    Ok(Some(Starting { id: live.id(), message: health.message().to_owned(), again: (age / 4).clamp(SOONEST, LATEST) }))
}

/// How long an APIService has been as it is.
fn age(api: &Object, now: Timestamp) -> Duration {
    let conditions = api.value().pointer("/status/conditions").and_then(Value::as_array);
    let available = conditions.into_iter().flatten().find(|condition| condition["type"] == "Available");
    let changed = available.and_then(|condition| condition["lastTransitionTime"].as_str());
    let since: Option<Timestamp> =
        changed.or(api.text("/metadata/creationTimestamp")).and_then(|text| text.parse().ok());
    since.and_then(|since| now.duration_since(since).try_into().ok()).unwrap_or_default()
}

/// Secrets and ConfigMaps that a spec names.
fn reads(namespace: &str, spec: &KustomizationSpec) -> BTreeSet<Need> {
    let id = |kind: &str, name: &str| Need::Object(Reference::new("v1", kind, namespace, name).id());
    let variables = spec.post_build.iter().flat_map(|post_build| &post_build.substitute_from);
    let variables = variables
        .filter(|source| !source.optional)
        .map(|source| id(if source.kind == ValuesKind::Secret { "Secret" } else { "ConfigMap" }, &source.name));
    let keys = spec.decryption.iter().filter_map(|decryption| decryption.secret_ref.as_ref());
    variables.chain(keys.map(|secret| id("Secret", &secret.name))).collect()
}

fn lack(states: BTreeMap<Need, State>, kinds: &BTreeMap<(String, String), Gvk>, held: BTreeSet<Need>) -> Lack {
    // A kind comes by its definition or by its API.
    let apis = states.keys().filter_map(|need| kind_among(need, kinds)).map(served_by);
    let needs = states.keys().cloned().chain(apis).collect();
    let for_the_unknown = states.values().any(|state| matches!(state, State::Unknown));
    let waits = states
        .into_values()
        .filter_map(|state| if let State::MadeBy(maker, made) = state { Some((made, maker)) } else { None })
        .collect();
    Lack { needs, waits, held, for_the_unknown }
}

fn again(states: &BTreeMap<Need, State>) -> Option<Duration> {
    let starting =
        states.values().filter_map(|state| if let State::Starting(one) = state { Some(one.again) } else { None });
    starting.min()
}

/// Kinds whose absence makes a landing fail, or pods that do not start.
fn is_worth_a_look(need: &Need) -> bool {
    const KINDS: [&str; 6] =
        ["Namespace", "Secret", "ConfigMap", "SecretStore", "ClusterSecretStore", "HelmRepository"];
    match need {
        Need::Object(id) => KINDS.contains(&id.kind.as_str()),
        Need::Kind { .. } => true,
    }
}

/// The version of a kind that is asked for, where the need is one of a kind.
fn kind_among<'k>(need: &Need, kinds: &'k BTreeMap<(String, String), Gvk>) -> Option<&'k Gvk> {
    match need {
        Need::Object(_) => None,
        Need::Kind { group, kind } => kinds.get(&(group.clone(), kind.clone())),
    }
}

fn kind_of(object: &Object) -> ((String, String), Gvk) {
    let gvk = object.gvk();
    ((gvk.group.clone(), gvk.kind.clone()), gvk)
}

async fn is_there(cluster: &Arc<dyn Cluster>, need: &Need, gvk: Option<&Gvk>) -> Result<bool, ClusterError> {
    let id = match (need, gvk) {
        (Need::Object(id), _) => id,
        (Need::Kind { .. }, Some(gvk)) => return is_served(cluster, gvk).await,
        (Need::Kind { .. }, None) => return Ok(true),
    };
    let version = match id.group.as_str() {
        "" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    match cluster.get(&Reference::new(&version, &id.kind, &id.namespace, &id.name)).await {
        Ok(found) => Ok(found.is_some()),
        Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => Ok(false),
        // Whoever may not look does not wait.
        Err(ClusterError::Forbidden { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a kind is known, perhaps only since the last discovery.
async fn is_served(cluster: &Arc<dyn Cluster>, gvk: &Gvk) -> Result<bool, ClusterError> {
    if cluster.scope(gvk).await?.is_some() {
        return Ok(true);
    }
    cluster.call(Call::Discover).await?;
    Ok(cluster.scope(gvk).await?.is_some())
}

/// What is told of an object that waits.
fn told(id: &ObjectId, object: Option<&Object>, need: &Need, state: &State) -> Option<Failure> {
    let message = match state {
        State::Settled => return None,
        State::MadeBy(maker, _) => format!("waits for {need}, which {maker} makes"),
        State::Starting(Starting { id, message, .. }) => format!("waits for {need}, which {id} will serve: {message}"),
        State::Unknown => format!("waits for {need}: it is not there, and not all units have been looked at"),
    };
    let origin = object.and_then(Object::origin).cloned();
    Some(Failure { step: Step::Depend, id: Some(id.clone()), origin, message, transient: true })
}

/// What of its promises a unit holds while these objects wait.
fn held(
    objects: &[Desired],
    landed: Option<&Landing>,
    scope: LandingScope,
    failures: &[Failure],
    own: &BTreeSet<Need>,
) -> BTreeSet<Need> {
    if failures.is_empty() {
        return BTreeSet::new();
    }
    let before = landed.into_iter().flat_map(|landed| landed.changes().map(|change| &change.desired));
    let parcels = Parcels::of(objects.iter(), before, scope);
    let numbers = parcels.held_by(failures);
    let is_held = |need: &&Need| match need {
        Need::Object(id) => parcels.list().is_empty() || parcels.is_in(id, &numbers),
        Need::Kind { group, kind } => objects.iter().map(|desired| &desired.object).any(|object| {
            object.text("/spec/group") == Some(group)
                && object.text("/spec/names/kind") == Some(kind)
                && parcels.is_in(&object.id(), &numbers)
        }),
    };
    own.iter().filter(is_held).cloned().collect()
}
