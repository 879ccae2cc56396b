//! What a unit needs of others and nobody has made yet: what needs it waits, and the rest lands (`needs`).

use std::collections::{BTreeMap, BTreeSet};

use apply::desired::LandingScope;
use apply::report::Step;
use apply::{ClusterError, Desired, Failure, Landing, Parcels, Reference};
use manifest::{Gvk, Object, ObjectId};

use super::Turn;
use crate::api::condition::reason;
use crate::api::kustomization::ValuesKind;
use crate::pipeline::{Compiled, terms};
use crate::reconcile::kustomization::guard::Refusal;
use crate::reconcile::needs::{self, Lack, Need};
use crate::reconcile::{Error, Key, Kind, Shared, triggers};
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

impl Turn<'_> {
    /// Holds what needs something that another unit is still to make. Says what this unit will make itself.
    pub(super) async fn hold_for_others(&self, compiled: &mut Compiled, landed: Option<&Landing>) -> Result<(), Error> {
        let (unit, candidate) = (self.unit(), &mut compiled.candidate);
        let own = needs::promised(candidate);
        wake(self.shared, self.shared.needs.promise(&unit, own.clone()));
        let foreign = needs::foreign(candidate, &own);
        let kinds: BTreeMap<_, _> = candidate.objects.iter().map(|desired| kind_of(&desired.object)).collect();
        let mut states = BTreeMap::new();
        for need in foreign.values().flatten().collect::<BTreeSet<_>>() {
            states.insert(need.clone(), self.state(need, &kinds).await?);
        }
        let mut failures = Vec::new();
        for (id, needs) in &foreign {
            let found = candidate.objects.iter().find(|desired| desired.object.id() == *id);
            let object = found.map(|desired| &desired.object);
            failures.extend(needs.iter().filter_map(|need| told(id, object, need, states.get(need)?)));
        }
        let scope = terms::behaviour(self.object, &self.spec).scope;
        let held = held(&candidate.objects, landed, scope, &failures, &own);
        let all: BTreeSet<Need> = foreign.into_values().flatten().collect();
        self.note(&unit, all, states, held, &mut failures);
        candidate.failures.extend(failures);
        Ok(())
    }

    /// The same for what the unit reads before it is built; why it waits, when it does.
    pub(super) async fn waits_to_be_built(&self) -> Result<Option<Refusal>, Error> {
        let (unit, mut states) = (self.unit(), BTreeMap::new());
        let needs = self.reads();
        for need in &needs {
            states.insert(need.clone(), self.state(need, &BTreeMap::new()).await?);
        }
        let id = self.object.id();
        let mut failures: Vec<Failure> =
            states.iter().filter_map(|(need, state)| told(&id, Some(self.object), need, state)).collect();
        let held = self.shared.needs.promises(&unit);
        self.note(&unit, needs, states, held, &mut failures);
        let messages: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
        let next = self.shared.world.settings.requeue_dependency;
        let (why, message) = (reason::DEPENDENCY_NOT_READY, messages.join("; "));
        Ok((!messages.is_empty()).then_some(Refusal { why, message, next, is_terminal: false }))
    }

    /// Secrets and ConfigMaps that the spec names.
    fn reads(&self) -> BTreeSet<Need> {
        let namespace = &self.key.namespace;
        let id = |kind: &str, name: &str| Need::Object(Reference::new("v1", kind, namespace, name).id());
        let variables = self.spec.post_build.iter().flat_map(|post_build| &post_build.substitute_from);
        let variables = variables
            .filter(|source| !source.optional)
            .map(|source| id(if source.kind == ValuesKind::Secret { "Secret" } else { "ConfigMap" }, &source.name));
        let keys = self.spec.decryption.iter().filter_map(|decryption| decryption.secret_ref.as_ref());
        variables.chain(keys.map(|secret| id("Secret", &secret.name))).collect()
    }

    /// Looks for a thing where somebody may be about to make it, and nowhere else: that costs a request.
    async fn state(&self, need: &Need, kinds: &BTreeMap<(String, String), Gvk>) -> Result<State, Error> {
        if self.shared.needs.has_seen(need) {
            return Ok(State::Settled);
        }
        let maker = self.shared.needs.maker(&self.unit(), need);
        if maker.is_none() && (!is_worth_a_look(need) || !is_anybody_unknown(self.shared, self.key)) {
            return Ok(State::Settled);
        }
        if is_there(self.shared, need, kinds).await? {
            self.shared.needs.saw(need);
            return Ok(State::Settled);
        }
        Ok(maker.map_or(State::Unknown, State::MadeBy))
    }

    /// Keeps what is lacking for those who will make it, and names the circle when that is ourselves.
    fn note(
        &self,
        unit: &Unit,
        all: BTreeSet<Need>,
        states: BTreeMap<Need, State>,
        held: BTreeSet<Need>,
        failures: &mut [Failure],
    ) {
        let known = &self.shared.needs;
        if all.is_empty() {
            return known.has_all(unit);
        }
        let for_the_unknown = states.values().any(|state| matches!(state, State::Unknown));
        let waits: BTreeMap<Need, Unit> = states
            .into_iter()
            .filter_map(|(need, state)| if let State::MadeBy(maker) = state { Some((need, maker)) } else { None })
            .collect();
        let is_news = known.lacks(unit, Lack { needs: all, waits: waits.clone(), held, for_the_unknown });
        if let Some(circle) = known.circle(unit) {
            let names: Vec<String> = circle.iter().map(ToString::to_string).collect();
            for failure in failures.iter_mut() {
                failure.message =
                    format!("{}; units wait for each other in a circle: {}", failure.message, names.join(" -> "));
            }
            if is_news {
                wake(self.shared, circle.into_iter().filter(|other| other != unit).collect());
            }
        }
        // Somebody may have made it, or been looked at, since we looked.
        let is_stale = waits.iter().any(|(need, _)| known.maker(unit, need).is_none());
        if is_stale || (for_the_unknown && !is_anybody_unknown(self.shared, self.key)) {
            self.shared.queue.add(self.key.clone());
        }
    }
}

