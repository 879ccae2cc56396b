//! Requests against the stored objects, in the order in which the API server goes about them.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use manifest::Object;
use serde_json::{Map, Value, json};

use super::check;
use super::kinds::Kind;
use super::managed::{self, Managers, Part, Writer};
use super::merge;
use super::shape::Shape;
use super::store::{Filter, Place, State, finalizers, find, is_terminating, text, uid};
use super::stored::Stored;
use super::words;
use crate::cluster::{Capabilities, PatchKind, Propagation, Subresource};
use crate::schema::Fault;
use crate::{Answer, Call, ClusterError, Reference, Scope};

/// What is stored as an object in the version that was asked for.
pub(super) fn object(kind: &Kind, stored: &Stored) -> Object {
    let (mut object, version) = (stored.whole().clone(), kind.gvk.api_version());
    if object.api_version() != version {
        object.value_mut()["apiVersion"] = json!(version);
    }
    object
}

/// What all writes have.
struct Write<'a> {
    kind: Arc<Kind>,
    place: Place,
    manager: &'a str,
    dry_run: bool,
    part: Part,
}

impl Write<'_> {
    fn id(&self) -> manifest::ObjectId {
        words::id(&self.kind, &self.place.namespace, &self.place.name)
    }

    fn writer(&self, state: &State, applies: bool) -> Writer {
        Writer {
            name: self.manager.into(),
            applies,
            api_version: self.kind.gvk.api_version(),
            subresource: if self.part == Part::Status { "status" } else { "" },
            time: state.time(),
        }
    }
}

type Written = Result<Stored, ClusterError>;

impl State {
    /// Does what a request asks for.
    pub(super) fn answer(&mut self, call: &Call) -> Result<Answer, ClusterError> {
        match call {
            Call::Scope(gvk) => Ok(Answer::Scope(self.kinds.discovered(gvk).map(|kind| kind.scope))),
            Call::Discover => {
                self.kinds.discover();
                Ok(Answer::Done)
            }
            Call::Capabilities => {
                let kinds = self.kinds.all_discovered().cloned().collect();
                Ok(Answer::Capabilities(Capabilities { version: super::VERSION.into(), kinds }))
            }
            Call::Get(at) => {
                let kind = self.kind(at)?;
                let found = self.get(&Place::new(&kind, &at.namespace, &at.name));
                Ok(Answer::Object(found.map(|value| object(&kind, value))))
            }
            Call::List(selection) => self.list(selection),
            Call::Create { object, subresource: Some(Subresource::Token), .. } => self.token(object),
            Call::Delete { at, uid, resource_version, propagation, dry_run } => {
                self.delete(at, uid.as_deref(), resource_version.as_deref(), *propagation, *dry_run)
            }
            write => self.write(write),
        }
    }

    fn write(&mut self, call: &Call) -> Result<Answer, ClusterError> {
        let (write, written) = match call {
            Call::Apply { object, manager, force, dry_run, subresource } => {
                let write = self.open(&Reference::of(object), manager, *dry_run, *subresource)?;
                let written = self.apply(&write, object, *force)?;
                (write, written)
            }
            Call::Create { object, manager, dry_run, subresource } => {
                let mut write = self.open(&Reference::of(object), manager, *dry_run, *subresource)?;
                let written = self.create(&mut write, object)?;
                (write, written)
            }
            Call::Update { object, manager, dry_run, subresource } => {
                let write = self.open(&Reference::of(object), manager, *dry_run, *subresource)?;
                let live = self.live(&write)?;
                if write.kind.is_custom() && object.resource_version().is_empty() {
                    return Err(words::unversioned(&write.kind, write.id()));
                }
                let written = self.replace(&write, &live, object.value().clone())?;
                (write, written)
            }
            Call::Patch { at, kind, patch, manager, dry_run, subresource } => {
                let write = self.open(at, manager, *dry_run, *subresource)?;
                let live = self.live(&write)?;
                let patched = patched(&write, &live, *kind, patch)?;
                let written = self.replace(&write, &live, patched)?;
                (write, written)
            }
            _ => return Ok(Answer::Done),
        };
        Ok(Answer::Object(Some(object(&write.kind, &written))))
    }

    fn kind(&self, at: &Reference) -> Result<Arc<Kind>, ClusterError> {
        self.kinds.get(&at.gvk).ok_or_else(|| ClusterError::NoKind { gvk: at.gvk.clone() })
    }

