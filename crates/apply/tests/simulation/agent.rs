//! The agent, as `src/reconcile` has it: ends what is open, lands what is wanted, corrects drift, rests.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apply::cleanup::{Cleanup, Manager};
use apply::desired::{Candidate, Declarer, Desired};
use apply::journal::Attempt;
use apply::report::Step;
use apply::{
    Base, Behaviour, Clock, Cluster, Context, Health, HealthScope, Journal, LandingScope, OnFailure, Outcome, Phase,
    Reading, Reference, StoreError, Verdict, Waited,
};
use futures::future::{BoxFuture, FutureExt as _, select};
use manifest::Object;
use serde_json::Value;

use super::candidate;
use super::followed::{Awaited, Followed};
use super::journal::Entries;
use super::repository::{Flaw, OWNER};
use super::rest;
use super::spoil::{self, Spoilt};
use super::standing::Standing;
use super::world::{Wire, World};

/// The unit's name in the journal.
pub(crate) const UNIT: &str = "Kustomization/flux-system/app";
/// Pause after what may pass.
const RETRY: Duration = Duration::from_secs(10);
/// Pause of a new process, until the lease of the last one is over.
const LEASE: Duration = Duration::from_secs(35);
/// How long a landing may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What comes after a reconciliation.
enum Next {
    Again,
    Later,
    Rest,
}

/// One process.
pub(crate) struct Agent {
    world: Arc<World>,
    epoch: u64,
    /// Inputs that the server refused, with the number of events at that time.
    refused: BTreeSet<(String, u64)>,
    /// Doings of others when drift was last looked for.
    looked: Option<u64>,
    /// In stories of watches: what they tell, instead of that.
    followed: Option<Followed>,
}

/// A process's life. It ends when it finds that its lease is over.
pub(crate) async fn live(world: Arc<World>, epoch: u64) {
    let mut agent = Agent { world: world.clone(), epoch, refused: BTreeSet::new(), looked: None, followed: None };
    agent.followed = world.watched.then(|| Followed::new(&*agent.cluster(), agent.is_trusting()));
    if epoch > 1 {
        world.time.sleep(LEASE).await;
    }
    while world.state().epoch == epoch {
        let events = {
            let mut state = world.state();
            state.passes += 1;
            state.events
        };
        match agent.pass().await {
            Next::Again => {}
            Next::Later => world.time.sleep(RETRY).await,
            Next::Rest if world.state().events != events => {}
            // Who hears nothing cannot know whether it may rest.
            Next::Rest if world.watched && world.memory.is_silent() => world.time.sleep(RETRY * 2).await,
            Next::Rest if agent.followed.as_ref().is_some_and(Followed::is_suspect) => {}
            Next::Rest => {
                rest::check(&world);
                agent.rest().await;
            }
        }
    }
}

impl Agent {
    /// Ends with the next event, or when a watch tells something.
    async fn rest(&self) {
        let event = self.world.clone().rest(self.epoch);
        match &self.followed {
            None => event.await,
            Some(followed) => {
                select(pin!(event), pin!(followed.news())).await;
            }
        }
        self.world.state().resting.retain(|(resting, _)| *resting != self.epoch);
    }

    fn is_trusting(&self) -> bool {
        self.world.spoilt == Some(Spoilt::TrustsWatches)
    }

    async fn pass(&mut self) -> Next {
        let world = self.world.clone();
        let mut journal = match self.journal().await {
            Ok(journal) => journal,
            Err(next) => return next,
        };
        if let Some(open) = journal.open() {
            world.state().ledger.taken_over(self.epoch);
            let parts = Parts::new(self, &open.landing.input, self.held(&journal));
            match apply::resume(&mut journal, &parts.context()).await {
                Err(error) => return self.failed(&error.to_string()),
                Ok(Some(outcome)) if outcome.verdict != Verdict::Superseded => {
                    // What was refused beside it may be accepted after it.
                    self.refused.clear();
                    return self.ended(&outcome);
                }
                Ok(_) => {}
            }
        }
        let (head, input, events) = {
            let state = world.state();
            let head = state.snapshots.len() - 1;
            (head, state.snapshots[head].input.clone(), state.events)
        };
        let is_held = self.held(&journal).contains(&input);
        if is_held && journal.open().is_some_and(|open| open.phase == Phase::Held) {
            return Next::Rest;
        }
        let is_whole = journal.attempt().is_none_or(|attempt| attempt.read_set.as_str() != Some(&input));
        let has_landed = is_whole && journal.landed().is_some_and(|landed| landed.input == input);
        // What is held does not supersede: then last-good is planned anew.
        if is_held || (has_landed && journal.open().is_none()) {
            return self.correct_drift(journal).await;
        }
        let wanted = candidate::of(&world, head, journal.landed().map(AsRef::as_ref));
        let standing = world.state().snapshots[head].standing.clone();
        match self.land(wanted, Some(standing), journal).await {
            Ok(next) => {
                // Who goes on after failures may have deleted what it could not make anew.
                if world.terms.on_failure == OnFailure::Continue && matches!(next, Next::Again) {
                    self.looked = None;
                }
                let has_begun = matches!(next, Next::Again);
                if has_begun && world.state().ledger.phase() == Some("held") {
                    self.refused.insert((input, events));
                }
                next
            }
            Err(true) => Next::Later,
            Err(false) => {
                self.refused.insert((input, events));
                Next::Again
            }
        }
    }

