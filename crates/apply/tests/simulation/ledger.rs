//! The rules that hold at every write, and what must be remembered to know them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::{Action, Answer, Call, ClusterError, Landing, Parcels, Reference};
use manifest::{Object, ObjectId};
use serde_json::Value;

use super::journal::bytes_of;
use super::repository::{NAMESPACE, OWNER};
use super::standing::Standing;
use super::versions;
use super::world::{OWN, World};

/// Kind and name; all that is namespaced is in one namespace.
type Name = (String, String);

/// What the journal's header says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    /// Body and phase of the open landing.
    pub(crate) open: Option<(String, String)>,
    /// Of it, the parcels that are taken back.
    undone: BTreeSet<usize>,
    /// Body of what landed last, and its parcels that were taken back.
    landed: Option<(String, BTreeSet<usize>)>,
}

/// A landing that was begun.
#[derive(Clone, Default)]
struct Begun {
    input: String,
    /// What was tried on the server for it.
    tried: BTreeSet<Name>,
    parcels: Parcels,
    /// Parcels that it holds from the start.
    held: BTreeSet<usize>,
    /// What it deletes and makes anew.
    replaces: BTreeSet<ObjectId>,
    /// What it and the landings that it supersedes want.
    means: BTreeSet<Reference>,
    /// What is wanted; `None` where last-good is put back.
    wanted: Option<Arc<Standing>>,
    /// Whether it takes the place of another that was begun.
    supersedes: bool,
}

impl Begun {
    fn holds(&self, at: &Reference, undone: &BTreeSet<usize>) -> bool {
        let id = at.id();
        self.parcels.is_in(&id, &self.held) || self.parcels.is_in(&id, undone)
    }

    /// Whether an object was tried before, perhaps under another name.
    fn has_tried(&self, at: &Reference) -> bool {
        let stand_in: String = format!("lockstep-dry-run-{}", at.name).chars().take(63).collect();
        [at.name.clone(), stand_in].into_iter().any(|name| self.tried.contains(&(at.gvk.kind.clone(), name)))
    }
}

/// What one agent is about to land.
#[derive(Default)]
struct Intent {
    /// What was tried on the server since its last proposal.
    trying: BTreeSet<Name>,
    /// Of it, what was refused, and whether only because its namespace is going.
    refused: BTreeMap<Name, bool>,
    /// The landing that it begins next.
    next: Begun,
    /// What it makes without one.
    only: Begun,
}

/// Versions of the secrets that a workload reads, its stamp, and its own version.
pub(crate) type Reading = (BTreeMap<String, u32>, Option<String>, u32);

/// What is known of the landings so far.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) header: Header,
    /// The highest epoch that has found a landing open.
    claimed: u64,
    /// By agent: one that is frozen may still begin what it had in mind.
    intents: BTreeMap<u64, Intent>,
    /// Secrets of which the store has confirmed that they are gone.
    pub(crate) gone: BTreeSet<String>,
    /// Secrets that others have deleted, or what owns them, since the last rest.
    pub(crate) tampered: BTreeSet<String>,
    /// The last one that was one creation.
    made: Option<Begun>,
    /// Landings by the names of their bodies.
    bodies: BTreeMap<String, Begun>,
    /// What has landed, object by object.
    pub(crate) standing: Arc<Standing>,
    /// Of the revision that landed last, what did not although nothing was wrong with it.
    pub(crate) unexcused: BTreeSet<Reference>,
    /// Landings begun.
    landings: u64,
    /// How often a hook was started, by landing.
    hooks: BTreeMap<(u64, String), u32>,
    writes: u64,
    /// Workloads that are newer than a secret that they read: `workload secret`.
    broken: BTreeSet<(String, String)>,
    /// Objects of others, as they left them.
    pub(crate) foreign: BTreeMap<Reference, Value>,
    /// All that others have ever made.
    pub(crate) made_by_others: BTreeSet<Reference>,
    /// Objects to which others have added a field, with their UIDs.
    pub(crate) shared: BTreeMap<Reference, String>,
    /// Kind that an admission policy refuses.
    pub(crate) policy: Option<String>,
    /// Of the landing that was begun last, what the server has refused when it was written.
    refused: BTreeSet<Reference>,
    /// Of each workload at the last rest: versions of what it reads, its stamp, and its own version.
    pub(crate) stamps: BTreeMap<String, Reading>,
}

