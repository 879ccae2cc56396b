//! The leader lease: of all replicas, one writes.
//!
//! A Lease as client-go's leader election keeps it, so that people and tools read it the same way. A holder that was not
//! seen to renew for the lease's duration, by our own clock, has lost it. The number of transitions is the epoch that the
//! journal carries.

use std::sync::Arc;
use std::time::Duration;

use apply::{Call, Cluster, ClusterError, Reference};
use jiff::{SignedDuration, Timestamp};
use manifest::Object;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::fenced::Term;
use crate::cluster::journal::MANAGER;

/// Name of the Lease in the agent's namespace.
const NAME: &str = "lockstep-leader";
/// How long a lease lasts without renewal; as Flux's controllers have it.
const DURATION: Duration = Duration::from_secs(35);
/// How long the holder tries to renew before it gives up.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two attempts.
const RETRY: Duration = Duration::from_secs(5);

/// How wrong the clock of whoever looks at a Lease may be.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Where the agent of a namespace keeps its Lease.
pub fn place(namespace: &str) -> Reference {
    Reference::new("coordination.k8s.io/v1", "Lease", namespace, NAME)
}

/// Since when nobody holds a Lease, by the clock of whoever looks; `None` while somebody does.
pub fn idle_since(lease: &Object, now: Timestamp) -> Option<Timestamp> {
    let renewed: Timestamp = lease.text("/spec/renewTime")?.parse().ok()?;
    let lasts = lease.value().pointer("/spec/leaseDurationSeconds").and_then(serde_json::Value::as_i64);
    let lasts = lasts.map_or(SignedDuration::try_from(DURATION).unwrap_or_default(), SignedDuration::from_secs);
    let is_held = !holder_of(lease).is_none_or(str::is_empty) && now.duration_since(renewed) <= lasts + SKEW;
    (!is_held).then_some(renewed)
}

/// A lease that is held.
pub struct Lease {
    cluster: Arc<dyn Cluster>,
    at: Reference,
    identity: String,
    held: Object,
    term: Term,
}

