//! What makes a landing survive a crash: its intent, written before its first write.
//!
//! **Flow.** `begin` stores the landing's body: a small one inside the header, a large one in chunks before the header that
//! names them. `advance` moves the header's phase; `conclude` makes the body the last-good one; `abandon` drops it. The
//! body never changes, so every later write is one header. `note` stores a body that is last-good from the start.
//!
//! **Guarantees.** The header is written last and holds the digest of every chunk: a torn journal reads as one in which
//! nothing was begun. Every header write has the version it read as precondition: two agents cannot both go on.
//!
//! **Assumptions.** The store seals what it is given: bodies hold the bytes of Secrets.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::codec::{self, StoredFailure};
use crate::plan::Landing;
use crate::prepare::Prepared;
use crate::report::{Failure, Step};

mod attempt;

pub use attempt::{Attempt, Failed};

/// Largest piece that is stored as one: a Secret may hold 1 MiB.
const CHUNK: usize = 900 * 1024;
/// Largest sealed body that stands in the header itself: then to begin and to conclude are one write each.
const INLINE: usize = 48 * 1024;

/// An entry's bytes and its version.
pub type Entry = (Vec<u8>, String);

/// Where journals are kept. Names are made of lower-case letters, digits and dashes.
pub trait Store: Send + Sync {
    /// Reads one entry with its version.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Writes one entry. `version` is the one that it must still have: `None` when it must not exist.
    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Vec<u8>,
        version: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, StoreError>>;

    /// Deletes one entry; one that is not there is fine.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Names of all entries that begin with `prefix`.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

    /// Compresses and encrypts a body.
    ///
    /// # Errors
    /// When it cannot be encrypted.
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Undoes [`Store::seal`].
    ///
    /// # Errors
    /// When the bytes were not sealed by this store's key.
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The entry has another version than expected: somebody else writes.
    #[error("journal entry {name} was changed by another writer")]
    Changed {
        /// Which entry.
        name: String,
    },
    /// It cannot be reached, or refuses.
    #[error("journal entry {name}: {message}")]
    Failed {
        /// Which entry.
        name: String,
        /// What happened.
        message: String,
    },
    /// It was not written by us, with this key, or is damaged.
    #[error("journal entry {name} cannot be read: {message}")]
    Unreadable {
        /// Which entry.
        name: String,
        /// What is wrong with it.
        message: String,
    },
}

/// How far a landing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Objects are being written.
    Commit,
    /// All are written; their health is awaited.
    Health,
    /// Healthy; what is stale is being deleted. From here on a landing is only finished.
    Prune,
    /// Being undone.
    Undo,
    /// Stopped by a failure and left as it stands (`on-failure: hold`).
    Held,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
struct BodyReference {
    name: String,
    /// SHA-256 of each chunk, in hexadecimal.
    chunks: Vec<String>,
    /// The sealed body itself in base64, where it is small: then there are no chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inline: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LandedHeader {
    body: BodyReference,
    /// Parcels that were taken back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    undone: BTreeSet<usize>,
    /// Marks of the objects as they stood when the landing ended, in the order of its changes; 0 where none is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marks: Vec<u64>,
    /// Whether it has landed whole, and something of it could not be written or deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_unfinished: bool,
}

/// Tells how the objects of a landing stand, one mark for each change ([`crate::imprint::Imprint::mark`]).
pub type Marker = Arc<dyn Fn(&Landing) -> Vec<u64> + Send + Sync>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenHeader {
    body: BodyReference,
    phase: Phase,
    /// Indexes of the hooks that have run.
    hooks: BTreeSet<usize>,
    /// Parcels that are being taken back, or have been.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    undone: BTreeSet<usize>,
    /// What has failed and has ended nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failures: Vec<StoredFailure>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Header {
    unit: String,
    epoch: u64,
    landed: Option<LandedHeader>,
    open: Option<OpenHeader>,
    attempt: Option<Attempt>,
}

