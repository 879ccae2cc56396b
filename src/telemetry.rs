//! How logs and metrics leave the process: JSON lines with Flux's keys, and a Prometheus registry.
//!
//! Every line passes the redactor that was given at the start: nothing else writes to the standard streams.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Takes secrets out of a line.
pub type Redact = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Starts logging to standard error, at `level` (`debug`, `info`, `error`) and above.
pub fn start(level: &str, redact: Redact) {
    let level = match level {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "error" => Level::ERROR,
        _ => Level::INFO,
    };
    let filter = tracing_subscriber::filter::Targets::new().with_target("lockstep", level).with_default(Level::WARN);
    let lines = tracing_subscriber::fmt::layer().event_format(FluxLines { redact }).with_writer(io::stderr);
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// One JSON object a line, with the keys of Flux's controllers: `level`, `ts`, `msg`, `error`, `controllerKind`, `name`,
/// `namespace`.
struct FluxLines {
    redact: Redact,
}

impl<S, N> FormatEvent<S, N> for FluxLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(Map::new());
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN | Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        line.0.insert("level".into(), level.into());
        line.0.insert("ts".into(), jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into());
        writeln!(writer, "{}", (self.redact)(&Value::Object(line.0).to_string()))
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let key = match field.name() {
            "message" => "msg",
            "kind" => "controllerKind",
            other => other,
        };
        self.0.insert(key.into(), value);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Labels of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ObjectLabels {
    kind: String,
    name: String,
    namespace: String,
}

/// Labels of External Secrets' metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    name: String,
    namespace: String,
}

/// Labels of External Secrets' condition metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    name: String,
    namespace: String,
    condition: String,
    status: String,
}

/// What Prometheus scrapes, under the names that Flux's and External Secrets' dashboards know.
pub struct Metrics {
    registry: Registry,
    reconcile: Family<ObjectLabels, Histogram, fn() -> Histogram>,
    drifted: Family<ObjectLabels, Gauge>,
    corrected: Family<ObjectLabels, Counter>,
    external_calls: Family<SecretLabels, Counter>,
    external_errors: Family<SecretLabels, Counter>,
    external_duration: Family<SecretLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    external_condition: Family<ConditionLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        // Flux's buckets (fluxcd/pkg/runtime/metrics): ten, from 10 ms to 30 min, each the same factor above the last.
        let histogram: fn() -> Histogram = || {
            let growth = (1800.0_f64 / 0.01).powf(1.0 / 9.0);
            Histogram::new((0..10).map(|power| 0.01 * growth.powi(power)))
        };
        let mut registry = Registry::default();
        let metrics = Self {
            reconcile: Family::new_with_constructor(histogram),
            drifted: Family::default(),
            corrected: Family::default(),
            external_calls: Family::default(),
            external_errors: Family::default(),
            external_duration: Family::default(),
            external_condition: Family::default(),
            registry: Registry::default(),
        };
        registry.register(
            "gotk_reconcile_duration_seconds",
            "The duration in seconds of a reconciliation",
            metrics.reconcile.clone(),
        );
        registry.register(
            "lockstep_drifted_objects",
            "Objects that differ from what landed, where drift is only reported",
            metrics.drifted.clone(),
        );
        registry.register(
            "lockstep_drift_corrections",
            "Number of objects that were put back as they landed",
            metrics.corrected.clone(),
        );
        registry.register(
            "externalsecret_sync_calls",
            "Number of times an ExternalSecret was synchronised",
            metrics.external_calls.clone(),
        );
        registry.register(
            "externalsecret_sync_calls_error",
            "Number of times the synchronisation of an ExternalSecret failed",
            metrics.external_errors.clone(),
        );
        registry.register(
            "externalsecret_reconcile_duration",
            "The duration in nanoseconds of the last synchronisation of an ExternalSecret",
            metrics.external_duration.clone(),
        );
        registry.register(
            "externalsecret_status_condition",
            "The conditions of an ExternalSecret, 1 where they hold",
            metrics.external_condition.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Notes how long an object's reconciliation took.
    pub fn reconciled(&self, kind: &str, namespace: &str, name: &str, took: Duration) {
        let labels = ObjectLabels { kind: kind.into(), name: name.into(), namespace: namespace.into() };
        self.reconcile.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Notes how many objects of a Kustomization differ and stay so.
    pub fn drifted(&self, namespace: &str, name: &str, count: usize) {
        let labels = ObjectLabels { kind: "Kustomization".into(), name: name.into(), namespace: namespace.into() };
        self.drifted.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes how many objects of a Kustomization were put back.
    pub fn drift_corrected(&self, namespace: &str, name: &str, count: usize) {
        let labels = ObjectLabels { kind: "Kustomization".into(), name: name.into(), namespace: namespace.into() };
        self.corrected.get_or_create(&labels).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Notes a synchronisation of an ExternalSecret.
    pub fn external_secret_synced(&self, namespace: &str, name: &str, is_ready: bool, took: Duration) {
        let labels = SecretLabels { name: name.into(), namespace: namespace.into() };
        self.external_calls.get_or_create(&labels).inc();
        if !is_ready {
            self.external_errors.get_or_create(&labels).inc();
        }
        self.external_duration.get_or_create(&labels).set(took.as_nanos() as f64);
        for (status, holds) in [("True", is_ready), ("False", !is_ready)] {
            let labels = ConditionLabels {
                name: name.into(),
                namespace: namespace.into(),
                condition: "Ready".into(),
                status: status.into(),
            };
            self.external_condition.get_or_create(&labels).set(f64::from(u8::from(holds)));
        }
    }

    /// Forgets an object that is gone, so that no series of it stays.
    pub fn forget(&self, kind: &str, namespace: &str, name: &str) {
        let object = ObjectLabels { kind: kind.into(), name: name.into(), namespace: namespace.into() };
        self.reconcile.remove(&object);
        self.drifted.remove(&object);
        self.corrected.remove(&object);
        let labels = SecretLabels { name: name.into(), namespace: namespace.into() };
        if kind == "ExternalSecret" {
            self.external_calls.remove(&labels);
            self.external_errors.remove(&labels);
            self.external_duration.remove(&labels);
            for status in ["True", "False"] {
                let SecretLabels { name, namespace } = labels.clone();
                let condition = ConditionLabels { name, namespace, condition: "Ready".into(), status: status.into() };
                self.external_condition.remove(&condition);
            }
        }
    }

    /// The text that is scraped.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_gone_leaves_no_series() {
        let metrics = Metrics::default();
        metrics.reconciled("ExternalSecret", "n", "a", Duration::from_millis(20));
        metrics.external_secret_synced("n", "a", true, Duration::from_millis(20));
        let text = metrics.text();
        assert!(
            text.contains(r#"gotk_reconcile_duration_seconds_count{kind="ExternalSecret",name="a",namespace="n"} 1"#)
        );
        assert!(text.contains(r#"externalsecret_sync_calls_total{name="a",namespace="n"} 1"#), "{text}");
        metrics.forget("ExternalSecret", "n", "a");
        assert!(!metrics.text().contains(r#"name="a""#));
    }
}
