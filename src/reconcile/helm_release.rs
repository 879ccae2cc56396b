//! HelmRelease: tell what its unit did with it; look when it is due; uninstall in the end.
//!
//! A HelmRelease that a Kustomization declares lands with it. Its own reconciliation compares what it asks for with what
//! its unit has read: a newer chart or another release record is an input of the unit that has changed. One that stands
//! alone is a unit itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::{Behaviour, Failure, Outcome, Verdict};
use jiff::Timestamp;
use manifest::{Object, ObjectId};

use super::alone::{self, Landed};
use super::{Error, Key, Shared, Told, triggers};
use crate::api::condition::{READY, reason};
use crate::api::helm::{HelmRelease, HelmReleaseSpec, HelmReleaseStatus};
use crate::api::{FINALIZER, Kind as _, REQUESTED_AT};
use crate::pipeline::expand::{self, Attempt, Rendered, Requests};
use crate::pipeline::{Problem, switch};
use crate::render::target::common_digest;
use crate::status::helm_release::{self as tell, Facts, Fate};
use crate::status::{Moment, Next, unsupported_message};
use crate::unit::{Thing, Unit};

mod uninstall;

/// How soon a release that was taken back with its unit is looked at again.
const SETTLE: Duration = Duration::from_secs(1);

/// What units did with their HelmReleases, to be told by the HelmReleases' own reconciliations.
#[derive(Default)]
pub struct Releases {
    told: Mutex<HashMap<ObjectId, Note>>,
}

/// What is to be told of a HelmRelease.
#[derive(Clone)]
pub enum Note {
    /// It was tried, or is as it should be.
    Tried(Box<Attempt>, Fate),
    /// It could not be tried.
    NotReady {
        /// Reason of the condition.
        why: &'static str,
        /// Its message.
        message: String,
        /// Whether only a changed input helps.
        is_terminal: bool,
    },
}

impl Note {
    /// Of a problem that kept a release from being tried.
    pub fn problem(problem: &Problem) -> Self {
        let why = problem.why.unwrap_or(reason::RECONCILIATION_FAILED);
        let is_terminal = matches!(why, reason::UNSUPPORTED | reason::ACCESS_DENIED | reason::INVALID_CEL_EXPRESSION);
        Self::NotReady { why, message: problem.message.clone(), is_terminal }
    }

    /// Of a release whose landing was refused.
    pub fn refused(rendered: &Rendered, failures: &[Failure]) -> Option<Self> {
        let attempt = rendered.attempt.clone()?;
        attempt.action?;
        Some(Self::Tried(Box::new(attempt), Fate::Refused(format!("nothing was written: {}", texts(failures)))))
    }

    /// Of a release that was part of a landing.
    pub fn landed(rendered: &Rendered, outcome: &Outcome) -> Option<Self> {
        let attempt = Attempt { took: Some(outcome.took), ..rendered.attempt.clone()? };
        let fate = match outcome.verdict {
            _ if outcome.has_landed(&rendered.id) => Fate::Released,
            Verdict::Landed | Verdict::Superseded | Verdict::Waiting => return None,
            // What did not change stands as it stood.
            _ if attempt.action.is_none() => return None,
            Verdict::Partly if !outcome.landing.has_tried(&rendered.id) => {
                return Self::refused(rendered, &outcome.failures);
            }
            Verdict::Partly | Verdict::Undone => Fate::TakenBack(texts(&outcome.failures)),
            Verdict::Held => Fate::Stuck(texts(&outcome.failures)),
        };
        Some(Self::Tried(Box::new(attempt), fate))
    }
}

fn texts(failures: &[Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Releases {
    /// Something is to be told.
    pub fn put(&self, id: ObjectId, note: Note) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, note);
    }

    fn take(&self, id: &ObjectId) -> Option<Note> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

/// One reconciliation at work.
struct Turn<'a> {
    key: &'a Key,
    object: &'a Object,
    spec: HelmReleaseSpec,
    status: HelmReleaseStatus,
    unit: Unit,
    shared: &'a Arc<Shared>,
}

