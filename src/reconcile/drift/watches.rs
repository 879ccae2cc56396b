//! The watches that [`super::Owned`] asks for: begun as kinds appear among what has landed, ended when none is left.

use std::collections::HashMap;
use std::sync::Arc;

use apply::{ClusterError, WatchEvent};
use futures::StreamExt as _;
use tokio::task::{AbortHandle, JoinSet};

use super::{Follow, Health};
use crate::reconcile::{Shared, triggers};
use crate::unit::Unit;

/// Follows what is ours, until it is dropped.
pub async fn follow_all(shared: Arc<Shared>) {
    let mut wanted = shared.owned.wanted.subscribe();
    let (mut tasks, mut running) = (JoinSet::new(), HashMap::<Follow, AbortHandle>::new());
    loop {
        let now = wanted.borrow_and_update().clone();
        running.retain(|follow, task| {
            let stays = now.contains(follow);
            if !stays {
                task.abort();
            }
            stays
        });
        for one in now {
            let begin = |one: &Follow| tasks.spawn(follow(shared.clone(), one.clone()));
            running.entry(one).or_insert_with_key(begin);
        }
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

async fn follow(shared: Arc<Shared>, follow: Follow) {
    let owned = &shared.owned;
    let mut events = shared.world.cluster.watch_imprints(follow.selection());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                owned.fares(&follow, Health::Good);
                match event {
                    WatchEvent::Reset(all) => call(&shared, owned.saw_all(&follow, &all)),
                    WatchEvent::Applied(one) => call(&shared, owned.saw(&follow, &one, false)),
                    WatchEvent::Deleted(one) => call(&shared, owned.saw(&follow, &one, true)),
                }
            }
            Err(ClusterError::Forbidden { .. }) if owned.narrow(&follow) => return,
            Err(error) => {
                owned.fares(&follow, Health::Broken);
                tracing::warn!(kind = follow.gvk.kind, %error, "changes are looked for at intervals: the watch has failed");
            }
        }
    }
}

fn call(shared: &Shared, units: impl IntoIterator<Item = Unit>) {
    units.into_iter().filter_map(|unit| triggers::key_of(&unit)).for_each(|key| shared.queue.add(key));
}
