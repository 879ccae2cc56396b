//! The landing itself: journal, commit, health, prune, conclude; and undo, and resume after a crash.
//!
//! **Flow.** [`land`] takes what was prepared. [`resume`] takes what the journal holds open: it finishes a landing that
//! was being written, awaited or pruned, and goes on undoing one that was being undone.
//!
//! In Flux's order ([`crate::Order`]) what is stale goes at the end of the commit, and undo begins by making it anew.
//!
//! **Guarantees.** Refused in prepare: nothing changed. Failed in commit or health: its parcel is undone from the journal,
//! with what depends on it, and the others land. Crashed anywhere: resume finishes or undoes it. If undo fails too, the
//! outcome says which object stands where, and the journal stays open for the next attempt.
//!
//! **Limit.** Kubernetes has no transaction over objects: between the first and the last write of a commit a client can
//! see a mix, for as long as the writes, hooks and barriers take.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use manifest::ObjectId;

use crate::cluster::Reference;
use crate::commit;
use crate::context::{Context, Progress, Waited};
use crate::desired::{Declarer, HealthScope, OnFailure, Reading};
use crate::guest;
use crate::journal::{Attempt, Journal, Open, Phase, StoreError};
use crate::parcels::edges;
use crate::plan::{self, Action, Change, Landing, Stale, Step};
use crate::prepare::Prepared;
use crate::prune::{self, Pruned};
use crate::reads;
use crate::report::{Failure, Step as At};
use crate::rollback;
use crate::versions;

/// How a landing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is in the cluster.
    Landed,
    /// Some parcels are in the cluster; the others are at last-good.
    Partly,
    /// It failed, and everything is back to last-good.
    Undone,
    /// It failed and was left as it stands, or could not be undone entirely: the failures say where.
    Held,
    /// It is written and its health still makes progress: resume waits further.
    Waiting,
    /// A newer revision is there.
    Superseded,
}

/// What came of a landing.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// The landing that it is about; once it has ended, without what was taken back.
    pub landing: Arc<Landing>,
    /// Everything that failed.
    pub failures: Vec<Failure>,
    /// Objects that were made and not deleted again by undo.
    pub left_in_place: Vec<Reference>,
    /// Objects that were deleted because nobody declares them any more.
    pub pruned: Vec<ObjectId>,
    /// Objects that nobody declares any more as far as it is known yet: they stay until it is certain.
    pub kept: Vec<Reference>,
    /// How long it took, since it was begun or resumed.
    pub took: Duration,
}

impl Outcome {
    /// Objects that were written, with what was done to them.
    pub fn changed(&self) -> impl Iterator<Item = (ObjectId, Action)> {
        self.landing.changes().filter(|c| c.is_written()).map(|c| (c.desired.object.id(), c.action))
    }

    /// Whether what the landing wants of an object is in the cluster.
    pub fn has_landed(&self, id: &ObjectId) -> bool {
        match self.verdict {
            Verdict::Landed => true,
            Verdict::Partly => !self.landing.holds(id),
            Verdict::Undone | Verdict::Held | Verdict::Waiting | Verdict::Superseded => false,
        }
    }
}

/// Lands what was prepared.
///
/// # Errors
/// When the journal cannot be written: then either nothing was written, or the journal is still open.
pub fn land<'a>(
    prepared: Prepared,
    journal: &'a mut Journal,
    ctx: &'a Context<'_>,
) -> BoxFuture<'a, Result<Outcome, StoreError>> {
    landed(prepared, journal, ctx).boxed()
}

async fn landed(prepared: Prepared, journal: &mut Journal, ctx: &Context<'_>) -> Result<Outcome, StoreError> {
    let first = if prepared.landing.is_empty() { Phase::Health } else { Phase::Commit };
    journal.begin(prepared.landing, first).await?;
    match journal.open() {
        Some(open) => Work::new(open, journal, ctx).run().await,
        None => Err(StoreError::Unreadable { name: String::new(), message: "begun, but not open".into() }),
    }
}

/// Goes on with the landing that the journal holds open; `None` when there is none, or when it is held on purpose.
///
/// # Errors
/// When the journal cannot be written.
pub fn resume<'a>(
    journal: &'a mut Journal,
    ctx: &'a Context<'_>,
) -> BoxFuture<'a, Result<Option<Outcome>, StoreError>> {
    resumed(journal, ctx).boxed()
}

