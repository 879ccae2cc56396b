//! GitRepository: one commit of a repository, by branch, tag, version range, name or id.
//!
//! # Flow
//! ask the origin for its references -> choose a commit -> receive what the store lacks -> [`GitFiles`]
//!
//! # Guarantees
//! - In process: no `git`, no work tree, no configuration but the repository's own.
//! - Nothing is received when the origin's reference stands where it stood.
//! - Only the caller's folder is written ([`store`] says what stands in it); a repository of this machine (`file://…` or
//!   an absolute path) is read in place.
//! - A fetch that is dropped or late gives up soon; what it began is not seen by the next.
//!
//! # Assumptions
//! One fetch at a time per folder.
//!
//! # Caveats
//! Flux clones a `ref.commit` anew each time, notices that the repository is gone, and insists that the commit belongs to
//! `ref.branch` when there is one; here a commit that was fetched stays, and the branch is the way to it, no condition.

mod links;
mod origin;
mod store;
mod tree;
mod wire;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gix::ObjectId;
use gotemplate::go::semver::{Constraint, Version};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::artifact::Artifact;
use crate::source::http::{self, Credentials};
use crate::source::{Error, GitCause, archive, local_path, version};
use origin::{Depth, Origin, Server, Tips};
use store::Store;
pub use tree::{GitFiles, Selection};
use wire::Line;

/// Which commit: Flux's `spec.ref`. Empty fields are not set; commit is stronger than name, name than tag, tag than
/// semver, semver than branch. (The words of Flux's schema put semver before tag; what it does is this.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// A branch; `master` when nothing at all is set.
    pub branch: String,
    /// A tag.
    pub tag: String,
    /// A range of versions; the newest tag in it counts.
    pub semver: String,
    /// A full name, such as `refs/pull/420/head`, or `HEAD`.
    pub name: String,
    /// A commit's id.
    pub commit: String,
    /// What `git fetch` takes, weaker than all of these: `HEAD`, a commit's id, a full name, or the last part of one, of a
    /// tag before a branch.
    pub word: String,
}

/// The largest answer that is read for a source.
pub const LARGEST: u64 = 2 << 30;

/// What to fetch.
pub struct Request {
    /// Address, already [mirrored](crate::source::mirrored).
    pub url: String,
    /// Which commit.
    pub reference: Reference,
    /// Who asks.
    pub credentials: Credentials,
    /// Which of its paths.
    pub selection: Selection,
    /// How long all of it may take.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes: a pack beyond it is not cloned.
    pub largest: u64,
    /// The revision that the caller already has, with the same selection: then there is nothing to do.
    pub observed: Option<String>,
}

/// Fetches one commit into `folder`. `None` when it is the one that the caller already has.
///
/// # Errors
/// When the repository, the reference or the tree cannot be had.
pub async fn fetch(client: &reqwest::Client, request: Request, folder: &Path) -> Result<Option<Artifact>, Error> {
    let interrupt = Arc::new(AtomicBool::new(false));
    let _dropped = InterruptOnDrop(interrupt.clone());
    let line = Line {
        client: client.clone(),
        credentials: request.credentials.clone(),
        deadline: Instant::now() + request.timeout,
        largest: request.largest,
        interrupt,
        runtime: Handle::current(),
        failure: Mutex::default(),
    };
    let (line, folder) = (Arc::new(line), folder.to_owned());
    let fetched = tokio::task::spawn_blocking(move || fetch_blocking(&line, &request, &folder)).await;
    fetched.unwrap_or(Err(Error::Interrupted))
}

struct InterruptOnDrop(Arc<AtomicBool>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A commit, and the reference that led to it.
struct Target {
    commit: ObjectId,
    /// Full name; empty for a bare commit.
    name: String,
}

fn fetch_blocking(line: &Arc<Line>, request: &Request, folder: &Path) -> Result<Option<Artifact>, Error> {
    if let Some(path) = local_path(&request.url) {
        return artifact(origin::open_local(&request.url, &path)?, request);
    }
    // `user@host:path` is what Git takes for ssh.
    let scheme = request.url.split_once("://").map_or("ssh", |(scheme, _)| scheme);
    if !["http", "https"].contains(&scheme) {
        let source = GitCause::Scheme { scheme: scheme.to_owned() };
        return Err(Error::Clone { url: http::shown(&request.url), source });
    }
    let from = |store| Origin::Server(Server { url: without_user(&request.url), line: line.clone(), store });
    let store = Store::open(folder)?;
    let was_new = store.is_new();
    match artifact(from(store), request) {
        // Not the network's fault and not the reference's: a store that a crash left behind is given up.
        Err(Error::Clone { source: GitCause::Protocol { .. }, .. } | Error::NoCommit { .. } | Error::Tree { .. })
            if !was_new =>
        {
            artifact(from(Store::anew(folder)?), request)
        }
        result => result,
    }
}

/// The credentials travel apart from the address.
fn without_user(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return url.to_owned();
    };
    // Both fail for addresses that cannot have a user, which then have none.
    let (_, _) = (parsed.set_username(""), parsed.set_password(None));
    parsed.to_string()
}