/// A landing of a revision that was concluded.
pub(crate) struct Concluded<'a> {
    pub(crate) input: &'a str,
    pub(crate) wanted: &'a Standing,
    pub(crate) held: Box<dyn Fn(&Reference) -> bool + 'a>,
    /// What was tried before, and refused when it was written.
    pub(crate) refused: BTreeSet<Reference>,
    pub(crate) supersedes: bool,
}

impl Ledger {
    /// An agent has found a landing open and goes on with it.
    pub(crate) fn taken_over(&mut self, epoch: u64) {
        self.claimed = self.claimed.max(epoch);
    }

    fn intent(&mut self, epoch: u64) -> &mut Intent {
        self.intents.entry(epoch).or_default()
    }

    pub(crate) fn proposed(&mut self, epoch: u64) {
        let intent = self.intent(epoch);
        intent.trying.clear();
        intent.refused.clear();
    }

    /// What is wanted is to be made by one request, if it is one object.
    pub(crate) fn makes(&mut self, epoch: u64, input: &str, wanted: &Arc<Standing>) {
        self.intent(epoch).only = Begun {
            input: input.into(),
            means: wanted.0.keys().cloned().collect(),
            wanted: Some(wanted.clone()),
            ..Begun::default()
        };
    }

    /// A landing is to be begun; `wanted` is `None` where last-good is put back.
    pub(crate) fn begun(&mut self, epoch: u64, landing: &Landing, wanted: Option<Arc<Standing>>) -> Result<(), String> {
        self.landings += 1;
        self.refused.clear();
        let is_held = |(kind, name): &Name| {
            let mut ids = landing.parcels.list().iter().flat_map(|parcel| &parcel.members);
            ids.any(|id| id.kind == *kind && id.name == *name && landing.holds(id))
        };
        if let Some((kind, name)) = self.intent(epoch).refused.keys().find(|name| !is_held(name)) {
            let input = &landing.input;
            return Err(format!("{input} is landed although the server has refused {kind} {name}"));
        }
        let replaced = landing.changes().filter(|change| change.action == Action::Replace);
        // What a superseded landing has made anew is undone by making it anew.
        let before = self.open_body().cloned().unwrap_or_default();
        let meant = wanted.iter().flat_map(|wanted| wanted.0.keys().cloned());
        let supersedes = self.header.open.is_some();
        let intent = self.intent(epoch);
        intent.next = Begun {
            input: landing.input.clone(),
            tried: std::mem::take(&mut intent.trying),
            parcels: landing.parcels.clone(),
            held: landing.held.clone(),
            replaces: replaced.map(|change| change.desired.object.id()).chain(before.replaces).collect(),
            means: meant.chain(before.means).collect(),
            wanted,
            supersedes,
        };
        Ok(())
    }

    /// Writes of objects by agents.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    fn open_body(&self) -> Option<&Begun> {
        self.bodies.get(&self.header.open.as_ref()?.0)
    }

    /// The input of the open landing.
    pub(crate) fn open_input(&self) -> Option<&str> {
        Some(&self.open_body()?.input)
    }

    /// The input of what landed last.
    pub(crate) fn landed_input(&self) -> Option<&str> {
        Some(&self.bodies.get(&self.header.landed.as_ref()?.0)?.input)
    }

    /// Whether an object is of a parcel that is being taken back.
    pub(crate) fn is_undone(&self, at: &Reference) -> bool {
        let is_over = |open: &Begun| open.parcels.is_in(&at.id(), &self.header.undone);
        self.phase() == Some("undo") || self.open_body().is_some_and(is_over)
    }

    /// Whether a Secret stands when the open landing has ended.
    fn is_to_be(&self, secret: &str) -> bool {
        let at = Reference::new("v1", "Secret", NAMESPACE, secret);
        if self.is_undone(&at) {
            return self.standing.contains(&at);
        }
        self.to_be().is_some_and(|standing| standing.contains(&at))
    }

    /// What stands when the open landing is concluded now.
    pub(crate) fn to_be(&self) -> Option<Standing> {
        let open = self.open_body()?;
        let wanted = open.wanted.as_ref().unwrap_or(&self.standing);
        Some(self.standing.landed(wanted, |at| open.holds(at, &self.header.undone)))
    }
}