    /// Inputs that are not to be tried again before something happens.
    fn held(&self, journal: &Journal) -> BTreeSet<String> {
        let events = self.world.state().events;
        let refused = self.refused.iter().filter(|(_, then)| *then == events).map(|(input, _)| input.clone());
        let attempt = journal.attempt().filter(|attempt| !attempt.transient);
        refused.chain(attempt.and_then(|attempt| attempt.read_set.as_str().map(str::to_owned))).collect()
    }

    async fn journal(&self) -> Result<Journal, Next> {
        let store = Arc::new(Entries(self.cluster(), self.world.clone()));
        Journal::load(store, UNIT, self.epoch).await.map_err(|error| self.failed(&error.to_string()))
    }

    fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::new(self.wire())
    }

    fn wire(&self) -> Wire {
        Wire { world: self.world.clone(), epoch: self.epoch, followed: self.followed.clone() }
    }

    fn failed(&self, error: &str) -> Next {
        let epoch = self.epoch;
        self.world.say(|| format!("agent {epoch}: {error}"));
        Next::Later
    }

    /// Compares and lands; `Err` when it is refused, and whether that may pass.
    async fn land(
        &self,
        wanted: Candidate,
        standing: Option<Arc<Standing>>,
        mut journal: Journal,
    ) -> Result<Next, bool> {
        let input = wanted.input.clone();
        if let Some(standing) = &standing {
            match self.create(&wanted, standing, &mut journal).await {
                Ok(Some(outcome)) => return Ok(self.ended(&outcome)),
                Ok(None) => {}
                Err(error) => return Ok(self.failed(&error.to_string())),
            }
        }
        let is_again = |attempt: &&Attempt| standing.is_some() && attempt.read_set.as_str() == Some(&input);
        let failed = journal.attempt().filter(is_again).map(|attempt| attempt.failed.clone()).unwrap_or_default();
        let base = Base {
            landed: journal.landed().map(|landed| landed.as_ref().clone()),
            superseded: journal.open().map(|open| open.landing.as_ref().clone()),
            inventory: self.world.state().inventory.iter().cloned().chain(journal.undeleted()).collect(),
            failed,
            ..Base::default()
        };
        self.world.state().ledger.proposed(self.epoch);
        let proposed = apply::propose(wanted, self.behaviour(), &base, &self.cluster(), &self.seal()).await;
        let prepared = match proposed {
            Ok(prepared) => prepared,
            Err(failures) => {
                let epoch = self.epoch;
                self.world.say(|| format!("agent {epoch}: {input} is refused: {}", told(&failures)));
                return Err(failures.iter().any(|failure| failure.transient));
            }
        };
        // What had failed is landed once more: that tells that it is well now.
        let is_whole = journal.open().is_none() && !journal.is_unfinished() && !self.world.state().is_unpruned;
        if standing.is_none() && prepared.landing().is_empty() && is_whole {
            // What could not be looked at is not as it landed.
            let failures = &prepared.landing().failures;
            return if failures.is_empty() { Ok(Next::Rest) } else { Err(failures.iter().any(|f| f.transient)) };
        }
        if let Some(attempt) = journal.attempt().filter(|_| journal.knows(&prepared)) {
            return Ok(if attempt.transient { Next::Later } else { Next::Again });
        }
        let begun = self.world.state().ledger.begun(self.epoch, prepared.landing(), standing);
        if let Err(rule) = begun {
            self.world.break_rule(rule);
        }
        let parts = Parts::new(self, &input, self.held(&journal));
        match apply::land(prepared, &mut journal, &parts.context()).await {
            Ok(outcome) => Ok(self.ended(&outcome)),
            Err(error) => Ok(self.failed(&error.to_string())),
        }
    }

    async fn create(
        &self,
        wanted: &Candidate,
        standing: &Arc<Standing>,
        journal: &mut Journal,
    ) -> Result<Option<Outcome>, StoreError> {
        self.world.state().ledger.makes(self.epoch, &wanted.input, standing);
        let parts = Parts::new(self, &wanted.input, self.held(journal));
        apply::create(wanted, &self.behaviour(), &self.seal(), journal, &parts.context()).await
    }

    /// Lands last-good again, where others have done something since that was looked for; in the end once more, which
    /// must write nothing.
    async fn correct_drift(&mut self, journal: Journal) -> Next {
        let Some(landed) = journal.landed().cloned() else {
            self.followed.iter().for_each(Followed::look);
            return Next::Rest;
        };
        let (doings, is_last, writes, is_unpruned) = {
            let state = self.world.state();
            (state.doings, state.is_last, state.ledger.writes(), state.is_unpruned)
        };
        let is_calm = self.followed.as_ref().map_or(self.looked == Some(doings), |followed| !followed.is_suspect());
        let is_unfinished = journal.is_unfinished();
        let is_known = is_calm && !is_unpruned && !is_unfinished;
        if is_known && !is_last {
            return Next::Rest;
        }
        self.followed.iter().for_each(Followed::look);
        let next = match self.land(candidate::again(&landed), None, journal).await {
            Ok(next) => next,
            Err(may_pass) => {
                self.followed.iter().for_each(Followed::doubts);
                // What has landed but for an object that cannot land is tried at each interval, in vain.
                let state = self.world.state();
                let mut snapshots = state.snapshots.iter();
                let is_flawed =
                    snapshots.any(|known| known.input == landed.input && known.repository.is_flawed(Flaw::Invalid));
                let is_left = is_unfinished && !may_pass && is_flawed;
                return if is_left { Next::Rest } else { Next::Later };
            }
        };
        match next {
            Next::Rest => self.followed.iter().for_each(Followed::rests),
            _ => self.followed.iter().for_each(Followed::doubts),
        }
        let has_written = self.world.state().ledger.writes() > writes;
        if is_known && has_written && self.world.state().doings == doings {
            self.world.break_rule("at rest, and it writes: nothing had happened since the last look".into());
        }
        if matches!(next, Next::Rest) && !is_known {
            self.looked = Some(doings);
            return Next::Again;
        }
        next
    }

    fn ended(&self, outcome: &Outcome) -> Next {
        let (epoch, input) = (self.epoch, &outcome.landing.input);
        self.world.say(|| {
            let failures = told(&outcome.failures);
            format!("agent {epoch}: {input} {:?} {failures}", outcome.verdict)
        });
        self.list(outcome);
        match outcome.verdict {
            Verdict::Landed if !outcome.failures.is_empty() => Next::Later,
            Verdict::Landed | Verdict::Superseded => Next::Again,
            // What could not be deleted is tried again, as long as it takes.
            Verdict::Partly if outcome.failures.iter().any(|failure| failure.step == Step::Prune) => Next::Later,
            Verdict::Undone | Verdict::Partly if !outcome.failures.iter().all(|failure| failure.transient) => {
                Next::Again
            }
            Verdict::Held if self.world.state().ledger.phase() == Some("held") => Next::Again,
            _ => Next::Later,
        }
    }

    /// The inventory of the unit's status, as `src/status/kustomization.rs` keeps it: what landed, what should be gone
    /// and is not, and what undoing has left in place.
    fn list(&self, outcome: &Outcome) {
        let mut state = self.world.state();
        if matches!(outcome.verdict, Verdict::Landed | Verdict::Partly) {
            let is_of_unit = |desired: &&Desired| matches!(desired.declarer, Declarer::Unit | Declarer::Version(_));
            let landed = outcome.landing.changes().map(|change| &change.desired).filter(is_of_unit);
            let before = std::mem::replace(&mut state.inventory, landed.map(Desired::reference).collect());
            if outcome.verdict == Verdict::Partly {
                state.inventory.extend(before.into_iter().filter(|at| !outcome.pruned.contains(&at.id())));
            } else {
                state.is_unpruned = outcome.failures.iter().any(|failure| failure.step != Step::Health);
            }
        }
        let has_failed = |at: &&Reference| outcome.failures.iter().any(|failure| failure.id == Some(at.id()));
        let stale = outcome.landing.stale.iter().map(|stale| &stale.reference);
        state.inventory.extend(stale.filter(has_failed).chain(&outcome.left_in_place).cloned());
    }

    fn seal(&self) -> impl Fn(&[u8]) -> String + Send + Sync + use<> {
        let (spoilt, epoch) = (self.world.spoilt, self.epoch);
        move |bytes| spoil::sealed(spoilt, epoch, candidate::seal(bytes))
    }

    fn behaviour(&self) -> Behaviour {
        Behaviour {
            prune: true,
            scope: if self.world.spoilt == Some(Spoilt::LandsInParts) {
                LandingScope::Parcel
            } else {
                self.world.terms.scope
            },
            on_failure: self.world.terms.on_failure,
            is_versioned: self.world.terms.versioned,
            health: if self.world.terms.waits { HealthScope::All } else { HealthScope::None },
            timeout: TIMEOUT,
            owner_labels: vec![(OWNER.0.into(), OWNER.1.into())],
            // As the agent has it: its own updates are what undoing restored.
            cleanup: Cleanup {
                managers: vec![Manager { prefix: candidate::MANAGER.into(), applies: false }],
                ..Cleanup::default()
            },
            ..Behaviour::default()
        }
    }
}

