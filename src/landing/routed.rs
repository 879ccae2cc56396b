//! A landing's cluster in which workloads of others are read and written as their own units' identities, so that no
//! landing reaches further than those may.

use std::sync::Arc;

use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::Guests;

/// The wrapper. It belongs to one landing.
pub(super) struct Routed {
    own: Arc<dyn Cluster>,
    guests: Guests,
}

impl Routed {
    pub(super) fn new(own: Arc<dyn Cluster>, guests: Guests) -> Self {
        Self { own, guests }
    }

    /// Who sees what is listed: where a workload of others is waited for, they do, its pods included.
    fn for_all(&self, selection: &Selection) -> &Arc<dyn Cluster> {
        let is_meant = |namespace: &str| selection.namespace.as_deref() == Some(namespace);
        let of_kind = |gvk: &manifest::Gvk| *gvk == selection.gvk || selection.gvk.kind == "Pod";
        let guest = self.guests.iter().find(|(at, _)| is_meant(&at.namespace) && of_kind(&at.gvk));
        guest.map_or(&self.own, |(_, cluster)| cluster)
    }
}

impl Cluster for Routed {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        let cluster = match &call {
            Call::List(selection) => self.for_all(selection),
            other => other.reference().and_then(|at| self.guests.get(&at)).unwrap_or(&self.own),
        };
        cluster.call(call)
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.for_all(&selection).watch(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        self.own.impersonate(user)
    }
}