/// A request was answered, as the agent sees it.
pub(crate) fn tried(world: &World, epoch: u64, call: &Call, answer: &Result<Answer, ClusterError>) {
    let Call::Apply { object, dry_run: true, .. } = call else { return };
    let mut state = world.state();
    let Intent { trying, refused, .. } = state.ledger.intent(epoch);
    let name: Name = (object.kind().into(), object.name().into());
    trying.insert(name.clone());
    // An object that comes with its namespace or its kind can be tried in part only.
    let is_in_part = object.namespace() == "default" || object.kind() == "Widget";
    // It may have been tried under another name.
    let own = (name.0, name.1.strip_prefix("lockstep-dry-run-").unwrap_or(&name.1).to_owned());
    match answer {
        Ok(_) => drop(refused.remove(&own)),
        // What a going namespace says is about the place: from then on only what it is told elsewhere counts.
        Err(_) if is_in_part => refused.retain(|name, is_of_place| *name != own || !*is_of_place),
        Err(error) => drop(refused.insert(own, error.to_string().contains("it is being terminated"))),
    }
}

/// What an agent has done, and what came of it.
pub(crate) fn after(
    world: &World,
    epoch: u64,
    call: &Call,
    before: Option<&Object>,
    answer: &Result<Answer, ClusterError>,
) {
    let Some(at) = call.reference() else { return };
    if let (Call::Apply { dry_run: false, .. }, Err(ClusterError::Refused { .. })) = (call, answer) {
        world.state().ledger.refused.insert(at.clone());
    }
    if !call.is_write() || answer.is_err() {
        return;
    }
    if at.namespace == OWN {
        if at.name.matches('-').count() == 1
            && let Ok(Answer::Object(Some(entry))) = answer
        {
            journal_written(world, epoch, entry);
        }
        return;
    }
    let rule = {
        let mut state = world.state();
        state.ledger.writes += 1;
        match call {
            Call::Delete { uid, .. } => {
                let is_undone = state.ledger.is_undone(&at);
                drop(state);
                let user = before.and_then(|version| versions::user(world, version, is_undone));
                state = world.state();
                user.or_else(|| state.ledger.judge_delete(&at, uid.as_deref(), before))
            }
            Call::Apply { .. } => state.ledger.judge_apply(epoch, &at, before),
            Call::Create { .. } if at.gvk.kind == "Job" => state.ledger.judge_hook(&at.name),
            _ => state.ledger.judge_other(),
        }
    };
    let rule = rule.or_else(|| judge_names(world, call, &at, before)).or_else(|| judge_bytes(before, answer));
    if let Some(rule) = rule {
        world.break_rule(format!("agent {epoch}, {} {}: {rule}", call.verb(), at.id()));
    }
    versions::follow(world, &at);
    if is_about_secrets(&at.gvk.kind) {
        judge_readers(world, epoch, call.verb(), &at);
    }
}

fn is_about_secrets(kind: &str) -> bool {
    matches!(kind, "Secret" | "ExternalSecret" | "Deployment" | "StatefulSet" | "DaemonSet" | "CronJob" | "Namespace")
}

