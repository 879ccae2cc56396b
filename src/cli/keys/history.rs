//! What encrypted files were in the history of Git, and `lockstep keys who-can-read`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gix::{ObjectId, Repository as Git};
use serde_json::json;
use sops::{Editing, MasterKey, Sealed};

use super::repository::{Repository, encrypted};
use super::{Outcome, named};
use crate::cli::document::Document;
use crate::cli::print;
use crate::cli::sops::Keys;
use crate::cli::table::aligned;

/// An encrypted file as one or more commits have it.
pub(super) struct Version {
    /// From the folder of the configuration.
    pub(super) path: String,
    /// The first commit that has it so.
    pub(super) commit: String,
    /// When that was made.
    pub(super) time: String,
    /// The names of all keys that can open it.
    pub(super) readers: HashSet<String>,
    /// Its ciphertexts: a value that has kept its own is opened by whoever has the data key of then.
    values: HashSet<String>,
    blob: ObjectId,
}

/// What a file holds today, to be compared with what it held.
pub(super) struct Today<'k> {
    values: HashSet<String>,
    opened: Option<Editing>,
    git: Option<Git>,
    keys: &'k Keys,
}

impl<'k> Today<'k> {
    pub(super) fn new(repository: &Repository, path: &str, bytes: &[u8], keys: &'k Keys) -> Self {
        let opened = encrypted(path, bytes).and_then(|file| file.sealed.ok()?.edit(&keys.identities).ok());
        Self { values: values(bytes), opened, git: gix::discover(&repository.folder).ok(), keys }
    }

    /// Whether whoever can open a version knows a value that the file still holds. With a key at hand the plaintexts tell:
    /// another data key alone makes nothing secret again. Without one only a ciphertext that stayed does.
    pub(super) fn is_known_by(&self, version: &Version) -> bool {
        !self.values.is_disjoint(&version.values) || self.shares_plaintext(version).unwrap_or_default()
    }

    fn shares_plaintext(&self, version: &Version) -> Option<bool> {
        let blob = self.git.as_ref()?.find_blob(version.blob).ok()?;
        let before = encrypted(&version.path, &blob.data)?.sealed.ok()?.edit(&self.keys.identities).ok()?;
        Some(self.opened.as_ref()?.shares_values(&before))
    }
}

/// All versions of encrypted files below a folder, oldest first; nothing where there is no repository.
pub(super) fn versions(folder: &Path) -> anyhow::Result<Vec<Version>> {
    let Ok(git) = gix::discover(folder) else { return Ok(Vec::new()) };
    let Ok(head) = git.head_id() else { return Ok(Vec::new()) };
    let top = git.workdir().context("the repository has no work tree")?;
    let below =
        folder.strip_prefix(std::fs::canonicalize(top)?).unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let prefix = if below.is_empty() { below } else { format!("{below}/") };
    let mut commits = head.ancestors().all()?.collect::<Result<Vec<_>, _>>()?;
    commits.reverse();
    let mut walk = Walk { git: &git, prefix: &prefix, seen: HashSet::new(), versions: Vec::new() };
    for commit in commits {
        let commit = commit.object()?;
        let time = commit.time()?.format(gix::date::time::format::ISO8601)?;
        let id = commit.id().shorten_or_id().to_string();
        walk.tree(commit.tree_id()?.detach(), String::new(), &id, &time)?;
    }
    Ok(walk.versions)
}

struct Walk<'g> {
    git: &'g Git,
    prefix: &'g str,
    /// What was looked at already, at its place.
    seen: HashSet<(ObjectId, String)>,
    versions: Vec<Version>,
}

