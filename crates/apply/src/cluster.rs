//! The cluster as the landing engine sees it: one `call`, one `watch`, one `impersonate`.
//!
//! Requests are data, so that a wrapper (fencing, fault injection, a request log) is one function, and so that a
//! test can stop the engine between any two of them.
//!
//! **Implementors' duty.** A real API server, the embedded cluster and every wrapper answer alike:
//! - `Apply` is server-side apply; `force` takes fields of other managers over; a dry run is admitted and defaulted, and
//!   changes nothing.
//! - An answer to `Apply`, `Create`, `Update` and `Patch` holds the object as the server has it now.
//! - [`ClusterError::Unknown`] when the request may have been done: a timeout, a cut connection. Callers must read
//!   before they write again.
//! - Errors carry identity and the server's words, in which the bytes of a Secret never stand.

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
pub use manifest::kinds::Scope;
use manifest::{Gvk, Object, ObjectId};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

use crate::imprint::Imprint;

/// Where an object lives on the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Group, version and kind; the version is the one to read and write.
    pub gvk: Gvk,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
}

impl Reference {
    /// Where `object` lives.
    pub fn of(object: &Object) -> Self {
        Self { gvk: object.gvk(), namespace: object.namespace().into(), name: object.name().into() }
    }

    /// Builds one from its parts.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { gvk: Gvk::new(api_version, kind), namespace: namespace.into(), name: name.into() }
    }

    /// Identity without version.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            group: self.gvk.group.clone(),
            kind: self.gvk.kind.clone(),
        }
    }
}

/// Which objects a list or a watch covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Kind to list.
    pub gvk: Gvk,
    /// One namespace, or all of them.
    pub namespace: Option<String>,
    /// Only the object of this name.
    pub name: Option<String>,
    /// Label selector in Kubernetes' text form, such as `a=b,c in (d,e)`.
    pub labels: Option<String>,
    /// Whether a watch may be one that others have begun: what it tells first may be older than answers to our own writes.
    pub shared: bool,
}

impl Selection {
    /// Every object of a kind, in all namespaces.
    pub fn all(api_version: &str, kind: &str) -> Self {
        Self { gvk: Gvk::new(api_version, kind), namespace: None, name: None, labels: None, shared: false }
    }

    /// Exactly the object at `reference`.
    pub fn one(reference: &Reference) -> Self {
        Self {
            gvk: reference.gvk.clone(),
            namespace: Some(reference.namespace.clone()).filter(|n| !n.is_empty()),
            name: Some(reference.name.clone()),
            labels: None,
            shared: false,
        }
    }

    /// The same, within one namespace.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The same; a watch of it may be one that others have begun.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// The same, with a label selector.
    #[must_use]
    pub fn labelled(mut self, selector: &str) -> Self {
        self.labels = Some(selector.into());
        self
    }
}

/// What becomes of an object's dependents when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// The garbage collector deletes them afterwards.
    Background,
    /// The object goes last.
    Foreground,
    /// They stay.
    Orphan,
}

/// The part of an object that a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// `status`.
    Status,
    /// `token` of a ServiceAccount: `Create` with a `TokenRequest`.
    Token,
}

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
}

/// One request to the API server.
#[derive(Clone)]
#[non_exhaustive]
pub enum Call {
    /// Whether the server serves a kind, and where its objects live. Answers from what was discovered last.
    Scope(Gvk),
    /// Discovers anew which kinds the server serves.
    Discover,
    /// The server's version, and all kinds that it served when it was discovered last.
    Capabilities,
    /// Reads one object.
    Get(Reference),
    /// Reads many.
    List(Selection),
    /// Server-side apply; a `metadata.resourceVersion` in the object is a precondition of an object that is there.
    Apply {
        /// What is applied; fields not named are left to others.
        object: Object,
        /// Field manager.
        manager: String,
        /// Takes fields of other managers over instead of a conflict.
        force: bool,
        /// Admits and defaults, writes nothing.
        dry_run: bool,
        /// Only this part.
        subresource: Option<Subresource>,
    },
    /// Creates; an object that exists is [`ClusterError::AlreadyExists`].
    Create {
        /// What is created. With [`Subresource::Token`], the `TokenRequest`, named as its ServiceAccount.
        object: Object,
        /// Field manager.
        manager: String,
        /// Admits and defaults, writes nothing.
        dry_run: bool,
        /// `Token` only.
        subresource: Option<Subresource>,
    },
    /// Replaces; a `metadata.resourceVersion` in the object is a precondition.
    Update {
        /// The whole object.
        object: Object,
        /// Field manager.
        manager: String,
        /// Admits and defaults, writes nothing.
        dry_run: bool,
        /// `Status` only.
        subresource: Option<Subresource>,
    },
    /// Patches; a `metadata.resourceVersion` in a merge patch is a precondition.
    Patch {
        /// Which object.
        at: Reference,
        /// How to read `patch`.
        kind: PatchKind,
        /// The patch itself.
        patch: Value,
        /// Field manager.
        manager: String,
        /// Admits and defaults, writes nothing.
        dry_run: bool,
        /// `Status` only.
        subresource: Option<Subresource>,
    },
    /// Deletes; an object that is not there is [`ClusterError::NotFound`].
    Delete {
        /// Which object.
        at: Reference,
        /// Only the object of this UID.
        uid: Option<String>,
        /// Only the object of this resourceVersion.
        resource_version: Option<String>,
        /// What becomes of its dependents.
        propagation: Propagation,
        /// Checks, deletes nothing.
        dry_run: bool,
    },
}