async fn resumed(journal: &mut Journal, ctx: &Context<'_>) -> Result<Option<Outcome>, StoreError> {
    match journal.open() {
        Some(open) if open.phase != Phase::Held => {
            journal.save().await?;
            let mut work = Work::new(open, journal, ctx);
            if work.open.phase == Phase::Commit {
                work.mark_lost().await;
            }
            work.run().await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Takes back what the journal holds open and has not become healthy, as if it had failed, for this reason: where its unit
/// goes, what stays is to be as it landed last. `None` where there is no such landing, or failures end none.
///
/// # Errors
/// When the journal cannot be written.
pub fn retreat<'a>(
    journal: &'a mut Journal,
    why: &'a str,
    ctx: &'a Context<'_>,
) -> BoxFuture<'a, Result<Option<Outcome>, StoreError>> {
    retreated(journal, why, ctx).boxed()
}

async fn retreated(journal: &mut Journal, why: &str, ctx: &Context<'_>) -> Result<Option<Outcome>, StoreError> {
    let may_go_back =
        |open: &Open| open.phase != Phase::Prune && open.landing.behaviour.on_failure == OnFailure::Revert;
    let Some(open) = journal.open().filter(may_go_back) else { return Ok(None) };
    journal.save().await?;
    let mut work = Work::new(open, journal, ctx);
    let (all, why) = (work.landing.parcels.numbers(), Failure::general(At::Health, why, true));
    let verdict = work.take_back(all, vec![why]).await?.unwrap_or(Verdict::Held);
    Ok(Some(work.end(verdict, Pruned::default())))
}

/// A landing at work.
struct Work<'a, 'c> {
    open: Open,
    landing: Arc<Landing>,
    journal: &'a mut Journal,
    ctx: &'a Context<'c>,
    /// What failed, whatever came of it.
    failures: Vec<Failure>,
    /// Whether something could not be taken back.
    is_stuck: bool,
    left_in_place: Vec<Reference>,
    /// What was deleted before health was awaited.
    gone: Vec<ObjectId>,
    began: Duration,
}

/// A landing that has come to its end, or to a wait.
type End = Option<Verdict>;

impl<'a, 'c> Work<'a, 'c> {
    fn new(open: Open, journal: &'a mut Journal, ctx: &'a Context<'c>) -> Self {
        let landing = open.landing.clone();
        let known = journal.attempt().filter(|_| !open.undone.is_empty()).map(Attempt::causes);
        // What is written once more fails once more.
        let remembered = || Some(open.failures.clone()).filter(|all| open.phase != Phase::Commit && !all.is_empty());
        let known = known.or_else(remembered);
        let failures = known.unwrap_or_else(|| landing.failures.clone());
        let began = ctx.clock.now();
        let (left_in_place, gone) = (Vec::new(), Vec::new());
        Self { open, landing, journal, ctx, failures, is_stuck: false, left_in_place, gone, began }
    }

    async fn run(mut self) -> Result<Outcome, StoreError> {
        self.ctx.tell(Progress::Phase(self.open.phase));
        let mut pruned = Pruned::default();
        let verdict = match self.steps().await? {
            Some(verdict) => verdict,
            None => {
                pruned = self.finish().await?;
                if self.is_stuck {
                    Verdict::Held
                } else if self.landing.held.is_empty() {
                    Verdict::Landed
                } else {
                    Verdict::Partly
                }
            }
        };
        if matches!(verdict, Verdict::Waiting | Verdict::Superseded) {
            self.journal.save().await?;
        }
        Ok(self.end(verdict, pruned))
    }

    fn end(self, verdict: Verdict, pruned: Pruned) -> Outcome {
        let took = self.ctx.clock.now().saturating_sub(self.began);
        let Self { landing, failures, left_in_place, gone, .. } = self;
        let kept = pruned.kept;
        let pruned = gone.into_iter().chain(pruned.gone).collect();
        Outcome { verdict, landing, failures, left_in_place, pruned, kept, took }
    }

    async fn steps(&mut self) -> Result<End, StoreError> {
        let phase = self.open.phase;
        if matches!(phase, Phase::Undo | Phase::Held) {
            return self.take_back(self.landing.parcels.numbers(), Vec::new()).await;
        }
        // What a crash has interrupted.
        if !self.open.undone.is_empty()
            && let Some(end) = self.take_back(self.open.undone.clone(), Vec::new()).await?
        {
            return Ok(Some(end));
        }
        let end = match phase {
            Phase::Commit => self.commit().await?,
            Phase::Health => self.make_again().await?,
            Phase::Prune | Phase::Undo | Phase::Held => return Ok(None),
        };
        if end.is_some() { Ok(end) } else { self.await_health().await }
    }

    /// Makes again what somebody has deleted while it was awaited, or while what reads it was.
    async fn make_again(&mut self) -> Result<End, StoreError> {
        let lost = self.lost().await;
        let landing = self.landing.clone();
        let lost: Vec<&Change> = landing.changes().filter(|c| lost.contains(&c.desired.reference())).collect();
        if lost.is_empty() {
            return Ok(None);
        }
        self.journal.advance(Phase::Commit).await?;
        let deadline = self.ctx.clock.now() + landing.behaviour.timeout;
        let (mut failed, mut known) = (Vec::new(), self.failures.clone());
        for change in lost {
            let made = commit::apply_one(change, &known, &landing.behaviour.cleanup, self.ctx, deadline).await;
            known.extend(made.as_ref().err().cloned());
            failed.extend(made.err());
        }
        if failed.is_empty() { Ok(None) } else { self.fail(failed).await }
    }

    /// What somebody has deleted since the commit was planned is made by it, too, where it was found to be right: a workload
    /// is not to come before its Secret. Looked for after a crash, and where a Namespace may have gone meanwhile.
    async fn mark_lost(&mut self) {
        let lost = self.lost().await;
        if lost.is_empty() {
            return;
        }
        let mut landing = Arc::unwrap_or_clone(self.landing.clone());
        let changes = landing.steps.iter_mut().filter_map(Step::change_mut);
        changes.filter(|c| lost.contains(&c.desired.reference())).for_each(|change| change.action = Action::Create);
        self.landing = Arc::new(landing);
        self.open.landing = self.landing.clone();
    }

    /// What must be there and is not.
    async fn lost(&self) -> BTreeSet<Reference> {
        let deadline = self.ctx.clock.now() + self.landing.behaviour.timeout;
        let looks = self.needed().into_iter().map(|at| async move {
            // What cannot be read now is looked for when it is awaited the next time.
            let is_gone = matches!(self.ctx.read(&at, deadline).await, Ok(None));
            is_gone.then_some(at)
        });
        stream::iter(looks).buffered(plan::PARALLEL).filter_map(future::ready).collect().await
    }

    /// What must be there while health is awaited: that, and all that landed. A Job that has ended may go.
    fn needed(&self) -> BTreeSet<Reference> {
        let is_unwritten = |id: &ObjectId| commit::unwritten(&self.failures).any(|(unwritten, _)| unwritten == id);
        let is_over = |id: &ObjectId| self.landing.parcels.is_in(id, &self.open.undone) || self.landing.holds(id);
        let stays = |change: &&Change| {
            change.action != Action::Skip
                && !matches!(change.desired.declarer, Declarer::Release(_))
                && change.desired.object.kind() != "Job"
                && !is_over(&change.desired.object.id())
        };
        let landed = self.landing.changes().filter(stays).map(|change| change.desired.reference());
        let all = landed.chain(health_targets(&self.landing, &self.open.undone));
        all.filter(|at| !is_unwritten(&at.id())).collect()
    }

    /// Writes everything, in order. What fails is taken back with its parcel, and the others go on.
    async fn commit(&mut self) -> Result<End, StoreError> {
        let mut deadline = self.ctx.clock.now() + self.landing.behaviour.timeout;
        let goes_on = self.landing.behaviour.on_failure == OnFailure::Continue;
        let (mut index, mut is_torn) = (0, false);
        while index < self.landing.steps.len() {
            if is_torn && self.landing.steps[index].is_of_release() {
                index += 1;
                continue;
            }
            let batch = commit::batch(&self.landing.steps, index);
            let began = self.ctx.clock.now();
            let steps = index..index + batch;
            let failed = commit::run(&self.open, steps, &self.failures, self.journal, self.ctx, deadline).await;
            // A wait has its own limit; the writes keep theirs.
            if matches!(self.landing.steps[index], Step::Hook(_) | Step::Await(..)) {
                deadline += self.ctx.clock.now().saturating_sub(began);
            }
            // A Namespace may have been made anew by that: all that was found in it is gone.
            if self.landing.steps[index..index + batch].iter().any(writes_home) {
                self.mark_lost().await;
            }
            let has_failed = !failed.is_empty();
            is_torn |= has_failed && self.landing.steps[index].is_of_release();
            if has_failed && let Some(end) = self.fail(failed).await? {
                return Ok(Some(end));
            }
            // A wait ends with the first failure: without that parcel, the others are awaited further.
            let is_cut_short = has_failed && !goes_on && matches!(self.landing.steps[index], Step::Await(..));
            index += if is_cut_short { 0 } else { batch };
        }
        guest::stamp(&self.landing, &self.open.undone, &self.failures, self.ctx, deadline).await;
        // Where failures end nothing, what may pass is written again. And a release is finished, or it has not landed.
        let is_unwritten = |failure: &Failure| failure.transient && failure.step == At::Commit;
        if goes_on && (is_torn || self.failures.iter().any(is_unwritten)) {
            return Ok(Some(Verdict::Held));
        }
        self.prune_early().await;
        Ok(None)
    }

    /// Deletes before health is awaited, in Flux's order. What cannot be deleted is tried once more at the end.
    async fn prune_early(&mut self) {
        let (_, early) = self.landing.deleted_early_by(&self.open.undone);
        self.gone.extend(prune::prune(early.into_iter(), &self.landing, &self.failures, self.ctx).await.gone);
    }

    /// Waits until what must be healthy is; what fails is taken back with its parcel, and the others are awaited further.
    async fn await_health(&mut self) -> Result<End, StoreError> {
        let deadline = self.ctx.clock.now() + self.landing.behaviour.timeout;
        loop {
            let mut targets = health_targets(&self.landing, &self.open.undone);
            targets.extend(guest::awaited(&self.landing, &self.open.undone, self.ctx).await);
            if targets.is_empty() {
                return Ok(None);
            }
            self.remember();
            self.journal.advance(Phase::Health).await?;
            self.ctx.tell(Progress::Phase(Phase::Health));
            let timeout = deadline.saturating_sub(self.ctx.clock.now());
            let waited = self.ctx.health.wait(&targets, Reading::Unit, timeout).await;
            let goes_on = self.landing.behaviour.on_failure == OnFailure::Continue;
            if waited == Waited::Superseded && self.has_torn_release() {
                return Ok(Some(Verdict::Held));
            }
            if waited == Waited::Superseded {
                self.failures.clear();
                return Ok(Some(Verdict::Superseded));
            }
            if waited == Waited::Disturbed {
                match self.make_again().await? {
                    None => continue,
                    end => return Ok(end),
                }
            }
            let (waited, of_guests) = guest::told(&self.landing, waited);
            let failures = commit::unhealthy(At::Health, &self.landing, waited).into_iter().chain(of_guests);
            let (pending, failed): (Vec<_>, Vec<_>) = failures.partition(|failure| failure.transient);
            match (failed.is_empty(), pending.is_empty()) {
                (true, true) => return Ok(None),
                _ if goes_on => {
                    self.failures.extend(failed.into_iter().chain(pending));
                    return Ok(None);
                }
                (true, false) => {
                    self.failures.extend(pending);
                    return Ok(Some(Verdict::Waiting));
                }
                (false, _) => {
                    if let Some(end) = self.fail(failed).await? {
                        return Ok(Some(end));
                    }
                }
            }
        }
    }

    /// Where failures end nothing, whoever goes on after a crash is to tell them.
    fn remember(&mut self) {
        if self.landing.behaviour.on_failure == OnFailure::Continue {
            self.journal.remember(&self.failures);
        }
    }

    /// Whether a release could not be taken back: its record says that it is under way, and a landing that supersedes this one
    /// compares objects, not records.
    fn has_torn_release(&self) -> bool {
        let is_torn = |step: &Step| {
            step.is_of_release() && step.id().is_some_and(|id| self.landing.parcels.is_in(&id, &self.open.undone))
        };
        self.is_stuck && self.landing.steps.iter().any(is_torn)
    }

    /// Prunes and concludes: from here on nothing is undone. What could not be taken back keeps the journal open.
    async fn finish(&mut self) -> Result<Pruned, StoreError> {
        if self.is_stuck {
            return Ok(Pruned::default());
        }
        self.remember();
        let mut rest = Arc::unwrap_or_clone(self.landing.clone()).holding(&self.open.undone);
        let mut pruned = Pruned::default();
        self.failures.extend(rollback::give_back(&rest, self.ctx).await);
        let free = versions::take_free(&mut rest, &self.ctx.cluster).await;
        if !rest.stale.is_empty() || !free.is_empty() {
            self.journal.advance(Phase::Prune).await?;
            self.ctx.tell(Progress::Phase(Phase::Prune));
            pruned = prune::prune(rest.stale.iter().chain(&free), &rest, &self.failures, self.ctx).await;
            let has_failed =
                |stale: &Stale| pruned.failures.iter().any(|f| f.id.as_ref() == Some(&stale.reference.id()));
            rest.retired.extend(free.into_iter().filter(has_failed));
            self.failures.append(&mut pruned.failures);
        }
        self.journal.conclude(&self.failures).await?;
        self.landing = Arc::new(rest);
        Ok(pruned)
    }

    /// What becomes of parcels in which something failed.
    async fn fail(&mut self, failures: Vec<Failure>) -> Result<End, StoreError> {
        match self.landing.behaviour.on_failure {
            OnFailure::Continue => {
                self.failures.extend(failures);
                Ok(None)
            }
            OnFailure::Hold => {
                // What may pass is written again.
                let is_final = failures.iter().any(|failure| !failure.transient);
                self.failures.extend(failures);
                if is_final {
                    self.journal.advance(Phase::Held).await?;
                }
                Ok(Some(Verdict::Held))
            }
            OnFailure::Revert => {
                let held = self.landing.parcels.held_by(&failures);
                self.take_back(held, failures).await
            }
        }
    }

    /// Brings parcels back to what they were. Ends the landing when nothing is left of it.
    async fn take_back(&mut self, parcels: BTreeSet<usize>, failures: Vec<Failure>) -> Result<End, StoreError> {
        self.failures.extend(failures);
        self.journal.turn_back(&parcels, &self.failures).await?;
        self.open.undone.extend(&parcels);
        self.ctx.tell(Progress::Phase(Phase::Undo));
        let undone = rollback::undo(&self.landing, &parcels, self.journal.landed().map(Arc::as_ref), self.ctx).await;
        let is_undone = undone.failures.is_empty();
        self.is_stuck |= !is_undone;
        self.failures.extend(undone.failures);
        self.left_in_place.extend(undone.left_in_place);
        let over = self.open.undone.union(&self.landing.held).count();
        match (over == self.landing.parcels.count(), self.is_stuck) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(Verdict::Held)),
            (true, false) => {
                self.journal.abandon().await?;
                Ok(Some(Verdict::Undone))
            }
        }
    }
}

