//! Releases to JSON and back, by the names of Helm's structs.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::go::base64;
use gotemplate::go::time::{RFC3339, Time, Zone, parse};
use serde_json::{Map, Value, json};

use super::{ApplyMethod, HookRun, Nanoseconds, Release, Status};
use crate::Chart;
use crate::chart::{Dependency, File, Maintainer, Metadata};
use crate::output::{Event, Hook, Manifest};
use crate::values::{Values, from_json};

/// A map without what Go leaves out: empty texts, lists and maps, `false` and 0.
fn compact<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(true) => false,
    };
    fields.into_iter().filter(|(_, value)| !is_empty(value)).map(|(key, value)| (key.to_owned(), value)).collect()
}

fn time(nanoseconds: Option<Nanoseconds>) -> Value {
    nanoseconds.map_or(Value::Null, |nanoseconds| {
        Time::from_nanoseconds(nanoseconds).format("2006-01-02T15:04:05.999999999Z07:00").into()
    })
}

pub(super) fn from_release(release: &Release) -> Value {
    let info = compact([
        ("first_deployed", time(release.first_deployed)),
        ("last_deployed", time(release.last_deployed)),
        ("deleted", time(release.deleted)),
        ("description", release.description.as_str().into()),
        ("status", release.status.name().into()),
        ("notes", release.notes.as_str().into()),
    ]);
    let apply_method = match release.apply_method {
        None => "",
        Some(ApplyMethod::ClientSide) => "csa",
        Some(ApplyMethod::ServerSide) => "ssa",
    };
    Value::Object(compact([
        ("name", release.name.as_str().into()),
        ("info", Value::Object(info)),
        ("chart", from_chart(&release.chart)),
        ("config", Value::Object(release.config.clone())),
        ("manifest", release.manifest.as_str().into()),
        ("hooks", release.hooks.iter().map(|(hook, run)| from_hook(hook, run)).collect()),
        ("version", release.version.into()),
        ("namespace", release.namespace.as_str().into()),
        ("apply_method", apply_method.into()),
    ]))
}

fn from_hook(hook: &Hook, run: &HookRun) -> Value {
    let mut last_run = compact([("started_at", time(run.started)), ("completed_at", time(run.completed))]);
    last_run.insert("phase".into(), run.phase.as_str().into());
    let mut fields = compact([
        ("name", hook.manifest.name.as_str().into()),
        ("kind", hook.manifest.kind.as_str().into()),
        ("path", hook.manifest.source.as_str().into()),
        ("manifest", hook.manifest.text.as_str().into()),
        ("events", hook.events.iter().map(|event| event.name()).collect()),
        ("weight", hook.weight.into()),
        ("delete_policies", hook.delete_policies.as_slice().into()),
        ("output_log_policies", hook.log_policies.as_slice().into()),
    ]);
    fields.insert("last_run".into(), Value::Object(last_run));
    Value::Object(fields)
}

fn from_chart(chart: &Chart) -> Value {
    let files = |files: &[File]| -> Value {
        if files.is_empty() {
            return Value::Null;
        }
        files.iter().map(|file| json!({"name": file.name, "data": base64::encode(&file.data)})).collect()
    };
    json!({
        "metadata": from_metadata(&chart.metadata),
        "lock": chart.lock,
        "templates": files(&chart.templates),
        "values": chart.values,
        "schema": chart.schema.as_ref().map(|schema| base64::encode(schema)),
        "schemamodtime": "0001-01-01T00:00:00Z",
        "files": files(&chart.files),
    })
}

pub(crate) fn from_metadata(metadata: &Metadata) -> Value {
    let dependencies = metadata.dependencies.iter().flatten().map(from_dependency).collect();
    let people = metadata.maintainers.iter().map(|person| {
        let Maintainer { name, email, url } = person;
        Value::Object(compact([
            ("name", name.as_str().into()),
            ("email", email.as_str().into()),
            ("url", url.as_str().into()),
        ]))
    });
    Value::Object(compact([
        ("name", metadata.name.as_str().into()),
        ("home", metadata.home.as_str().into()),
        ("sources", metadata.sources.as_slice().into()),
        ("version", metadata.version.as_str().into()),
        ("description", metadata.description.as_str().into()),
        ("keywords", metadata.keywords.as_slice().into()),
        ("maintainers", people.collect()),
        ("icon", metadata.icon.as_str().into()),
        ("apiVersion", metadata.api_version.as_str().into()),
        ("condition", metadata.condition.as_str().into()),
        ("tags", metadata.tags.as_str().into()),
        ("appVersion", metadata.app_version.as_str().into()),
        ("deprecated", metadata.deprecated.into()),
        ("annotations", json!(metadata.annotations.clone().unwrap_or_default())),
        ("kubeVersion", metadata.kube_version.as_str().into()),
        ("dependencies", dependencies),
        ("type", metadata.kind.as_str().into()),
    ]))
}

