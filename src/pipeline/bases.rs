//! What a build fetches from outside of its source, and what of it counts as read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kustomize::{Address, Remote, RemoteError};
use manifest::Files;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::source::base::{Bases, Content, Look, Trouble};
use crate::source::http;
use crate::unit::base::Base;
use crate::unit::{ReadSet, Thing};

/// One build's view of the world outside: each base as it was when the build was asked for, or later.
pub struct Visit {
    bases: Arc<Bases>,
    since: Instant,
    deadline: Option<Instant>,
    runtime: Handle,
    notes: Mutex<Notes>,
}

/// What a build has fetched.
#[derive(Default)]
pub struct Notes {
    versions: BTreeMap<Base, String>,
    /// What could not be seen anew, and counts as it was seen last.
    pub warnings: Vec<String>,
}

impl Notes {
    /// Notes what was read.
    pub fn note(&self, read_set: &mut ReadSet) {
        for (base, version) in &self.versions {
            read_set.note(Thing::Base(base.clone()), version);
        }
    }
}

impl Visit {
    /// For a build that is wanted `since` then. It must not run on a thread of the runtime itself, since it blocks.
    pub fn new(bases: Arc<Bases>, since: Instant, runtime: Handle) -> Self {
        Self { bases, since, deadline: None, runtime, notes: Mutex::default() }
    }

    /// All of it together may take no longer.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { deadline: Some(Instant::now() + time), ..self }
    }

    /// What was fetched.
    pub fn end(&self) -> Notes {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, base: Base) -> Result<Content, RemoteError> {
        let looked = self.runtime.block_on(async {
            let looking = self.bases.look(&base, self.since);
            let timed_out = |_| Err(Trouble { message: "timed out".into(), is_transient: true });
            match self.deadline {
                Some(deadline) => timeout_at(deadline, looking).await.unwrap_or_else(timed_out),
                None => looking.await,
            }
        });
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(Look { trouble: Some(trouble), .. }) = &looked {
            notes.warnings.push(unseen(&base, trouble));
        }
        notes.versions.insert(base, version(&looked));
        let told = |trouble: Trouble| RemoteError { reason: trouble.message, transient: trouble.is_transient };
        Ok(looked.map_err(told)?.content)
    }
}

/// The version of a base in a read-set: also that it was denied is one.
pub fn version(looked: &Result<Look, Trouble>) -> String {
    match looked {
        Ok(look) => look.version.clone(),
        Err(trouble) => format!("none: {trouble}"),
    }
}

/// What is told of a base that could not be seen anew.
pub fn unseen(base: &Base, trouble: &Trouble) -> String {
    format!("{} cannot be looked at, and counts as it was seen last: {trouble}", shown(base))
}

/// A base as it may be told of.
pub fn shown(base: &Base) -> String {
    let address = http::shown(base.address());
    match base {
        Base::Tree { reference, .. } if !reference.is_empty() => format!("{reference} of {address}"),
        Base::Tree { .. } | Base::File { .. } => address,
    }
}

impl Remote for Visit {
    fn file(&self, url: &str) -> Result<Vec<u8>, RemoteError> {
        let read = match self.look(Base::File { url: url.into() })? {
            Content::File(path) => std::fs::read(path),
            Content::Tree(_) => Err(ErrorKind::IsADirectory.into()),
        };
        read.map_err(|error| RemoteError { reason: error.to_string(), transient: true })
    }

    fn tree(&self, address: &Address) -> Result<Arc<dyn Files>, RemoteError> {
        // As a file it was no manifest, but the page of the repository, which is never the same.
        let is_page = |base: &Base| matches!(base, Base::File { url } if Address::read(url).as_ref() == Some(address));
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).versions.retain(|base, _| !is_page(base));
        let Address { repository, reference, .. } = address.clone();
        match self.look(Base::Tree { repository, reference })? {
            Content::Tree(files) => Ok(files),
            Content::File(_) => Err(RemoteError { reason: ErrorKind::NotADirectory.to_string(), transient: true }),
        }
    }
}
