//! What kustomizations name outside of their source: repositories, and files of servers, each as it was seen last.
//!
//! # Flow
//! a base, as of a moment -> look, if that was not done since -> the commit or the content's digest, and what is there
//!
//! # Guarantees
//! - Whoever wants the same at the same time shares one look. What a commit's id names is looked at once.
//! - Doubt: where a server does not answer, what was seen last counts, and the trouble is told with it. What a server denies
//!   (no such repository, reference or file; not for this user) is an error.
//! - A look that failed is repeated after a pause that grows; until then its error stands for it.
//! - Each look has a limit on time and bytes, and only [`MOST`] bases are kept.
//! - No error names a user, a password or a query of an address. No program is run, and no configuration of Git is read:
//!   credentials are those of addresses, and of the accounts that a caller gives.
//!
//! # Caveats
//! kustomize clones with submodules; here a submodule is an empty folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use manifest::Files;
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::access::Access;
use super::git::{self, Reference, Selection};
use super::http::{self, HttpError};
use super::netrc::Netrc;
use super::{Error, GitCause, Mirror, local_path, mirrored};
use crate::unit::base::Base;
use crate::unit::digest;

/// How long a repository may take, and its largest answer.
const TREE_TIMEOUT: Duration = Duration::from_secs(120);
const LARGEST_TREE: u64 = 512 << 20;
/// How long a file may take, and its bytes.
const FILE_TIMEOUT: Duration = Duration::from_secs(30);
const LARGEST_FILE: u64 = 32 << 20;
/// Bases that are kept.
const MOST: usize = 200;
/// Pauses after looks that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How bases are fetched.
pub struct Setup {
    /// What asks.
    pub client: reqwest::Client,
    /// Replacements for addresses.
    pub mirrors: Vec<Mirror>,
    /// Where they are kept; it can be lost at any time.
    pub folder: PathBuf,
    /// Who asks where an address does not say.
    pub accounts: Netrc,
    /// Whether an address may name a repository of this machine.
    pub reads_this_machine: bool,
}

/// Why a base cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// The error and its causes on one line.
    pub message: String,
    /// Whether it may pass although nobody changes anything.
    pub is_transient: bool,
}

/// A base as it was seen.
#[derive(Clone)]
pub struct Look {
    /// The commit, or the digest of the content.
    pub version: String,
    /// What is there.
    pub content: Content,
    /// Why it could not be seen anew.
    pub trouble: Option<Trouble>,
}

impl Look {
    /// Whether nobody has removed the content since.
    fn is_kept(&self) -> bool {
        match &self.content {
            Content::Tree(_) => true,
            Content::File(path) => path.is_file(),
        }
    }
}

/// What is there.
#[derive(Clone)]
pub enum Content {
    /// The files of the commit.
    Tree(Arc<dyn Files>),
    /// Where the content is kept.
    File(PathBuf),
}

/// All bases that somebody has asked for.
pub struct Bases {
    setup: Setup,
    known: StdMutex<HashMap<Base, Arc<Known>>>,
}

/// One base. Whoever looks at it holds it.
struct Known {
    folder: PathBuf,
    used: StdMutex<Instant>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last: Option<(Look, Instant)>,
    /// How a server names the content that was seen last.
    tag: Option<String>,
    failed: Option<Failed>,
}

struct Failed {
    trouble: Trouble,
    at: Instant,
    pause: Duration,
}

impl Bases {
    /// Nothing is known yet.
    pub fn new(setup: Setup) -> Self {
        Self { setup, known: StdMutex::default() }
    }

    /// A base as it was at `since`, or later.
    ///
    /// # Errors
    /// When a server denies it, or does not answer and nothing was seen before.
    pub async fn look(&self, base: &Base, since: Instant) -> Result<Look, Trouble> {
        let known = self.known(base);
        let mut seen = known.seen.lock().await;
        if let Some(answer) = seen.answer(base, since) {
            return answer;
        }
        // Noted before the answer is waited for: a look that is given up has failed.
        let pause = seen.failed.as_ref().map_or(FIRST_PAUSE, |failed| (failed.pause * 2).min(LONGEST_PAUSE));
        seen.failed = Some(Failed { trouble: given_up(), at: Instant::now(), pause });
        match self.fetch(base, &mut seen, &known.folder).await {
            Ok(look) => {
                (seen.last, seen.failed) = (Some((look.clone(), Instant::now())), None);
                Ok(look)
            }
            Err(trouble) => {
                let failed = Failed { trouble, at: Instant::now(), pause };
                let answer = seen.after(&failed);
                seen.failed = Some(failed);
                answer
            }
        }
    }

