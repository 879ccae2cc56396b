//! A cluster of which one object is known by a watch: it is not read.

use std::sync::Arc;

use apply::imprint::Imprint;
use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use manifest::Object;

/// How a watch has seen the object last; `None` where it is unknown or gone: then the server is asked.
pub type Look = Arc<dyn Fn() -> Option<Object> + Send + Sync>;

/// The wrapper; impersonated forms know the same object.
pub struct Seen {
    inner: Arc<dyn Cluster>,
    at: Reference,
    look: Look,
}

impl Seen {
    /// Answers reads of `at` by `look`.
    pub fn new(inner: Arc<dyn Cluster>, at: Reference, look: Look) -> Self {
        Self { inner, at, look }
    }
}

impl Cluster for Seen {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        let seen = match &call {
            Call::Get(at) if *at == self.at => (self.look)(),
            _ => None,
        };
        match seen {
            Some(object) => futures::future::ready(Ok(Answer::Object(Some(object)))).boxed(),
            None => self.inner.call(call),
        }
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.inner.watch(selection)
    }

    fn watch_imprints(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent<Imprint>, ClusterError>> {
        self.inner.watch_imprints(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), at: self.at.clone(), look: self.look.clone() })
    }
}