    fn open<'a>(
        &self,
        at: &Reference,
        manager: &'a str,
        dry_run: bool,
        subresource: Option<Subresource>,
    ) -> Result<Write<'a>, ClusterError> {
        let kind = self.kind(at)?;
        let place = Place::new(&kind, &at.namespace, &at.name);
        let part = match subresource {
            None if kind.has_status => Part::Main,
            None => Part::Whole,
            Some(Subresource::Status) if kind.has_status => Part::Status,
            Some(_) => {
                let message = "the server could not find the requested resource".into();
                return Err(ClusterError::NotFound { id: at.id(), message });
            }
        };
        let namespaced = kind.scope == Scope::Namespaced;
        if namespaced && at.namespace.is_empty() {
            return Err(words::bad(at.id(), "an empty namespace may not be set when a resource name is provided"));
        }
        if !namespaced && !at.namespace.is_empty() {
            return Err(words::bad(at.id(), "the server could not find the requested resource"));
        }
        Ok(Write { kind, place, manager, dry_run, part })
    }

    fn live(&self, write: &Write<'_>) -> Result<Stored, ClusterError> {
        self.get(&write.place).cloned().ok_or_else(|| words::not_found(&write.kind, write.id()))
    }

    fn list(&self, selection: &crate::Selection) -> Result<Answer, ClusterError> {
        let gvk = &selection.gvk;
        let kind = self.kinds.get(gvk).ok_or_else(|| ClusterError::NoKind { gvk: gvk.clone() })?;
        let Some(filter) = Filter::of(selection) else {
            let message = "unable to parse requirement of the label selector".to_owned();
            return Err(ClusterError::Refused { id: None, message, fields: vec!["labelSelector".into()] });
        };
        let all = self.of_kind(&gvk.group, &gvk.kind, filter.namespace());
        let covered = all.filter(|(place, value)| filter.covers(place, value));
        Ok(Answer::Objects(covered.map(|(_, value)| object(&kind, value)).collect()))
    }

    fn create(&mut self, write: &mut Write<'_>, given: &Object) -> Written {
        let mut value = given.value().clone();
        if let Some(prefix) = given.text("/metadata/generateName").filter(|_| given.name().is_empty()) {
            write.place.name = format!("{prefix}{}", self.make_suffix());
            value["metadata"]["name"] = json!(write.place.name);
        }
        if !given.resource_version().is_empty() {
            return Err(words::bad(write.id(), "resourceVersion should not be set on objects to be created"));
        }
        self.admit(write)?;
        if self.get(&write.place).is_some() {
            // Admission comes before the store.
            self.check_quota(&write.kind, &write.id())?;
            return Err(ClusterError::AlreadyExists { id: write.id() });
        }
        check::decode(&write.kind, write.id(), &mut value)?;
        managed::bare(&mut value);
        let mut managers = Managers::default();
        let writer = self.writer(write, false);
        managers.update(&managed::nothing(&value, write.kind.shape()), &value, write.kind.shape(), &writer, write.part);
        self.begin(write, value, managers)
    }

    fn writer(&self, write: &Write<'_>, applies: bool) -> Writer {
        write.writer(self, applies)
    }

    fn apply(&mut self, write: &Write<'_>, given: &Object, force: bool) -> Written {
        let shape = write.kind.shape();
        if let Some(Value::Array(_)) = find(given.value(), "/metadata/managedFields") {
            return Err(words::bad(write.id(), "metadata.managedFields must be nil"));
        }
        let config = stripped(given.value());
        check::typed(&write.kind, &write.id(), &config)?;
        let writer = self.writer(write, true);
        let Some(live) = self.get(&write.place).cloned() else {
            return self.apply_new(write, given, &config, &writer);
        };
        let mut managers = live.managers().clone();
        if managers.is_empty() {
            let first = Writer { name: "before-first-apply".into(), applies: false, ..writer.clone() };
            managers.update(&managed::nothing(&live, shape), &live, shape, &first, write.part);
        }
        let merged = managers.apply(&live, &config, shape, &writer, write.part, force);
        let mut merged =
            merged.map_err(|conflicts| ClusterError::Conflict { id: write.id(), message: conflicts.message })?;
        precondition(write, &live, given.resource_version(), given.uid())?;
        check::decode(&write.kind, write.id(), &mut merged)?;
        keep_system(write, &live, &mut merged);
        self.finish(write, &live, merged, managers)
    }

    fn apply_new(&mut self, write: &Write<'_>, given: &Object, config: &Value, writer: &Writer) -> Written {
        if write.part == Part::Status {
            return Err(words::not_found(&write.kind, write.id()));
        }
        if !given.uid().is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                given.uid()
            );
            return Err(words::conflict(&write.kind, write.id(), &why));
        }
        self.admit(write)?;
        let mut managers = Managers::default();
        let nothing = managed::nothing(config, Shape::Untyped);
        let merged = managers.apply(&nothing, config, write.kind.shape(), writer, write.part, true);
        let mut merged =
            merged.map_err(|conflicts| ClusterError::Conflict { id: write.id(), message: conflicts.message })?;
        check::decode(&write.kind, write.id(), &mut merged)?;
        self.begin(write, merged, managers)
    }

    /// A new object may come into its namespace.
    fn admit(&self, write: &Write<'_>) -> Result<(), ClusterError> {
        let namespace = &write.place.namespace;
        if namespace.is_empty() {
            return Ok(());
        }
        let Some(live) = self.get(&Place::namespace_of(namespace)) else {
            let message = format!("namespaces {namespace:?} not found");
            return Err(ClusterError::NotFound { id: write.id(), message });
        };
        if is_terminating(live) {
            let (resource, name) = (write.kind.resource(), &write.place.name);
            let message = format!(
                "{resource} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(ClusterError::Forbidden { id: Some(write.id()), message });
        }
        Ok(())
    }

    /// Stores a new object.
    fn begin(&mut self, write: &Write<'_>, mut value: Value, managers: Managers) -> Written {
        strip_system(&mut value);
        check::at_birth(&write.kind, &mut value, self.made());
        refuse(write, check::created(&write.kind, &value))?;
        self.check_quota(&write.kind, &write.id())?;
        let uid = self.make_uid();
        value["metadata"]["uid"] = json!(uid);
        value["metadata"]["creationTimestamp"] = json!(self.time());
        if write.kind.counts {
            value["metadata"]["generation"] = json!(1);
        }
        if write.dry_run {
            return Ok(Stored::new(value, managers));
        }
        Ok(self.put_managed(&write.place, value, managers))
    }

    /// Brings a whole object in, from an update or a patch.
    fn replace(&mut self, write: &Write<'_>, live: &Stored, mut new: Value) -> Written {
        precondition(write, live, text(&new, "/metadata/resourceVersion"), uid(&new))?;
        check::decode(&write.kind, write.id(), &mut new)?;
        let is_status = write.part == Part::Status;
        let mut managers = if is_status { live.managers().clone() } else { managers_of(live, &new) };
        keep_system(write, live, &mut new);
        check::carry_over(&write.kind, live, &mut new);
        if !managers.is_empty() {
            let writer = self.writer(write, false);
            managers.update(live, &new, write.kind.shape(), &writer, write.part);
        }
        self.finish(write, live, new, managers)
    }

    /// Stores a changed object, unless nothing changed.
    fn finish(&mut self, write: &Write<'_>, live: &Stored, mut new: Value, managers: Managers) -> Written {
        if live.is(&new, &managers) {
            return Ok(live.clone());
        }
        if write.kind.counts && check::content_differs(&write.kind, live, &new) {
            let generation = find(live, "/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
            new["metadata"]["generation"] = json!(generation + 1);
        }
        refuse(write, check::updated(&write.kind, live, &new, write.part))?;
        if write.dry_run {
            return Ok(Stored::new(new, managers));
        }
        if is_terminating(&new) && finalizers(&new).next().is_none() && !check::holds_content(&write.kind, &new) {
            self.remove(&write.place);
            return Ok(Stored::new(new, managers));
        }
        Ok(self.put_managed(&write.place, new, managers))
    }

    fn delete(
        &mut self,
        at: &Reference,
        expected_uid: Option<&str>,
        revision: Option<&str>,
        propagation: Propagation,
        dry_run: bool,
    ) -> Result<Answer, ClusterError> {
        let write = self.open(at, "", dry_run, None)?;
        let live = self.live(&write)?;
        if let Some(expected) = expected_uid.filter(|expected| *expected != uid(&live)) {
            let why = format!(
                "the UID in the precondition ({expected}) does not match the UID in record ({}). The object might have \
                 been deleted and then recreated",
                uid(&live)
            );
            return Err(words::conflict_of(&write.kind.title(), write.id(), &why));
        }
        let found = text(&live, "/metadata/resourceVersion");
        if let Some(expected) = revision.filter(|expected| *expected != found) {
            let why = format!(
                "the ResourceVersion in the precondition ({expected}) does not match the ResourceVersion in record \
                 ({found}). The object might have been modified"
            );
            return Err(words::conflict_of(&write.kind.title(), write.id(), &why));
        }
        if dry_run {
            return Ok(Answer::Done);
        }
        self.erase(&write.kind, &write.place, propagation);
        Ok(self.get(&write.place).map_or(Answer::Done, |left| Answer::Object(Some(object(&write.kind, left)))))
    }

    /// Deletes an object, or begins to when something holds it.
    pub(super) fn erase(&mut self, kind: &Kind, place: &Place, propagation: Propagation) {
        let Some(live) = self.get(place).cloned() else { return };
        let mut new = Value::clone(&live);
        let mut held: Vec<&str> =
            finalizers(&live).filter(|name| !matches!(*name, "foregroundDeletion" | "orphan")).collect();
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => held.push("foregroundDeletion"),
            Propagation::Orphan => held.push("orphan"),
        }
        if held.is_empty() && !check::holds_content(kind, &live) {
            self.remove(place);
            return;
        }
        let list = json!(held);
        set_or_remove(&mut new["metadata"], "finalizers", (!held.is_empty()).then_some(list));
        if !is_terminating(&new) {
            new["metadata"]["deletionTimestamp"] = json!(self.time());
            // Definitions and namespaces have deletions of their own kind.
            let plain = !place.is("", "Namespace") && place.kind != "CustomResourceDefinition";
            if plain {
                new["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            }
            if let Some(generation) = new["metadata"]["generation"].as_i64().filter(|_| plain) {
                new["metadata"]["generation"] = json!(generation + 1);
            }
            if place.is("", "Namespace") {
                new["status"] = json!({ "phase": "Terminating" });
            }
        }
        if new != *live {
            self.put(place, new);
        }
    }

    /// Answers a `TokenRequest` with a token that nobody signed.
    fn token(&self, request: &Object) -> Result<Answer, ClusterError> {
        let at = Reference::new("v1", "ServiceAccount", request.namespace(), request.name());
        let kind = self.kind(&at)?;
        let place = Place::new(&kind, &at.namespace, &at.name);
        let account = self.get(&place).ok_or_else(|| words::not_found(&kind, at.id()))?;
        let wanted = find(request.value(), "/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
        let (now, audiences) = (self.now(), find(request.value(), "/spec/audiences").cloned());
        let ends = now.checked_add(SignedDuration::from_secs(wanted)).unwrap_or(now);
        let claims = json!({
            "aud": audiences,
            "exp": ends.as_second(),
            "iat": now.as_second(),
            "iss": "https://kubernetes.default.svc.cluster.local",
            "kubernetes.io": {
                "namespace": at.namespace,
                "serviceaccount": { "name": at.name, "uid": uid(account) },
            },
            "sub": format!("system:serviceaccount:{}:{}", at.namespace, at.name),
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.", encode(json!({ "alg": "none", "typ": "JWT" })), encode(claims));
        let mut answer = request.clone();
        let ends = jiff::Timestamp::from_second(ends.as_second()).unwrap_or(ends);
        answer.value_mut()["status"] = json!({ "token": token, "expirationTimestamp": ends.to_string() });
        Ok(Answer::Object(Some(answer)))
    }
}

fn refuse(write: &Write<'_>, faults: Vec<Fault>) -> Result<(), ClusterError> {
    if faults.is_empty() { Ok(()) } else { Err(words::invalid(&write.kind, write.id(), &faults)) }
}

/// The writer meant the object that is there, in the state that it read.
fn precondition(write: &Write<'_>, live: &Value, revision: &str, expected: &str) -> Result<(), ClusterError> {
    if !expected.is_empty() && expected != uid(live) {
        let (group, place) = (&write.kind.gvk.group, &write.place);
        let folder = if write.kind.is_custom() { format!("{group}/") } else { String::new() };
        let key = format!("/registry/{folder}{}/{}/{}", write.kind.plural, place.namespace, place.name);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
             UID in precondition: {expected}, UID in object meta: {}",
            key.replace("//", "/"),
            uid(live)
        );
        return Err(words::conflict(&write.kind, write.id(), &why));
    }
    if !revision.is_empty() && revision != text(live, "/metadata/resourceVersion") {
        return Err(words::modified(&write.kind, write.id()));
    }
    Ok(())
}

fn patched(write: &Write<'_>, live: &Stored, kind: PatchKind, patch: &Value) -> Result<Value, ClusterError> {
    let mut value = live.whole().value().clone();
    match kind {
        PatchKind::Merge => json_patch::merge(&mut value, patch),
        PatchKind::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|_| words::bad(write.id(), "the patch is no list of JSON patch operations"))?;
            json_patch::patch(&mut value, &operations).map_err(|_| {
                words::bad(write.id(), "the server rejected our request due to an error in our request")
            })?;
        }
    }
    // A patch is for the object as it is now, unless it says otherwise itself.
    if kind == PatchKind::Json || find(patch, "/metadata/resourceVersion").is_none() {
        set_or_remove(&mut value["metadata"], "resourceVersion", None);
    }
    for (pointer, own) in [("/metadata/name", &write.place.name), ("/metadata/namespace", &write.place.namespace)] {
        let found = text(&value, pointer);
        if found != own {
            let why = match pointer {
                "/metadata/name" => {
                    format!("the name of the object ({found}) does not match the name on the URL ({own})")
                }
                _ => "the namespace of the provided object does not match the namespace sent on the request".into(),
            };
            return Err(words::bad(write.id(), why));
        }
    }
    Ok(value)
}

/// A writer may replace `managedFields`, or reset it; silence keeps it.
fn managers_of(live: &Stored, new: &Value) -> Managers {
    let given = find(new, "/metadata/managedFields");
    let list = given.and_then(Value::as_array);
    if list.is_some_and(|list| list.is_empty() || list[..] == [json!({})]) {
        return Managers::default();
    }
    let is_kept = given.is_none() || given == find(live.whole().value(), "/metadata/managedFields");
    let managers = if is_kept { Managers::default() } else { Managers::of(new) };
    if managers.is_empty() { live.managers().clone() } else { managers }
}

/// What the server alone writes.
const SYSTEM: [&str; 8] = [
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];

/// What is applied, without what the server alone writes.
fn stripped(config: &Value) -> Cow<'_, Value> {
    let metadata = config.get("metadata").and_then(Value::as_object);
    if metadata.is_none_or(|metadata| SYSTEM.iter().all(|field| !metadata.contains_key(*field))) {
        return Cow::Borrowed(config);
    }
    let mut config = config.clone();
    strip_system(&mut config);
    Cow::Owned(config)
}

fn strip_system(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SYSTEM.contains(&name.as_str()));
    }
}

