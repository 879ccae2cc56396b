//! ExternalSecret + store -> Secret, as External Secrets does it.
//!
//! # Flow
//! ```text
//! ExternalSecret -> demand -> stores (opened once) -> items (read once a pass) -> keys -> data -> templates -> Secret
//! ```
//! A [`Resolver`] lives as long as the process and holds clients and tokens. A [`Pass`] is one look at all stores: what
//! several ExternalSecrets read, it reads once, and what others have read of a vault since it was wanted (`recent`) is not
//! read again; a store that throttles or cannot be reached is not asked again.
//!
//! # Guarantees
//! - Every missing key is named: all failures of an ExternalSecret are gathered, with their place, item and store.
//! - **Doubt never deletes.** [`Outcome::Gone`] is answered only when the store itself said of every item that it does not
//!   exist, or listed nothing; whoever deletes asks twice, or [`Pass::deletion`].
//! - Errors and read-sets say where, never what. Plaintext is wiped when it is dropped, as far as it is ours.
//!
//! # Caveats
//! - What the Azure SDK buffers, and the text that a template makes of a value, is not wiped.
//! - A property that is missing is an error in every provider; External Secrets' `fake` counts it as a missing secret.
//! - A store's own Ready condition is not asked for: the store is judged anew, so that it can land with what reads it.

pub mod azure;
mod demand;
mod fake;
pub mod hash;
mod keys;
pub mod lookup;
mod open;
mod pass;
mod recent;
pub mod refresh;
mod remote;
mod rewrite;
pub mod select;
pub mod store;
pub mod target;
pub mod template;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apply::Cluster;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::unit::Thing;
use azure::{Azure, PodIdentity};
use lookup::Lookup;
pub use lookup::{Candidate, service_account_token};
pub use open::{StoreId, Verdict};
pub use pass::{Pass, shown, versions_before};
pub use store::{Bytes, Cause, Data, Deletion};
pub use target::Desired;

/// Told every plaintext before anything is done with it, so that it can be kept out of all texts.
pub type Witness = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// What a resolver works with.
pub struct Setup {
    /// The cluster, with the rights of External Secrets' controller: reads Secrets, makes ServiceAccount tokens. One
    /// resolver per cluster, since identities are known by the names of their ServiceAccounts.
    pub cluster: Arc<dyn Cluster>,
    /// Asks vaults and token issuers. Decides about certificates and proxies; must not follow redirects.
    pub http: reqwest::Client,
    /// Our own pod's identity.
    pub pod: PodIdentity,
    /// Class of this controller: stores of another class are left alone. `default` in External Secrets.
    pub class: String,
    /// Told every plaintext.
    pub witness: Witness,
}

/// Resolves ExternalSecrets of one cluster.
pub struct Resolver {
    objects: Arc<lookup::Objects>,
    azure: Azure,
    class: String,
    witness: Witness,
    requests: Semaphore,
    recent: recent::Recent,
}

/// Requests under way at a time, over all stores. Key Vault takes 4,000 in 10 s: this is about latency, not that budget.
const CONCURRENCY: usize = 8;

impl Resolver {
    /// Connects to nothing yet.
    pub fn new(setup: Setup) -> Arc<Self> {
        let Setup { cluster, http, pod, class, witness } = setup;
        let azure = Azure::new(Arc::new(http), pod, Arc::clone(&cluster));
        Arc::new(Self {
            objects: lookup::Objects::new(cluster),
            azure,
            class,
            witness,
            requests: Semaphore::new(CONCURRENCY),
            recent: Default::default(),
        })
    }

    /// Forgets which stores and identities were read: one of them is another now.
    pub fn forget_stores(&self) {
        self.objects.forget();
    }

    /// Begins a look at all stores. Objects of `candidate` count before the cluster's.
    pub fn pass(self: &Arc<Self>, candidate: Option<Candidate>) -> Pass {
        self.pass_since(candidate, Instant::now())
    }

    /// Begins a look for somebody who has wanted it `since` then: what was read after that need not be read again.
    pub fn pass_since(self: &Arc<Self>, candidate: Option<Candidate>, since: Instant) -> Pass {
        Pass::new(Arc::clone(self), Lookup::new(Arc::clone(&self.objects), candidate, since), since)
    }
}

/// What became of an ExternalSecret.
pub struct Resolved {
    /// What is to be done with the target.
    pub outcome: Outcome,
    /// All that was read, with its version: read again and unchanged, the outcome is the same.
    pub read: Vec<(Thing, String)>,
    /// Items that the deletion policy allows to be missing, and that are.
    pub missing: Vec<Missing>,
    /// Template functions that were called and give another result every time.
    pub random: Vec<&'static str>,
}

/// What is to be done with the target of an ExternalSecret.
pub enum Outcome {
    /// The Secret shall be so.
    Secret(Box<Desired>),
    /// The store holds nothing of it and `deletionPolicy: Delete` lets the Secret go.
    Gone,
    /// The store holds nothing of it and `deletionPolicy: Retain` keeps the Secret as it is.
    Retained,
    /// `creationPolicy: Merge`, and there is no Secret to merge into.
    NoTarget,
    /// `creationPolicy: None`.
    NotWanted,
    /// A store of it belongs to another controller.
    Foreign,
}

/// An item that is confirmed not to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where the ExternalSecret asks for it.
    pub place: Place,
    /// Which store.
    pub store: StoreId,
    /// Which item; nothing for a list without matches.
    pub item: Option<store::Item>,
    /// What was read to know that.
    pub thing: Thing,
}

/// Where in an ExternalSecret something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `spec`.
    Spec,
    /// `spec.target`.
    Target,
    /// `spec.target.template`.
    Template,
    /// `spec.target.template.templateFrom[n]`.
    TemplateFrom(usize),
    /// `spec.data[n]`.
    Data(usize),
    /// `spec.dataFrom[n]`.
    DataFrom(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec => f.write_str("spec"),
            Self::Target => f.write_str("spec.target"),
            Self::Template => f.write_str("spec.target.template"),
            Self::TemplateFrom(index) => write!(f, "spec.target.template.templateFrom[{index}]"),
            Self::Data(index) => write!(f, "spec.data[{index}]"),
            Self::DataFrom(index) => write!(f, "spec.dataFrom[{index}]"),
        }
    }
}

/// One thing that went wrong, and where.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where the ExternalSecret asks for it.
    pub place: Place,
    /// The item and its store, where it is about one: `secret/db in https://kv1.vault.azure.net`.
    pub subject: Option<String>,
    /// Why.
    pub cause: Cause,
}

impl Problem {
    pub(crate) fn new(place: Place, cause: Cause) -> Self {
        Self { place, subject: None, cause }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Some(subject) => write!(f, "{}: {subject} {}", self.place, self.cause),
            None => write!(f, "{}: {}", self.place, self.cause),
        }
    }
}

/// Why an ExternalSecret cannot be resolved now: everything that was found.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", joined(problems))]
pub struct ResolveError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ResolveError {
    /// Whether every problem may pass without any change of a spec or a store's content.
    pub fn is_transient(&self) -> bool {
        self.problems.iter().all(|problem| problem.cause.is_transient())
    }

    /// Whether all that fails is that items are confirmed not to exist.
    pub fn is_gone(&self) -> bool {
        self.problems.iter().all(|problem| problem.cause.is_gone())
    }

    /// The longest time for which a store asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        let waits = self.problems.iter().filter_map(|problem| match problem.cause {
            Cause::Throttled { retry_after } => retry_after,
            _ => None,
        });
        waits.max()
    }
}

fn joined(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
