//! The rules that hold at every write, and what must be remembered to know them.

use std::collections::{BTreeMap, BTreeSet};

use apply::{Answer, Call, ClusterError, Reference};
use manifest::Object;
use serde_json::Value;

use super::journal::bytes_of;
use super::repository::{NAMESPACE, OWNER};
use super::world::{OWN, World};

/// Kind and name; all that is namespaced is in one namespace.
type Name = (String, String);

/// What the journal's header says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    /// Body and phase of the open landing.
    pub(crate) open: Option<(String, String)>,
    /// Body of what landed last.
    landed: Option<String>,
}

/// Versions of the secrets that a workload reads, its stamp, and its own version.
pub(crate) type Reading = (BTreeMap<String, u32>, Option<String>, u32);

/// What is known of the landings so far.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) header: Header,
    /// The highest epoch that has found a landing open.
    claimed: u64,
    /// What was tried on the server since the last proposal.
    trying: BTreeSet<Name>,
    /// Of it, what was refused.
    refused: BTreeSet<Name>,
    /// Secrets that others have deleted, or what owns them, since the last rest.
    pub(crate) tampered: BTreeSet<String>,
    /// What was tried for the landing that is begun next, and its input.
    next: (BTreeSet<Name>, String),
    /// The same by body.
    bodies: BTreeMap<String, (BTreeSet<Name>, String)>,
    /// Landings begun.
    landings: u64,
    /// How often a hook was started, by landing.
    hooks: BTreeMap<(u64, String), u32>,
    writes: u64,
    /// Workloads that are newer than a secret that they read: `workload secret`.
    broken: BTreeSet<(String, String)>,
    /// Objects of others, as they left them.
    pub(crate) foreign: BTreeMap<Reference, Value>,
    /// All that others have ever made: when they delete it while a landing has it adopted, undoing brings it back.
    pub(crate) made_by_others: BTreeSet<Reference>,
    /// Objects to which others have added a field, with their UIDs.
    pub(crate) shared: BTreeMap<Reference, String>,
    /// Kind that an admission policy refuses.
    pub(crate) policy: Option<String>,
    /// The revision that the cluster showed at the last rest.
    pub(crate) rested: usize,
    /// Of each workload at the last rest: versions of what it reads, its stamp, and its own version.
    pub(crate) stamps: BTreeMap<String, Reading>,
}

impl Ledger {
    /// An agent has found a landing open and goes on with it.
    pub(crate) fn taken_over(&mut self, epoch: u64) {
        self.claimed = self.claimed.max(epoch);
    }

    pub(crate) fn proposed(&mut self) {
        self.trying.clear();
        self.refused.clear();
    }

    pub(crate) fn begun(&mut self, input: &str) -> Result<(), String> {
        self.landings += 1;
        if !self.refused.is_empty() {
            return Err(format!("{input} is landed although the server has refused some of it"));
        }
        self.next = (std::mem::take(&mut self.trying), input.into());
        Ok(())
    }

    /// Writes of objects by agents.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    fn open_body(&self) -> Option<&(BTreeSet<Name>, String)> {
        self.bodies.get(&self.header.open.as_ref()?.0)
    }

    /// The input of what landed last.
    pub(crate) fn landed_input(&self) -> Option<&str> {
        Some(&self.bodies.get(self.header.landed.as_ref()?)?.1)
    }
}

/// A request was answered, as the agent sees it.
pub(crate) fn tried(world: &World, call: &Call, answer: &Result<Answer, ClusterError>) {
    let Call::Apply { object, dry_run: true, .. } = call else { return };
    let ledger = &mut world.state().ledger;
    let name: Name = (object.kind().into(), object.name().into());
    ledger.trying.insert(name.clone());
    // An object that comes with its namespace or its kind can be tried in part only.
    let is_in_part = object.namespace() == "default" || object.kind() == "Widget";
    if answer.is_ok() {
        // It may have been tried in another namespace.
        let own = name.1.strip_prefix("lockstep-dry-run-").unwrap_or(&name.1).to_owned();
        ledger.refused.remove(&(name.0, own));
    } else if !is_in_part {
        ledger.refused.insert(name);
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
    let name = (at.gvk.kind.clone(), at.name.clone());
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
            Call::Delete { uid, .. } => state.ledger.judge_delete(&at, uid.as_deref(), before),
            Call::Apply { .. } => state.ledger.judge_apply(&name),
            Call::Create { .. } if at.gvk.kind == "Job" => state.ledger.judge_hook(&at.name),
            _ => state.ledger.judge_other(),
        }
    };
    let rule = rule.or_else(|| judge_names(world, call, &at));
    if let Some(rule) = rule {
        world.break_rule(format!("agent {epoch}, {} {}: {rule}", call.verb(), at.id()));
    }
    if is_about_secrets(&at.gvk.kind) {
        judge_readers(world, epoch, call.verb(), &at);
    }
}

