//! A landing that is one creation: one request makes the object or does nothing, and then the journal says that it has
//! landed. A dry run would prove no more than that request, and there is no second write that an intent would protect.
//!
//! **Guarantees.** What is there, whoever made it, is not written. Where the process ends before it writes the journal, or
//! an answer is lost, the next attempt does nothing either, and finds the object by its owner and its field manager: the
//! journal takes it for landed as it is. Whoever deletes the owner meanwhile deletes the object with it.
//!
//! **Assumptions.** An apply with a resourceVersion makes what is not there, and is a conflict where something is.
//!
//! **Limit.** The first landing of a unit that wants one object in a namespace, whose owner is not the unit's to land, and
//! whose health nobody awaits.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use manifest::Object;
use serde_json::{Map, Value};

use crate::change::{Action, Change, Landing, Proof, Step};
use crate::cleanup;
use crate::cluster::{Call, Cluster};
use crate::context::{Context, Progress};
use crate::desired::{Behaviour, Candidate, HealthScope};
use crate::journal::{Journal, StoreError};
use crate::landing::{Outcome, Verdict};
use crate::plan::{self, Base, Look, Plan};
use crate::stamp::Seal;

/// A resourceVersion that no object has: the store counts from 1, and its counter is signed.
const NEVER: &str = "9223372036854775807";

/// Lands a candidate by making its one object. `None` where the candidate is more than that, and where it was not made, or
/// nobody knows: [`crate::propose`] lands what is there, or tells why it cannot.
///
/// # Errors
/// When the journal cannot be written: then the object is there, and the next attempt finds it.
pub fn create<'a>(
    candidate: &'a Candidate,
    behaviour: &'a Behaviour,
    seal: Seal<'a>,
    journal: &'a mut Journal,
    ctx: &'a Context<'_>,
) -> BoxFuture<'a, Result<Option<Outcome>, StoreError>> {
    created(candidate, behaviour, seal, journal, ctx).boxed()
}

async fn created(
    candidate: &Candidate,
    behaviour: &Behaviour,
    seal: Seal<'_>,
    journal: &mut Journal,
    ctx: &Context<'_>,
) -> Result<Option<Outcome>, StoreError> {
    let began = ctx.clock.now();
    if !journal.is_blank() || !is_one_object(candidate) || behaviour.health != HealthScope::None {
        return Ok(None);
    }
    let Some(landing) = planned(candidate, behaviour, seal, &ctx.cluster).await else { return Ok(None) };
    let Some(change) = landing.changes().next() else { return Ok(None) };
    if ctx.cluster.write(call(change)).await.is_err() {
        if let Some(made) = made_before(change, &ctx.cluster).await {
            journal.note(as_made(&landing, made)).await?;
        }
        return Ok(None);
    }
    ctx.tell(Progress::Wrote(change.desired.object.id(), Action::Create));
    let landing = journal.note(landing).await?;
    let took = ctx.clock.now().saturating_sub(began);
    Ok(Some(Outcome {
        verdict: Verdict::Landed,
        landing,
        failures: Vec::new(),
        left_in_place: Vec::new(),
        pruned: Vec::new(),
        kept: Vec::new(),
        took,
    }))
}

fn is_one_object(candidate: &Candidate) -> bool {
    let Candidate { objects, releases, removals, failures, foreign, .. } = candidate;
    let [desired] = objects.as_slice() else { return false };
    desired.owner.is_some() && releases.is_empty() && removals.is_empty() && failures.is_empty() && foreign.is_empty()
}

/// The landing, if the plan is to make the object, with its owner's UID.
async fn planned(
    candidate: &Candidate,
    behaviour: &Behaviour,
    seal: Seal<'_>,
    cluster: &Arc<dyn Cluster>,
) -> Option<Landing> {
    let (candidate, behaviour) = (candidate.clone(), behaviour.clone());
    let plan = plan::attempt(candidate, behaviour, &Base::default(), cluster, seal, Look::AtKnown).await.ok()?;
    let Plan { mut landing, presumed, .. } = plan;
    let [Step::Apply(change)] = landing.steps.as_mut_slice() else { return None };
    let is_new = change.action == Action::Create && presumed.contains(&change.desired.reference());
    let is_owned = owner_of(&change.desired.object).is_some();
    change.proof = Proof::Server;
    (is_new && is_owned && landing.stale.is_empty() && landing.retired.is_empty()).then_some(landing)
}

fn owner_of(object: &Object) -> Option<&str> {
    object.text("/metadata/ownerReferences/0/uid")
}

/// The request that makes the object or does nothing. It takes no field from anybody, either.
fn call(change: &Change) -> Call {
    let mut object = change.desired.object.clone();
    object.metadata().insert("resourceVersion".into(), NEVER.into());
    let manager = change.desired.manager.clone();
    Call::Apply { object, manager, force: false, dry_run: false, subresource: None }
}

/// The object as an earlier attempt has made it, if it is there: what its manager owns of it.
async fn made_before(change: &Change, cluster: &Arc<dyn Cluster>) -> Option<Object> {
    let live = cluster.get(&change.desired.reference()).await.ok().flatten()?;
    if owner_of(&live) != owner_of(&change.desired.object) {
        return None;
    }
    let entries = live.value().pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let own = entries.iter().find(|entry| cleanup::is_apply_of(entry, &change.desired.manager))?;
    let mut made = owned(live.value(), own.get("fieldsV1")?);
    for field in ["apiVersion", "kind"] {
        made[field] = live.value()[field].clone();
    }
    for field in ["name", "namespace"] {
        made["metadata"][field] = live.value()["metadata"][field].clone();
    }
    Object::new(made).ok()
}

/// The part of a value that a set of fields names; lists as a whole.
fn owned(value: &Value, fields: &Value) -> Value {
    let (Some(map), Some(fields)) = (value.as_object(), fields.as_object()) else { return value.clone() };
    let named = fields.iter().filter_map(|(field, below)| Some((field.strip_prefix("f:")?, below)));
    let kept: Map<String, Value> =
        named.filter_map(|(name, below)| Some((name.to_owned(), owned(map.get(name)?, below)))).collect();
    if kept.is_empty() { value.clone() } else { Value::Object(kept) }
}

/// What landed when the object was made. Nobody knows any more of which inputs.
fn as_made(landing: &Landing, made: Object) -> Landing {
    let mut landing = Landing { input: String::new(), read_set: Value::Null, ..landing.clone() };
    if let Some(Step::Apply(change)) = landing.steps.first_mut() {
        change.desired.object = made;
    }
    landing
}