/// A landing that was begun and not ended.
#[derive(Clone, Debug)]
pub struct Open {
    /// What it does.
    pub landing: Arc<Landing>,
    /// How far it came.
    pub phase: Phase,
    /// Steps that are hooks and have run.
    pub hooks: BTreeSet<usize>,
    /// Parcels that are being taken back, or have been.
    pub undone: BTreeSet<usize>,
    /// What has failed and has ended nothing ([`crate::OnFailure::Continue`]).
    pub failures: Vec<Failure>,
}

/// The journal of one unit.
pub struct Journal {
    store: Arc<dyn Store>,
    header: Header,
    version: Option<String>,
    landed: Option<Arc<Landing>>,
    open: Option<Arc<Landing>>,
    /// The header has moved on since it was written.
    is_unsaved: bool,
    marker: Option<Marker>,
}

impl Journal {
    /// Reads the journal of `unit`, such as `Kustomization/flux-system/apps`. `epoch` is the lease's and must not be
    /// lower than the one in the journal.
    ///
    /// # Errors
    /// When the store fails, or the journal is of a later epoch or damaged.
    pub async fn load(store: Arc<dyn Store>, unit: &str, epoch: u64) -> Result<Self, StoreError> {
        let name = name(unit);
        let (mut header, version) = match store.get(&name).await? {
            Some((bytes, version)) => (parse_header(&name, &bytes)?, Some(version)),
            None => (Header { unit: unit.into(), ..Header::default() }, None),
        };
        if header.epoch > epoch {
            return Err(StoreError::Changed { name });
        }
        // Who goes on with a predecessor's landing writes its own epoch first: from then on that one cannot.
        let is_unsaved = header.open.is_some() && header.epoch < epoch;
        header.epoch = epoch;
        let mut journal = Self { store, header, version, landed: None, open: None, is_unsaved, marker: None };
        let landed = journal.header.landed.clone();
        if let Some(LandedHeader { body, undone, .. }) = landed {
            journal.landed = journal.body(Some(&body)).await?.map(|landing| holding(landing, &undone));
        }
        journal.open = journal.body(journal.header.open.as_ref().map(|open| &open.body)).await?;
        journal.sweep().await?;
        Ok(journal)
    }

    /// Units that have a journal.
    ///
    /// # Errors
    /// When the store fails or a header is damaged.
    pub async fn units(store: &Arc<dyn Store>) -> Result<Vec<String>, StoreError> {
        headers(store).await?.into_iter().map(|header| Ok(header?.unit)).collect()
    }

