//! Where the files of a kustomization lie, which folders lead to it, and what may be read from there.

use std::cell::Cell;
use std::sync::Arc;

use manifest::{Content, EntryKind, Files, FilesError, MemoryFiles, Purpose, normalize};

use crate::Options;
use crate::Restriction;
use crate::error::{Errors, Problem};
use crate::kustomization::FILE_NAMES;
use crate::remote::{self, Address};

/// How many folders may lead to one another, and how many may be built in all.
const MOST_LAYERS: usize = 100;
const MOST_FOLDERS: usize = 20_000;
/// Bytes that a build may read; a file counts each time.
const MOST_BYTES: usize = 128 << 20;

/// What a build has read so far.
#[derive(Default)]
pub(crate) struct Spent {
    folders: Cell<usize>,
    bytes: Cell<usize>,
}

impl Spent {
    fn read(&self, content: Content) -> Result<Content, Problem> {
        self.bytes.set(self.bytes.get().saturating_add(content.bytes().len()));
        if self.bytes.get() > MOST_BYTES {
            return Err(Problem::TooMuch { what: "bytes read in one build", limit: MOST_BYTES });
        }
        Ok(content)
    }
}

/// A tree of files: the caller's, or a remote one.
#[derive(Clone)]
enum Tree<'a> {
    Local(&'a dyn Files),
    Remote(Arc<dyn Files>),
}

impl Tree<'_> {
    fn files(&self) -> &dyn Files {
        match self {
            Tree::Local(files) => *files,
            Tree::Remote(files) => &**files,
        }
    }
}

/// A folder with a kustomization.
#[derive(Clone)]
pub(crate) struct Folder<'a> {
    tree: Tree<'a>,
    /// Path within its tree.
    pub(crate) path: String,
    /// Folders of the same tree that led here, this one last.
    visited: Vec<String>,
    /// Addresses of remote trees that led here.
    addresses: Vec<String>,
    layers: usize,
    restriction: Restriction,
    options: &'a Options<'a>,
    spent: &'a Spent,
}

impl<'a> Folder<'a> {
    /// The folder that is to be built.
    pub(crate) fn root(
        files: &'a dyn Files,
        path: &str,
        options: &'a Options<'a>,
        spent: &'a Spent,
    ) -> Result<Self, Problem> {
        let path = normalize("", path)?;
        if files.kind(&path)? != Some(EntryKind::Folder) {
            return Err(Problem::NotFound { path });
        }
        Ok(Self {
            tree: Tree::Local(files),
            visited: vec![path.clone()],
            path,
            addresses: Vec::new(),
            layers: 1,
            restriction: options.restriction,
            options,
            spent,
        })
    }

    /// The folder of a repository that is to be built.
    pub(crate) fn remote_root(
        entry: &str,
        address: &Address,
        options: &'a Options<'a>,
        spent: &'a Spent,
    ) -> Result<Self, Problem> {
        let nowhere = Self {
            tree: Tree::Remote(Arc::new(MemoryFiles::default())),
            visited: Vec::new(),
            path: String::new(),
            addresses: Vec::new(),
            layers: 0,
            restriction: options.restriction,
            options,
            spent,
        };
        nowhere.enter_remote(entry, address)
    }

    /// The folder that an entry of this one names, or the remote tree.
    pub(crate) fn enter(&self, entry: &str) -> Result<Self, Problem> {
        self.spent.folders.set(self.spent.folders.get() + 1);
        if self.layers >= MOST_LAYERS {
            return Err(Problem::TooMuch { what: "folders that lead to one another", limit: MOST_LAYERS });
        }
        if self.spent.folders.get() > MOST_FOLDERS {
            return Err(Problem::TooMuch { what: "folders in one build", limit: MOST_FOLDERS });
        }
        if let Some(address) = Address::read(entry) {
            return self.enter_remote(entry, &address);
        }
        if entry.starts_with('/') {
            return Err(Problem::AbsoluteRoot { path: entry.into() });
        }
        let path = normalize(&self.path, entry)?;
        match self.tree.files().kind(&path)? {
            Some(EntryKind::Folder) => {}
            Some(EntryKind::File) => return Err(Problem::NotAFolder { path }),
            None => return Err(Problem::NotFound { path }),
        }
        // As upstream: `..` within a folder that was reached by a link is taken from where it really is.
        let path = self.tree.files().real(&path)?;
        if let Some(visited) = self.visited.iter().find(|visited| lies_in(visited, &path)) {
            return Err(Problem::Cycle { folder: path, visited: visited.clone() });
        }
        let mut folder = self.clone();
        folder.visited.push(path.clone());
        folder.path = path;
        folder.layers += 1;
        Ok(folder)
    }

