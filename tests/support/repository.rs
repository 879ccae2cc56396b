//! Git repositories on disk, made object by object: no `git` is needed. Included by path.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;

use gix::ObjectId;
use gix::objs::tree::{Entry, EntryKind};
use gix::objs::{Commit, Tag, Tree};

/// Path, mode, content.
type File<'a> = (&'a str, EntryKind, &'a [u8]);

/// A bare repository in a folder of its own.
pub struct Repository {
    folder: tempfile::TempDir,
    repository: gix::Repository,
    hour: std::cell::Cell<i64>,
}

impl Repository {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = gix::open::Options::isolated();
        let kind = gix::create::Kind::Bare;
        let made = gix::ThreadSafeRepository::init_opts(folder.path(), kind, Default::default(), options);
        Self { repository: made.expect("a repository").to_thread_local(), folder, hour: 0.into() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Nobody finds it any more.
    pub fn hide(&self) {
        std::fs::rename(self.folder.path().join("HEAD"), self.folder.path().join("hidden")).expect("a file");
    }

    /// It is back.
    pub fn unhide(&self) {
        std::fs::rename(self.folder.path().join("hidden"), self.folder.path().join("HEAD")).expect("a file");
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// Commits exactly these files, by path, to a branch; the time of each commit is an hour after the one before.
    pub fn commit(&self, branch: &str, message: &str, files: &[(&str, &str)]) -> String {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, EntryKind::Blob, text.as_bytes())).collect();
        self.commit_entries(branch, message, &files)
    }

    /// The same with links, programs and submodules; the text of a submodule is a commit's id.
    pub fn commit_entries(&self, branch: &str, message: &str, files: &[File<'_>]) -> String {
        let name = format!("refs/heads/{branch}");
        let tree = self.tree(files);
        let parents = self.repository.try_find_reference(&name).expect("references can be read");
        let parents = parents.map(|mut parent| parent.peel_to_id().expect("a commit").detach()).into_iter().collect();
        let (author, committer) = (self.signature(1), self.signature(0));
        let extra_headers = vec![];
        let commit =
            Commit { tree, parents, author, committer, encoding: None, message: message.into(), extra_headers };
        let commit = self.repository.write_object(&commit).expect("a commit").detach();
        self.point(&name, &commit.to_string());
        commit.to_string()
    }

    /// Points a reference, by its full name.
    pub fn point(&self, name: &str, target: &str) {
        let target: ObjectId = target.parse().expect("an id");
        let any = gix::refs::transaction::PreviousValue::Any;
        self.repository.reference(name, target, any, "").expect("a reference");
    }

    /// Makes an annotated tag.
    pub fn annotate(&self, tag: &str, target: &str) {
        let object = Tag {
            target: target.parse().expect("an id"),
            target_kind: gix::objs::Kind::Commit,
            name: tag.into(),
            tagger: Some(self.signature(0)),
            message: "a tag\n".into(),
            signature: None,
        };
        let id = self.repository.write_object(&object).expect("a tag").to_string();
        self.point(&format!("refs/tags/{tag}"), &id);
    }

    fn signature(&self, hours: i64) -> gix::actor::Signature {
        self.hour.set(self.hour.get() + hours);
        let time = gix::date::Time::new(1_700_000_000 + 3600 * self.hour.get(), 0);
        gix::actor::Signature { name: "someone".into(), email: "someone@example.com".into(), time }
    }

    fn tree(&self, files: &[File<'_>]) -> ObjectId {
        let mut folders: BTreeMap<&str, Vec<File<'_>>> = BTreeMap::new();
        let mut entries = Vec::new();
        for (path, kind, text) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, *kind, text)),
                None => entries.push(self.leaf(path, *kind, text)),
            }
        }
        for (folder, below) in folders {
            let oid = self.tree(&below);
            entries.push(Entry { mode: EntryKind::Tree.into(), filename: folder.into(), oid });
        }
        entries.sort();
        self.repository.write_object(&Tree { entries }).expect("a tree").detach()
    }

    fn leaf(&self, name: &str, kind: EntryKind, text: &[u8]) -> Entry {
        let oid = match kind {
            EntryKind::Commit => ObjectId::from_hex(text).expect("an id"),
            _ => self.repository.write_blob(text).expect("a blob").detach(),
        };
        Entry { mode: kind.into(), filename: name.into(), oid }
    }
}