fn from_dependency(dependency: &Dependency) -> Value {
    let mut fields = compact([
        ("version", dependency.version.as_str().into()),
        ("condition", dependency.condition.as_str().into()),
        ("tags", dependency.tags.as_slice().into()),
        ("enabled", dependency.enabled.into()),
        ("import-values", dependency.import_values.as_slice().into()),
        ("alias", dependency.alias.as_str().into()),
    ]);
    fields.insert("name".into(), dependency.name.as_str().into());
    fields.insert("repository".into(), dependency.repository.as_str().into());
    Value::Object(fields)
}

/// Reads a release.
///
/// # Errors
/// The field that is missing or malformed.
pub(super) fn to_release(value: &Value) -> Result<Release, String> {
    let info = value.get("info").unwrap_or(&Value::Null);
    let hooks = value.get("hooks").and_then(Value::as_array).into_iter().flatten();
    Ok(Release {
        name: required(value, "name")?,
        namespace: text(value, "namespace"),
        version: value.get("version").and_then(Value::as_i64).ok_or("version is missing")?,
        status: Status::parse(&text(info, "status")),
        description: text(info, "description"),
        first_deployed: to_time(info, "first_deployed")?,
        last_deployed: to_time(info, "last_deployed")?,
        deleted: to_time(info, "deleted")?,
        notes: text(info, "notes"),
        chart: to_chart(value.get("chart").unwrap_or(&Value::Null))?,
        config: map(value, "config"),
        manifest: text(value, "manifest"),
        hooks: hooks.map(to_hook).collect::<Result<_, _>>()?,
        labels: BTreeMap::new(),
        apply_method: match text(value, "apply_method").as_str() {
            "csa" => Some(ApplyMethod::ClientSide),
            "ssa" => Some(ApplyMethod::ServerSide),
            _ => None,
        },
    })
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn required(value: &Value, field: &str) -> Result<String, String> {
    Some(text(value, field)).filter(|text| !text.is_empty()).ok_or_else(|| format!("{field} is missing"))
}

fn map(value: &Value, field: &str) -> Values {
    value.get(field).and_then(Value::as_object).cloned().map(from_json).unwrap_or_default()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let items = value.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn to_time(value: &Value, field: &str) -> Result<Option<Nanoseconds>, String> {
    match text(value, field).as_str() {
        "" => Ok(None),
        text => match parse(RFC3339, text, &Zone::Utc) {
            Ok(time) if time.is_zero() => Ok(None),
            Ok(time) => Ok(Some(time.unix_nanoseconds())),
            Err(_) => Err(format!("{field} is no time")),
        },
    }
}

fn to_hook(value: &Value) -> Result<(Hook, HookRun), String> {
    let run = value.get("last_run").unwrap_or(&Value::Null);
    let run = HookRun {
        started: to_time(run, "started_at")?,
        completed: to_time(run, "completed_at")?,
        phase: text(run, "phase"),
    };
    let manifest = text(value, "manifest");
    let api_version = yaml::from_str(&manifest).map(|object| text(&object, "apiVersion")).unwrap_or_default();
    let hook = Hook {
        manifest: Manifest {
            source: text(value, "path"),
            text: manifest,
            line: 1,
            api_version,
            kind: text(value, "kind"),
            name: text(value, "name"),
        },
        events: texts(value, "events").iter().filter_map(|event| Event::parse(event)).collect(),
        weight: value.get("weight").and_then(Value::as_i64).unwrap_or(0),
        delete_policies: texts(value, "delete_policies"),
        log_policies: texts(value, "output_log_policies"),
    };
    Ok((hook, run))
}

fn to_chart(value: &Value) -> Result<Chart, String> {
    let files = |field: &str| -> Result<Vec<File>, String> {
        let items = value.get(field).and_then(Value::as_array).into_iter().flatten();
        let each = items.map(|item| {
            Ok(File { name: text(item, "name"), data: bytes(item, "data")?.unwrap_or_else(|| Arc::from([])) })
        });
        each.collect()
    };
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    Ok(Chart {
        metadata: Metadata::from_json(metadata).map_err(|_| "the chart's metadata is malformed".to_owned())?,
        values: map(value, "values"),
        schema: bytes(value, "schema")?,
        lock: value.get("lock").filter(|lock| !lock.is_null()).cloned(),
        templates: files("templates")?,
        files: files("files")?,
        dependencies: Vec::new(),
    })
}

fn bytes(value: &Value, field: &str) -> Result<Option<Arc<[u8]>>, String> {
    match value.get(field).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => {
            base64::decode(text.as_bytes()).map(|bytes| Some(bytes.into())).map_err(|_| format!("{field} is no base64"))
        }
    }
}
