//! Events of core/v1 on the objects that we work on, as client-go's recorder writes them: one after another, beside the
//! work, and the same event again counts up.
//!
//! **Work before words.** Where many things happen at once the API server is what everybody waits for: events are written
//! when no new one has come for [`LULL`], or after [`LATEST`]. They tell when it happened.
//!
//! **Caveat.** Events are for people: nobody waits for them. A crash loses those that are not written yet, and of more than
//! [`WAITING`] that wait the newest are dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apply::cluster::PatchKind;
use apply::{Call, Cluster, ClusterError, Reference};
use manifest::Object;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Key;
use crate::redact::Redactor;
use crate::status::Event;

/// Bytes that the API server allows in an event's message.
const MESSAGE_LIMIT: usize = 1024;
/// Events that are remembered to be counted up.
const REMEMBERED: usize = 4096;

/// Events that may wait to be written.
const WAITING: usize = 10_000;
/// How long nothing else happens before events are written.
const LULL: Duration = Duration::from_millis(500);
/// How long an event waits for that.
const LATEST: Duration = Duration::from_secs(10);
/// How long a process that ends waits for them.
const LAST: Duration = Duration::from_secs(5);

/// Writes events.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    cluster: Arc<dyn Cluster>,
    redactor: Redactor,
    known: Mutex<HashMap<Same, Known>>,
    queue: Mutex<Waiting>,
    written: Notify,
    /// Told when nothing may wait any longer.
    ends: Notify,
}

/// What makes two events the same: object, reason and message.
type Same = (Key, String, String);

#[derive(Default)]
struct Waiting {
    events: VecDeque<(Instant, Same, Object)>,
    /// Whether somebody writes them.
    is_written: bool,
    /// Whether the process ends.
    ends: bool,
}

/// What a writer does next.
enum Next {
    Write(Same, Object),
    WaitUntil(Instant),
    Nothing,
}

impl Waiting {
    fn next(&mut self, now: Instant) -> Next {
        let (Some((oldest, ..)), Some((newest, ..))) = (self.events.front(), self.events.back()) else {
            self.is_written = false;
            return Next::Nothing;
        };
        let due = (*oldest + LATEST).min(*newest + LULL);
        if now < due && !self.ends {
            return Next::WaitUntil(due);
        }
        self.events.pop_front().map_or(Next::Nothing, |(_, same, event)| Next::Write(same, event))
    }
}

#[derive(Clone)]
struct Known {
    at: Reference,
    count: u64,
}

impl Recorder {
    /// Writes events to `cluster`, without any secret value.
    pub fn new(cluster: Arc<dyn Cluster>, redactor: Redactor) -> Self {
        let (known, queue, written, ends) = Default::default();
        Self(Arc::new(Inner { cluster, redactor, known, queue, written, ends }))
    }

    /// Has one event written; one that cannot be written is logged, and nothing fails for it.
    pub fn record(&self, key: &Key, object: &Object, mut event: Event) {
        event.message = self.0.redactor.redact(&event.message).into_owned();
        let same = (key.clone(), event.reason.clone(), event.message.clone());
        let Ok(event) = value_of(key, object, event) else { return };
        let mut queue = self.0.queue();
        if queue.events.len() >= WAITING {
            tracing::warn!(%key, "an event is dropped: too many wait to be written");
            return;
        }
        queue.events.push_back((Instant::now(), same, event));
        if !std::mem::replace(&mut queue.is_written, true) {
            let inner = self.0.clone();
            tokio::spawn(async move { inner.write_all().await });
        }
    }

    /// Has everything written that waits, at once. Ends when it is, or after some seconds.
    pub async fn settle(&self) {
        self.0.queue().ends = true;
        self.0.ends.notify_one();
        let settled = async {
            loop {
                let written = self.0.written.notified();
                if !self.0.queue().is_written {
                    return;
                }
                written.await;
            }
        };
        if tokio::time::timeout(LAST, settled).await.is_err() {
            tracing::warn!("some events were not written");
        }
    }
}

