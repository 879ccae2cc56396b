//! Events of core/v1 on the objects that we work on, as client-go's recorder writes them: the same event again counts up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use apply::cluster::PatchKind;
use apply::{Call, Cluster, ClusterError, Reference};
use manifest::Object;
use serde_json::{Value, json};

use super::Key;
use crate::redact::Redactor;
use crate::status::Event;

/// Bytes that the API server allows in an event's message.
const MESSAGE_LIMIT: usize = 1024;
/// Events that are remembered to be counted up.
const REMEMBERED: usize = 4096;

/// Writes events.
pub struct Recorder {
    cluster: Arc<dyn Cluster>,
    redactor: Redactor,
    known: Mutex<HashMap<(Key, String, String), Known>>,
}

#[derive(Clone)]
struct Known {
    at: Reference,
    count: u64,
}

impl Recorder {
    /// Writes events to `cluster`, without any secret value.
    pub fn new(cluster: Arc<dyn Cluster>, redactor: Redactor) -> Self {
        Self { cluster, redactor, known: Mutex::default() }
    }

    /// Writes one event. Events are for people: one that cannot be written is logged, and nothing fails for it.
    pub async fn record(&self, key: &Key, object: &Object, mut event: Event) {
        event.message = self.redactor.redact(&event.message).into_owned();
        let same = (key.clone(), event.reason.clone(), event.message.clone());
        let known = self.lock().get(&same).cloned();
        let result = match known {
            Some(known) => self.count_up(known).await,
            None => self.create(key, object, event).await,
        };
        match result {
            Ok(known) => self.remember(same, known),
            Err(error) => tracing::warn!(%error, "an event could not be written"),
        }
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

    async fn create(&self, key: &Key, object: &Object, event: Event) -> Result<Known, ClusterError> {
        // Events of cluster-scoped objects live in `default`.
        let namespace = if key.namespace.is_empty() { "default" } else { &key.namespace };
        let name = format!("{}.{:x}", key.name, jiff::Timestamp::now().as_nanosecond());
        let value = json!({
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
        });
        let Ok(object) = Object::new(value) else {
            return Err(ClusterError::Refused { id: None, message: "event without a name".into(), fields: Vec::new() });
        };
        let at = Reference::of(&object);
        let call = Call::Create { object, manager: "lockstep".into(), dry_run: false, subresource: None };
        self.cluster.write(call).await?;
        Ok(Known { at, count: 1 })
    }

    fn remember(&self, same: (Key, String, String), known: Known) {
        let mut all = self.lock();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(same, known);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Key, String, String), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
