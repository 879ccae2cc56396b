//! A cluster that keeps a list of what was written to it: what the demo says of writes, it reads there.

use std::sync::{Arc, Mutex, PoisonError};

use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use manifest::ObjectId;

/// Every write, in order; statuses and events are no writes here.
pub(super) type Log = Arc<Mutex<Vec<ObjectId>>>;

/// A cluster whose writes are listed. Impersonated forms write into the same list.
pub(super) struct Recorded {
    inner: Arc<dyn Cluster>,
    log: Log,
}

impl Recorded {
    pub(super) fn new(inner: Arc<dyn Cluster>, log: Log) -> Self {
        Self { inner, log }
    }
}

/// The object that a request would change, unless only a status or an event.
fn target(call: &Call) -> Option<ObjectId> {
    let is_part = match call {
        Call::Apply { subresource, .. }
        | Call::Create { subresource, .. }
        | Call::Update { subresource, .. }
        | Call::Patch { subresource, .. } => subresource.is_some(),
        _ => false,
    };
    let id = call.reference()?.id();
    (call.is_write() && !is_part && id.kind != "Event").then_some(id)
}

impl Cluster for Recorded {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        async move {
            let target = target(&call);
            let answer = self.inner.call(call).await;
            if answer.is_ok() {
                self.log.lock().unwrap_or_else(PoisonError::into_inner).extend(target);
            }
            answer
        }
        .boxed()
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.inner.watch(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), log: self.log.clone() })
    }
}