impl Call {
    /// Whether the request can change anything.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Scope(_) | Self::Discover | Self::Capabilities | Self::Get(_) | Self::List(_) => false,
            Self::Apply { dry_run, .. }
            | Self::Create { dry_run, .. }
            | Self::Update { dry_run, .. }
            | Self::Patch { dry_run, .. }
            | Self::Delete { dry_run, .. } => !dry_run,
        }
    }

    /// The request's verb, for logs and metrics.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Scope(_) => "scope",
            Self::Discover => "discover",
            Self::Capabilities => "capabilities",
            Self::Get(_) => "get",
            Self::List(_) => "list",
            Self::Apply { .. } => "apply",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Patch { .. } => "patch",
            Self::Delete { .. } => "delete",
        }
    }

    /// The one object that the request is about, when it is about one.
    pub fn reference(&self) -> Option<Reference> {
        match self {
            Self::Scope(_) | Self::Discover | Self::Capabilities | Self::List(_) => None,
            Self::Get(at) | Self::Patch { at, .. } | Self::Delete { at, .. } => Some(at.clone()),
            Self::Apply { object, .. } | Self::Create { object, .. } | Self::Update { object, .. } => {
                Some(Reference::of(object))
            }
        }
    }
}

/// What a server is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Its version, such as `v1.36.0`.
    pub version: String,
    /// The kinds that it serves, in order.
    pub kinds: Vec<Gvk>,
}

/// What the server answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// To `Scope`: `None` when the kind is not served.
    Scope(Option<Scope>),
    /// To `Capabilities`.
    Capabilities(Capabilities),
    /// To `Get` (`None` when there is no such object) and to writes.
    Object(Option<Object>),
    /// To `List`, in no particular order.
    Objects(Vec<Object>),
    /// To `Discover`, and to `Delete` when the object is gone at once.
    Done,
}

/// What a watch tells, of objects or of their imprints.
#[derive(Clone, Debug)]
pub enum WatchEvent<T = Object> {
    /// All that there is now: at the start, and after a gap. What is not listed is gone.
    Reset(Vec<T>),
    /// An object was made or changed.
    Applied(T),
    /// An object is gone; its last state.
    Deleted(T),
}

impl<T> WatchEvent<T> {
    /// The same of something else.
    pub fn map<U>(self, make: impl Fn(T) -> U) -> WatchEvent<U> {
        match self {
            Self::Reset(all) => WatchEvent::Reset(all.into_iter().map(make).collect()),
            Self::Applied(one) => WatchEvent::Applied(make(one)),
            Self::Deleted(one) => WatchEvent::Deleted(make(one)),
        }
    }
}

/// A Kubernetes API, real or not.
pub trait Cluster: Send + Sync {
    /// Sends one request.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>>;

    /// Follows a selection. Starts with [`WatchEvent::Reset`], recovers from gaps by itself with another one, and
    /// ends only when it is dropped. An error is told and followed by a further attempt.
    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>>;

    /// As [`Cluster::watch`], but of metadata alone, and no more than an imprint of it is kept.
    fn watch_imprints(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent<Imprint>, ClusterError>> {
        let events = self.watch(selection);
        events.map(|event| event.map(|event| event.map(|object| Imprint::of(&object)))).boxed()
    }

    /// The same cluster as another user sees it, such as `system:serviceaccount:apps:deployer`.
    fn impersonate(&self, user: &str) -> Arc<dyn Cluster>;
}

/// Typed forms of the calls that the engine makes often.
impl dyn Cluster + '_ {
    /// Reads one object; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Cluster::call`].
    pub async fn get(&self, at: &Reference) -> Result<Option<Object>, ClusterError> {
        match self.call(Call::Get(at.clone())).await? {
            Answer::Object(object) => Ok(object),
            _ => Err(ClusterError::unexpected(at)),
        }
    }