/// Puts back what the request cannot change.
fn keep_system(write: &Write<'_>, live: &Value, new: &mut Value) {
    if write.part == Part::Status {
        let status = new.get("status").cloned();
        *new = live.clone();
        set_or_remove(new, "status", status);
        return;
    }
    if !new["metadata"].is_object() {
        new["metadata"] = Value::Object(Map::new());
    }
    for field in SYSTEM.into_iter().chain(["name", "namespace"]) {
        let kept = live.get("metadata").and_then(|own| own.get(field));
        if new["metadata"].get(field) != kept {
            set_or_remove(&mut new["metadata"], field, kept.cloned());
        }
    }
    if write.part == Part::Main {
        set_or_remove(new, "status", live.get("status").cloned());
    }
    if write.kind.is("", "Namespace") {
        set_or_remove(new, "spec", live.get("spec").cloned());
    }
}

/// Writes or removes one field of a map.
pub(super) fn set_or_remove(value: &mut Value, field: &str, new: Option<Value>) {
    let Some(map) = value.as_object_mut() else { return };
    match new {
        Some(new) => map.insert(field.into(), new),
        None => map.remove(field),
    };
}

/// Refuses what cannot be merged, in the words of a failed apply.
pub(super) fn misfit(kind: &Kind, id: &manifest::ObjectId, found: &merge::Misfit) -> ClusterError {
    let (namespace, name) = (&id.namespace, &id.name);
    let manifest::Gvk { group, version, kind: title } = &kind.gvk;
    let what = match found.message.split_once("&{") {
        // A value of a Secret stays out of messages.
        Some((what, _)) if kind.is("", "Secret") => format!("{what}&{{***}}"),
        _ => found.message.clone(),
    };
    let message = format!(
        "failed to create typed patch object ({namespace}/{name}; {group}/{version}, Kind={title}): {}: {what}",
        found.path
    );
    let fields = vec![found.path.trim_start_matches('.').to_owned()];
    ClusterError::Refused { id: Some(id.clone()), message, fields }
}
