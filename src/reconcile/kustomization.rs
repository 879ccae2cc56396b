//! Kustomization: guard -> anything to do? -> compile -> land -> tell.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apply::plan::Stale;
use apply::report::Step;
use apply::{Base, Candidate, Cluster, ClusterError, Journal, Landing, Outcome, Phase, Prepared, Progress, Verdict};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::claims::{self, Neighbours};
use super::{Error, Key, Shared, Told, guests, triggers};
use crate::api::condition::{DRIFTED, READY, Truth, reason};
use crate::api::kustomization::{Kustomization, KustomizationSpec, KustomizationStatus};
use crate::api::{FINALIZER, Kind as _};
use crate::health::{self, Judge};
use crate::landing;
use crate::pipeline::sources::{Fetched, SourceName};
use crate::pipeline::{self, Compiled, Job, Report, prune_guard, spec_version, terms};
use crate::resolve;
use crate::status::kustomization::{self as tell, Facts, Work};
use crate::status::{Event, Moment, Next, list, unsupported_message};
use crate::unit::{ReadSet, Thing, Unit};

mod drift;
mod finalize;
mod guard;
mod held;
mod inputs;
mod rotated;
mod sharing;
mod succession;
mod waits;

use waits::Waits;

/// How soon a store or a source that nobody watches is asked again, at the latest, by a unit that it holds.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One reconciliation at work.
struct Turn<'a> {
    key: &'a Key,
    object: &'a Object,
    spec: KustomizationSpec,
    status: KustomizationStatus,
    shared: &'a Arc<Shared>,
    /// What `healthCheckExprs` say.
    judge: Option<Judge>,
    began: Instant,
    /// What the last landing had read.
    good: ReadSet,
    /// What it shares with units that own it.
    shares: BTreeSet<ObjectId>,
    /// Whether something that others have changed could not be put back.
    is_adrift: bool,
    /// How far it has come.
    work: watch::Sender<Work>,
}

/// Reconciles a Kustomization.
///
/// # Errors
/// When the API server or the journal fails; everything else is told.
pub(super) async fn reconcile(key: &Key, object: &Object, shared: &Arc<Shared>) -> Result<Told, Error> {
    let status = Kustomization::status(object).unwrap_or_default();
    let spec = match Kustomization::spec(object) {
        Ok(spec) => spec,
        Err(error) => {
            waits::looked_at(shared, &Unit::kustomization(&key.namespace, &key.name));
            return Ok(unreadable(object, status, &error.to_string()));
        }
    };
    let (good, shares, began) = (ReadSet::default(), BTreeSet::new(), Instant::now());
    let (judge, is_adrift, work) = (None, false, watch::Sender::new(Work::Building));
    let mut turn = Turn { key, object, spec, status, shared, judge, began, good, shares, is_adrift, work };
    if object.is_terminating() {
        return finalize::finalize(&mut turn).await;
    }
    shared.set_finalizer(key, object, FINALIZER, true).await?;
    let judge = health::judge(&turn.spec.health_check_exprs);
    turn.judge = judge.clone().ok().flatten();
    if turn.spec.suspend {
        return turn.only_end_what_is_open().await;
    }
    if turn.gives_way() {
        return turn.make_way().await;
    }
    if let Err(cause) = judge {
        let message = format!("{}: {cause}", guard::TERMINAL);
        waits::looked_at(shared, &turn.unit());
        return Ok(turn.stall(reason::INVALID_CEL_EXPRESSION, &message));
    }
    turn.status.last_handled_reconcile_at = object.annotation(crate::api::REQUESTED_AT).map(str::to_owned);
    let (unit, interval) = (turn.unit(), turn.interval());
    if shared.guests.are_out(&unit) {
        return Ok(Told::nothing(Next::OnEvent));
    }
    let told = turn.run().await;
    waits::looked_at(shared, &unit);
    let told = told?;
    let waits = [shared.owned.suspects(&unit, interval).wait, shared.units.is_gathering(&unit)];
    Ok(sooner(told, waits.into_iter().flatten().min()))
}

fn unreadable(object: &Object, mut status: KustomizationStatus, message: &str) -> Told {
    let moment = Moment { generation: object.generation(), now: Timestamp::now() };
    let event = tell::stalled(&mut status, moment, reason::BUILD_FAILED, message);
    Told::status(&status, vec![event], Next::OnEvent)
}