    /// What is known of a base without a look; `None` where nobody has looked, or somebody is about to.
    pub fn last(&self, base: &Base) -> Option<Result<Look, Trouble>> {
        let known = locked(&self.known).get(base).cloned()?;
        let seen = known.seen.try_lock().ok()?;
        match (&seen.last, &seen.failed) {
            (_, Some(failed)) => Some(seen.after(failed)),
            (last, None) => last.as_ref().map(|(look, _)| Ok(look.clone())),
        }
    }

    fn known(&self, base: &Base) -> Arc<Known> {
        let mut all = locked(&self.known);
        if let Some(known) = all.get(base) {
            *locked(&known.used) = Instant::now();
            return known.clone();
        }
        if all.len() >= MOST {
            forget_the_oldest(&mut all);
        }
        let folder = self.setup.folder.join(base.key());
        let known = Arc::new(Known { folder, used: StdMutex::new(Instant::now()), seen: Mutex::default() });
        all.insert(base.clone(), known.clone());
        known
    }

    async fn fetch(&self, base: &Base, seen: &mut Seen, folder: &Path) -> Result<Look, Trouble> {
        let address = base.address();
        if !self.setup.reads_this_machine && local_path(address).is_some() {
            return Err(denied("a repository of this machine is not read".into()));
        }
        let address = mirrored(address, &self.setup.mirrors);
        match base {
            Base::Tree { reference, .. } => self.fetch_tree(address, reference, seen, folder).await,
            Base::File { .. } => self.fetch_file(&address, seen, folder).await,
        }
    }

    async fn fetch_tree(&self, url: String, word: &str, seen: &Seen, folder: &Path) -> Result<Look, Trouble> {
        let told = Access::git(&url, None).map_err(|error| denied(error.to_string()))?.credentials;
        let credentials = self.setup.accounts.account(&url, told);
        let word = if word.is_empty() { "HEAD" } else { word };
        let last = seen.look();
        let request = git::Request {
            url,
            reference: Reference { word: word.into(), ..Reference::default() },
            credentials,
            selection: Selection { is_whole: true, ..Selection::default() },
            timeout: TREE_TIMEOUT,
            largest: LARGEST_TREE,
            observed: last.map(|look| format!("{SHA1}{}", look.version)),
        };
        let fetched = git::fetch(&self.setup.client, request, folder).await.map_err(|error| of_git(&error))?;
        if let Some(artifact) = fetched {
            let version = artifact.revision.trim_start_matches(SHA1).to_owned();
            return Ok(Look { version, content: Content::Tree(artifact.files), trouble: None });
        }
        last.cloned().ok_or_else(given_up)
    }

    async fn fetch_file(&self, url: &str, seen: &mut Seen, folder: &Path) -> Result<Look, Trouble> {
        if local_path(url).is_some() {
            return Err(denied("a mirror on this machine serves no files".into()));
        }
        let deadline = Instant::now() + FILE_TIMEOUT;
        let mut request = self.setup.client.get(url);
        if let (Some(tag), true) = (&seen.tag, seen.look().is_some_and(Look::is_kept)) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answer = http::answer(request, deadline).await.map_err(|error| of_http(&error))?;
        if let Some(look) = seen.look().filter(|_| answer.status() == StatusCode::NOT_MODIFIED) {
            return Ok(look.clone());
        }
        let mut answer = http::successful(answer).map_err(|error| of_http(&error))?;
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let content = http::body(&mut answer, LARGEST_FILE, deadline).await.map_err(|error| of_http(&error))?;
        let version = digest(&content);
        let before = seen.look().map(|look| look.version.as_str()).unwrap_or_default();
        let unkept = |source| of_git(&Error::Folder { path: folder.display().to_string(), source });
        let path = keep(folder, &version, &content, before).map_err(unkept)?;
        seen.tag = tag;
        Ok(Look { version, content: Content::File(path), trouble: None })
    }
}