impl Lease {
    /// Waits until the lease is ours. `identity` must differ between replicas and restarts.
    pub async fn acquire(cluster: Arc<dyn Cluster>, namespace: &str, identity: &str) -> Self {
        let at = place(namespace);
        let (mut seen, mut is_told): (Option<(String, Instant)>, bool) = (None, false);
        loop {
            let end = Instant::now() + DURATION;
            match attempt(&cluster, &at, identity, &mut seen).await {
                Ok(Some(held)) => {
                    return Self { cluster, at, identity: identity.into(), held, term: Term::until(end) };
                }
                Ok(None) if is_told => {}
                Ok(None) => {
                    tracing::info!(lasts = ?DURATION, "another replica holds the leader lease, or has not given it back");
                    is_told = true;
                }
                Err(error) => tracing::warn!(%error, "the leader lease cannot be read"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// How often the lease has changed hands: later holders have higher epochs.
    pub fn epoch(&self) -> u64 {
        self.held.value().pointer("/spec/leaseTransitions").and_then(serde_json::Value::as_u64).unwrap_or_default()
    }

    /// Until when the holder may write; it grows as the lease is renewed.
    pub fn term(&self) -> Term {
        self.term.clone()
    }

    /// Renews the lease as long as that succeeds; returns when it is lost.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < DEADLINE {
            tokio::time::sleep(RETRY).await;
            let began = Instant::now();
            match self.write(&self.identity.clone()).await {
                Ok(()) => {
                    renewed = began;
                    self.term.extend(began + DURATION);
                }
                Err(ClusterError::Conflict { .. } | ClusterError::NotFound { .. }) if self.is_lost().await => return,
                Err(error) => tracing::warn!(%error, "the leader lease cannot be renewed"),
            }
        }
    }

    /// Gives the lease away, so that a successor need not wait for its end.
    pub async fn release(mut self) {
        let mut released = self.write("").await;
        if matches!(released, Err(ClusterError::Conflict { .. })) {
            released = if self.is_lost().await { Ok(()) } else { self.write("").await };
        }
        if let Err(error) = released {
            tracing::warn!(%error, "the leader lease cannot be released");
        }
    }

    /// Whether another one holds it, or nobody. Who has not heard the answer to a renewal holds it at a newer version, which
    /// is taken over here; what cannot be read is in doubt, and not lost.
    async fn is_lost(&mut self) -> bool {
        match self.cluster.get(&self.at).await {
            Ok(Some(live)) if holder_of(&live) == Some(self.identity.as_str()) => {
                self.held = live;
                false
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    async fn write(&mut self, holder: &str) -> Result<(), ClusterError> {
        let mut object = self.held.clone();
        object.value_mut()["spec"]["holderIdentity"] = holder.into();
        object.value_mut()["spec"]["renewTime"] = now().into();
        let call = Call::Update { object, manager: MANAGER.into(), dry_run: false, subresource: None };
        self.held = match self.cluster.write(call).await {
            // It may have been done: what stands there is ours or another's.
            Err(ClusterError::Unknown { .. }) => match self.cluster.get(&self.at).await? {
                Some(live) if holder_of(&live) == Some(holder) => live,
                _ => return Err(ClusterError::Fenced),
            },
            other => other?,
        };
        Ok(())
    }
}

/// Takes the lease if it is free or has run out.
async fn attempt(
    cluster: &Arc<dyn Cluster>,
    at: &Reference,
    identity: &str,
    seen: &mut Option<(String, Instant)>,
) -> Result<Option<Object>, ClusterError> {
    let manager = MANAGER.to_owned();
    let Some(live) = cluster.get(at).await? else {
        let call = Call::Create { object: fresh(at, identity), manager, dry_run: false, subresource: None };
        return taken(cluster.write(call).await);
    };
    let version = live.resource_version().to_owned();
    let since = match seen {
        Some((known, since)) if *known == version => *since,
        _ => seen.insert((version, Instant::now())).1,
    };
    let is_free = holder_of(&live).is_none_or(str::is_empty);
    if !is_free && holder_of(&live) != Some(identity) && since.elapsed() < DURATION {
        return Ok(None);
    }
    let mut object = live;
    let transitions = object.value().pointer("/spec/leaseTransitions").and_then(serde_json::Value::as_u64);
    object.value_mut()["spec"] = spec(identity, transitions.unwrap_or_default() + 1);
    taken(cluster.write(Call::Update { object, manager, dry_run: false, subresource: None }).await)
}

/// Another replica may have been faster.
fn taken(result: Result<Object, ClusterError>) -> Result<Option<Object>, ClusterError> {
    match result {
        Ok(held) => Ok(Some(held)),
        Err(ClusterError::Conflict { .. } | ClusterError::AlreadyExists { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn holder_of(lease: &Object) -> Option<&str> {
    lease.text("/spec/holderIdentity")
}

#[expect(clippy::expect_used, reason = "the fields stand in the literal")]
fn fresh(at: &Reference, identity: &str) -> Object {
    let value = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": at.name, "namespace": at.namespace}, "spec": spec(identity, 0),
    });
    Object::new(value).expect("a literal object is complete")
}

fn spec(identity: &str, transitions: u64) -> serde_json::Value {
    json!({
        "holderIdentity": identity, "leaseDurationSeconds": DURATION.as_secs(), "leaseTransitions": transitions,
        "acquireTime": now(), "renewTime": now(),
    })
}

/// The server takes microseconds, no more.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use apply::fault::{Attempt, Fault, FaultyCluster};
    use apply::memory::{MemoryCluster, Settings};

    use super::*;
    use crate::cluster::fenced::Fenced;

    fn config(name: &str) -> Call {
        let value =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}});
        let (object, manager) = (Object::new(value).unwrap(), "tester".to_owned());
        Call::Apply { object, manager, force: true, dry_run: false, subresource: None }
    }

    #[tokio::test]
    async fn a_lease_is_released_although_the_answer_to_its_renewal_was_not_heard() {
        let memory: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
        let mut lease = Lease::acquire(memory.clone(), "default", "first").await;
        let (at, before) = (lease.at.clone(), lease.held.clone());
        lease.write("first").await.expect("it is renewed");
        lease.held = before;
        lease.release().await;
        let live = memory.get(&at).await.expect("it can be read").expect("it is there");
        assert_eq!(holder_of(&live), Some(""), "a successor need not wait");
        // What another one holds by now is left to it.
        let mut first = Lease::acquire(memory.clone(), "default", "first").await;
        let before = first.held.clone();
        first.write("second").await.expect("somebody takes it");
        first.held = before;
        first.release().await;
        let live = memory.get(&at).await.expect("it can be read").expect("it is there");
        assert_eq!(holder_of(&live), Some("second"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_kept_although_the_answer_to_its_renewal_was_not_heard_and_lost_once_another_one_has_it() {
        let memory: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
        let mut lease = Lease::acquire(memory.clone(), "default", "first").await;
        let before = lease.held.clone();
        lease.write("first").await.expect("it is renewed");
        lease.held = before;
        let minute = Duration::from_secs(60);
        tokio::time::timeout(minute, lease.keep()).await.expect_err("it is kept");
        lease.write("second").await.expect("somebody takes it");
        lease.held.value_mut()["metadata"]["resourceVersion"] = "1".into();
        tokio::time::timeout(minute, lease.keep()).await.expect("it is lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_stops_writing_before_another_one_leads() {
        let memory: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
        let is_cut = Arc::new(AtomicBool::new(false));
        let plan = is_cut.clone();
        let plan = Box::new(move |_: &Attempt<'_>| {
            plan.load(Ordering::Relaxed).then_some(Fault::TooMany { retry_after: RETRY })
        });
        let cut: Arc<dyn Cluster> = Arc::new(FaultyCluster::new(memory.clone(), plan));
        let mut first = Lease::acquire(cut, "default", "first").await;
        let fenced: Arc<dyn Cluster> = Arc::new(Fenced::new(memory.clone(), first.term()));
        let (epoch, term) = (first.epoch(), first.term());
        let kept = tokio::spawn(async move { first.keep().await });
        tokio::time::sleep(Duration::from_secs(120)).await;
        fenced.write(config("renewed")).await.expect("the lease is kept");
        // From now on none of its renewals arrives.
        is_cut.store(true, Ordering::Relaxed);
        let other = memory.clone();
        let successor = tokio::spawn(async move { Lease::acquire(other, "default", "second").await });
        let (mut last, began) = (None, Instant::now());
        while !successor.is_finished() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if fenced.write(config("late")).await.is_ok() {
                last = Some(began.elapsed());
            }
        }
        let took_over = began.elapsed();
        let last = last.expect("the lease is still good for a while");
        assert!(last + RETRY <= took_over, "{last:?}, {took_over:?}");
        assert!(matches!(fenced.write(config("later")).await, Err(ClusterError::Fenced)), "{term:?}");
        assert!(
            fenced.get(&Reference::new("v1", "ConfigMap", "default", "late")).await.expect("it may read").is_some()
        );
        assert_eq!(successor.await.expect("it leads").epoch(), epoch + 1);
        kept.await.expect("it has ended");
    }
}
