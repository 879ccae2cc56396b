//! A cluster that is written only while the leader lease is certainly ours: a process that was frozen, or cut off from the
//! API server, wakes up with writes under way and does not know yet that another one leads.
//!
//! **Guarantees.** A write begins only while enough of the lease is left for it, and is given up when the lease ends; the
//! server is told to give it up a little before. The successor waits for a whole lease in which it has seen no renewal, and
//! begins later than that. What waits to be sent when the process wakes up is not sent: connections are driven only while
//! the lease lasts ([`Connections`]).
//!
//! **Assumption.** Clocks of two machines run equally fast; they need not agree.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use apply::imprint::Imprint;
use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use hyper::rt::Executor;
use tokio::time::Instant;

/// What must be left of the lease for a write to begin.
const LEAST: Duration = Duration::from_secs(5);

/// Until when the lease is certainly ours.
#[derive(Clone, Debug)]
pub struct Term {
    end: Arc<Mutex<Instant>>,
}

impl Term {
    /// Ends at `end`.
    pub fn until(end: Instant) -> Self {
        Self { end: Arc::new(Mutex::new(end)) }
    }

    /// The lease was renewed: it ends at `end` now.
    pub fn extend(&self, end: Instant) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// How much of it is left.
    pub fn left(&self) -> Duration {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(Instant::now())
    }
}

/// Runs the connections of an HTTP client as long as the term lasts, then drops them with what they had still to send.
/// Without a term they last as they please.
#[derive(Clone, Debug)]
pub struct Connections(pub Option<Term>);

impl Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for Connections {
    fn execute(&self, mut connection: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let Self(term) = self.clone();
        tokio::spawn(poll_fn(move |context| match &term {
            Some(term) if term.left().is_zero() => Poll::Ready(()),
            _ => connection.as_mut().poll(context),
        }));
    }
}

/// The wrapper; impersonated forms have the same term.
pub struct Fenced {
    inner: Arc<dyn Cluster>,
    term: Term,
}

impl Fenced {
    /// Writes to `inner` during `term`.
    pub fn new(inner: Arc<dyn Cluster>, term: Term) -> Self {
        Self { inner, term }
    }

    async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        if !call.is_write() {
            return self.inner.call(call).await;
        }
        let (left, id) = (self.term.left(), call.reference().map(|at| at.id()));
        if left < LEAST {
            return Err(ClusterError::Fenced);
        }
        let answer = tokio::time::timeout(left, self.inner.call(call)).await;
        let message = "the leader lease is over".to_owned();
        answer.unwrap_or(Err(ClusterError::Unknown { id, message }))
    }
}

impl Cluster for Fenced {
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
        Arc::new(Self { inner: self.inner.impersonate(user), term: self.term.clone() })
    }
}