    fn enter_remote(&self, entry: &str, address: &Address) -> Result<Self, Problem> {
        if self.addresses.iter().any(|visited| visited.starts_with(entry)) {
            return Err(Problem::Cycle { folder: remote::without_query(entry), visited: remote::without_query(entry) });
        }
        let Some(remote) = self.options.remote else {
            return Err(Problem::RemoteForbidden { address: remote::without_query(entry) });
        };
        let failed = |cause| Problem::RemoteFailed { address: remote::without_query(entry), cause };
        let files = remote.tree(address).map_err(failed)?;
        let path = normalize("", &address.path)?;
        if files.kind(&path)? != Some(EntryKind::Folder) {
            return Err(Problem::NotFound { path });
        }
        let path = files.real(&path)?;
        let mut folder = self.clone();
        folder.tree = Tree::Remote(files);
        folder.visited = vec![path.clone()];
        folder.path = path;
        folder.addresses.push(entry.into());
        folder.layers += 1;
        // What is cloned may not read around its own folder (upstream `newLoaderAtGitClone`).
        folder.restriction = Restriction::RootOnly;
        Ok(folder)
    }

    /// The tree that it lies in.
    pub(crate) fn files(&self) -> &dyn Files {
        self.tree.files()
    }

    /// What an entry of this folder names.
    pub(crate) fn kind(&self, entry: &str) -> Result<Option<EntryKind>, FilesError> {
        self.tree.files().kind(&normalize(&self.path, entry)?)
    }

    /// The path of an entry within the tree, for errors.
    pub(crate) fn path_of(&self, entry: &str) -> String {
        if remote::is_url(entry) {
            return remote::without_query(entry);
        }
        normalize(&self.path, entry).unwrap_or_else(|_| entry.into())
    }

    /// The bytes of a file that this folder names.
    pub(crate) fn read(&self, entry: &str, purpose: Purpose<'_>) -> Result<Content, Problem> {
        if remote::is_url(entry) {
            let address = remote::without_query(entry);
            let Some(remote) = self.options.remote else { return Err(Problem::RemoteForbidden { address }) };
            let content = remote.file(entry).map_err(|cause| Problem::RemoteFailed { address, cause })?;
            return self.spent.read(Content::new(content));
        }
        let path = normalize(&self.path, entry)?;
        if self.restriction == Restriction::RootOnly {
            self.check_inside(&path)?;
        }
        self.spent.read(self.tree.files().read(&path, purpose)?)
    }

    /// Refuses a file that does not lie in or below this folder, or does so by a link alone.
    fn check_inside(&self, path: &str) -> Result<(), Problem> {
        let outside = || Problem::OutsideRoot { path: path.to_owned(), folder: self.path.clone() };
        if !lies_in(path, &self.path) || !lies_in(&self.tree.files().real(path)?, &self.path) {
            return Err(outside());
        }
        Ok(())
    }

    /// As [`Folder::read`], as text, with the file's place in errors.
    pub(crate) fn text(&self, entry: &str, purpose: Purpose<'_>) -> Result<String, Errors> {
        let place = || self.path_of(entry);
        let content = self.read(entry, purpose).map_err(|problem| Errors::one(&place(), problem))?;
        content.text().map(String::from).ok_or_else(|| Errors::one(&place(), Problem::NotText))
    }

    /// The kustomization file: its name and text.
    pub(crate) fn kustomization(&self) -> Result<(&'static str, String), Errors> {
        let is_there = |name: &&&str| matches!(self.kind(name), Ok(Some(EntryKind::File)));
        let mut there = FILE_NAMES.iter().filter(is_there);
        let folder = || self.path.clone();
        match (there.next(), there.next()) {
            (Some(name), None) => Ok((name, self.text(name, Purpose::Recipe)?)),
            (None, _) => Err(Errors::one(&self.path, Problem::NoKustomization { folder: folder() })),
            _ => Err(Errors::one(&self.path, Problem::ManyKustomizations { folder: folder() })),
        }
    }

    /// How this build is to be done.
    pub(crate) fn options(&self) -> &'a Options<'a> {
        self.options
    }
}

/// Whether `path` is `folder` or lies below it.
fn lies_in(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