/// Reconciles a HelmRelease.
///
/// # Errors
/// When the API server or the journal fails; everything else is told.
pub(super) async fn reconcile(key: &Key, object: &Object, shared: &Arc<Shared>) -> Result<Told, Error> {
    let mut status = HelmRelease::status(object).unwrap_or_default();
    let moment = Moment { generation: object.generation(), now: Timestamp::now() };
    let mut stall = |why: &str, message: &str| {
        let event = tell::stalled(&mut status, moment, why, message);
        Told::status(&status, event.into_iter().collect(), Next::OnEvent)
    };
    let spec = match HelmRelease::spec(object) {
        Ok(spec) => spec,
        Err(error) => return Ok(stall(reason::RECONCILIATION_FAILED, &error.to_string())),
    };
    let unsupported = HelmRelease::unsupported(object.value());
    let is_terminating = object.is_terminating();
    if !unsupported.is_empty() && !spec.suspend && !is_terminating {
        return Ok(stall(reason::UNSUPPORTED, &unsupported_message(&unsupported)));
    }
    let unit = triggers::unit_of(shared, object);
    let turn = Turn { key, object, spec, status, unit, shared };
    if is_terminating {
        return uninstall::finalize(turn).await;
    }
    shared.set_finalizer(key, object, FINALIZER, true).await?;
    if turn.spec.suspend {
        let status = HelmReleaseStatus { observed_generation: object.generation(), ..turn.status };
        return Ok(Told::status(&status, Vec::new(), Next::OnEvent));
    }
    turn.run().await
}

/// Whether its status says that what it asks for now is there.
pub(super) fn is_settled(object: &Object) -> bool {
    let status = HelmRelease::status(object).unwrap_or_default();
    status.conditions.is_true(READY) && status.observed_generation == object.generation()
}