    /// The epoch of a leader: the lease's, unless the journals tell of a later one. A lease that was deleted counts from 0 again,
    /// and without leader election none counts. An entry that cannot be read says nothing here; its own unit tells.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn epoch(store: &Arc<dyn Store>, of_lease: u64) -> Result<u64, StoreError> {
        let latest = headers(store).await?.iter().flatten().map(|header| header.epoch).max().unwrap_or_default();
        Ok(if of_lease < latest { latest + 1 } else { of_lease })
    }

    /// The last concluded landing.
    pub fn landed(&self) -> Option<&Arc<Landing>> {
        self.landed.as_ref()
    }

    /// Whether something of what landed could not be written or deleted, and is to be tried again.
    pub fn is_unfinished(&self) -> bool {
        self.header.landed.as_ref().is_some_and(|landed| landed.is_unfinished)
    }

    /// What was to be deleted with what landed, where some of it may still be there.
    pub fn undeleted(&self) -> impl Iterator<Item = crate::Reference> {
        let landed = self.landed.iter().filter(|_| self.is_unfinished());
        landed.flat_map(|landed| landed.stale.iter().map(|stale| stale.reference.clone()))
    }

    /// Marks of what landed, in the order of its changes; none where nobody kept them.
    pub fn marks(&self) -> &[u64] {
        self.header.landed.as_ref().map(|landed| landed.marks.as_slice()).unwrap_or_default()
    }

    /// From now on `marker` says which marks are kept with what lands: whoever restarts knows by them that nobody has
    /// changed anything.
    pub fn mark_by(&mut self, marker: Marker) {
        self.marker = Some(marker);
    }

    /// The landing that was begun and not ended.
    pub fn open(&self) -> Option<Open> {
        let header = self.header.open.as_ref()?;
        let (hooks, undone) = (header.hooks.clone(), header.undone.clone());
        let failures = header.failures.iter().filter_map(|failure| failure.clone().try_into().ok()).collect();
        Some(Open { landing: self.open.clone()?, phase: header.phase, hooks, undone, failures })
    }

    /// The landing that failed last, unless one has succeeded since.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.header.attempt.as_ref()
    }

    /// Whether nothing has landed, and nothing was tried.
    pub fn is_blank(&self) -> bool {
        self.header.landed.is_none() && self.header.open.is_none() && self.header.attempt.is_none()
    }

    /// Whether a landing that holds parcels would write nothing, and say nothing new of what it holds.
    pub fn knows(&self, prepared: &Prepared) -> bool {
        let landing = prepared.landing();
        let is_same = |attempt: &Attempt| {
            attempt.revision == landing.revision
                && attempt.failures == landing.failures.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        self.header.open.is_none()
            && !landing.held.is_empty()
            && landing.is_empty()
            && self.attempt().is_some_and(is_same)
    }

    /// Writes the intent of a landing. One that is still open is superseded by it.
    ///
    /// # Errors
    /// When the store fails; then nothing was begun.
    pub async fn begin(&mut self, landing: Landing, phase: Phase) -> Result<Arc<Landing>, StoreError> {
        let body = self.store_body(&landing).await?;
        let open = OpenHeader { body, phase, hooks: BTreeSet::new(), undone: BTreeSet::new(), failures: Vec::new() };
        self.write(Header { open: Some(open), ..self.header.clone() }).await?;
        let landing = Arc::new(landing);
        self.open = Some(landing.clone());
        Ok(landing)
    }

    /// Moves the open landing on. That health is awaited is only remembered: what comes next writes it, or [`Journal::save`].
    /// After a crash before that, the commit runs again, as it may.
    ///
    /// # Errors
    /// When the store fails; then the landing is where it was.
    pub async fn advance(&mut self, phase: Phase) -> Result<(), StoreError> {
        let mut header = self.header.clone();
        match &mut header.open {
            Some(open) if open.phase != phase => open.phase = phase,
            _ => return Ok(()),
        }
        if phase == Phase::Health {
            (self.header, self.is_unsaved) = (header, true);
            return Ok(());
        }
        self.write(header).await
    }

    /// Remembers what has failed and has ended nothing; written with what comes next, as [`Journal::advance`] has it.
    pub(crate) fn remember(&mut self, failures: &[Failure]) {
        let failures: Vec<StoredFailure> = failures.iter().map(Into::into).collect();
        if let Some(open) = self.header.open.as_mut().filter(|open| open.failures != failures) {
            (open.failures, self.is_unsaved) = (failures, true);
        }
    }

    /// Writes what was only remembered: the landing is left open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn save(&mut self) -> Result<(), StoreError> {
        if self.is_unsaved { self.write(self.header.clone()).await } else { Ok(()) }
    }

    /// Notes that the hook at step `index` has run.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hook_ran(&mut self, index: usize) -> Result<(), StoreError> {
        let mut header = self.header.clone();
        if let Some(open) = &mut header.open {
            open.hooks.insert(index);
        }
        self.write(header).await
    }

    /// Makes the open landing the last-good one, but for the parcels that were taken back. `failures` says why those, and
    /// the ones that it held from the start, did not land.
    ///
    /// # Errors
    /// When the store fails; then it is still open.
    pub async fn conclude(&mut self, failures: &[Failure]) -> Result<(), StoreError> {
        let (Some(open), Some(landing)) = (self.header.open.clone(), self.open.clone()) else { return Ok(()) };
        let landing = holding(landing, &open.undone);
        let attempt = match landing.held.is_empty() {
            false => Some(Attempt::of(&landing, &landing.held, failures)),
            // What was put right is last-good: whatever else has failed would fail again.
            true if self.landed.as_ref().is_some_and(|landed| landed.input == landing.input) => {
                let is_other = |attempt: &Attempt| attempt.held.is_empty() && attempt.read_set != landing.read_set;
                self.header.attempt.clone().filter(is_other)
            }
            true => None,
        };
        let is_unfinished = landing.held.is_empty() && failures.iter().any(|failure| failure.step != Step::Health);
        let (marks, undone) = (self.marks_of(&landing), open.undone);
        let landed = LandedHeader { marks, body: open.body, undone, is_unfinished };
        self.write(Header { landed: Some(landed), open: None, attempt, ..self.header.clone() }).await?;
        self.open = None;
        self.landed = Some(landing);
        self.sweep_if_possible().await;
        Ok(())
    }

    /// Makes a landing that is whole already the last-good one of a journal in which nothing stands.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn note(&mut self, landing: Landing) -> Result<Arc<Landing>, StoreError> {
        let (body, undone) = (self.store_body(&landing).await?, BTreeSet::new());
        let landed = LandedHeader { marks: self.marks_of(&landing), body, undone, is_unfinished: false };
        self.write(Header { landed: Some(landed), ..self.header.clone() }).await?;
        let landing = Arc::new(landing);
        self.landed = Some(landing.clone());
        Ok(landing)
    }

    fn marks_of(&self, landing: &Landing) -> Vec<u64> {
        self.marker.as_ref().map(|marker| marker(landing)).unwrap_or_default()
    }

    /// Turns parcels of the open landing back: from here on they are only undone. Keeps why.
    ///
    /// # Errors
    /// When the store fails; then the landing is where it was.
    pub async fn turn_back(&mut self, parcels: &BTreeSet<usize>, failures: &[Failure]) -> Result<(), StoreError> {
        let Some(landing) = self.open.clone() else { return Ok(()) };
        let mut header = self.header.clone();
        let Some(open) = &mut header.open else { return Ok(()) };
        let undone: BTreeSet<usize> = open.undone.union(parcels).copied().collect();
        let held = undone.union(&landing.held).copied().collect::<BTreeSet<_>>();
        let phase = if held.len() == landing.parcels.count() { Phase::Undo } else { open.phase };
        if undone == open.undone && phase == open.phase {
            return Ok(());
        }
        (open.undone, open.phase) = (undone, phase);
        header.attempt = Some(Attempt::of(&landing, &held, failures));
        self.write(header).await
    }

    /// Drops the open landing, which was undone.
    ///
    /// # Errors
    /// When the store fails; then it is still open.
    pub async fn abandon(&mut self) -> Result<(), StoreError> {
        self.write(Header { open: None, ..self.header.clone() }).await?;
        self.open = None;
        self.sweep_if_possible().await;
        Ok(())
    }

    /// Deletes the whole journal, header first: the unit is gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget(mut self) -> Result<(), StoreError> {
        self.store.delete(&name(&self.header.unit)).await?;
        self.header = Header { unit: self.header.unit.clone(), ..Header::default() };
        self.sweep().await
    }

    async fn write(&mut self, header: Header) -> Result<(), StoreError> {
        let name = name(&header.unit);
        let bytes = serde_json::to_vec(&header).map_err(|e| unreadable(&name, &e))?;
        self.version = Some(self.store.put(&name, bytes, self.version.as_deref()).await?);
        (self.header, self.is_unsaved) = (header, false);
        Ok(())
    }

    async fn store_body(&self, landing: &Landing) -> Result<BodyReference, StoreError> {
        let plain = codec::encode(landing);
        let name = format!("{}-{}", name(&self.header.unit), &digest(&plain)[..16]);
        // The same drift, put right once more: sealed anew, the header would not know the body that it names.
        let open = self.header.open.as_ref().map(|open| &open.body);
        if let Some(same) = [self.landed_body(), open].into_iter().flatten().find(|body| body.name == name) {
            return Ok(same.clone());
        }
        let sealed = self.store.seal(&plain)?;
        drop(zeroize::Zeroizing::new(plain));
        let mut chunks = Vec::new();
        if sealed.len() <= INLINE {
            return Ok(BodyReference { name, chunks, inline: Some(STANDARD.encode(sealed)) });
        }
        for (index, chunk) in sealed.chunks(CHUNK).enumerate() {
            let chunk_name = format!("{name}-{index}");
            // A leftover of a crash has the same name when the content is the same; sealing makes other bytes of it.
            let version = self.store.get(&chunk_name).await?.map(|(_, version)| version);
            self.store.put(&chunk_name, chunk.to_vec(), version.as_deref()).await?;
            chunks.push(digest(chunk));
        }
        Ok(BodyReference { name, chunks, inline: None })
    }

    fn landed_body(&self) -> Option<&BodyReference> {
        self.header.landed.as_ref().map(|landed| &landed.body)
    }

    async fn body(&self, reference: Option<&BodyReference>) -> Result<Option<Arc<Landing>>, StoreError> {
        let Some(reference) = reference else { return Ok(None) };
        let inline = reference.inline.as_ref().map(|text| STANDARD.decode(text)).transpose();
        let mut sealed = inline.map_err(|e| unreadable(&reference.name, &e))?.unwrap_or_default();
        for (index, expected) in reference.chunks.iter().enumerate() {
            let name = format!("{}-{index}", reference.name);
            let chunk = self.store.get(&name).await?.map(|(bytes, _)| bytes).unwrap_or_default();
            if digest(&chunk) != *expected {
                return Err(StoreError::Unreadable { name, message: "missing, or not what was written".into() });
            }
            sealed.extend(chunk);
        }
        let plain = zeroize::Zeroizing::new(self.store.open(&sealed)?);
        let landing = codec::decode(&plain).map_err(|e| unreadable(&reference.name, &e))?;
        Ok(Some(Arc::new(landing)))
    }

    /// The landing has ended with its header, whatever becomes of old bodies: the next load looks for them once more.
    async fn sweep_if_possible(&self) {
        let _ = self.sweep().await;
    }

    /// Deletes the unit's bodies that the header does not name: those that were replaced, and those of a crash before
    /// their header.
    async fn sweep(&self) -> Result<(), StoreError> {
        let header = name(&self.header.unit);
        let open = self.header.open.as_ref().map(|open| &open.body);
        let kept: Vec<String> =
            [self.landed_body(), open].into_iter().flatten().map(|body| format!("{}-", body.name)).collect();
        for entry in self.store.list(&format!("{header}-")).await? {
            if !kept.iter().any(|prefix| entry.starts_with(prefix)) {
                self.store.delete(&entry).await?;
            }
        }
        Ok(())
    }
}

/// A landing without what was taken back.
fn holding(landing: Arc<Landing>, undone: &BTreeSet<usize>) -> Arc<Landing> {
    if undone.is_empty() { landing } else { Arc::new(Arc::unwrap_or_clone(landing).holding(undone)) }
}

/// Name of a unit's header. A digest, since units' names may be longer than a Secret's.
fn name(unit: &str) -> String {
    format!("landing-{}", &digest(unit.as_bytes())[..24])
}

/// Headers have one dash, the chunks of bodies more.
fn is_header(name: &str) -> bool {
    name.matches('-').count() == 1
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn headers(store: &Arc<dyn Store>) -> Result<Vec<Result<Header, StoreError>>, StoreError> {
    let mut headers = Vec::new();
    for name in store.list("landing-").await?.iter().filter(|name| is_header(name)) {
        headers.extend(store.get(name).await?.map(|(bytes, _)| parse_header(name, &bytes)));
    }
    Ok(headers)
}

fn parse_header(name: &str, bytes: &[u8]) -> Result<Header, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| unreadable(name, &e))
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable { name: name.into(), message: error.to_string() }
}
