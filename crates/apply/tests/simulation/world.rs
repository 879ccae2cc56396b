//! The world of one story: a cluster in memory, time, what was committed, and the wire on which requests fail.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apply::memory::{Gap, MemoryCluster, Settings, Simulation};
use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use manifest::Object;
use serde_json::{Value, json};

use super::followed::Followed;
use super::ledger::Ledger;
use super::repository::Repository;
use super::scenario::{Fault, Scenario, Terms};
use super::spoil::{self, Spoilt};
use super::standing::Standing;
use super::time::{Time, turn};

/// Namespace of the journal.
pub(crate) const OWN: &str = "lockstep";
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What was wanted at one time.
pub(crate) struct Snapshot {
    pub(crate) repository: Repository,
    pub(crate) input: String,
    /// The same object by object.
    pub(crate) standing: Arc<Standing>,
}

impl Snapshot {
    pub(crate) fn new(repository: Repository, input: String) -> Self {
        let standing = Arc::new(repository.standing());
        Self { repository, input, standing }
    }
}

/// Everything that changes.
pub(crate) struct State {
    pub(crate) snapshots: Vec<Snapshot>,
    /// Faults to come, by number of requests since the last event.
    pub(crate) faults: std::collections::BTreeMap<u64, Fault>,
    /// What happens to watches, likewise.
    pub(crate) gaps: std::collections::BTreeMap<u64, Gap>,
    /// Requests since the last event.
    pub(crate) calls: u64,
    /// Requests altogether.
    pub(crate) all_calls: u64,
    /// Reconciliations since the last event or fault.
    pub(crate) passes: u64,
    /// Counts events; whoever rests is woken by them.
    pub(crate) events: u64,
    /// Counts what others do to the cluster: watches tell of it.
    pub(crate) doings: u64,
    /// Wakers of those at rest.
    pub(crate) resting: Vec<(u64, std::task::Waker)>,
    /// The lease's: the agent of a lower one may write no more.
    pub(crate) epoch: u64,
    /// The agent whose process is gone.
    pub(crate) crashed: Option<u64>,
    /// Whether a failure since the last commit may hold it.
    pub(crate) may_hold: bool,
    /// Whether nothing is to come any more.
    pub(crate) is_last: bool,
    /// What the unit's status lists.
    pub(crate) inventory: std::collections::BTreeSet<Reference>,
    /// Whether the status says that a deletion has failed.
    pub(crate) is_unpruned: bool,
    pub(crate) ledger: Ledger,
    pub(crate) terms: Terms,
    /// Requests that a spoilt engine sends later.
    pub(crate) held_back: Vec<Call>,
    /// The first broken rule.
    pub(crate) violation: Option<String>,
    pub(crate) trace: Option<Vec<String>>,
}

/// Shared by all.
pub(crate) struct World {
    pub(crate) time: Arc<Time>,
    pub(crate) memory: MemoryCluster,
    pub(crate) terms: Terms,
    /// Whether the agent knows only what watches tell it.
    pub(crate) watched: bool,
    /// What the engine is made to do wrong.
    pub(crate) spoilt: Option<Spoilt>,
    state: Mutex<State>,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, traced: bool) -> Arc<Self> {
        let simulation = Some(Simulation { steps: scenario.steps });
        let memory = MemoryCluster::new(Settings { seed: scenario.seed, simulation, ..Settings::default() });
        let state = State {
            snapshots: vec![Snapshot::new(Repository::default(), "0".into())],
            faults: std::collections::BTreeMap::new(),
            gaps: std::collections::BTreeMap::new(),
            calls: 0,
            all_calls: 0,
            passes: 0,
            events: 0,
            doings: 0,
            resting: Vec::new(),
            epoch: 1,
            crashed: None,
            may_hold: false,
            is_last: false,
            is_unpruned: false,
            inventory: std::collections::BTreeSet::new(),
            ledger: Ledger::default(),
            terms: scenario.terms,
            held_back: Vec::new(),
            violation: None,
            trace: traced.then(Vec::new),
        };
        let time = Arc::new(Time::default());
        let Scenario { terms, watched, spoilt, .. } = *scenario;
        let world = Arc::new(Self { time, memory, terms, watched, spoilt, state: Mutex::new(state) });
        let namespace = |name: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        world.put(namespace(OWN));
        world.put(super::repository::external_secrets());
        let _ = world.ask(Call::Discover);
        if !scenario.declares_namespace() {
            world.put(namespace(super::repository::NAMESPACE));
        }
        world
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Tells the trace.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        let now = self.time.now().as_secs();
        if let Some(trace) = &mut self.state().trace {
            trace.push(format!("{now:>6}s {}", line()));
        }
    }

    /// A rule is broken.
    pub(crate) fn break_rule(&self, rule: String) {
        self.state().violation.get_or_insert(rule);
    }

    /// A request of nobody in particular, outside the story's time.
    pub(crate) fn ask(&self, call: Call) -> Result<Answer, ClusterError> {
        self.memory.call(call).now_or_never().expect("the memory answers at once")
    }

    pub(crate) fn get(&self, at: &Reference) -> Option<Object> {
        match self.ask(Call::Get(at.clone())) {
            Ok(Answer::Object(object)) => object,
            _ => None,
        }
    }

    pub(crate) fn list(&self, version: &str, kind: &str) -> Vec<Object> {
        match self.ask(Call::List(Selection::all(version, kind))) {
            Ok(Answer::Objects(objects)) => objects,
            _ => Vec::new(),
        }
    }

    /// Others apply something.
    pub(crate) fn put(&self, value: Value) -> Option<Object> {
        let Ok(object) = Object::new(value) else { return None };
        let call = Call::Apply { object, manager: "others".into(), force: true, dry_run: false, subresource: None };
        match self.ask(call) {
            Ok(Answer::Object(object)) => object,
            _ => None,
        }
    }

    /// Ends with the next event.
    pub(crate) fn rest(self: Arc<Self>, epoch: u64) -> impl Future<Output = ()> + Send {
        let seen = self.state().events;
        futures::future::poll_fn(move |context| {
            let mut state = self.state();
            if state.events != seen {
                return std::task::Poll::Ready(());
            }
            state.resting.retain(|(resting, _)| *resting != epoch);
            state.resting.push((epoch, context.waker().clone()));
            std::task::Poll::Pending
        })
    }
}