impl Inner {
    async fn write_all(&self) {
        loop {
            let next = self.queue().next(Instant::now());
            let (same, event) = match next {
                Next::Write(same, event) => (same, event),
                Next::WaitUntil(due) => {
                    let _ = tokio::time::timeout_at(due, self.ends.notified()).await;
                    continue;
                }
                Next::Nothing => break,
            };
            let known = self.known().get(&same).cloned();
            let result = match known {
                Some(known) => self.count_up(known).await,
                None => self.create(event).await,
            };
            match result {
                Ok(known) => self.remember(same, known),
                Err(error) => tracing::warn!(%error, "an event could not be written"),
            }
        }
        self.written.notify_waiters();
    }

    async fn count_up(&self, known: Known) -> Result<Known, ClusterError> {
        let count = known.count + 1;
        let call = Call::Patch {
            at: known.at.clone(),
            kind: PatchKind::Merge,
            patch: json!({"count": count, "lastTimestamp": now()}),
            manager: "lockstep".into(),
            dry_run: false,
            subresource: None,
        };
        match self.cluster.write(call).await {
            // The server forgets events after an hour.
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(Known { count, ..known }),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, object: Object) -> Result<Known, ClusterError> {
        let at = Reference::of(&object);
        let call = Call::Create { object, manager: "lockstep".into(), dry_run: false, subresource: None };
        self.cluster.write(call).await?;
        Ok(Known { at, count: 1 })
    }

    fn remember(&self, same: Same, known: Known) {
        let mut all = self.known();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(same, known);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Same, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Waiting> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event as an object.
fn value_of(key: &Key, object: &Object, event: Event) -> Result<Object, manifest::ObjectError> {
    // Events of cluster-scoped objects live in `default`.
    let namespace = if key.namespace.is_empty() { "default" } else { &key.namespace };
    let name = format!("{}.{:x}", key.name, jiff::Timestamp::now().as_nanosecond());
    Object::new(json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": namespace, "annotations": event.metadata},
        "involvedObject": {
            "apiVersion": object.api_version(), "kind": object.kind(), "name": object.name(),
            "namespace": object.namespace(), "uid": object.uid(), "resourceVersion": object.resource_version(),
        },
        "reason": event.reason, "message": shortened(&event.message),
        "type": if event.is_warning { "Warning" } else { "Normal" },
        "source": {"component": key.kind.controller()}, "reportingComponent": key.kind.controller(),
        "reportingInstance": "", "firstTimestamp": now(), "lastTimestamp": now(), "count": 1,
    }))
}

fn shortened(message: &str) -> Value {
    if message.len() <= MESSAGE_LIMIT {
        return message.into();
    }
    let end = message.floor_char_boundary(MESSAGE_LIMIT - 3);
    format!("{}...", &message[..end]).into()
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use apply::Selection;
    use apply::memory::{MemoryCluster, Settings};

    use super::*;

    async fn written(cluster: &dyn Cluster) -> usize {
        cluster.list(&Selection::all("v1", "Event").within("default")).await.unwrap().len()
    }

    fn record(recorder: &Recorder, name: &str) {
        let key = Key { kind: super::super::Kind::Kustomization, namespace: "default".into(), name: name.into() };
        let metadata = json!({"name": name, "namespace": "default"});
        let object = Object::unchecked(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
        let (reason, message, metadata) = ("ReconciliationSucceeded".into(), name.into(), Default::default());
        recorder.record(&key, &object, Event { reason, message, metadata, is_warning: false });
    }

    #[tokio::test(start_paused = true)]
    async fn events_wait_for_a_lull_but_not_for_ever() {
        let memory = Arc::new(MemoryCluster::new(Settings::default()));
        let recorder = Recorder::new(memory.clone(), Redactor::default());
        let step = LULL * 7 / 10;
        for (name, number) in (1..40).map(|number| (format!("unit-{number}"), number)) {
            record(&recorder, &name);
            tokio::time::sleep(step).await;
            let is_early = step * number < LATEST;
            assert_eq!(written(&*memory).await == 0, is_early, "{number} events");
        }
        assert!(written(&*memory).await < 39);
        tokio::time::sleep(LULL).await;
        assert_eq!(written(&*memory).await, 39);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_ends_writes_at_once_what_waits() {
        let memory = Arc::new(MemoryCluster::new(Settings::default()));
        let recorder = Recorder::new(memory.clone(), Redactor::default());
        let began = Instant::now();
        record(&recorder, "unit");
        recorder.settle().await;
        assert_eq!((written(&*memory).await, began.elapsed()), (1, Duration::ZERO));
    }
}
