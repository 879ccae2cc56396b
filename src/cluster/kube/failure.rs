//! What went wrong, in the terms of [`ClusterError`].
//!
//! One question decides: may the request have been done? A server that answered "not now" before it stored anything
//! leaves the matter open to repeat; a cut connection or a timeout of a write does not.

use std::time::Duration;

use apply::{Call, ClusterError};
use bytes::Bytes;
use http::StatusCode;
use manifest::{Object, ObjectId};
use serde_json::{Value, json};

/// No answer came.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// It never left: the connection did not come about.
    unsent: bool,
    message: String,
}

impl NoAnswer {
    pub(super) fn of(error: &::kube::Error) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut unsent = matches!(error, ::kube::Error::BuildRequest(_) | ::kube::Error::Auth(_));
        let mut next: Option<&dyn std::error::Error> = Some(error);
        while let Some(cause) = next {
            unsent |= cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect());
            let text = cause.to_string();
            if !texts.iter().any(|known| known.contains(&text)) {
                texts.push(text);
            }
            next = cause.source();
        }
        Self { unsent, message: texts.join(": ") }
    }

    pub(super) fn timeout(after: Duration) -> Self {
        Self { unsent: false, message: format!("no answer after {after:?}") }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// The error for a call that got no answer.
pub(super) fn unanswered(call: &Call, why: &NoAnswer) -> ClusterError {
    let (id, message) = (identity(call), why.message.clone());
    if call.is_write() && !why.unsent {
        ClusterError::Unknown { id, message }
    } else {
        ClusterError::Unavailable { id, message, retry_after: None }
    }
}

/// The error for an answer of success that cannot be read.
pub(super) fn unreadable(call: &Call) -> ClusterError {
    ClusterError::Unknown { id: identity(call), message: "the server's answer has another form".into() }
}

fn identity(call: &Call) -> Option<ObjectId> {
    call.reference().map(|at| at.id())
}

/// A body as JSON.
pub(super) fn parse(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

/// Puts the seconds of a `Retry-After` header where the body has them, too, when the body has none.
pub(super) fn with_retry_after(status: StatusCode, body: Bytes, seconds: Option<u64>) -> Bytes {
    let Some(seconds) = seconds.filter(|_| !status.is_success()) else { return body };
    let mut value = parse(&body).filter(Value::is_object);
    let value = value.get_or_insert_with(|| json!({ "message": String::from_utf8_lossy(&body).trim() }));
    if value.pointer("/details/retryAfterSeconds").is_none() {
        if !value["details"].is_object() {
            value["details"] = json!({});
        }
        value["details"]["retryAfterSeconds"] = json!(seconds);
    }
    Bytes::from(value.to_string())
}

/// A `Status` of the server.
pub(super) struct Status {
    code: u16,
    reason: String,
    message: String,
    /// Name of the object that is not there, and so on.
    name: Option<String>,
    fields: Vec<String>,
    retry_after: Option<Duration>,
}

impl Status {
    /// Reads an answer's body; a proxy's page counts by its code alone.
    pub(super) fn read(code: StatusCode, body: &[u8]) -> Self {
        let value = parse(body).filter(Value::is_object).unwrap_or_else(|| {
            let text = String::from_utf8_lossy(body);
            let line = text.lines().next().unwrap_or_default();
            json!({ "message": line.chars().take(200).collect::<String>() })
        });
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
        let causes = value.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
        let seconds = value.pointer("/details/retryAfterSeconds").and_then(Value::as_u64);
        Self {
            code: code.as_u16(),
            reason: text("/reason").unwrap_or_default(),
            message: text("/message").unwrap_or_default(),
            name: text("/details/name"),
            fields: distinct(causes.filter_map(|cause| cause.get("field")?.as_str())),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// The object is not there, while its kind is served.
    pub(super) fn is_missing_object(&self) -> bool {
        self.code == 404 && self.name.is_some()
    }

    /// There is no such URL: the kind is not served any more.
    pub(super) fn is_missing_endpoint(&self) -> bool {
        self.code == 404 && self.name.is_none()
    }
}

/// The error for a call that the server did not do. `served`: the kind is, although the URL may not be.
pub(super) fn refused(call: &Call, status: &Status, served: bool) -> ClusterError {
    let status = &discreet(call, status);
    let (id, message) = (identity(call), status.message.clone());
    let known = || id.clone().unwrap_or_else(nobody);
    match verdict(call, status, served) {
        Verdict::NoKind => match call.reference() {
            Some(at) => ClusterError::NoKind { gvk: at.gvk },
            None => ClusterError::NotFound { id: nobody(), message },
        },
        Verdict::NotFound => ClusterError::NotFound { id: known(), message },
        Verdict::AlreadyExists => ClusterError::AlreadyExists { id: known() },
        Verdict::Conflict => ClusterError::Conflict { id: known(), message },
        Verdict::Refused => ClusterError::Refused { fields: fields(status), id, message },
        Verdict::Forbidden => ClusterError::Forbidden { id, message },
        Verdict::Unavailable => ClusterError::Unavailable { id, message, retry_after: status.retry_after },
        Verdict::Unknown => ClusterError::Unknown { id, message },
    }
}

/// The error of a failed discovery.
pub(super) fn discovery(status: &Status) -> ClusterError {
    let message = format!("discovery: {}", status.message);
    match status.code {
        401 | 403 => ClusterError::Forbidden { id: None, message },
        _ => ClusterError::Unavailable { id: None, message, retry_after: status.retry_after },
    }
}

fn nobody() -> ObjectId {
    ObjectId { namespace: String::new(), name: String::new(), group: String::new(), kind: String::new() }
}

enum Verdict {
    NoKind,
    NotFound,
    AlreadyExists,
    Conflict,
    Refused,
    Forbidden,
    Unavailable,
    Unknown,
}

fn verdict(call: &Call, status: &Status, served: bool) -> Verdict {
    let says = |words: &str| status.message.contains(words);
    match status.code {
        404 if !served && status.is_missing_endpoint() => Verdict::NoKind,
        404 => Verdict::NotFound,
        409 if status.reason == "AlreadyExists" && matches!(call, Call::Create { .. }) => Verdict::AlreadyExists,
        409 => Verdict::Conflict,
        // A quota gives room when something else goes.
        403 if says("exceeded quota:") => Verdict::Unavailable,
        // Webhooks and admission policies refuse content, not the user.
        403 if says("denied the request") || says("denied request") => Verdict::Refused,
        401 | 403 => Verdict::Forbidden,
        429 | 503 => Verdict::Unavailable,
        // Admission comes before anything is stored.
        500..=599 if says("failed calling webhook") || says("failed to call webhook") => Verdict::Unavailable,
        // structured-merge-diff's refusals come as internal errors.
        500 if says("failed to create typed patch object") || says("error decoding from json") => Verdict::Refused,
        500 if says("resourceVersion should not be set") => Verdict::Refused,
        500..=599 if status.reason == "ServerTimeout" => Verdict::Unavailable,
        500..=599 if call.is_write() => Verdict::Unknown,
        500..=599 => Verdict::Unavailable,
        _ => Verdict::Refused,
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if !all.iter().any(|known| known == name) {
            all.push(name.into());
        }
    }
    all
}

/// The fields that the server named as such, or the path that a failed apply names in its text.
fn fields(status: &Status) -> Vec<String> {
    if !status.fields.is_empty() || !status.message.contains("failed to create typed patch object") {
        return status.fields.clone();
    }
    let path = status.message.split("): .").nth(1).and_then(|rest| rest.split(": ").next());
    path.map(ToOwned::to_owned).into_iter().collect()
}

/// The same without bytes of the Secret that the call was about: the server quotes values of a wrong type.
fn discreet(call: &Call, status: &Status) -> Status {
    let object = match call {
        Call::Apply { object, .. } | Call::Create { object, .. } | Call::Update { object, .. } => object.value(),
        Call::Patch { at, patch, .. } if at.gvk.group.is_empty() && at.gvk.kind == "Secret" => patch,
        _ => return status.copy(),
    };
    let secret = match call {
        Call::Patch { .. } => true,
        Call::Apply { object, .. } | Call::Create { object, .. } | Call::Update { object, .. } => {
            Object::is_secret(object)
        }
        _ => false,
    };
    if !secret {
        return status.copy();
    }
    let mut message = status.message.clone();
    if let Some(at) = message.find("&value.valueUnstructured") {
        message.truncate(at);
        message.push_str("another type");
    }
    let mut values = Vec::new();
    match object {
        Value::Array(_) => scalars(object, &mut values),
        _ => ["data", "stringData"]
            .iter()
            .filter_map(|field| object.get(*field))
            .for_each(|map| scalars(map, &mut values)),
    }
    // Longest first, so that no part of a longer one is left.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values.iter().filter(|value| value.len() > 2) {
        message = message.replace(value.as_str(), "***");
    }
    Status { message, ..status.copy() }
}

impl Status {
    fn copy(&self) -> Self {
        Self {
            code: self.code,
            reason: self.reason.clone(),
            message: self.message.clone(),
            name: self.name.clone(),
            fields: self.fields.clone(),
            retry_after: self.retry_after,
        }
    }
}

fn scalars(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        Value::Object(map) => map.values().for_each(|item| scalars(item, found)),
        Value::Null | Value::Bool(_) => {}
    }
}