/// The cluster as one agent reaches it.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) world: Arc<World>,
    pub(crate) epoch: u64,
    /// What watches tell the agent.
    pub(crate) followed: Option<Followed>,
}

impl Wire {
    async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        turn().await;
        let fault = {
            let mut state = self.world.state();
            state.calls += 1;
            state.all_calls += 1;
            let number = state.calls;
            if let Some(gap) = state.gaps.remove(&number) {
                state.passes = 0;
                self.world.memory.disturb(gap);
            }
            // Only writes conflict.
            let fits = |fault: &Fault| *fault != Fault::Conflict || call.is_write();
            let fault = state.faults.remove(&number).filter(fits);
            if let Some(fault) = fault {
                state.passes = 0;
                state.may_hold |= fault.is_final();
            }
            fault
        };
        if let Some(pause) = spoil::freeze(self, &call) {
            self.world.time.sleep(pause).await;
        }
        let answer = self.suffer(fault, &call).await;
        if self.world.spoilt != Some(Spoilt::TriesNothing) {
            super::ledger::tried(&self.world, self.epoch, &call, &answer);
        }
        self.followed.iter().for_each(|followed| followed.noted(&call, &answer));
        let (number, epoch) = (self.world.state().calls, self.epoch);
        self.world.say(|| {
            let at = call.reference().map(|at| at.id().to_string()).unwrap_or_default();
            let dry = if call.is_write() || matches!(call.verb(), "get" | "list" | "scope" | "discover") {
                ""
            } else {
                "try "
            };
            let fault = fault.map(|fault| format!(" [{fault:?}]")).unwrap_or_default();
            let end = answer.as_ref().err().map(|error| format!(" -> {error}")).unwrap_or_default();
            format!("agent {epoch} #{number}: {dry}{} {at}{fault}{end}", call.verb())
        });
        answer
    }

    async fn suffer(&self, fault: Option<Fault>, call: &Call) -> Result<Answer, ClusterError> {
        let id = call.reference().map(|at| at.id());
        let gone = || ClusterError::Unknown { id: id.clone(), message: "the answer was lost".into() };
        match fault {
            None => self.deliver(call),
            Some(Fault::Unavailable) => {
                Err(ClusterError::Unavailable { id, message: "no endpoints".into(), retry_after: None })
            }
            Some(Fault::TooMany) => {
                let retry_after = Some(Duration::from_secs(3));
                Err(ClusterError::Unavailable { id, message: "too many requests".into(), retry_after })
            }
            Some(Fault::Lost) => {
                self.deliver(call)?;
                Err(gone())
            }
            Some(Fault::Late) => {
                self.world.time.sleep(DEADLINE).await;
                self.deliver(call)?;
                Err(gone())
            }
            Some(Fault::Slow) => {
                self.world.time.sleep(DEADLINE / 2).await;
                self.deliver(call)
            }
            Some(Fault::Conflict) => match id {
                Some(id) => Err(ClusterError::Conflict { id, message: "somebody else wrote".into() }),
                None => Err(gone()),
            },
            // Policies judge what is written, or would be; of reads only rights are asked.
            Some(Fault::Refused) if !matches!(call.verb(), "get" | "list" | "scope" | "discover") => {
                Err(ClusterError::Refused { id, message: "a policy refuses it".into(), fields: Vec::new() })
            }
            Some(Fault::Refused | Fault::Forbidden) => {
                Err(ClusterError::Forbidden { id, message: "no role allows it".into() })
            }
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::CrashAfter) => {
                let _ = self.deliver(call);
                self.crash().await
            }
        }
    }

    async fn crash(&self) -> Result<Answer, ClusterError> {
        self.world.state().crashed = Some(self.epoch);
        self.world.state().held_back.clear();
        futures::future::pending().await
    }

    fn deliver(&self, call: &Call) -> Result<Answer, ClusterError> {
        match self.world.spoilt {
            None => self.execute(call),
            Some(spoilt) => spoil::send(self, spoilt, call),
        }
    }

    /// Does it, before the eyes of the ledger.
    pub(crate) fn execute(&self, call: &Call) -> Result<Answer, ClusterError> {
        let is_journal = call.reference().is_some_and(|at| at.namespace == OWN);
        // The lease: what the successor relies on. The journal has its own fence.
        if call.is_write() && !is_journal && self.world.state().epoch != self.epoch {
            return Err(ClusterError::Fenced);
        }
        let before = match call {
            Call::Delete { .. } | Call::Apply { dry_run: false, .. } => {
                call.reference().and_then(|at| self.world.get(&at))
            }
            _ => None,
        };
        let answer = super::policy::judge(&self.world, call).map_or_else(|| self.world.ask(call.clone()), Err);
        super::ledger::after(&self.world, self.epoch, call, before.as_ref(), &answer);
        answer
    }
}

impl Cluster for Wire {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        self.send(call).boxed()
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.world.memory.watch(selection)
    }

    fn impersonate(&self, _: &str) -> Arc<dyn Cluster> {
        Arc::new(self.clone())
    }
}