fn artifact(origin: Origin, request: &Request) -> Result<Option<Artifact>, Error> {
    let target = find(&origin, &request.reference, &request.url)?;
    let revision = target.revision(&request.reference);
    if request.observed.as_deref() == Some(&revision) {
        return Ok(None);
    }
    let repository = origin.finish()?;
    let subject = subject(&repository, target.commit);
    let files = Arc::new(GitFiles::open(repository, target.commit, &request.selection)?);
    let archived = files.clone();
    let measurer = Box::new(move || archive::measure(&*archived));
    Ok(Some(Artifact::new(revision, subject, files, measurer)))
}

impl Target {
    /// Flux's revision: of a reference the part after its second slash, unless `ref.name` asked for it.
    fn revision(&self, reference: &Reference) -> String {
        let digest = format!("sha1:{}", self.commit);
        let short = self.name.splitn(3, '/').nth(2);
        match (reference.name.is_empty(), short) {
            (false, _) => format!("{}@{digest}", reference.name),
            (true, Some(short)) => format!("{short}@{digest}"),
            (true, None) => digest,
        }
    }
}

/// The commit that a reference stands for. Objects of a single reference are received on the way.
fn find(origin: &Origin, reference: &Reference, url: &str) -> Result<Target, Error> {
    if !reference.commit.is_empty() {
        return exact(origin, reference);
    }
    if !reference.name.is_empty() {
        let name = reference.name.trim_end_matches(PEELED);
        return named(origin, name, url, || Error::NoReference { name: reference.name.clone() });
    }
    if reference.tag.is_empty() && !reference.semver.is_empty() {
        return newest(origin, &reference.semver, url);
    }
    if reference.tag.is_empty() && reference.branch.is_empty() && !reference.word.is_empty() {
        return meant(origin, &reference.word, url);
    }
    let branch = if reference.branch.is_empty() { "master" } else { &reference.branch };
    let name = match &*reference.tag {
        "" => format!("refs/heads/{branch}"),
        tag => format!("refs/tags/{tag}"),
    };
    let missing = GitCause::NoReference { name: name.clone() };
    named(origin, &name, url, || Error::Clone { url: http::shown(url), source: missing })
}

/// How Git writes what a tag stands for.
const PEELED: &str = "^{}";

fn named(origin: &Origin, name: &str, url: &str, missing: impl FnOnce() -> Error) -> Result<Target, Error> {
    if name.starts_with('/') || name.ends_with('/') {
        return Err(Error::ReferenceName { name: name.to_owned() });
    }
    if gix::refs::FullName::try_from(name).is_err() {
        return Err(missing());
    }
    let mut found = None;
    origin.exchange(&[name.to_owned()], Depth::One, &mut |tips| {
        found = tips.get(name).copied();
        Ok(found.is_some_and(|commit| !origin.has(commit)))
    })?;
    match found {
        Some(commit) => Ok(Target { commit, name: name.to_owned() }),
        None if is_empty(origin)? => Err(Error::EmptyRepository { url: http::shown(url) }),
        None => Err(missing()),
    }
}

/// What a word means to `git fetch`. One request lists all that it may mean.
fn meant(origin: &Origin, word: &str, url: &str) -> Result<Target, Error> {
    if is_id(word) {
        return exact(origin, &Reference { commit: word.to_ascii_lowercase(), ..Reference::default() });
    }
    let names = meanings(word);
    let mut found = None;
    if !names.is_empty() {
        origin.exchange(&names, Depth::One, &mut |tips| {
            found = names.iter().find_map(|name| tips.get(name)).copied();
            Ok(found.is_some_and(|commit| !origin.has(commit)))
        })?;
    }
    let missing = || Error::Clone { url: http::shown(url), source: GitCause::NoReference { name: word.into() } };
    // Under which name it was found is nothing that a revision tells: the commit alone counts.
    Ok(Target { commit: found.ok_or_else(missing)?, name: String::new() })
}

