//! A cluster that fails on purpose: errors, lost answers, delays and crashes at chosen requests.
//!
//! Everything follows from the plan, so that a failure can be run again. Requests are counted over all users; watches are
//! passed through, and fail while the process counts as crashed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, StreamExt as _};

use crate::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails, and nothing was done.
    Before(ClusterError),
    /// It is done, and the answer is lost: [`ClusterError::Unknown`].
    After,
    /// It is done later.
    Delay(Duration),
    /// 409: somebody else wrote in between.
    Conflict,
    /// 429: nothing was done.
    TooMany {
        /// What the server says.
        retry_after: Duration,
    },
    /// The process is gone before the request leaves it.
    CrashBefore,
    /// The process is gone after the request was done.
    CrashAfter,
}

/// A request as a plan sees it.
pub struct Attempt<'a> {
    /// Counts all requests from 1.
    pub number: u64,
    /// Counts the writes among them from 1; for a read, the number of the last write.
    pub write: u64,
    /// The request.
    pub call: &'a Call,
}

/// Decides what happens to a request; `None` lets it pass.
pub type Plan = Box<dyn Fn(&Attempt<'_>) -> Option<Fault> + Send + Sync>;

/// Waits.
pub type Sleeper = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// A plan that lets everything pass.
pub fn none() -> Plan {
    Box::new(|_| None)
}

/// A plan with one fault, at the `number`th request from 1.
pub fn at_call(number: u64, fault: Fault) -> Plan {
    Box::new(move |attempt| (attempt.number == number).then(|| fault.clone()))
}

/// A plan with one fault, at the `number`th write from 1.
pub fn at_write(number: u64, fault: Fault) -> Plan {
    Box::new(move |attempt| (attempt.call.is_write() && attempt.write == number).then(|| fault.clone()))
}

/// A plan that strikes `per_mille` of all requests with one of `faults`, as the seed has it.
pub fn seeded(seed: u64, per_mille: u64, faults: Vec<Fault>) -> Plan {
    Box::new(move |attempt| {
        let roll = scatter(seed ^ scatter(attempt.number));
        let choice = (roll >> 32) as usize % faults.len().max(1);
        (roll % 1000 < per_mille).then(|| faults.get(choice).cloned()).flatten()
    })
}

/// SplitMix64's last step.
fn scatter(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A cluster behind a plan of faults. Clones and impersonated forms share plan and counters.
#[derive(Clone)]
pub struct FaultyCluster {
    inner: Arc<dyn Cluster>,
    shared: Arc<Shared>,
}

struct Shared {
    plan: Mutex<Plan>,
    sleeper: Sleeper,
    calls: AtomicU64,
    writes: AtomicU64,
    crashed: AtomicBool,
}

impl FaultyCluster {
    /// Puts `plan` before a cluster. Delays pass at once.
    pub fn new(inner: Arc<dyn Cluster>, plan: Plan) -> Self {
        Self::with_sleeper(inner, plan, Arc::new(|_| futures::future::ready(()).boxed()))
    }

    /// Puts `plan` before a cluster; `sleeper` does the waiting of delays.
    pub fn with_sleeper(inner: Arc<dyn Cluster>, plan: Plan, sleeper: Sleeper) -> Self {
        let shared = Shared {
            plan: Mutex::new(plan),
            sleeper,
            calls: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
        };
        Self { inner, shared: Arc::new(shared) }
    }

    /// How many requests came, those that failed included.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// How many of them were writes.
    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Ordering::SeqCst)
    }

    /// Whether the process counts as gone.
    pub fn is_crashed(&self) -> bool {
        self.shared.crashed.load(Ordering::SeqCst)
    }

    /// The process is back, with another plan; counting starts anew.
    pub fn restart(&self, plan: Plan) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.shared.calls.store(0, Ordering::SeqCst);
        self.shared.writes.store(0, Ordering::SeqCst);
        self.shared.crashed.store(false, Ordering::SeqCst);
    }

    /// Runs a future until it ends, or until the crash: then it is dropped where it stands, as `kill -9` would, and the
    /// answer is `None`.
    pub async fn until_crash<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        futures::future::poll_fn(|context| {
            let polled = future.as_mut().poll(context);
            if self.is_crashed() { Poll::Ready(None) } else { polled.map(Some) }
        })
        .await
    }

    async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        if self.is_crashed() {
            return Err(crash());
        }
        let number = self.shared.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let write = self.shared.writes.fetch_add(u64::from(call.is_write()), Ordering::SeqCst);
        let write = write + u64::from(call.is_write());
        let attempt = Attempt { number, write, call: &call };
        let fault = (self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner))(&attempt);
        let id = call.reference().map(|at| at.id());
        match fault {
            None => self.inner.call(call).await,
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After) => {
                self.inner.call(call).await?;
                Err(ClusterError::Unknown { id, message: "the answer was lost".into() })
            }
            Some(Fault::Delay(time)) => {
                (self.shared.sleeper)(time).await;
                self.inner.call(call).await
            }
            Some(Fault::Conflict) => {
                let message =
                    "the object has been modified; please apply your changes to the latest version and try again";
                Err(id.map_or_else(crash, |id| ClusterError::Conflict { id, message: message.into() }))
            }
            Some(Fault::TooMany { retry_after }) => {
                let message = "Too many requests, please try again later.".into();
                Err(ClusterError::Unavailable { id, message, retry_after: Some(retry_after) })
            }
            Some(Fault::CrashBefore) => Err(self.crash_now()),
            Some(Fault::CrashAfter) => {
                let _ = self.inner.call(call).await;
                Err(self.crash_now())
            }
        }
    }

    fn crash_now(&self) -> ClusterError {
        self.shared.crashed.store(true, Ordering::SeqCst);
        crash()
    }
}

const CRASH: &str = "the process has crashed";

fn crash() -> ClusterError {
    ClusterError::Unknown { id: None, message: CRASH.into() }
}

/// Whether an error is that of a crash, and not one that the engine could do anything about.
pub fn is_crash(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Unknown { id: None, message } if message == CRASH)
}

impl Cluster for FaultyCluster {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        self.send(call).boxed()
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        let shared = self.shared.clone();
        let check = move |event| if shared.crashed.load(Ordering::SeqCst) { Err(crash()) } else { event };
        self.inner.watch(selection).map(check).boxed()
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), shared: self.shared.clone() })
    }
}