impl Open {
    /// What must become healthy before it ends.
    pub fn awaited(&self) -> Vec<Reference> {
        health_targets(&self.landing, &self.undone)
    }
}

/// What must become healthy: what the unit asks for, and every workload that a changed secret restarts.
fn health_targets(landing: &Landing, undone: &BTreeSet<usize>) -> Vec<Reference> {
    let mut targets: Vec<Reference> = match &landing.behaviour.health {
        HealthScope::None => Vec::new(),
        HealthScope::These(references) => references.clone(),
        HealthScope::All => {
            // A release waits for its own objects, in its own way.
            let is_of_unit = |c: &&Change| !matches!(c.desired.declarer, Declarer::Release(_));
            let kept = landing.changes().filter(|c| c.action != Action::Skip).filter(is_of_unit);
            kept.map(|c| c.desired.reference()).collect()
        }
    };
    let unawaited: BTreeSet<Reference> =
        landing.changes().filter(|change| !change.desired.awaited).map(|change| change.desired.reference()).collect();
    targets.retain(|target| !unawaited.contains(target));
    let moved = versions::moved(landing);
    let restarted = landing.changes().filter(|change| {
        let id = change.desired.object.id();
        let stamp = landing.stamps.get(&id);
        change.is_written() && (stamp.is_some_and(|stamp| stamp.value.is_some()) || moved.contains(&id))
    });
    let declarers = plan::declarers(landing.changes().map(|c| &c.desired));
    targets.retain(|target| !declarers.contains(&target.id()));
    targets
        .extend(restarted.filter(|c| reads::pod_template(&c.desired.object).is_some()).map(|c| c.desired.reference()));
    // Nobody rolls these out: a DaemonSet would be awaited for ever.
    let by_hand: BTreeSet<Reference> = landing.rolled_by_hand().map(Reference::of).collect();
    targets.retain(|target| !by_hand.contains(target));
    // What is held stands as it stood.
    let is_held = |at: &Reference| {
        let id = at.id();
        landing.holds(&id) || landing.parcels.is_in(&id, undone)
    };
    targets.retain(|target| !is_held(target));
    targets.sort();
    targets.dedup();
    targets
}

/// Whether a step writes a Namespace that was there.
fn writes_home(step: &Step) -> bool {
    let configures =
        |change: &Change| change.action == Action::Configure && edges::is_namespace(&change.desired.object);
    step.change().is_some_and(configures)
}