impl Ledger {
    /// What landed last: of which input, what it wanted, and the test of what did not land.
    pub(crate) fn concluded(&self) -> Option<Concluded<'_>> {
        let (body, undone) = self.header.landed.as_ref()?;
        let begun = self.bodies.get(body)?;
        let held = Box::new(move |at: &Reference| begun.holds(at, undone));
        let refused = self.refused.iter().filter(|at| begun.has_tried(at)).cloned().collect();
        Some(Concluded {
            input: &begun.input,
            wanted: begun.wanted.as_ref()?,
            held,
            refused,
            supersedes: begun.supersedes,
        })
    }

    pub(crate) fn phase(&self) -> Option<&str> {
        self.header.open.as_ref().map(|(_, phase)| phase.as_str())
    }

    /// Whether the open landing, or one that it supersedes, deletes an object and makes it anew.
    fn is_made_anew(&self, at: &Reference) -> bool {
        self.open_body().is_some_and(|open| open.replaces.contains(&at.id()))
    }

    /// Whether an object is meant by the open landing, or by one that it supersedes.
    pub(crate) fn is_begun(&self, at: &Reference) -> bool {
        self.open_body().is_some_and(|open| open.means.contains(at))
    }

    fn judge_other(&self) -> Option<String> {
        self.phase().is_none().then(|| "no landing is begun in the journal".into())
    }

    fn judge_apply(&mut self, epoch: u64, at: &Reference, before: Option<&Object>) -> Option<String> {
        match self.phase() {
            None => self.judge_creation(epoch, at, before),
            _ if self.is_undone(at) => None,
            Some("commit") => {
                let open = self.open_body()?;
                if open.holds(at, &self.header.undone) {
                    return Some("it is in a parcel that is held".into());
                }
                (!open.has_tried(at)).then(|| "it was not tried before the landing was begun".into())
            }
            Some(phase) => Some(format!("nothing is applied in phase {phase}")),
        }
    }

    /// Without a landing in the journal, an object may be made that is all that is wanted, and that goes with its owner.
    /// Nothing can be undone then, so it stands from now on.
    fn judge_creation(&mut self, epoch: u64, at: &Reference, before: Option<&Object>) -> Option<String> {
        let making = self.intent(epoch).only.clone();
        let only = making.wanted.clone().filter(|wanted| wanted.0.len() == 1);
        let is_owned = only.as_ref().and_then(|only| only.0.get(at)).is_some_and(|wanted| wanted.owner.is_some());
        if self.header.landed.is_some() || !is_owned {
            return Some("no landing is begun in the journal".into());
        }
        if before.is_some() {
            return Some("it was there, and no landing is begun in the journal".into());
        }
        (self.standing, self.made) = (only.unwrap_or_default(), Some(making));
        None
    }

    fn judge_hook(&mut self, name: &str) -> Option<String> {
        let runs = self.hooks.entry((self.landings, name.into())).or_default();
        *runs += 1;
        (*runs > 1).then(|| "the hook is run a second time by the same landing".into())
    }

    fn judge_delete(&self, at: &Reference, uid: Option<&str>, before: Option<&Object>) -> Option<String> {
        let is_own = |object: &Object| object.label(OWNER.0) == Some(OWNER.1);
        let is_of_release = at.gvk.kind == "Job" || at.name.starts_with("sh.helm.release");
        if before.is_some_and(|before| uid != Some(before.uid())) {
            return Some("the delete is not for the object that was looked at".into());
        }
        match self.phase() {
            None => Some("no landing is begun in the journal".into()),
            _ if is_of_release => None,
            _ if self.foreign.contains_key(at) && !self.is_made_anew(at) => {
                Some("it was made by others, and never landed".into())
            }
            _ if self.is_undone(at) => None,
            _ if self.open_body().is_some_and(|open| open.holds(at, &self.header.undone)) => {
                Some("it is in a parcel that is held".into())
            }
            Some("commit") if self.is_made_anew(at) => None,
            Some("prune") => (!before.is_some_and(is_own)).then(|| "what is not ours is pruned".into()),
            Some(phase) => Some(format!("nothing is deleted in phase {phase}")),
        }
    }
}

/// What is deleted must not be wanted: neither by what is to stand, nor, where it is taken back, by what stood; unless what
/// stands there cannot become that, and the unit may make it anew.
fn judge_names(world: &World, call: &Call, at: &Reference, before: Option<&Object>) -> Option<String> {
    if !matches!(call, Call::Delete { .. }) {
        return None;
    }
    let ledger = &world.state().ledger;
    let selector = |value: &Value| value.pointer("/spec/selector").cloned();
    let is_recast =
        |stood: &Value| world.terms.force && before.is_some_and(|it| selector(it.value()) != selector(stood));
    let is_wanted = match ledger.phase()? {
        _ if ledger.is_made_anew(at) => false,
        _ if ledger.is_undone(at) => ledger.standing.0.get(at).is_some_and(|stood| !is_recast(&stood.value)),
        "prune" => ledger.to_be()?.contains(at),
        _ => false,
    };
    is_wanted.then(|| "it is wanted".into())
}

/// A Secret that has bytes is never emptied.
fn judge_bytes(before: Option<&Object>, answer: &Result<Answer, ClusterError>) -> Option<String> {
    let Ok(Answer::Object(Some(after))) = answer else { return None };
    let has_bytes = |secret: &Object| secret.text("/data/version").is_some_and(|bytes| !bytes.is_empty());
    let is_emptied = before.is_some_and(|before| before.is_secret() && has_bytes(before)) && !has_bytes(after);
    is_emptied.then(|| "it is emptied".into())
}

