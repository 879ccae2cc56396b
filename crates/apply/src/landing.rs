//! The landing itself: journal, commit, health, prune, conclude; and undo, and resume after a crash.
//!
//! **Flow.** [`land`] takes what was prepared. [`resume`] takes what the journal holds open: it finishes a landing that
//! was being written, awaited or pruned, and goes on undoing one that was being undone.
//!
//! **Guarantees.** Refused in prepare: nothing changed. Failed in commit or health: undone from the journal. Crashed
//! anywhere: resume finishes or undoes it. If undo fails too, the outcome says which object stands where, and the journal
//! stays open for the next attempt.
//!
//! **Limit.** Kubernetes has no transaction over objects: between the first and the last write of a commit a client can
//! see a mix, for as long as the writes, hooks and barriers take.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use manifest::ObjectId;

use crate::cluster::Reference;
use crate::commit;
use crate::context::{Context, Progress, Waited};
use crate::desired::{Declarer, HealthScope, OnFailure, Reading};
use crate::journal::{Attempt, Journal, Open, Phase, StoreError};
use crate::plan::{self, Action, Change, Landing};
use crate::prepare::Prepared;
use crate::prune;
use crate::reads;
use crate::report::{Failure, Step as At};
use crate::rollback;

/// How a landing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is in the cluster.
    Landed,
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
    /// The landing that it is about.
    pub landing: Arc<Landing>,
    /// Everything that failed.
    pub failures: Vec<Failure>,
    /// Objects that were made and not deleted again by undo.
    pub left_in_place: Vec<ObjectId>,
    /// Objects that were deleted because nobody declares them any more.
    pub pruned: Vec<ObjectId>,
    /// How long it took, since it was begun or resumed.
    pub took: Duration,
}

impl Outcome {
    fn new(verdict: Verdict, landing: Arc<Landing>, failures: Vec<Failure>) -> Self {
        Self { verdict, landing, failures, left_in_place: Vec::new(), pruned: Vec::new(), took: Duration::ZERO }
    }

    /// Objects that were written, with what was done to them.
    pub fn changed(&self) -> impl Iterator<Item = (ObjectId, Action)> {
        self.landing.changes().filter(|c| c.is_written()).map(|c| (c.desired.object.id(), c.action))
    }
}

/// Lands what was prepared.
///
/// # Errors
/// When the journal cannot be written: then either nothing was written, or the journal is still open.
pub async fn land(prepared: Prepared, journal: &mut Journal, ctx: &Context<'_>) -> Result<Outcome, StoreError> {
    let first = if prepared.landing.is_empty() { Phase::Health } else { Phase::Commit };
    journal.begin(prepared.landing, first).await?;
    match journal.open() {
        Some(open) => go_on(open, journal, ctx).await,
        None => Err(StoreError::Unreadable { name: String::new(), message: "begun, but not open".into() }),
    }
}

/// Goes on with the landing that the journal holds open; `None` when there is none, or when it is held on purpose.
///
/// # Errors
/// When the journal cannot be written.
pub async fn resume(journal: &mut Journal, ctx: &Context<'_>) -> Result<Option<Outcome>, StoreError> {
    match journal.open() {
        Some(open) if open.phase != Phase::Held => go_on(open, journal, ctx).await.map(Some),
        _ => Ok(None),
    }
}

async fn go_on(open: Open, journal: &mut Journal, ctx: &Context<'_>) -> Result<Outcome, StoreError> {
    let began = ctx.clock.now();
    let outcome = steps(open, journal, ctx).await?;
    Ok(Outcome { took: ctx.clock.now().saturating_sub(began), ..outcome })
}

