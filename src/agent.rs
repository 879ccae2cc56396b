//! The composition root: watches, workers, leader lease, shutdown.
//!
//! **Flow.** Wait for the lease; watch every kind; once each has been listed, work on what changes until told to stop; then
//! let every worker end its present object, and give the lease back. Who loses the lease ends at once.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use apply::{Cluster, ClusterError, Selection, WatchEvent};
use futures::StreamExt as _;
use futures::future::{FutureExt as _, join_all};
use manifest::Object;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::api::Kind as _;
use crate::api::kustomization::Kustomization;
use crate::landing::place::Places;
use crate::pipeline::World;
use crate::reconcile::drift::watches::follow_all;
use crate::reconcile::{Key, Kind, Shared, triggers};
use crate::unit::Unit;

mod configs;
pub mod lease;
pub mod server;

/// Why an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Another replica leads now: the process should start anew.
    LeaseLost,
}

/// One agent: everything that it knows and does.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
    workers: usize,
}

impl Agent {
    /// An agent that works on `workers` objects side by side, beside those that wait for their health.
    pub fn new(world: World, workers: usize) -> Self {
        Self { shared: Arc::new(Shared::new(world)), workers }
    }

    /// What its reconciliations share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Works until `stop` ends; objects that are worked on then are finished first.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let (mut watches, mut listed) = (JoinSet::new(), Vec::new());
        for kind in Kind::all() {
            let (tell, told) = oneshot::channel();
            watches.spawn(follow(self.shared.clone(), kind, tell));
            if Kind::SERVED.contains(&kind) {
                listed.push(told);
            }
        }
        if let Some(labels) = &self.shared.world.settings.watched_configs {
            for kind in configs::KINDS {
                let (tell, told) = oneshot::channel();
                watches.spawn(configs::follow(self.shared.clone(), kind, labels.clone(), tell));
                listed.push(told);
            }
        }
        watches.spawn(follow_all(self.shared.clone()));
        // Before that nobody knows which unit an object belongs to, or whether the source of a unit exists.
        let listed = join_all(listed).map(drop);
        let (shared, places) = (self.shared.clone(), Places::new(self.workers));
        let work = tokio::spawn(async move {
            listed.await;
            shared.work(&places).await;
        });
        stop.await;
        watches.shutdown().await;
        self.shared.queue.close();
        if let Err(error) = work.await {
            tracing::error!(%error, "the work has ended badly");
        }
        self.shared.recorder.settle().await;
    }

    /// Runs under the leader lease.
    ///
    /// The lease is kept while the work ends. Who loses it ends at once: nothing that it would still write is let through, and
    /// it cannot read either. That is a failure unless it was asked to stop.
    pub async fn lead(&self, mut lease: lease::Lease, stop: impl Future<Output = ()>) -> Ended {
        let is_asked = Cell::new(false);
        let stop = async {
            stop.await;
            is_asked.set(true);
        };
        tokio::select! {
            () = self.run(stop) => {}
            () = lease.keep() => return if is_asked.get() { Ended::Stopped } else { Ended::LeaseLost },
        }
        lease.release().await;
        Ended::Stopped
    }
}

/// Keeps the index of one kind and adds to the queue what changed; tells once when the kind has been listed, or cannot be.
async fn follow(shared: Arc<Shared>, kind: Kind, tell: oneshot::Sender<()>) {
    let mut tell = Some(tell);
    let cluster: Arc<dyn Cluster> = shared.world.cluster.clone();
    let all = Selection::all(kind.api_version(), kind.name());
    let selection = match &shared.world.settings.only {
        Some(namespace) if kind != Kind::ClusterSecretStore => all.within(namespace),
        _ => all,
    };
    let mut events = cluster.watch(selection);
    while let Some(event) = events.next().await {
        let is_listed = matches!(
            event,
            Ok(WatchEvent::Reset(_)) | Err(ClusterError::NoKind { .. } | ClusterError::Forbidden { .. })
        );
        match event {
            Ok(WatchEvent::Reset(objects)) => reset(&shared, kind, objects),
            Ok(WatchEvent::Applied(object)) => seen(&shared, kind, object),
            Ok(WatchEvent::Deleted(object)) => gone(&shared, Key::of(kind, &object)),
            Err(error) => tracing::warn!(kind = kind.name(), %error, "the watch is interrupted"),
        }
        if is_listed && let Some(tell) = tell.take() {
            // Nobody listens any more when the agent is being stopped.
            let _ = tell.send(());
        }
    }
}

fn reset(shared: &Arc<Shared>, kind: Kind, objects: Vec<Object>) {
    let present: BTreeSet<Key> = objects.iter().map(|object| Key::of(kind, object)).collect();
    for key in shared.index.keys(kind) {
        if !present.contains(&key) {
            gone(shared, key);
        }
    }
    objects.into_iter().for_each(|object| seen(shared, kind, object));
}

fn seen(shared: &Arc<Shared>, kind: Kind, object: Object) {
    let key = Key::of(kind, &object);
    let before = shared.index.get(&key);
    let compared = before.map(|before| (triggers::asks_more(&before, &object), triggers::says_more(&before, &object)));
    if compared.is_none() && kind == Kind::Kustomization {
        let status = Kustomization::status(&object).unwrap_or_default();
        shared.claims.listed(&Unit::of(&key.reference()), &status);
    }
    let (matters, says_more) = compared.unwrap_or((true, true));
    let told_ready = matters || says_more;
    shared.index.put(key.clone(), object);
    if matters {
        triggers::asked(shared, &key);
    }
    if told_ready {
        triggers::changed(shared, &key);
    }
}

fn gone(shared: &Arc<Shared>, key: Key) {
    shared.index.remove(&key);
    triggers::asked(shared, &key);
}