impl Walk<'_> {
    fn tree(&mut self, id: ObjectId, path: String, commit: &str, time: &str) -> anyhow::Result<()> {
        if !self.seen.insert((id, path.clone())) {
            return Ok(());
        }
        for entry in self.git.find_tree(id)?.iter() {
            let entry = entry?;
            let name = format!("{path}{}", entry.filename());
            let is_near = self.prefix.starts_with(&format!("{name}/")) || name.starts_with(self.prefix);
            if entry.mode().is_tree() && is_near {
                self.tree(entry.oid().to_owned(), format!("{name}/"), commit, time)?;
            } else if entry.mode().is_blob() && name.starts_with(self.prefix) {
                self.blob(entry.oid().to_owned(), &name, commit, time)?;
            }
        }
        Ok(())
    }

    fn blob(&mut self, id: ObjectId, name: &str, commit: &str, time: &str) -> anyhow::Result<()> {
        if !self.seen.insert((id, name.to_owned())) {
            return Ok(());
        }
        if self.git.find_header(id).is_ok_and(|header| header.size() > sops::LARGEST as u64) {
            return Ok(());
        }
        let blob = self.git.find_blob(id)?;
        let path = name.strip_prefix(self.prefix).unwrap_or(name);
        let Some(sealed) = encrypted(path, &blob.data).and_then(|file| file.sealed.ok()) else { return Ok(()) };
        self.versions.push(Version {
            path: path.to_owned(),
            commit: commit.to_owned(),
            time: time.to_owned(),
            readers: readers(&sealed),
            values: values(&blob.data),
            blob: id,
        });
        Ok(())
    }
}

/// The names of all keys that can open a document, alone or with others.
pub(super) fn readers(sealed: &Sealed) -> HashSet<String> {
    sealed.groups().iter().flatten().map(MasterKey::name).collect()
}

/// The ciphertexts of a document, but for its MAC, which is new with every change.
fn values(bytes: &[u8]) -> HashSet<String> {
    const START: &str = "ENC[AES256_GCM,";
    let text = String::from_utf8_lossy(bytes);
    let value = |(at, _): (usize, &str)| {
        let value = text.get(at..)?.split(']').next()?;
        let line = text.get(..at)?.rsplit('\n').next().unwrap_or_default();
        (!line.contains("mac")).then(|| value.to_owned())
    };
    text.match_indices(START).filter_map(value).collect()
}

/// List the files that a key can read, now and in the commits of the past.
///
/// "now" tells whether it can read what the file holds today: it is named in it, or a value has stayed from when it was. It
/// takes a key that opens both to see that of values that were encrypted anew.
#[derive(Args)]
pub(super) struct WhoCanRead {
    /// The recipient, fingerprint or address of the key.
    recipient: String,
    /// A folder of the repository.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print a document instead of a table.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Document>,
}

impl WhoCanRead {
    pub(super) fn run(self) -> Outcome {
        let (repository, recipient) = (Repository::find(&self.path)?, named(&self.recipient)?);
        let mut rows = Vec::new();
        for file in repository.encrypted()? {
            if file.sealed.is_ok_and(|sealed| readers(&sealed).contains(&recipient)) {
                rows.push((file.path, "(work tree)".to_owned(), String::new(), true));
            }
        }
        let keys = Keys::of_environment();
        let mut current: HashMap<String, Today<'_>> = HashMap::new();
        for version in versions(&repository.folder)?.into_iter().rev() {
            if version.readers.contains(&recipient) {
                let now = current.entry(version.path.clone()).or_insert_with_key(|path| {
                    let bytes = std::fs::read(repository.place(path)).unwrap_or_default();
                    Today::new(&repository, path, &bytes, &keys)
                });
                let reads_now = now.is_known_by(&version);
                rows.push((version.path, version.commit, version.time, reads_now));
            }
        }
        if let Some(document) = self.output {
            let entry = |(path, commit, time, now): &(String, String, String, bool)| json!({"path": path, "commit": commit, "time": time, "readsCurrentValues": now});
            return print(document.text(&rows.iter().map(entry).collect()).as_bytes());
        }
        if rows.is_empty() {
            return print(b"Nothing: it is named in no file, now or in the past\n");
        }
        let mut table = vec![["FILE", "COMMIT", "SINCE", "NOW"].map(str::to_owned).to_vec()];
        table.extend(
            rows.into_iter()
                .map(|(path, commit, time, now)| vec![path, commit, time, if now { "yes" } else { "no" }.to_owned()]),
        );
        print(aligned(&table).as_bytes())
    }
}