fn told(failures: &[apply::Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What a landing needs besides the plan.
struct Parts {
    wire: Wire,
    /// What is being landed.
    input: String,
    /// What does not supersede it.
    held: BTreeSet<String>,
}

impl Parts {
    fn new(agent: &Agent, input: &str, held: BTreeSet<String>) -> Self {
        Self { wire: agent.wire(), input: input.into(), held }
    }

    fn context(&self) -> Context<'_> {
        Context {
            cluster: Arc::new(self.wire.clone()),
            clock: self,
            health: self,
            others: &apply::Alone,
            progress: &|_| {},
        }
    }

    /// How often something of ours was told to be gone.
    fn losses(&self) -> u64 {
        self.wire.followed.as_ref().map_or(0, Followed::take)
    }

    fn is_superseded(&self) -> bool {
        let state = self.wire.world.state();
        state.snapshots.last().is_some_and(|head| head.input != self.input && !self.held.contains(&head.input))
    }
}

impl Clock for Parts {
    fn now(&self) -> Duration {
        self.wire.world.time.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.wire.world.time.sleep(duration)
    }
}

impl Health for Parts {
    fn wait<'a>(&'a self, targets: &'a [Reference], reading: Reading, timeout: Duration) -> BoxFuture<'a, Waited> {
        async move {
            if self.wire.world.spoilt == Some(Spoilt::HealthNotAwaited) && reading == Reading::Unit {
                return Waited::Healthy;
            }
            let end = self.now() + timeout;
            let (doings, losses) = (self.wire.world.state().doings, self.losses());
            let is_trusting = self.wire.world.spoilt == Some(Spoilt::TrustsWatches);
            let followed = self.wire.followed.as_ref();
            let mut awaited = followed.map(|_| Awaited::new(&self.wire, targets, is_trusting));
            loop {
                let (mut failed, mut pending) = (Vec::new(), Vec::new());
                for target in targets {
                    let live = match &mut awaited {
                        // In the end it is read: a watch may have fallen silent.
                        Some(awaited) if self.now() < end => awaited.get(target).cloned(),
                        _ => self.wire.world.get(target),
                    };
                    match state(live.as_ref()) {
                        State::Ready => {}
                        State::Failed => failed.push((target.id(), "crash loop".to_owned())),
                        State::Pending => pending.push((target.id(), "in progress".to_owned())),
                    }
                }
                if reading == Reading::Unit && self.is_superseded() {
                    return Waited::Superseded;
                }
                let has_changed = match followed {
                    Some(_) => self.losses() != losses,
                    None => self.wire.world.state().doings != doings,
                };
                if reading == Reading::Unit && has_changed {
                    return Waited::Disturbed;
                }
                if failed.is_empty() && pending.is_empty() {
                    return Waited::Healthy;
                }
                if !failed.is_empty() || self.now() >= end {
                    return Waited::Unhealthy { failed, pending };
                }
                self.sleep(Duration::from_secs(2)).await;
            }
        }
        .boxed()
    }
}

enum State {
    Ready,
    Pending,
    Failed,
}

/// Health as kstatus has it, of the kinds of the story.
fn state(live: Option<&Object>) -> State {
    let Some(live) = live.filter(|live| !live.is_terminating()) else { return State::Pending };
    let number = |pointer: &str| live.value().pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    if live.text("/spec/template/metadata/labels/testbed~1fail").is_some() {
        return State::Failed;
    }
    let is_seen = number("/status/observedGeneration") == live.generation();
    let is_ready = match live.kind() {
        "Deployment" | "StatefulSet" => {
            let wanted = number("/spec/replicas");
            is_seen && number("/status/updatedReplicas") == wanted && number("/status/readyReplicas") == wanted
        }
        "DaemonSet" => is_seen && number("/status/numberAvailable") == 1,
        "Job" => number("/status/succeeded") == 1,
        _ => true,
    };
    if is_ready { State::Ready } else { State::Pending }
}