    /// Reads many objects.
    ///
    /// # Errors
    /// As [`Cluster::call`].
    pub async fn list(&self, selection: &Selection) -> Result<Vec<Object>, ClusterError> {
        match self.call(Call::List(selection.clone())).await? {
            Answer::Objects(objects) => Ok(objects),
            _ => Ok(Vec::new()),
        }
    }

    /// Where objects of a kind live; `None` when the server does not serve it.
    ///
    /// # Errors
    /// As [`Cluster::call`].
    pub async fn scope(&self, gvk: &Gvk) -> Result<Option<Scope>, ClusterError> {
        match self.call(Call::Scope(gvk.clone())).await? {
            Answer::Scope(scope) => Ok(scope),
            _ => Ok(None),
        }
    }

    /// What the server is and can do.
    ///
    /// # Errors
    /// As [`Cluster::call`].
    pub async fn capabilities(&self) -> Result<Capabilities, ClusterError> {
        match self.call(Call::Capabilities).await? {
            Answer::Capabilities(capabilities) => Ok(capabilities),
            _ => Err(ClusterError::Refused { id: None, message: "no capabilities".into(), fields: Vec::new() }),
        }
    }

    /// Sends a write and returns the object as the server has it now.
    ///
    /// # Errors
    /// As [`Cluster::call`].
    pub async fn write(&self, call: Call) -> Result<Object, ClusterError> {
        let at = call.reference();
        match (self.call(call).await?, at) {
            (Answer::Object(Some(object)), _) => Ok(object),
            (_, Some(at)) => Err(ClusterError::unexpected(&at)),
            (_, None) => Err(ClusterError::Refused { id: None, message: "not a write".into(), fields: Vec::new() }),
        }
    }
}

/// Why a request failed. Messages are the server's, with the bytes of Secrets taken out.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No such object (or its namespace is missing, see `message`).
    #[error("{id} not found{}", suffix(message))]
    NotFound {
        /// Which object.
        id: ObjectId,
        /// The server's words.
        message: String,
    },
    /// `Create` of what is there.
    #[error("{id} already exists")]
    AlreadyExists {
        /// Which object.
        id: ObjectId,
    },
    /// A precondition failed: resourceVersion, UID, or fields of another manager without `force`.
    #[error("{id} conflict{}", suffix(message))]
    Conflict {
        /// Which object.
        id: ObjectId,
        /// The server's words.
        message: String,
    },
    /// Refused for its content: validation, an admission policy, an immutable field.
    #[error("{} is refused{}", of(id.as_ref()), suffix(message))]
    Refused {
        /// Which object.
        id: Option<ObjectId>,
        /// The server's words.
        message: String,
        /// Dotted paths of the fields that the server complained about.
        fields: Vec<String>,
    },
    /// The user may not do this.
    #[error("{} is forbidden{}", of(id.as_ref()), suffix(message))]
    Forbidden {
        /// Which object.
        id: Option<ObjectId>,
        /// The server's words.
        message: String,
    },
    /// The server does not serve the kind.
    #[error("no matches for kind \"{}\" in version \"{}\"", gvk.kind, gvk.api_version())]
    NoKind {
        /// The kind asked for.
        gvk: Gvk,
    },
    /// The server, a webhook or a quota says: not now. Nothing was done.
    #[error("{} not possible now{}", of(id.as_ref()), suffix(message))]
    Unavailable {
        /// Which object.
        id: Option<ObjectId>,
        /// The server's words.
        message: String,
        /// When the server said how long to wait.
        retry_after: Option<Duration>,
    },
    /// Nobody knows whether the request was done: a timeout, a cut connection.
    #[error("{} no answer{}", of(id.as_ref()), suffix(message))]
    Unknown {
        /// Which object.
        id: Option<ObjectId>,
        /// What happened.
        message: String,
    },
    /// This process may no longer write: its lease is over.
    #[error("the leader lease is lost")]
    Fenced,
}

impl ClusterError {
    /// Whether the same request may succeed later without any input changing (landing.md section 3).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Unavailable { .. } | Self::Unknown { .. } | Self::Fenced => true,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Refused { .. }
            | Self::Forbidden { .. }
            | Self::NoKind { .. } => false,
        }
    }

    fn unexpected(at: &Reference) -> Self {
        Self::Unknown { id: Some(at.id()), message: "the server's answer has another form".into() }
    }
}

fn suffix(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn of(id: Option<&ObjectId>) -> String {
    id.map_or_else(|| "request".into(), ToString::to_string)
}