impl Turn<'_> {
    async fn run(mut self) -> Result<Told, Error> {
        self.status.last_handled_reconcile_at = self.object.annotation(REQUESTED_AT).map(str::to_owned);
        if self.is_alone() {
            return self.land().await;
        }
        if let Some(note) = self.shared.releases.take(&self.object.id()) {
            return self.told(note).await;
        }
        self.look().await
    }

    fn is_alone(&self) -> bool {
        self.unit == Unit::of(&self.key.reference())
    }

    fn moment(&self) -> Moment {
        Moment { generation: self.object.generation(), now: Timestamp::now() }
    }

    fn interval(&self) -> Duration {
        self.spec.interval.span()
    }

    /// As whom the release is written: as its unit is.
    fn user(&self) -> Option<String> {
        if self.is_alone() {
            return self.shared.world.user_of(&self.key.namespace, self.spec.service_account_name.as_deref());
        }
        let unit = triggers::key_of(&self.unit).and_then(|key| self.shared.index.get(&key));
        let account = unit.as_ref().and_then(|unit| unit.text("/spec/serviceAccountName"));
        self.shared.world.user_of(&self.unit.namespace, account)
    }

    /// Looks for an input of the unit that has changed; one that has is the unit's to land.
    async fn look(mut self) -> Result<Told, Error> {
        let look = match expand::look(self.object, &self.shared.world, self.user()).await {
            Ok(look) => look,
            Err(problem) if problem.transient => return Ok(self.retry(&problem)),
            Err(problem) => return self.told(Note::problem(&problem)).await,
        };
        let is_ready = self.status.conditions.is_true(READY);
        // After a failed landing the records differ as long as no input changes.
        let is_foreign =
            look.current.is_none() && is_ready && self.status.observed_generation == self.object.generation();
        let version = match is_foreign {
            true => format!("revision {} is not ours", look.history.next_revision()),
            false => look.chart.clone(),
        };
        let is_news = self.shared.units.saw(self.thing(), &version);
        if let Some(unit) = triggers::key_of(&self.unit).filter(|_| is_news) {
            self.shared.queue.add(unit);
        }
        match look.current {
            Some(current) if !look.is_forced => self.told(Note::Tried(Box::new(current), Fate::Released)).await,
            _ => Ok(Told::status(&self.status, Vec::new(), Next::After(self.interval()))),
        }
    }

    /// The chart, as a read-set calls it.
    fn thing(&self) -> Thing {
        Thing::Chart { release: format!("{}/{}", self.key.namespace, self.key.name) }
    }

    fn retry(&mut self, problem: &Problem) -> Told {
        let why = problem.why.unwrap_or(reason::ARTIFACT_FAILED);
        let moment = self.moment();
        let event = tell::not_ready(&mut self.status, moment, why, &problem.message);
        let next = Next::After(self.shared.world.settings.requeue_dependency.max(Duration::from_secs(1)));
        Told::status(&self.status, event.into_iter().collect(), next)
    }

    /// Lands a release that stands alone.
    async fn land(mut self) -> Result<Told, Error> {
        let rollout = switch(self.object, "rollout") != Some("disabled");
        let timeout = self.spec.timeout.as_ref().map_or(Duration::from_secs(300), |timeout| timeout.span());
        let behaviour = Behaviour { prune: true, rollout, timeout, ..Behaviour::default() };
        match alone::land(self.object, behaviour, self.shared).await? {
            Landed::Ended(outcome, expanded) => {
                let own = self.object.id();
                for rendered in expanded.rendered.iter().filter(|rendered| rendered.id != own) {
                    triggers::released(self.shared, &rendered.id, Note::landed(rendered, &outcome));
                }
                let rendered = expanded.rendered.iter().find(|rendered| rendered.id == own);
                match rendered.and_then(|rendered| Note::landed(rendered, &outcome)) {
                    Some(note) => self.told(note).await,
                    None => Ok(Told::status(&self.status, Vec::new(), Next::After(Duration::ZERO))),
                }
            }
            Landed::AtRest(expanded) => match expanded.rendered.into_iter().find_map(|rendered| rendered.attempt) {
                Some(attempt) => self.told(Note::Tried(Box::new(attempt), Fate::Released)).await,
                None => Ok(Told::nothing(Next::After(self.interval()))),
            },
            Landed::Held => Ok(Told::status(&self.status, Vec::new(), Next::After(self.interval()))),
            Landed::NotExpanded(problems) => match problems.iter().find(|problem| problem.transient) {
                Some(problem) => Ok(self.retry(problem)),
                None => self.told(Note::problem(&joined(&problems))).await,
            },
            Landed::Refused(failures, expanded) => {
                let note = expanded.rendered.iter().find_map(|rendered| Note::refused(rendered, &failures));
                match note {
                    Some(note) => self.told(note).await,
                    None => Ok(Told::nothing(Next::After(self.interval()))),
                }
            }
        }
    }

    async fn told(&mut self, note: Note) -> Result<Told, Error> {
        let moment = self.moment();
        let next = Next::After(self.interval());
        let (attempt, fate) = match note {
            Note::Tried(attempt, fate) => (attempt, fate),
            Note::NotReady { why, message, is_terminal: true } => {
                let event = tell::stalled(&mut self.status, moment, why, &message);
                return Ok(Told::status(&self.status, event.into_iter().collect(), Next::OnEvent));
            }
            Note::NotReady { why, message, .. } => {
                let event = tell::not_ready(&mut self.status, moment, why, &message);
                return Ok(Told::status(&self.status, event.into_iter().collect(), next));
            }
        };
        let history = match expand::records(self.object, &self.shared.world, self.user()).await {
            Ok(history) => history,
            Err(problem) => return Ok(self.retry(&problem)),
        };
        self.handle_requests(&attempt.requests);
        let common_digest = common_digest(self.spec.common_metadata.as_ref());
        let facts = Facts { attempt: &attempt, history: &history, common_digest, moment };
        let events = tell::told(&mut self.status, &fate, &facts);
        // Its own spec was taken back with it, or more was asked for meanwhile: the next look tells how it stands now.
        let is_taken_back = matches!(fate, Fate::TakenBack(_)) && !self.is_alone();
        let is_behind = attempt.requests != Requests::of(self.object);
        let next = if is_taken_back || is_behind { Next::After(SETTLE) } else { next };
        Ok(Told::status(&self.status, events, next))
    }

    /// Notes the requests that an attempt has answered. One to reset makes it the first.
    fn handle_requests(&mut self, requests: &Requests) {
        if requests.asks_for(&requests.reset, self.status.last_handled_reset_at.as_deref()) {
            tell::forget_failures(&mut self.status);
        }
        let Requests { force, reset, .. } = requests.clone();
        self.status.last_handled_force_at = force.or(self.status.last_handled_force_at.take());
        self.status.last_handled_reset_at = reset.or(self.status.last_handled_reset_at.take());
    }
}

/// Several problems as one.
fn joined(problems: &[Problem]) -> Problem {
    let message = problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ");
    let first = problems.first().cloned();
    let first = first.unwrap_or_else(|| Problem::general(crate::pipeline::Stage::Render, ""));
    Problem { message, ..first }
}
