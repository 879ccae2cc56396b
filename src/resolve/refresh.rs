//! When an ExternalSecret is due, decided without reading anything.

use std::time::Duration;

use jiff::Timestamp;
use manifest::Object;
use tokio::time::Instant;

use super::hash;
use crate::api::secret::{ExternalSecretSpec, ExternalSecretStatus, RefreshPolicy};

/// What the schema fills in for an interval that is not set.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);

/// How often an ExternalSecret is read anew; none when only a change of it counts.
pub fn interval(spec: &ExternalSecretSpec) -> Option<Duration> {
    let interval = spec.refresh_interval.as_ref().map_or(DEFAULT_INTERVAL, |interval| interval.span());
    (spec.refresh_policy == RefreshPolicy::Periodic && !interval.is_zero()).then_some(interval)
}

/// How far apart two looks must be that find nothing, before what was made from it goes. Where only a change of the
/// ExternalSecret asks for a look, two may follow at once: then the default interval counts.
pub fn patience(spec: &ExternalSecretSpec) -> Duration {
    interval(spec).unwrap_or(DEFAULT_INTERVAL)
}

/// Since when what was read counts for a look that only its interval asks for, and that was wanted at `wanted`: what another
/// has read not longer ago than half of the interval need not be read again.
pub fn since(wanted: Instant, interval: Duration) -> Instant {
    wanted.checked_sub(interval / 2).unwrap_or(wanted)
}

/// How long until the next look, where the store is known as it was `age` ago: nothing gets older than the interval, and
/// those who read the same thing come to look at the same time.
pub fn rest(interval: Duration, age: Duration) -> Duration {
    interval - age.min(interval / 2)
}

/// What `status.syncedResourceVersion` is after a sync of this object.
pub fn synced_version(object: &Object) -> String {
    hash::resource_version(object.generation(), &strings(object, "annotations"), &strings(object, "labels"))
}

/// Whether an ExternalSecret is due, as External Secrets decides.
///
/// Any change of its spec, labels or annotations makes it due, which is how `force-sync` works; so does a refresh time in
/// the future. `open` answers whether `spec.syncWindows` let a refresh happen now; only an interval that has passed asks.
pub fn is_due(
    object: &Object,
    spec: &ExternalSecretSpec,
    status: &ExternalSecretStatus,
    now: Timestamp,
    open: impl Fn(Timestamp) -> bool,
) -> bool {
    let synced = status.synced_resource_version.as_deref();
    let refreshed = status.refresh_time.as_ref().and_then(|time| time.timestamp());
    let changed = || synced != Some(synced_version(object).as_str());
    match spec.refresh_policy {
        RefreshPolicy::CreatedOnce => synced.is_none() || refreshed.is_none(),
        RefreshPolicy::OnChange => synced.is_none() || refreshed.is_none() || changed(),
        RefreshPolicy::Periodic | RefreshPolicy::Other(_) => {
            let interval = spec.refresh_interval.as_ref().map_or(DEFAULT_INTERVAL, |interval| interval.span());
            if interval.is_zero() && synced.is_some() {
                return false;
            }
            let Some(refreshed) = refreshed.filter(|_| !changed()) else { return true };
            refreshed > now || (passed(refreshed, interval, now) && open(now))
        }
    }
}

fn passed(since: Timestamp, interval: Duration, now: Timestamp) -> bool {
    now.duration_since(since).try_into().is_ok_and(|elapsed: Duration| elapsed > interval)
}

fn strings(object: &Object, field: &str) -> std::collections::BTreeMap<String, String> {
    let map = object.value().get("metadata").and_then(|metadata| metadata.get(field)).and_then(|map| map.as_object());
    let members = map.into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Kind as _;
    use crate::api::secret::ExternalSecret;

    const NOON: &str = "2026-03-01T12:00:00Z";

    #[test]
    fn what_is_not_read_at_intervals_is_not_taken_for_deleted_within_the_hour() {
        let patience = |spec: Value| {
            let value = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": {"name": "a", "namespace": "b"}, "spec": spec});
            let object = Object::new(value).expect("an object");
            super::patience(&ExternalSecret::spec(&object).expect("a spec")).as_secs()
        };
        assert_eq!(patience(json!({"refreshInterval": "5m"})), 300);
        for spec in [
            json!({}),
            json!({"refreshInterval": "0s"}),
            json!({"refreshInterval": "5m", "refreshPolicy": "OnChange"}),
            json!({"refreshInterval": "5m", "refreshPolicy": "CreatedOnce"}),
        ] {
            assert_eq!(patience(spec.clone()), 3600, "{spec}");
        }
    }

    fn due(spec: Value, status: Value, annotation: &str) -> bool {
        let object = |annotation: &str| {
            let value = json!({
                "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": {"name": "a", "namespace": "b", "generation": 2, "annotations": {"force-sync": annotation}},
                "spec": spec,
            });
            Object::new(value).expect("an object")
        };
        let mut status: ExternalSecretStatus = serde_json::from_value(status).expect("a status");
        if status.refresh_time.is_some() {
            status.synced_resource_version = Some(synced_version(&object("1")));
        }
        let object = object(annotation);
        let spec = ExternalSecret::spec(&object).expect("a spec");
        is_due(&object, &spec, &status, NOON.parse().expect("a time"), |_| true)
    }

    #[test]
    fn an_interval_that_has_passed_is_due() {
        let at = |time: &str| json!({"refreshTime": time});
        assert!(!due(json!({"refreshInterval": "1h"}), at("2026-03-01T11:00:00Z"), "1"));
        assert!(due(json!({"refreshInterval": "1h"}), at("2026-03-01T10:59:59Z"), "1"));
        assert!(due(json!({}), at("2026-03-01T10:59:59Z"), "1"), "an hour without being said");
        assert!(due(json!({}), at("2026-03-01T12:00:01Z"), "1"), "in the future");
        assert!(due(json!({}), json!({}), "1"), "never");
    }

    #[test]
    fn any_change_of_the_object_is_due() {
        let status = || json!({"refreshTime": "2026-03-01T11:59:00Z"});
        assert!(due(json!({}), status(), "2"));
        assert!(due(json!({"refreshPolicy": "OnChange"}), status(), "2"));
        assert!(!due(json!({"refreshPolicy": "OnChange"}), status(), "1"));
        assert!(!due(json!({"refreshPolicy": "CreatedOnce"}), status(), "2"));
        assert!(due(json!({"refreshPolicy": "CreatedOnce"}), json!({}), "2"));
    }

    #[test]
    fn an_interval_of_nothing_means_once() {
        let once = || json!({"refreshInterval": "0"});
        assert!(due(once(), json!({}), "1"));
        assert!(!due(once(), json!({"refreshTime": "2020-01-01T00:00:00Z"}), "2"));
    }

    #[test]
    fn a_closed_window_stops_only_the_interval() {
        let object = Object::new(
            json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "a"}}),
        );
        let object = object.expect("an object");
        let spec = ExternalSecret::spec(&object).expect("a spec");
        let status = |version: String| ExternalSecretStatus {
            refresh_time: Some(NOON.parse::<Timestamp>().expect("a time").into()),
            synced_resource_version: Some(version),
            ..ExternalSecretStatus::default()
        };
        let later: Timestamp = "2026-03-02T12:00:00Z".parse().expect("a time");
        assert!(!is_due(&object, &spec, &status(synced_version(&object)), later, |_| false));
        assert!(is_due(&object, &spec, &status("0-x".into()), later, |_| false));
    }
}
