//! Calls as HTTP requests.

use std::fmt::Write as _;
use std::time::Duration;

use ::kube::client::Body;
use apply::cluster::{PatchKind, Propagation, Subresource};
use apply::{Call, Reference, Selection};
use http::{Method, Request};
use manifest::Object;
use serde_json::{Value, json};

use super::discovery::Resource;

/// How many objects a page of a list holds.
const PAGE: u32 = 500;

/// The request for a call about one object.
///
/// # Errors
/// When the reference makes no URL.
pub(super) fn build(
    call: &Call,
    at: &Reference,
    resource: &Resource,
    timeout: Duration,
) -> Result<Request<Body>, String> {
    let named = |subresource: Option<Subresource>| path(resource, &at.namespace, Some(&at.name), subresource);
    let query = |manager: &str, dry_run: bool| Query::new(timeout).manager(manager).dry_run(dry_run);
    match call {
        Call::Apply { object, manager, force, dry_run, subresource } => {
            let query = query(manager, *dry_run).add("force", if *force { "true" } else { "false" });
            send(Method::PATCH, &named(*subresource), query, "application/apply-patch+yaml", object.value())
        }
        Call::Create { object, manager, dry_run, subresource } => {
            let all = path(resource, &at.namespace, None, *subresource);
            send(Method::POST, &all, query(manager, *dry_run), JSON, object.value())
        }
        Call::Update { object, manager, dry_run, subresource } => {
            send(Method::PUT, &named(*subresource), query(manager, *dry_run), JSON, object.value())
        }
        Call::Patch { kind, patch, manager, dry_run, subresource, .. } => {
            let form = match kind {
                PatchKind::Merge => "application/merge-patch+json",
                PatchKind::Json => "application/json-patch+json",
            };
            send(Method::PATCH, &named(*subresource), query(manager, *dry_run), form, patch)
        }
        Call::Delete { uid, resource_version, propagation, dry_run, .. } => {
            let options = deletion(uid.as_deref(), resource_version.as_deref(), *propagation, *dry_run);
            send(Method::DELETE, &named(None), Query::new(timeout), JSON, &options)
        }
        _ => get(&named(None), Query::new(timeout)),
    }
}

fn deletion(uid: Option<&str>, revision: Option<&str>, propagation: Propagation, dry_run: bool) -> Value {
    let policy = match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    };
    let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy });
    if let Some(uid) = uid {
        options["preconditions"]["uid"] = json!(uid);
    }
    if let Some(revision) = revision {
        options["preconditions"]["resourceVersion"] = json!(revision);
    }
    if dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

/// One page of a list, or all of it at once.
///
/// # Errors
/// When the selection makes no URL.
pub(super) fn list(
    selection: &Selection,
    resource: &Resource,
    paged: bool,
    next: &str,
    timeout: Duration,
) -> Result<Request<Body>, String> {
    let mut query = Query::new(timeout);
    if let Some(labels) = &selection.labels {
        query = query.add("labelSelector", labels);
    }
    if let Some(name) = &selection.name {
        query = query.add("fieldSelector", &format!("metadata.name={name}"));
    }
    if paged {
        query = query.add("limit", &PAGE.to_string());
    }
    if !next.is_empty() {
        query = query.add("continue", next);
    }
    get(&path(resource, selection.namespace.as_deref().unwrap_or_default(), None, None), query)
}

/// A `TokenRequest` for a ServiceAccount.
///
/// # Errors
/// When the reference makes no URL.
pub(super) fn token(at: &Reference, object: &Object, timeout: Duration) -> Result<Request<Body>, String> {
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", encode(&at.namespace), encode(&at.name));
    send(Method::POST, &path, Query::new(timeout), JSON, object.value())
}

const JSON: &str = "application/json";

fn get(path: &str, query: Query) -> Result<Request<Body>, String> {
    let request = Request::get(format!("{path}?{}", query.text)).header("accept", JSON);
    request.body(Body::empty()).map_err(|error| error.to_string())
}

fn send(method: Method, path: &str, query: Query, form: &str, body: &Value) -> Result<Request<Body>, String> {
    let bytes = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    let request = Request::builder().method(method).uri(format!("{path}?{}", query.text));
    let request = request.header("content-type", form).header("accept", JSON);
    request.body(Body::from(bytes)).map_err(|error| error.to_string())
}

/// `/apis/<group>/<version>/namespaces/<namespace>/<plural>/<name>/<subresource>`.
fn path(resource: &Resource, namespace: &str, name: Option<&str>, subresource: Option<Subresource>) -> String {
    let root = if resource.gvk.group.is_empty() { "/api" } else { "/apis" };
    let mut path = format!("{root}/{}", resource.gvk.api_version());
    let parts = [("namespaces/", namespace), ("", &resource.plural), ("", name.unwrap_or_default())];
    for (prefix, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
        let _ = write!(path, "/{prefix}{}", encode(part));
    }
    if subresource == Some(Subresource::Status) {
        path.push_str("/status");
    }
    path
}

struct Query {
    text: String,
}

impl Query {
    /// Every request tells the server how long we wait.
    fn new(timeout: Duration) -> Self {
        Self { text: format!("timeout={}s", timeout.as_secs().max(1)) }
    }

    fn add(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.text, "&{name}={}", encode(value));
        self
    }

    fn manager(self, manager: &str) -> Self {
        if manager.is_empty() { self } else { self.add("fieldManager", manager) }
    }

    fn dry_run(self, dry_run: bool) -> Self {
        if dry_run { self.add("dryRun", "All") } else { self }
    }
}

/// Percent-encodes everything but what RFC 3986 leaves unreserved. A segment of dots alone is not a step upwards.
fn encode(text: &str) -> String {
    let dots = text == "." || text == "..";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(char::from(byte)),
            b'.' if !dots => encoded.push('.'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