fn journal_written(world: &World, epoch: u64, entry: &Object) {
    let Ok(header) = serde_json::from_slice::<Value>(&bytes_of(entry)) else { return };
    let text = |pointer: &str| header.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut state = world.state();
    if epoch < state.ledger.claimed {
        let rule = format!("agent {epoch} writes the journal of a landing that a successor has taken over");
        state.violation.get_or_insert(rule);
    }
    let numbers = |pointer: &str| -> BTreeSet<usize> {
        let list = header.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|number| Some(number.as_u64()? as usize)).collect()
    };
    let ledger = &mut state.ledger;
    let open = text("/open/body/name").zip(text("/open/phase"));
    let landed = text("/landed/body/name").map(|name| (name, numbers("/landed/undone")));
    if let Some((body, _)) = &open {
        let next = ledger.intent(epoch).next.clone();
        ledger.bodies.entry(body.clone()).or_insert(next);
    }
    // What was never open is what one creation has made.
    if let (Some((body, _)), Some(made)) = (&landed, &ledger.made) {
        ledger.bodies.entry(body.clone()).or_insert_with(|| made.clone());
    }
    let is_news = landed != ledger.header.landed;
    ledger.header = Header { open, undone: numbers("/open/undone"), landed };
    if is_news {
        super::rest::conclude(&mut state);
    }
}

/// Whether a write made a workload newer than a secret that it reads.
fn judge_readers(world: &World, epoch: u64, verb: &str, at: &Reference) {
    let now = broken(world);
    let mut state = world.state();
    let Ledger { broken, tampered, .. } = &state.ledger;
    // What reads a Secret that is gone waits for it.
    let is_gone = |secret: &String| state.ledger.gone.contains(secret) && !state.ledger.is_to_be(secret);
    let news = now.difference(broken).find(|(_, secret)| !tampered.contains(secret) && !is_gone(secret)).cloned();
    state.ledger.broken = now;
    if let Some((workload, secret)) = news {
        let rule = format!("agent {epoch}, {verb} {}: {workload} is newer than secret {secret}", at.id());
        state.violation.get_or_insert(rule);
    }
}

/// Others have done something.
pub(crate) fn look_again(world: &World) {
    let now = broken(world);
    world.state().ledger.broken = now;
}

/// Workloads that are made for newer bytes than their secret has.
fn broken(world: &World) -> BTreeSet<(String, String)> {
    let secrets: BTreeMap<String, u32> = world
        .list("v1", "Secret")
        .iter()
        .filter(|secret| secret.namespace() == NAMESPACE)
        .filter_map(|secret| Some((secret.name().to_owned(), secret.annotation("version")?.parse().ok()?)))
        .collect();
    let mut broken = BTreeSet::new();
    let versions = versions::all(world);
    for workload in workloads(world) {
        for (secret, version) in needs(&workload) {
            let own = versions::read(&workload, &secret, &versions).map(|(_, version)| version);
            if own.or(secrets.get(&secret).copied()).is_none_or(|live| live < version) {
                broken.insert((workload.id().to_string(), secret));
            }
        }
        let missing = versions::missing(world, &workload);
        broken.extend(missing.into_iter().map(|secret| (workload.id().to_string(), secret)));
    }
    broken
}

/// All live workloads.
pub(crate) fn workloads(world: &World) -> Vec<Object> {
    let kinds =
        [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("batch/v1", "CronJob")];
    kinds.iter().flat_map(|(version, kind)| world.list(version, kind)).collect()
}

/// The stamp on a workload's template.
pub(crate) fn stamp(workload: &Object) -> Option<String> {
    let template = workload.value().pointer(apply::reads::pod_template(workload)?)?;
    Some(template.pointer("/metadata/annotations")?.get(apply::stamp::ANNOTATION)?.as_str()?.to_owned())
}

/// Versions of secrets that a template was made for, by its commit and by its stamp.
fn needs(workload: &Object) -> BTreeMap<String, u32> {
    let template = apply::reads::pod_template(workload).and_then(|at| workload.value().pointer(at));
    let text = template.and_then(|template| template.pointer("/metadata/annotations/needs")?.as_str());
    let mut needs = lines(text.unwrap_or_default());
    for (secret, version) in lines(&stamp(workload).unwrap_or_default()) {
        if let Some(known) = needs.get_mut(&secret) {
            *known = version.max(*known);
        }
    }
    needs
}

/// `name=version` lines.
pub(crate) fn lines(text: &str) -> BTreeMap<String, u32> {
    let parse = |line: &str| {
        let (name, version) = line.split_once('=')?;
        Some((name.to_owned(), version.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}
