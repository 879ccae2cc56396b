//! SecretStore and ClusterSecretStore: judge the configuration, tell.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use manifest::Object;

use super::{Error, Key, Kind, Shared, Told};
use crate::api::Kind as _;
use crate::api::condition::{READY, reason};
use crate::api::store::{ClusterSecretStore, SecretStore, StoreStatus};
use crate::resolve::Verdict;
use crate::status::{Next, external as tell, unsupported_message};

/// External Secrets' `--store-requeue-interval`.
const INTERVAL: Duration = Duration::from_secs(300);

/// Reconciles a store of either kind.
///
/// # Errors
/// Never now; everything is told.
pub(super) async fn reconcile(key: &Key, object: &Object, shared: &Arc<Shared>) -> Result<Told, Error> {
    if object.is_terminating() {
        return Ok(Told::nothing(Next::OnEvent));
    }
    let (status, unsupported) = match key.kind {
        Kind::ClusterSecretStore => {
            (ClusterSecretStore::status(object), ClusterSecretStore::unsupported(object.value()))
        }
        _ => (SecretStore::status(object), SecretStore::unsupported(object.value())),
    };
    let mut status: StoreStatus = status.unwrap_or_default();
    if !unsupported.is_empty() {
        let message = unsupported_message(&unsupported);
        let event = tell::not_ready(&mut status.conditions, reason::UNSUPPORTED, &message, Timestamp::now());
        return Ok(Told::status(&status, event.into_iter().collect(), Next::OnEvent));
    }
    let verdict = shared.world.resolver.pass(None).judge(object).await;
    if matches!(verdict, Verdict::Foreign) {
        return Ok(Told::nothing(Next::OnEvent));
    }
    let was_ready = status.conditions.is_true(READY);
    let event = tell::store(&mut status, &verdict, Timestamp::now());
    if was_ready != status.conditions.is_true(READY) {
        super::triggers::store_judged(shared, key);
    }
    let next = match verdict {
        Verdict::Invalid { .. } => Next::Retry,
        _ => Next::After(INTERVAL),
    };
    Ok(Told::status(&status, event.into_iter().collect(), next))
}