/// What stands before a commit in a revision.
const SHA1: &str = "sha1:";

/// What a panicking thread left is as good as before: only whole values are put there.
fn locked<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes content under its version. That of the version `before` stays: somebody may be about to read it.
fn keep(folder: &Path, version: &str, content: &[u8], before: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)?.flatten().filter(|entry| entry.file_name() != before) {
        std::fs::remove_file(entry.path())?;
    }
    let path = folder.join(version);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// Makes room, unless all of them are in use.
fn forget_the_oldest(all: &mut HashMap<Base, Arc<Known>>) {
    let idle = all.iter().filter(|(_, known)| known.is_idle());
    let Some(oldest) = idle.min_by_key(|(_, known)| *locked(&known.used)).map(|(base, _)| base.clone()) else { return };
    if let Some(known) = all.remove(&oldest) {
        // What cannot be removed is used when somebody asks for the base again.
        let _ = std::fs::remove_dir_all(&known.folder);
    }
}

impl Known {
    /// Nobody looks at it or reads its files.
    fn is_idle(self: &Arc<Self>) -> bool {
        let is_read = |seen: &Seen| match seen.look().map(|look| &look.content) {
            Some(Content::Tree(files)) => Arc::strong_count(files) > 1,
            Some(Content::File(_)) | None => false,
        };
        Arc::strong_count(self) == 1 && self.seen.try_lock().is_ok_and(|seen| !is_read(&seen))
    }
}

impl Seen {
    fn look(&self) -> Option<&Look> {
        self.last.as_ref().map(|(look, _)| look)
    }

    /// What needs no look.
    fn answer(&self, base: &Base, since: Instant) -> Option<Result<Look, Trouble>> {
        let is_fixed = matches!(base, Base::Tree { reference, .. } if git::is_id(reference));
        match (&self.last, &self.failed) {
            (Some((look, at)), _) if is_fixed || *at >= since => Some(Ok(look.clone())),
            (_, Some(failed)) if failed.at >= since || failed.at.elapsed() < failed.pause => Some(self.after(failed)),
            _ => None,
        }
    }

    /// What counts after a look that failed.
    fn after(&self, failed: &Failed) -> Result<Look, Trouble> {
        match self.look().filter(|_| failed.trouble.is_transient) {
            Some(look) => Ok(Look { trouble: Some(failed.trouble.clone()), ..look.clone() }),
            None => Err(failed.trouble.clone()),
        }
    }
}

fn given_up() -> Trouble {
    Trouble { message: "timed out".into(), is_transient: true }
}

fn denied(message: String) -> Trouble {
    Trouble { message, is_transient: false }
}

fn of_http(error: &HttpError) -> Trouble {
    let is_transient = match error {
        HttpError::Timeout | HttpError::Transport { .. } => true,
        HttpError::Status { status } => matches!(status, 408 | 425 | 429 | 500..),
        HttpError::Options { .. } | HttpError::Url { .. } | HttpError::TooLarge { .. } => false,
    };
    Trouble { message: error.to_string(), is_transient }
}

fn of_git(error: &Error) -> Trouble {
    match error {
        Error::Clone { source: GitCause::Http(error), .. } => of_http(error),
        Error::Clone { source: GitCause::NoReference { name }, .. } => {
            denied(format!("couldn't find remote ref {name}"))
        }
        // What is no answer of Git's may be one of something between.
        Error::Clone { source: source @ GitCause::Protocol { .. }, .. } => {
            Trouble { message: source.to_string(), is_transient: true }
        }
        Error::Clone { source, .. } => denied(source.to_string()),
        Error::Folder { .. } | Error::Interrupted => Trouble { message: http::chain(error), is_transient: true },
        other => denied(http::chain(other)),
    }
}
