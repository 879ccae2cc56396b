//! Looking for what a unit needs of others: whether it is there, who makes it, and what of the unit waits for that.
//!
//! The agent asks so before it lands, and `lockstep plan` before it tells what would land.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::desired::LandingScope;
use apply::report::Step;
use apply::{Candidate, Cluster, ClusterError, Desired, Failure, Landing, Parcels, Reference};
use manifest::{Gvk, Object, ObjectId};

use super::{Lack, Need, Needs, foreign};
use crate::api::kustomization::{KustomizationSpec, ValuesKind};
use crate::unit::Unit;

/// Whether something is there, or who makes it.
#[derive(Clone)]
enum State {
    /// It is there, or there is no hope that it will be.
    Settled,
    /// A unit has it among what it will make.
    MadeBy(Unit),
    /// Units are left of which nobody knows what they make.
    Unknown,
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
        Ok(Lacking { lack: lack(states, held), failures })
    }

    /// What a Kustomization lacks that is read before it is built.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_build(&self, object: &Object, spec: &KustomizationSpec) -> Result<Lacking, ClusterError> {
        let states = self.states(reads(object.namespace(), spec), &BTreeMap::new()).await?;
        let id = object.id();
        let failures = states.iter().filter_map(|(need, state)| told(&id, Some(object), need, state)).collect();
        Ok(Lacking { lack: lack(states, self.needs.promises(self.unit)), failures })
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

    /// Looks for a thing where somebody may be about to make it, and nowhere else: that costs a request.
    async fn state(&self, need: &Need, kinds: &BTreeMap<(String, String), Gvk>) -> Result<State, ClusterError> {
        if self.needs.has_seen(need) {
            return Ok(State::Settled);
        }
        let maker = self.needs.maker(self.unit, need);
        if maker.is_none() && (!is_worth_a_look(need) || !(self.is_anybody_unknown)()) {
            return Ok(State::Settled);
        }
        if is_there(self.cluster, need, kinds).await? {
            self.needs.saw(need);
            return Ok(State::Settled);
        }
        Ok(maker.map_or(State::Unknown, State::MadeBy))
    }
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

fn lack(states: BTreeMap<Need, State>, held: BTreeSet<Need>) -> Lack {
    let needs = states.keys().cloned().collect();
    let for_the_unknown = states.values().any(|state| matches!(state, State::Unknown));
    let waits = states
        .into_iter()
        .filter_map(|(need, state)| if let State::MadeBy(maker) = state { Some((need, maker)) } else { None })
        .collect();
    Lack { needs, waits, held, for_the_unknown }
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

fn kind_of(object: &Object) -> ((String, String), Gvk) {
    let gvk = object.gvk();
    ((gvk.group.clone(), gvk.kind.clone()), gvk)
}

async fn is_there(
    cluster: &Arc<dyn Cluster>,
    need: &Need,
    kinds: &BTreeMap<(String, String), Gvk>,
) -> Result<bool, ClusterError> {
    let id = match need {
        Need::Object(id) => id,
        Need::Kind { group, kind } => {
            let Some(gvk) = kinds.get(&(group.clone(), kind.clone())) else { return Ok(true) };
            return Ok(cluster.scope(gvk).await?.is_some());
        }
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

/// What is told of an object that waits.
fn told(id: &ObjectId, object: Option<&Object>, need: &Need, state: &State) -> Option<Failure> {
    let message = match state {
        State::Settled => return None,
        State::MadeBy(maker) => format!("waits for {need}, which {maker} makes"),
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
