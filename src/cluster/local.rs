//! The cluster in memory as a program of its own: with a real clock, and kept in a folder when asked for.
//!
//! # Guarantees
//! - Without a folder nothing reaches the disk.
//! - The file always holds one state that the cluster had: it is written beside and renamed. A process that is killed
//!   loses what came after the last [`Local::save`], never a part of it.
//!
//! # Caveats
//! The file holds the Secrets' bytes as a cluster's database does, readable by its owner alone (mode 0600). Only an
//! explicit folder makes one; nothing else of Lockstep writes plaintext.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::memory::{MemoryCluster, Settings, Simulation};
use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// One step of the simulated controllers, and the longest that a change waits to be kept.
const STEP: Duration = Duration::from_millis(250);

/// A cluster of this process. Clones and impersonated forms are the same.
#[derive(Clone)]
pub struct Local {
    /// As the user that this form is.
    inner: Arc<dyn Cluster>,
    memory: MemoryCluster,
    folder: Option<Arc<Folder>>,
}

struct Folder {
    file: PathBuf,
    /// Revision that the file holds.
    saved: AtomicU64,
    /// Held while somebody writes.
    writing: Mutex<()>,
    /// Locked as long as this process has the folder.
    _lock: File,
}

impl Local {
    /// A cluster as `folder` has it, or an empty one. Workloads become ready `simulation` steps of a quarter of a second
    /// after their write, while [`Local::run`] runs.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or holds something else.
    pub fn open(folder: Option<&Path>, simulation: Simulation) -> Result<Self, LocalError> {
        let seed = getrandom::u64().map_err(|_| LocalError::Seed)?;
        let clock = Arc::new(Timestamp::now);
        let memory = MemoryCluster::new(Settings { clock, seed, simulation: Some(simulation), observer: None });
        let folder = folder.map(|path| Folder::open(path, &memory).map(Arc::new)).transpose()?;
        Ok(Self { inner: Arc::new(memory.clone()), memory, folder })
    }

    /// Lets time pass for the controllers, and keeps what changed, until it is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written any more.
    pub async fn run(&self) -> Result<(), LocalError> {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            self.memory.advance(SignedDuration::ZERO);
            let this = self.clone();
            let saved = tokio::task::spawn_blocking(move || this.save()).await;
            saved.unwrap_or(Ok(()))?;
        }
    }

    /// Keeps the cluster as it is now, unless the file has it already.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self) -> Result<(), LocalError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _turn = folder.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.memory.revision() == folder.saved.load(Ordering::SeqCst) {
            return Ok(());
        }
        let snapshot = self.memory.snapshot();
        write(&folder.file, &snapshot).map_err(|source| LocalError::Folder { path: folder.file.clone(), source })?;
        folder.saved.store(snapshot["revision"].as_u64().unwrap_or_default(), Ordering::SeqCst);
        Ok(())
    }
}

impl Folder {
    /// Takes a folder over, and what it holds.
    fn open(path: &Path, memory: &MemoryCluster) -> Result<Self, LocalError> {
        let failed = |source| LocalError::Folder { path: path.into(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = private(OpenOptions::new().create(true).truncate(false)).open(path.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|_| LocalError::InUse { path: path.into() })?;
        let file = path.join("cluster.json");
        let saved = match fs::read(&file) {
            Ok(bytes) => {
                let foreign = || LocalError::Foreign { path: file.clone() };
                let snapshot: Value = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
                memory.restore(&snapshot).map_err(|_| foreign())?;
                snapshot["revision"].as_u64().unwrap_or_default()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { file, saved: AtomicU64::new(saved), writing: Mutex::new(()), _lock: lock })
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.write(true).mode(0o600)
}

/// Writes a file beside, and puts it in the place of the other.
fn write(path: &Path, value: &Value) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    // One that a killed process left may have another mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private(OpenOptions::new().create_new(true)).open(&beside)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

impl Cluster for Local {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        self.inner.call(call)
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.inner.watch(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.memory.impersonate(user), ..self.clone() })
    }
}

/// Why a local cluster cannot be opened or kept. Names no content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The folder cannot be made, read or written.
    #[error("{}: cannot be used for the local cluster", path.display())]
    Folder {
        /// The folder or the file in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the folder.
    #[error("{}: in use by another local cluster", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The file was not written by a local cluster.
    #[error("{}: not the file of a local cluster", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("the system has no randomness")]
    Seed,
}