impl<'a> Turn<'a> {
    async fn run(mut self) -> Result<Told, Error> {
        let unsupported = Kustomization::unsupported(self.object.value());
        if !unsupported.is_empty() {
            return Ok(self.stall(reason::UNSUPPORTED, &unsupported_message(&unsupported)));
        }
        let mut journal = self.journal().await?;
        // Also while the source cannot be reached.
        if let Some(open) = journal.open() {
            let (tell, work) = (self.telling(&open.landing.revision), self.work.subscribe());
            if let Some(outcome) = self.shared.notices.while_at(self.resume(&mut journal), work, tell).await? {
                return Ok(self.resumed(outcome));
            }
        }
        self.hold(&journal).await?;
        let source = match guard::source(&self) {
            Ok(Some(source)) => source,
            Ok(None) => {
                let told = self.land_rotated(&mut journal).await?;
                return Ok(told.unwrap_or_else(|| Told::nothing(Next::After(self.retry_interval()))));
            }
            Err(refusal) if refusal.is_terminal => return Ok(self.refuse(refusal)),
            Err(refusal) => {
                let told = self.land_rotated(&mut journal).await?;
                return Ok(told.unwrap_or_else(|| self.refuse(refusal)));
            }
        };
        // What has landed does not wait for others: a dependency that is at work again makes nobody unready.
        let is_due = self.until_due().is_zero();
        if let Some(mut told) = self.at_rest(&journal, &source).await? {
            self.is_known_with(&source);
            told.events.extend(self.bases_unseen().filter(|_| is_due));
            return Ok(told);
        }
        if let Err(refusal) = guard::dependencies(&self, &source).await {
            self.promise_meanwhile(&source, &journal).await;
            return Ok(self.refuse(refusal));
        }
        let (shared, tell, at) = (self.shared, self.telling(&source.revision), self.work.subscribe());
        let work = self.compile_and_land(&source, &mut journal);
        let told = shared.notices.while_at(work, at, tell).await;
        self.is_known_with(&source);
        told
    }

