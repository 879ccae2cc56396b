//! What somebody looked at in a tree of files, and whether another tree looks the same there.
//!
//! **Guarantee.** All that can be learnt of a tree goes through [`Files`], and every question is kept, also one whose
//! answer is that nothing is there. Two trees that answer all of them alike lead to the same build.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use manifest::{Content, Entry, EntryKind, Files, FilesError, Purpose};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Paths by what was asked of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Looks {
    /// What stands there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    kind: BTreeSet<String>,
    /// Its content.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    read: BTreeSet<String>,
    /// Its entries.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    list: BTreeSet<String>,
    /// Where its links lead.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    real: BTreeSet<String>,
}

impl Looks {
    /// Digest over what a tree answers; `None` where it fails to answer.
    pub fn digest(&self, files: &dyn Files) -> Option<String> {
        let mut hasher = Sha256::new();
        let mut note = |question: &str, path: &str, answer: String| {
            hasher.update(format!("{question} {} {path} {} {answer}\n", path.len(), answer.len()));
        };
        for path in &self.kind {
            note("kind", path, answered(files.kind(path), |kind| format!("{kind:?}"))?);
        }
        for path in &self.read {
            note("read", path, content(files, path)?);
        }
        for path in &self.list {
            note("list", path, answered(files.list(path), |entries| format!("{entries:?}"))?);
        }
        for path in &self.real {
            note("real", path, answered(files.real(path), |path| path)?);
        }
        Some(super::hex(&hasher.finalize()))
    }
}

fn content(files: &dyn Files, path: &str) -> Option<String> {
    match files.content_id(path) {
        Some(id) => Some(id),
        None => answered(files.read(path, Purpose::Recipe), |content| super::digest(content.bytes())),
    }
}

/// An answer as text: that nothing is there is one, too.
fn answered<T>(answer: Result<T, FilesError>, shown: impl FnOnce(T) -> String) -> Option<String> {
    match answer {
        Ok(answer) => Some(shown(answer)),
        Err(FilesError::NotFound { .. }) => Some("not found".into()),
        Err(FilesError::Outside { .. }) => Some("outside".into()),
        Err(_) => None,
    }
}

/// A tree that keeps what it is asked.
pub struct Looked {
    inner: Arc<dyn Files>,
    looks: Mutex<Looks>,
    is_bound: AtomicBool,
}

impl Looked {
    /// Nothing was asked of `inner` yet.
    pub fn new(inner: Arc<dyn Files>) -> Self {
        Self { inner, looks: Mutex::default(), is_bound: AtomicBool::new(false) }
    }

    /// Whether these are the same files.
    pub fn is_of(&self, files: &Arc<dyn Files>) -> bool {
        Arc::ptr_eq(&self.inner, files)
    }

    /// Somebody needs the revision itself, whatever its files are.
    pub fn bind(&self) {
        self.is_bound.store(true, Ordering::Relaxed);
    }

    /// What was asked, with the digest over the answers; `None` where that does not tell everything.
    pub fn looks(&self) -> Option<(Looks, String)> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let digest = looks.digest(self.inner.as_ref()).filter(|_| !self.is_bound.load(Ordering::Relaxed))?;
        Some((looks, digest))
    }

    fn note(&self, path: &str, of: impl FnOnce(&mut Looks) -> &mut BTreeSet<String>) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = of(&mut looks);
        if !paths.contains(path) {
            paths.insert(path.to_owned());
        }
    }
}

impl Files for Looked {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        self.note(path, |looks| &mut looks.kind);
        self.inner.kind(path)
    }

    fn read(&self, path: &str, purpose: Purpose<'_>) -> Result<Content, FilesError> {
        self.note(path, |looks| &mut looks.read);
        self.inner.read(path, purpose)
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        self.note(path, |looks| &mut looks.list);
        self.inner.list(path)
    }

    fn real(&self, path: &str) -> Result<String, FilesError> {
        self.note(path, |looks| &mut looks.real);
        self.inner.real(path)
    }
}

#[cfg(test)]
mod tests {
    use manifest::MemoryFiles;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> Arc<MemoryFiles> {
        let mut tree = MemoryFiles::default();
        files.iter().for_each(|(path, text)| tree.insert(*path, *text));
        Arc::new(tree)
    }

    #[test]
    fn trees_are_alike_where_every_question_has_the_same_answer() {
        let looked = Looked::new(tree(&[("a/x", "1"), ("b", "2")]));
        let _ = (
            looked.list("a"),
            looked.read("a/x", Purpose::Resource),
            looked.kind("c"),
            looked.read("d", Purpose::Patch),
        );
        let (looks, digest) = looked.looks().unwrap();
        let is_same = |files: &[(&str, &str)]| looks.digest(tree(files).as_ref()) == Some(digest.clone());
        assert!(is_same(&[("a/x", "1"), ("b", "3"), ("e/f", "new")]), "nobody looked there");
        assert!(!is_same(&[("a/x", "2"), ("b", "2")]), "other content");
        assert!(!is_same(&[("a/x", "1"), ("a/y", ""), ("b", "2")]), "one more in a folder");
        assert!(!is_same(&[("a/x", "1"), ("b", "2"), ("c", "")]), "something where nothing was");
        assert!(!is_same(&[("a/x", "1"), ("b", "2"), ("d", "")]), "a file that could not be read is there");
        assert!(!is_same(&[("b", "2")]), "a folder that is gone");
        looked.bind();
        assert!(looked.looks().is_none(), "the revision counts, whatever the files");
    }
}
