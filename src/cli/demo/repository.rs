//! The demo's Git repository: `keys-example/repository`, as the binary carries it, and commits on top.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gix::ObjectId;
use gix::objs::tree::{Entry, EntryKind};
use gix::objs::{Commit, Tree};
use jiff::Timestamp;

/// Takes the files in, by their paths in the repository.
macro_rules! files {
    ($($path:literal,)+) => {
        &[$(($path, include_str!(concat!("../../../keys-example/repository/", $path))),)+]
    };
}

/// Every file of the example.
const EXAMPLE: &[(&str, &str)] = files![
    ".sops.yaml",
    "apps/base/kustomization.yaml",
    "apps/base/orders.yaml",
    "apps/base/payment.yaml",
    "apps/base/web.yaml",
    "apps/demo/database.sops.yaml",
    "apps/demo/kustomization.yaml",
    "charts/web/Chart.yaml",
    "charts/web/templates/deployment.yaml",
    "charts/web/values.yaml",
    "clusters/demo/apps.yaml",
    "clusters/demo/flux-system/gotk-sync.yaml",
    "clusters/demo/flux-system/kustomization.yaml",
    "clusters/demo/flux-system/namespace.yaml",
    "clusters/demo/infrastructure.yaml",
    "infrastructure/kustomization.yaml",
    "infrastructure/namespace.yaml",
    "infrastructure/secret-store.yaml",
];

/// The branch that the cluster follows.
const BRANCH: &str = "main";

/// A bare repository, and the files of its newest commit.
pub(super) struct Repository {
    folder: PathBuf,
    repository: gix::Repository,
    files: BTreeMap<String, String>,
    head: Option<ObjectId>,
}

impl Repository {
    /// An empty repository in `folder`, with the example's files to commit.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        let options = gix::open::Options::isolated();
        let made = gix::ThreadSafeRepository::init_opts(folder, gix::create::Kind::Bare, Default::default(), options);
        let made = made.with_context(|| format!("a repository in {}", folder.display()))?;
        let files = EXAMPLE.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let folder = folder.canonicalize()?;
        Ok(Self { repository: made.to_thread_local(), folder, files: files.collect(), head: None })
    }

    /// Where the agent finds it.
    pub(super) fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// The text of a file as it is now.
    pub(super) fn read(&self, path: &str) -> anyhow::Result<&str> {
        self.files.get(path).map(String::as_str).with_context(|| format!("{path} is not in the example"))
    }

    /// Puts a file for the next commit.
    pub(super) fn write(&mut self, path: &str, text: String) {
        self.files.insert(path.into(), text);
    }

    /// Replaces a part of a file, which must be there.
    pub(super) fn edit(&mut self, path: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let text = self.read(path)?;
        anyhow::ensure!(text.contains(from), "{path} is not as the demo knows it");
        self.write(path, text.replacen(from, to, 1));
        Ok(())
    }

    /// All files, to come back to.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        self.files.clone()
    }

    /// Comes back to files of before, for the next commit.
    pub(super) fn restore(&mut self, files: BTreeMap<String, String>) {
        self.files = files;
    }

    /// Commits the files to the branch; the revision as Flux writes it.
    pub(super) fn commit(&mut self, message: &str) -> anyhow::Result<String> {
        let files: Vec<(&str, &str)> = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let time = gix::date::Time::new(Timestamp::now().as_second(), 0);
        let author = gix::actor::Signature { name: "lockstep demo".into(), email: "demo@example.com".into(), time };
        let commit = Commit {
            tree: self.tree(&files)?,
            parents: self.head.into_iter().collect(),
            committer: author.clone(),
            author,
            encoding: None,
            message: format!("{message}\n").into(),
            extra_headers: Vec::new(),
        };
        let id = self.repository.write_object(&commit)?.detach();
        let any = gix::refs::transaction::PreviousValue::Any;
        self.repository.reference(format!("refs/heads/{BRANCH}"), id, any, message)?;
        self.head = Some(id);
        Ok(format!("{BRANCH}@sha1:{id}"))
    }

    fn tree(&self, files: &[(&str, &str)]) -> anyhow::Result<ObjectId> {
        let mut folders: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        let mut entries = Vec::new();
        for (path, text) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, text)),
                None => entries.push(entry(EntryKind::Blob, path, self.repository.write_blob(text)?.detach())),
            }
        }
        for (folder, below) in folders {
            entries.push(entry(EntryKind::Tree, folder, self.tree(&below)?));
        }
        entries.sort();
        Ok(self.repository.write_object(&Tree { entries })?.detach())
    }
}

fn entry(kind: EntryKind, name: &str, oid: ObjectId) -> Entry {
    Entry { mode: kind.into(), filename: name.into(), oid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_carries_every_file_of_the_example() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("keys-example/repository");
        let (mut open, mut found) = (vec![root.clone()], Vec::new());
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false => found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()),
                }
            }
        }
        found.sort();
        assert_eq!(found, EXAMPLE.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    }
}