    fn job<'j>(&'j self, source: &'j Fetched, landed: Option<&'j Landing>) -> Job<'j> {
        let user = self.shared.world.user_of(&self.key.namespace, self.spec.service_account_name.as_deref());
        let since = self.shared.queue.since(self.key);
        Job { object: self.object, spec: &self.spec, source, landed, user, since }
    }

    async fn compile_and_land(&mut self, source: &Fetched, journal: &mut Journal) -> Result<Told, Error> {
        let (landed, since) = (journal.landed().cloned(), self.shared.needs.landings());
        self.shared.units.begins(&self.unit());
        match pipeline::compile(&self.job(source, landed.as_deref()), &self.shared.world).await {
            Ok(mut compiled) => {
                tracing::debug!(unit = %self.unit(), "compiled");
                if !self.hold_for_others(&mut compiled, landed.as_deref(), since).await? {
                    return Ok(self.once_more());
                }
                self.is_known_with(source);
                if let Some(refusal) = self.comes_after(&compiled).await? {
                    return Ok(self.refuse(refusal));
                }
                self.land(&source.name, compiled, journal).await
            }
            Err(report) => match self.waits_to_be_built(since).await? {
                Waits::For(refusal) => {
                    self.shared.units.failed(self.unit(), report.read_set, true);
                    Ok(self.refuse(refusal))
                }
                Waits::NoLonger => Ok(self.once_more()),
                Waits::ForNothing => {
                    // A base that cannot be had holds no rotation, as no source does.
                    let is_transient = report.is_transient();
                    let told = self.failed_to_compile(source, report);
                    let rotated = if is_transient { self.land_rotated(journal).await? } else { None };
                    Ok(rotated.unwrap_or(told))
                }
            },
        }
    }

    fn unit(&self) -> Unit {
        Unit::kustomization(&self.key.namespace, &self.key.name)
    }

    fn moment(&self) -> Moment {
        Moment { generation: self.object.generation(), now: Timestamp::now() }
    }

    fn interval(&self) -> Duration {
        self.spec.interval.span()
    }

    fn retry_interval(&self) -> Duration {
        self.spec.retry_interval.as_ref().map_or(self.interval(), |retry| retry.span())
    }

    fn timeout(&self) -> Duration {
        terms::timeout(&self.spec)
    }

    /// How long until drift is looked for.
    fn until_due(&self) -> Duration {
        self.shared.units.until_due(&self.unit(), self.interval())
    }

    async fn journal(&mut self) -> Result<Journal, Error> {
        let world = &self.shared.world;
        let mut journal = Journal::load(world.journals.clone(), &self.unit().to_string(), world.epoch).await?;
        let owned = self.shared.owned.clone();
        journal.mark_by(Arc::new(move |landing| owned.marks(landing)));
        self.good = journal.landed().map(|landed| ReadSet::from_value(&landed.read_set)).unwrap_or_default();
        self.shares = journal.landed().map(|landed| sharing::shares(landed)).unwrap_or_default();
        Ok(journal)
    }

    fn cluster(&self) -> Arc<dyn Cluster> {
        self.shared.world.cluster_of(&self.key.namespace, self.spec.service_account_name.as_deref())
    }

    /// Ends what a crash, or a wait for health, left open; `None` when a newer revision is to land instead.
    async fn resume(&self, journal: &mut Journal) -> Result<Option<Outcome>, Error> {
        let Some(open) = journal.open() else { return Ok(None) };
        // What was refused for good takes no landing's place.
        let refused = inputs::refused(self).map(|read_set| read_set.to_value());
        let about = refused.as_ref().unwrap_or(&open.landing.read_set);
        let superseded = inputs::newer_revision(self, &guard::source_name(self), about);
        self.dismiss(&open.landing.stale);
        let outcome = self.resume_until(superseded, journal).await?;
        Ok(outcome.filter(|outcome| outcome.verdict != Verdict::Superseded))
    }

    /// Tells what came of a landing that an earlier reconciliation, or an earlier process, had begun.
    fn resumed(&mut self, outcome: Outcome) -> Told {
        let is_over = matches!(outcome.verdict, Verdict::Landed | Verdict::Partly | Verdict::Undone);
        if is_over {
            // What was refused beside it may be accepted after it.
            self.shared.units.look_anew(&self.unit());
        }
        let told = self.after(&outcome);
        // Something newer may have come meanwhile.
        if is_over { at_once(told) } else { told }
    }

    fn neighbours(&self, stale: &[Stale]) -> Neighbours {
        Neighbours {
            shared: self.shared.clone(),
            unit: self.unit(),
            source: guard::source_name(self),
            is_impatient: self.object.is_terminating() && self.is_overdue(),
            leaving: claims::units_among(stale.iter().map(|stale| &stale.reference)),
        }
    }

    fn site(&self, superseded: landing::Superseded, stale: &[Stale]) -> landing::Site {
        let neighbours = self.neighbours(stale);
        let (owned, unit, work) = (self.shared.owned.clone(), self.unit(), self.work.clone());
        let lost = Box::new(move |written: &[Object]| owned.lost(&unit, written).boxed());
        let told = Box::new(move |progress: &Progress| {
            if matches!(progress, Progress::Phase(Phase::Health)) {
                work.send_replace(Work::Checking);
            }
        });
        let (judge, others) = (self.judge.clone(), Arc::new(neighbours));
        landing::Site { judge, superseded, lost, others, told, ..landing::Site::alone(self.cluster(), self.unit()) }
    }

    /// Whether nothing that was read has changed; then drift is looked for when the interval is over, and nothing else
    /// is done.
    async fn at_rest(&mut self, journal: &Journal, source: &Fetched) -> Result<Option<Told>, Error> {
        let Some(known) = inputs::last_read(self, journal) else { return Ok(None) };
        if !inputs::is_unchanged(self, source, &known).await? {
            return Ok(None);
        }
        if !known.has_landed {
            return Ok(self.still_held(journal));
        }
        // It stands at a new revision, too. Those that depend on it take that for an answer about what it depends on.
        if !self.is_told_at(&source.revision)
            && let Err(refusal) = guard::dependencies(self, source).await
        {
            return Ok(Some(Told::nothing(Next::After(refusal.next))));
        }
        let is_followed = self.shared.owned.is_followed(&self.unit()) && !self.lists_more(journal);
        let kept = self.shared.claims.kept(&self.unit());
        let is_sure = !kept.is_empty() && claims::is_sure(self.shared, self.key, &self.unit(), &kept);
        if self.has_landed_with_failures(journal)
            || self.is_adrift
            || is_sure
            || self.until_due().is_zero()
                && !self.only_warns()
                && (!is_followed || self.may_drop_versions(journal).await)
        {
            return self.correct_drift(journal, source).await.map(Some);
        }
        if self.until_due().is_zero() {
            self.shared.units.looked_at(&self.unit());
        }
        Ok(Some(self.quietly(journal, source)))
    }

    fn is_told_at(&self, revision: &str) -> bool {
        self.status.last_applied_revision.as_deref() == Some(revision)
    }

    /// Nothing to tell but the handled request; and what has landed, where nobody was left to tell it.
    fn quietly(&mut self, journal: &Journal, source: &Fetched) -> Told {
        let is_told = self.is_told_at(&source.revision) && self.status.conditions.is_true(READY);
        let Some(landed) = journal.landed().filter(|_| !is_told) else {
            triggers::at_rest(self.shared, &self.unit());
            return Told::status(&self.status, Vec::new(), Next::After(self.until_due()));
        };
        let (has_health, read_set) = (self.has_health(), ReadSet::from_value(&landed.read_set));
        let facts = self.facts(&source.revision, &read_set);
        tell::stands(&mut self.status, landed, has_health, &facts);
        // Its parts look once it is told.
        at_once(Told::status(&self.status, Vec::new(), Next::OnEvent))
    }

    /// Lands last-good again: without a build, and without a write where nothing has drifted.
    async fn correct_drift(&mut self, journal: &Journal, source: &Fetched) -> Result<Told, Error> {
        self.shared.units.looked_at(&self.unit());
        let Some(landed) = journal.landed().cloned() else { return Ok(self.quietly(journal, source)) };
        let candidate = Candidate { revision: source.revision.clone(), ..landing::again(&landed) };
        let base = self.base(journal, &candidate);
        let prepared = match self.prepare(candidate, &base).await {
            Ok(prepared) => prepared,
            Err(failures) => {
                let read_set = ReadSet::from_value(&landed.read_set);
                return Ok(self.not_accepted(&source.revision, &read_set, &failures));
            }
        };
        // What was kept and is another unit's by now leaves the inventory.
        let is_whole = self.shared.claims.kept(&self.unit()).is_empty() && !self.has_landed_with_failures(journal);
        if prepared.landing().is_empty() && is_whole {
            // What could not be looked at is not as it landed.
            let (read_set, failures) = (ReadSet::from_value(&landed.read_set), &prepared.landing().failures);
            return Ok(match failures[..] {
                [] => self.quietly(journal, source),
                [..] => self.not_accepted(&source.revision, &read_set, failures),
            });
        }
        let mut journal = self.journal().await?;
        let site = self.site(landing::never(), &prepared.landing().stale);
        let outcome = landing::land(prepared, &mut journal, &site).await?;
        let told = self.after(&outcome);
        // The parts look once it is told, and at rest.
        let is_whole = outcome.verdict == Verdict::Landed && outcome.failures.is_empty();
        Ok(if is_whole { at_once(told) } else { told })
    }

    async fn land(&mut self, source: &SourceName, compiled: Compiled, journal: &mut Journal) -> Result<Told, Error> {
        let read_set = ReadSet::from_value(&compiled.candidate.read_set);
        self.shared.units.compiled(self.unit(), read_set, compiled.secrets.clone());
        for warning in &compiled.warnings {
            tracing::info!(kind = "Kustomization", namespace = self.key.namespace, name = self.key.name, "{warning}");
        }
        let failed = terms::failed_before(journal, &compiled.candidate);
        let base = Base { failed, ..self.base(journal, &compiled.candidate) };
        let prepared = self.prepare(compiled.candidate.clone(), &base).await;
        let prepared = match prepared.and_then(|prepared| prune_guard::check(self.object, &self.status, prepared)) {
            Ok(prepared) => prepared,
            Err(failures) => {
                triggers::refused(self.shared, &compiled, &failures);
                triggers::not_compiled(self.shared, &compiled.problems);
                let read_set = ReadSet::from_value(&compiled.candidate.read_set);
                return Ok(self.not_accepted(&compiled.candidate.revision, &read_set, &failures));
            }
        };
        triggers::not_compiled(self.shared, &compiled.problems);
        if let Some(attempt) = journal.attempt().filter(|_| journal.knows(&prepared)) {
            return Ok(self.held_still(attempt, journal.landed().map(Arc::as_ref)));
        }
        let (rotated, mut prepared) = (triggers::rotated(&prepared), prepared);
        let visit = guests::invite(&mut prepared, &self.unit(), &self.cluster(), self.shared).await;
        let superseded = inputs::newer_revision(self, source, &compiled.candidate.read_set);
        self.dismiss(&prepared.landing().stale);
        let site = landing::Site { guests: visit.clusters.clone(), ..self.site(superseded, &prepared.landing().stale) };
        let outcome = landing::land(prepared, journal, &site).await?;
        waits::until_known(self.shared, &outcome).await;
        self.shared.units.looked_at(&self.unit());
        triggers::landed(self.shared, &outcome, &compiled);
        triggers::taken_back(self.shared, &self.unit(), &outcome, &rotated);
        if self.shared.owned.reported(&self.unit()).is_empty() {
            self.status.conditions.remove(DRIFTED);
        }
        Ok(self.after(&outcome))
    }

    async fn prepare(&self, candidate: Candidate, base: &Base) -> Result<Prepared, Vec<apply::Failure>> {
        let behaviour = terms::behaviour(self.object, &self.spec);
        terms::propose(candidate, behaviour, base, &self.cluster(), &self.shared.world.keys).await
    }

    fn base(&self, journal: &Journal, candidate: &Candidate) -> Base {
        let base = terms::base(Some(journal), &self.status);
        self.shared.claims.beside(&self.unit(), base, candidate, |unit| succession::goes(self.shared, unit))
    }

    /// Notes what the unit holds now; those look who hold something of it, too.
    fn claim(&self, landing: &Landing, marks: &[u64]) {
        self.shared.owned.claim(&self.unit(), landing, marks);
        waits::wake(self.shared, self.shared.claims.landed(&self.unit(), landing));
    }

    /// Tells how far the work on a revision has come.
    fn telling(&self, revision: &str) -> impl Fn(Work) -> BoxFuture<'a, Result<(), ClusterError>> + use<'a> {
        let (shared, key, object, revision) = (self.shared, self.key, self.object, revision.to_owned());
        let (status, generation, timeout) = (self.status.clone(), self.object.generation(), self.timeout());
        move |work| {
            let (mut status, moment) = (status.clone(), Moment { generation, now: Timestamp::now() });
            tell::at_work(&mut status, moment, work, &revision, timeout);
            shared.tell(key, object, Told::status(&status, Vec::new(), Next::OnEvent)).boxed()
        }
    }

    /// Tells what came of a landing.
    fn after(&mut self, outcome: &Outcome) -> Told {
        let (has_health, read_set) = (self.has_health(), ReadSet::from_value(&outcome.landing.read_set));
        let facts = self.facts(&outcome.landing.revision, &read_set);
        if !outcome.failures.is_empty() {
            self.came_to(tell::reason_of(&outcome.failures), &outcome.landing.revision);
        }
        let mut events = tell::landed(&mut self.status, outcome, has_health, &facts);
        if outcome.verdict == Verdict::Superseded {
            let (moment, timeout) = (self.moment(), self.timeout());
            tell::at_work(&mut self.status, moment, Work::Building, &outcome.landing.revision, timeout);
        }
        events.extend(self.begins_to_share(outcome));
        if matches!(outcome.verdict, Verdict::Landed | Verdict::Partly) {
            self.claim(&outcome.landing, &[]);
            self.shared.claims.keeps(&self.unit(), &outcome.kept);
            let is_whole = outcome.verdict == Verdict::Landed;
            waits::landed(self.shared, &self.unit(), is_whole);
        }
        self.dismissed(outcome);
        triggers::secrets_changed(self.shared, outcome);
        let next = match outcome.verdict {
            Verdict::Landed if outcome.failures.is_empty() => Next::After(self.interval()),
            Verdict::Superseded => Next::After(Duration::ZERO),
            _ => Next::After(self.again(&outcome.failures)),
        };
        Told::status(&self.status, events, next)
    }

    fn has_health(&self) -> bool {
        self.spec.wait || !self.spec.health_checks.is_empty()
    }

    fn facts<'b>(&self, revision: &'b str, read_set: &'b ReadSet) -> Facts<'b> {
        let digest = read_set.version(&Thing::Built).unwrap_or_default();
        let is_current = read_set.version(&Thing::Spec) == Some(spec_version(self.object).as_str());
        Facts {
            moment: self.moment(),
            is_current,
            revision,
            digest,
            took: self.began.elapsed(),
            kept: self.kept(read_set),
        }
    }

    /// The versions of secrets that stand where others were tried.
    fn kept(&self, tried: &ReadSet) -> Option<String> {
        resolve::versions_before(&self.good, tried)
    }

    fn failed_to_compile(&mut self, source: &Fetched, report: Report) -> Told {
        let why = crate::status::reason_of_compile(&report.problems);
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        let is_transient = report.is_transient();
        let message = self.shared.world.redactor.redact(&list("nothing was written", &problems)).into_owned();
        self.shared.units.failed(self.unit(), report.read_set, is_transient);
        let told = self.not_ready(source, why, &message);
        let again = self.retry_interval().min(LONGEST_WAIT);
        if is_transient { Told { next: Next::After(again), ..told } } else { told }
    }

    fn not_accepted(&mut self, revision: &str, read_set: &ReadSet, failures: &[apply::Failure]) -> Told {
        let message = list("nothing was written", &tell::texts(failures));
        let is_transient = failures.iter().any(|failure| failure.transient);
        self.shared.units.refused(&self.unit(), is_transient);
        let why = tell::reason_of(failures);
        let is_news = !self.says_already(why, &message);
        self.came_to(why, revision);
        let facts = self.facts(revision, read_set);
        let event = tell::refused(&mut self.status, why, &message, &facts);
        let events = if is_news { vec![event] } else { Vec::new() };
        Told::status(&self.status, events, Next::After(self.again(failures)))
    }

    /// When to try again. Nobody tells when a store has something new.
    fn again(&self, failures: &[apply::Failure]) -> Duration {
        let asks = |failure: &apply::Failure| failure.transient && failure.step == Step::Expand;
        let longest = if failures.iter().any(asks) { LONGEST_WAIT } else { Duration::MAX };
        self.retry_interval().min(longest)
    }

    fn came_to(&mut self, why: &str, revision: &str) {
        let (moment, timeout) = (self.moment(), self.timeout());
        tell::came_to(&mut self.status, moment, Work::of(why), revision, timeout);
    }

    fn not_ready(&mut self, source: &Fetched, why: &str, message: &str) -> Told {
        if Work::of(why) != Work::Fetching {
            self.status.last_attempted_revision = Some(source.revision.clone());
        }
        self.came_to(why, &source.revision);
        let moment = self.moment();
        let is_news = !self.says_already(why, message);
        let event = tell::not_ready(&mut self.status, moment, why, message).at(tell::GROUP, &source.revision);
        let events = if is_news { vec![event] } else { Vec::new() };
        Told::status(&self.status, events, Next::After(self.retry_interval()))
    }

    fn refuse(&mut self, refusal: guard::Refusal) -> Told {
        let guard::Refusal { why, message, next, is_terminal } = refusal;
        if is_terminal {
            return self.stall(why, &message);
        }
        let moment = self.moment();
        let is_news = !self.says_already(why, &message);
        let event = Event { is_warning: false, ..tell::not_ready(&mut self.status, moment, why, &message) };
        let events = if is_news { vec![event] } else { Vec::new() };
        Told::status(&self.status, events, Next::After(next))
    }

    fn stall(&mut self, why: &str, message: &str) -> Told {
        self.wants_nothing();
        let moment = self.moment();
        let is_news = !self.says_already(why, message);
        let event = tell::stalled(&mut self.status, moment, why, message);
        let events = if is_news { vec![event] } else { Vec::new() };
        Told::status(&self.status, events, Next::OnEvent)
    }

    fn says_already(&self, why: &str, message: &str) -> bool {
        let ready = Kustomization::status(self.object).unwrap_or_default();
        let ready = ready.conditions.get(READY).cloned();
        ready.is_some_and(|ready| ready.status == Truth::False && ready.reason == why && ready.message == message)
    }
}

/// Comes back sooner where something is to be done sooner.
fn sooner(told: Told, wait: Option<Duration>) -> Told {
    let next = match (told.next, wait) {
        (Next::After(after), Some(wait)) => Next::After(after.min(wait)),
        (Next::OnEvent, Some(wait)) => Next::After(wait),
        (next, _) => next,
    };
    Told { next, ..told }
}

/// What is told, and another look once it is.
fn at_once(told: Told) -> Told {
    Told { next: Next::After(Duration::ZERO), ..told }
}
