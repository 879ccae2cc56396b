//! A cluster that nothing is written to: whatever a plan asks of it, dry runs are the most.

use std::sync::Arc;

use apply::cluster::Subresource;
use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;

/// Refuses every write but that of a token, which changes nothing: stores are read with one.
pub(super) struct Unwritten(pub(super) Arc<dyn Cluster>);

impl Cluster for Unwritten {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        let is_token = matches!(call, Call::Create { subresource: Some(Subresource::Token), .. });
        if call.is_write() && !is_token {
            let id = call.reference().map(|at| at.id());
            let message = "a plan writes nothing".to_owned();
            return async move { Err(ClusterError::Forbidden { id, message }) }.boxed();
        }
        self.0.call(call)
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.0.watch(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self(self.0.impersonate(user)))
    }
}