fn is_about_secrets(kind: &str) -> bool {
    matches!(kind, "Secret" | "ExternalSecret" | "Deployment" | "StatefulSet" | "DaemonSet" | "CronJob" | "Namespace")
}

impl Ledger {
    fn phase(&self) -> Option<&str> {
        self.header.open.as_ref().map(|(_, phase)| phase.as_str())
    }

    fn judge_other(&self) -> Option<String> {
        self.phase().is_none().then(|| "no landing is begun in the journal".into())
    }

    fn judge_apply(&self, (kind, name): &Name) -> Option<String> {
        match self.phase() {
            None => Some("no landing is begun in the journal".into()),
            Some("undo") => None,
            Some("commit") => {
                let (tried, _) = self.open_body()?;
                let own = (kind.clone(), name.clone());
                let stand_in: String = format!("lockstep-dry-run-{name}").chars().take(63).collect();
                let is_tried = tried.contains(&own) || tried.contains(&(kind.clone(), stand_in));
                (!is_tried).then(|| "it was not tried before the landing was begun".into())
            }
            Some(phase) => Some(format!("nothing is applied in phase {phase}")),
        }
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
            _ if self.foreign.contains_key(at) => Some("it was made by others, and never landed".into()),
            Some("undo") => None,
            Some("prune") => (!before.is_some_and(is_own)).then(|| "what is not ours is pruned".into()),
            Some(phase) => Some(format!("nothing is deleted in phase {phase}")),
        }
    }
}

/// What is deleted must not be wanted; the open landing says what is.
fn judge_names(world: &World, call: &Call, at: &Reference) -> Option<String> {
    if !matches!(call, Call::Delete { .. }) {
        return None;
    }
    let state = world.state();
    let input = match state.ledger.phase()? {
        "prune" => state.ledger.open_body().map(|(_, input)| input.clone()),
        "undo" => state.ledger.landed_input().map(str::to_owned),
        _ => None,
    }?;
    let snapshot = state.snapshots.iter().find(|snapshot| snapshot.input == input)?;
    let is_wanted = snapshot.repository.names().contains(at);
    is_wanted.then(|| format!("revision {input} wants it"))
}

fn journal_written(world: &World, epoch: u64, entry: &Object) {
    let Ok(header) = serde_json::from_slice::<Value>(&bytes_of(entry)) else { return };
    let text = |pointer: &str| header.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut state = world.state();
    if epoch < state.ledger.claimed {
        let rule = format!("agent {epoch} writes the journal of a landing that a successor has taken over");
        state.violation.get_or_insert(rule);
    }
    let ledger = &mut state.ledger;
    let open = text("/open/body/name").zip(text("/open/phase"));
    if let Some((body, _)) = &open
        && !ledger.bodies.contains_key(body)
    {
        ledger.bodies.insert(body.clone(), ledger.next.clone());
    }
    let landed = text("/landed/body/name").or_else(|| text("/landed/name"));
    let is_news = landed != ledger.header.landed;
    ledger.header = Header { open, landed };
    if is_news && let Some(input) = ledger.landed_input().map(str::to_owned) {
        let names = state.snapshots.iter().find(|s| s.input == input).map(|s| s.repository.names());
        state.ledger.foreign.retain(|at, _| !names.as_ref().is_some_and(|names| names.contains(at)));
    }
}

/// Whether a write made a workload newer than a secret that it reads.
fn judge_readers(world: &World, epoch: u64, verb: &str, at: &Reference) {
    let now = broken(world);
    let mut state = world.state();
    let Ledger { broken, tampered, .. } = &state.ledger;
    let news = now.difference(broken).find(|(_, secret)| !tampered.contains(secret)).cloned();
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
    for workload in workloads(world) {
        for (secret, version) in needs(&workload) {
            if secrets.get(&secret).is_none_or(|live| *live < version) {
                broken.insert((workload.id().to_string(), secret));
            }
        }
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
