//! The seam to a store of secrets: two calls that go to it, `read` and `list`, and what can come of them.
//!
//! **Implementors' duty.** An answer names the version that was read. [`Cause::NotFound`] is said only when the store
//! itself answered that there is no such item: it is the one failure by which something may ever be deleted.
//! A call asks once; waiting and asking again is the caller's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use manifest::ObjectId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Plaintext of one key.
pub type Bytes = Zeroizing<Vec<u8>>;

/// Plaintext of a Secret, by key.
pub type Data = BTreeMap<String, Bytes>;

/// What kind of thing an item of a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ItemKind {
    /// A secret value.
    Secret,
    /// A certificate without its key.
    Certificate,
    /// The public half of a key.
    Key,
}

impl ItemKind {
    /// The prefix by which `remoteRef.key` names the kind.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "cert",
            Self::Key => "key",
        }
    }
}

/// One thing in a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Secret, certificate or key.
    pub kind: ItemKind,
    /// Its name.
    pub name: String,
    /// The version asked for; empty for the newest.
    pub version: String,
}

impl Item {
    /// The newest version of a secret.
    pub fn secret(name: &str) -> Self {
        Self { kind: ItemKind::Secret, name: name.into(), version: String::new() }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.prefix(), self.name)?;
        if self.version.is_empty() { Ok(()) } else { write!(f, "/{}", self.version) }
    }
}

/// What a store holds as one version of an item. No `Debug`: the value is plaintext.
pub struct Remote {
    /// The value: text of a secret, DER of a certificate, JSON of a key.
    pub value: Bytes,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// `attribute.created`, `attribute.updated`, `attribute.expires`, `attribute.notBefore`, as RFC 3339 in UTC.
    pub attributes: BTreeMap<&'static str, String>,
    /// The store's name of the version that was read.
    pub version: String,
}

impl Remote {
    /// Anything that changes when the value, the tags or the times do.
    pub fn mark(&self) -> String {
        let updated = self.attributes.get("attribute.updated");
        updated.map_or_else(|| self.version.clone(), |updated| format!("{}@{updated}", self.version))
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`Cause::Content`] when it is not UTF-8.
    pub fn text(&self) -> Result<&str, Cause> {
        std::str::from_utf8(&self.value).map_err(|_| Cause::Content { expected: "text" })
    }
}

/// An item as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The version to read; empty for the newest.
    pub version: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it can be read.
    pub enabled: bool,
    /// Anything that changes with each new version.
    pub mark: String,
}

/// Whether a store knows of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The store keeps a record of the deleted item: it was there, and somebody deleted it.
    Recorded,
    /// No record, or no right to see it.
    Unknown,
}

/// A store of secrets.
pub trait Store: Send + Sync {
    /// Reads an item; its newest version unless the item names one.
    fn read(&self, item: Item) -> BoxFuture<'_, Result<Arc<Remote>, Cause>>;

    /// All items that are secrets.
    fn list(&self) -> BoxFuture<'_, Result<Arc<Vec<Listed>>, Cause>>;

    /// Whether an item that is not found was deleted.
    fn deletion(&self, item: Item) -> BoxFuture<'_, Deletion>;
}

/// Why a value could not be had. Says where and why, never what.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The store answered that there is no such item.
    #[error("does not exist in the store")]
    NotFound,
    /// The item is there but switched off.
    #[error("is disabled in the store")]
    Disabled,
    /// The store says no.
    #[error("access denied: {message}")]
    Denied {
        /// The server's words.
        message: String,
    },
    /// The store does not know who asks: no token, or one that it refuses.
    #[error("no access token: {message}")]
    NoToken {
        /// The server's words.
        message: String,
    },
    /// The store, or the issuer of its tokens, cannot be reached.
    #[error("the store cannot be reached: {message}")]
    Unreachable {
        /// What happened.
        message: String,
    },
    /// Too many requests.
    #[error("the store asks for fewer requests{}", after(*retry_after))]
    Throttled {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that says that the fault is the store's.
    #[error("the store is not available: {message}")]
    Unavailable {
        /// What happened.
        message: String,
    },
    /// The item has no such property.
    #[error("property {property} does not exist")]
    NoProperty {
        /// As written in the ExternalSecret.
        property: String,
    },
    /// The item has no such tag.
    #[error("tag {tag} does not exist")]
    NoTag {
        /// As written in the ExternalSecret.
        tag: String,
    },
    /// The item's value has another form.
    #[error("the value is not {expected}")]
    Content {
        /// What it should be.
        expected: &'static str,
    },
    /// A key cannot stand in a Secret, or two became one.
    #[error("{message}")]
    Key {
        /// Which key, and why.
        message: String,
    },
    /// The ExternalSecret or its store asks for what cannot be.
    #[error("{message}")]
    Spec {
        /// What is wrong.
        message: String,
    },
    /// Allowed by the schema, but not done yet.
    #[error("{what} is not supported")]
    Unsupported {
        /// The field, and the value where it matters.
        what: String,
    },
    /// An object of the cluster that the store or the ExternalSecret refers to is not there.
    #[error("{id} not found")]
    Missing {
        /// Which object.
        id: ObjectId,
    },
    /// An object of the cluster lacks a key.
    #[error("{id} has no key {key}")]
    MissingKey {
        /// Which object.
        id: ObjectId,
        /// Which key of its data.
        key: String,
    },
    /// A template cannot be parsed or executed.
    #[error("template {name}{}: {message}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Template {
        /// The key that it makes.
        name: String,
        /// Its line, from 1.
        line: Option<u32>,
        /// The engine's words, without values.
        message: String,
    },
    /// The API server did not do its part.
    #[error("{0}")]
    Cluster(apply::cluster::ClusterError),
}

impl Cause {
    /// Whether the item is confirmed not to exist, which is the only ground on which a deletion policy may act.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound)
    }

    /// Whether the same request may succeed later without any change of a spec or a store's content: rights are neither.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Throttled { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Denied { .. }
            | Self::NoToken { .. } => true,
            Self::Cluster(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether every other item of the store would fail in the same way now.
    pub(super) fn concerns_store(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::NoToken { .. } | Self::Unreachable { .. })
    }
}

impl From<apply::cluster::ClusterError> for Cause {
    fn from(error: apply::cluster::ClusterError) -> Self {
        Self::Cluster(error)
    }
}

fn after(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(", for {} s", wait.as_secs())).unwrap_or_default()
}