async fn steps(open: Open, journal: &mut Journal, ctx: &Context<'_>) -> Result<Outcome, StoreError> {
    ctx.tell(Progress::Phase(open.phase));
    let landing = open.landing.clone();
    let mut passed = Vec::new();
    match open.phase {
        Phase::Undo | Phase::Held => {
            let causes = journal.attempt().map(Attempt::causes).unwrap_or_default();
            return take_back(landing, causes, journal, ctx).await;
        }
        Phase::Prune => return finish(landing, Vec::new(), journal, ctx).await,
        Phase::Health => {}
        Phase::Commit => match commit::commit(&open, journal, ctx).await {
            Ok(failures) => passed = failures,
            Err(failures) => return fail(landing, failures, journal, ctx).await,
        },
    }
    let targets = health_targets(&landing);
    if !targets.is_empty() {
        journal.advance(Phase::Health).await?;
        ctx.tell(Progress::Phase(Phase::Health));
        let waited = ctx.health.wait(&targets, Reading::Unit, landing.behaviour.timeout).await;
        let goes_on = landing.behaviour.on_failure == OnFailure::Continue;
        let has_failed = matches!(&waited, Waited::Unhealthy { failed, .. } if !failed.is_empty());
        let is_superseded = waited == Waited::Superseded;
        let failures = commit::unhealthy(At::Health, &landing, waited);
        match (is_superseded, failures.is_empty(), has_failed) {
            (true, ..) => return Ok(Outcome::new(Verdict::Superseded, landing, Vec::new())),
            (_, true, _) => {}
            _ if goes_on => passed.extend(failures),
            (.., true) => return fail(landing, failures, journal, ctx).await,
            (.., false) => return Ok(Outcome::new(Verdict::Waiting, landing, failures)),
        }
    }
    finish(landing, passed, journal, ctx).await
}

/// Prunes and concludes: from here on nothing is undone.
async fn finish(
    landing: Arc<Landing>,
    mut failures: Vec<Failure>,
    journal: &mut Journal,
    ctx: &Context<'_>,
) -> Result<Outcome, StoreError> {
    let mut pruned = Vec::new();
    if !landing.stale.is_empty() {
        journal.advance(Phase::Prune).await?;
        ctx.tell(Progress::Phase(Phase::Prune));
        let (gone, failed) = prune::prune(&landing, ctx).await;
        pruned = gone;
        failures.extend(failed);
    }
    journal.conclude().await?;
    Ok(Outcome { pruned, ..Outcome::new(Verdict::Landed, landing, failures) })
}

async fn fail(
    landing: Arc<Landing>,
    failures: Vec<Failure>,
    journal: &mut Journal,
    ctx: &Context<'_>,
) -> Result<Outcome, StoreError> {
    if landing.behaviour.on_failure == OnFailure::Hold {
        journal.advance(Phase::Held).await?;
        return Ok(Outcome::new(Verdict::Held, landing, failures));
    }
    take_back(landing, failures, journal, ctx).await
}

async fn take_back(
    landing: Arc<Landing>,
    mut failures: Vec<Failure>,
    journal: &mut Journal,
    ctx: &Context<'_>,
) -> Result<Outcome, StoreError> {
    journal.turn_back(&failures).await?;
    ctx.tell(Progress::Phase(Phase::Undo));
    let undone = rollback::undo(&landing, ctx).await;
    let is_undone = undone.failures.is_empty();
    failures.extend(undone.failures);
    if is_undone {
        journal.abandon().await?;
    }
    let verdict = if is_undone { Verdict::Undone } else { Verdict::Held };
    Ok(Outcome { left_in_place: undone.left_in_place, ..Outcome::new(verdict, landing, failures) })
}

/// What must become healthy: what the unit asks for, and every workload that a changed secret restarts.
fn health_targets(landing: &Landing) -> Vec<Reference> {
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
    let restarted = landing.changes().filter(|change| {
        let stamp = landing.stamps.get(&change.desired.object.id());
        change.is_written() && stamp.is_some_and(|stamp| stamp.value.is_some())
    });
    let declarers = plan::declarers(landing.changes().map(|c| &c.desired));
    targets.retain(|target| !declarers.contains(&target.id()));
    targets
        .extend(restarted.filter(|c| reads::pod_template(&c.desired.object).is_some()).map(|c| c.desired.reference()));
    targets.sort();
    targets.dedup();
    targets
}