/// Whether a word is the whole id of a commit.
pub fn is_id(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The full names that a word may stand for, the strongest first.
fn meanings(word: &str) -> Vec<String> {
    let itself = (word == "HEAD" || word.starts_with("refs/")).then(|| word.to_owned());
    let below = ["refs/", "refs/tags/", "refs/heads/"].into_iter().map(|prefix| format!("{prefix}{word}"));
    let is_name = |name: &String| gix::refs::FullName::try_from(name.as_str()).is_ok();
    itself.into_iter().chain(below).filter(is_name).collect()
}

/// Whether there is no branch at all.
fn is_empty(origin: &Origin) -> Result<bool, Error> {
    let mut is_empty = true;
    origin.exchange(&["refs/heads/*".to_owned()], Depth::One, &mut |tips| {
        is_empty = tips.is_empty();
        Ok(false)
    })?;
    Ok(is_empty)
}

/// A commit by its id. Servers may refuse to serve one that no reference stands for; then the history of its branch, or
/// of all branches, is received, as Flux always does.
fn exact(origin: &Origin, reference: &Reference) -> Result<Target, Error> {
    let missing = || Error::NoCommit { commit: reference.commit.clone() };
    let commit = ObjectId::from_hex(reference.commit.as_bytes()).map_err(|_| missing())?;
    let name = match &*reference.branch {
        "" => String::new(),
        branch => format!("refs/heads/{branch}"),
    };
    if !origin.has(commit) {
        let alone = origin.exchange(&[commit.to_string()], Depth::One, &mut |_| Ok(true));
        if matches!(alone, Err(Error::Clone { source: GitCause::Protocol { .. }, .. })) {
            let branches = if name.is_empty() { "refs/heads/*" } else { &name };
            origin.exchange(&[branches.to_owned()], Depth::All, &mut |_| Ok(true))?;
        } else {
            alone?;
        }
    }
    if origin.has(commit) { Ok(Target { commit, name }) } else { Err(missing()) }
}

/// The newest tag in a range. Versions that differ in build metadata alone are ordered by the time of their commits.
fn newest(origin: &Origin, range: &str, url: &str) -> Result<Target, Error> {
    let constraint = Constraint::parse(range).map_err(|source| Error::Constraint { source })?;
    let mut best = Tips::new();
    origin.exchange(&["refs/tags/*".to_owned()], Depth::One, &mut |tips| {
        best = newest_of(tips, &constraint);
        Ok(false)
    })?;
    if best.is_empty() && is_empty(origin)? {
        return Err(Error::EmptyRepository { url: http::shown(url) });
    }
    receive(origin, &best)?;
    let time = |commit: ObjectId| origin.repository().find_commit(commit).ok()?.time().ok().map(|time| time.seconds);
    let newest = best.into_iter().max_by_key(|(_, commit)| time(*commit));
    let (name, commit) = newest.ok_or_else(|| Error::NoVersion { range: range.to_owned() })?;
    Ok(Target { commit, name })
}

/// The tags of the highest version that the constraint admits: more than one when they differ in build metadata.
fn newest_of(tips: &Tips, constraint: &Constraint) -> Tips {
    let mut best: Option<Version> = None;
    let mut named = Tips::new();
    for (name, commit) in tips {
        let tag = name.strip_prefix("refs/tags/").unwrap_or(name);
        let Some(version) = version::full(tag).filter(|version| constraint.matches(version)) else {
            continue;
        };
        match best.as_ref().map_or(std::cmp::Ordering::Greater, |best| version.precedence(best)) {
            std::cmp::Ordering::Less => continue,
            std::cmp::Ordering::Greater => named.clear(),
            std::cmp::Ordering::Equal => {}
        }
        named.insert(name.clone(), *commit);
        best = Some(version);
    }
    named
}

/// Receives what the store lacks of the commits of `tips`.
fn receive(origin: &Origin, tips: &Tips) -> Result<(), Error> {
    let lacking = tips.iter().filter(|(_, commit)| !origin.has(**commit));
    let specs: Vec<String> = lacking.map(|(name, _)| name.clone()).collect();
    if specs.is_empty() { Ok(()) } else { origin.exchange(&specs, Depth::One, &mut |_| Ok(true)) }
}

/// The first line of a message, as Flux shortens it in its events.
fn subject(repository: &gix::Repository, commit: ObjectId) -> Option<String> {
    let message = repository.find_commit(commit).ok()?.message_raw().ok()?.to_string();
    let line = message.lines().next().unwrap_or_default();
    let short: String = line.chars().take(50).collect();
    Some(if short.len() < line.len() { short + "..." } else { short })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_a_full_name_a_tag_or_a_branch() {
        assert_eq!(meanings("v1"), ["refs/v1", "refs/tags/v1", "refs/heads/v1"]);
        assert_eq!(meanings("HEAD")[0], "HEAD");
        assert_eq!(meanings("refs/pull/1/head")[0], "refs/pull/1/head");
        assert_eq!(meanings("a b"), [""; 0]);
        assert!(is_id("0123456789abcdef0123456789ABCDEF01234567") && !is_id("0123456"));
    }
}