/// A unit has been looked at: when it was the last one, those look who waited for all to be known.
pub(super) fn looked_at(shared: &Shared, unit: &Unit) {
    if shared.needs.looked_at(unit) {
        wake_when_all_are_known(shared);
    }
}

fn wake_when_all_are_known(shared: &Shared) {
    let waiting = shared.needs.waiting_for_the_unknown().into_iter();
    let is_over = |unit: &Unit| triggers::key_of(unit).is_some_and(|key| !is_anybody_unknown(shared, &key));
    wake(shared, waiting.filter(is_over).collect());
}

/// These look again, although nothing that they have read has changed.
pub(super) fn wake(shared: &Shared, units: Vec<Unit>) {
    for unit in units {
        shared.units.refused(&unit, true);
        triggers::key_of(&unit).into_iter().for_each(|key| shared.queue.add(key));
    }
}

/// A unit has landed, whole or in part: those look who need what it has made.
pub(super) fn landed(shared: &Shared, unit: &Unit, is_whole: bool) {
    if is_whole {
        shared.needs.has_all(unit);
    }
    wake(shared, shared.needs.landed(unit, is_whole));
    wake_when_all_are_known(shared);
}

/// Whether there is a Kustomization that nobody has looked at since the start.
fn is_anybody_unknown(shared: &Shared, but: &Key) -> bool {
    let is_unknown = |key: &Key| key != but && !shared.needs.knows(&Unit::of(&key.reference()));
    let is_at_work = |object: &Object| {
        let is_suspended = object.value().pointer("/spec/suspend").is_some_and(|suspend| suspend == true);
        !is_suspended && !object.is_terminating()
    };
    let promised = shared.needs.promised_units(&Unit::of(&but.reference()));
    let mut promised = promised.into_iter().filter_map(|unit| triggers::key_of(&unit));
    promised.any(|key| key != *but) || shared.index.any(Kind::Kustomization, is_unknown, is_at_work)
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

async fn is_there(shared: &Shared, need: &Need, kinds: &BTreeMap<(String, String), Gvk>) -> Result<bool, Error> {
    let cluster = &shared.world.cluster;
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
        Err(error) => Err(error.into()),
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
