//! A cluster whose applied objects are told to somebody: whoever watches the same objects knows our own writes by it.

use std::sync::Arc;

use apply::imprint::Imprint;
use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use manifest::Object;

/// One object as an answer showed it.
pub struct Note<'a> {
    /// The object.
    pub object: &'a Object,
    /// Whether it is so only in a dry run.
    pub is_dry_run: bool,
}

/// Told of the answers to applies.
pub type Told = Arc<dyn Fn(Note<'_>) + Send + Sync>;

/// The wrapper; impersonated forms tell the same one.
pub struct Noted {
    inner: Arc<dyn Cluster>,
    told: Told,
}

impl Noted {
    /// Tells `told` what is applied to `inner`.
    pub fn new(inner: Arc<dyn Cluster>, told: Told) -> Self {
        Self { inner, told }
    }

    async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        let is_dry_run = match &call {
            Call::Apply { subresource: None, dry_run, .. } => Some(*dry_run),
            _ => None,
        };
        let answer = self.inner.call(call).await?;
        if let (Some(is_dry_run), Answer::Object(Some(object))) = (is_dry_run, &answer) {
            (self.told)(Note { object, is_dry_run });
        }
        Ok(answer)
    }
}

impl Cluster for Noted {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        self.send(call).boxed()
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.inner.watch(selection)
    }

    fn watch_imprints(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent<Imprint>, ClusterError>> {
        self.inner.watch_imprints(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), told: self.told.clone() })
    }
}
