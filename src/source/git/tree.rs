//! The files of one commit, read straight from the object database.

use std::collections::HashMap;
use std::sync::Mutex;

use gix::ObjectId;
use gix::objs::tree::EntryKind as Mode;
use manifest::{Content, Entry, EntryKind, Files, FilesError, Purpose};

use super::links::Links;
use super::wire::locked;
use crate::source::Error;
use crate::source::archive::{Item, ItemKind, Tree};
use crate::source::ignore::{IGNORE_FILE, Rules};

/// Largest file that is read.
const MAX_FILE: u64 = 64 << 20;

/// Longest path that a link may hold.
const MAX_LINK: u64 = 4096;

/// Most entries of a tree, and most folders one in another: a tree object may name the same folder many times over.
const MAX_ENTRIES: usize = 500_000;
const MAX_DEPTH: usize = 200;

/// What to leave out of a commit's tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `spec.ignore`.
    pub ignore: Option<String>,
    /// `spec.sparseCheckout`: prefixes of the paths that exist; none means all.
    pub sparse: Vec<String>,
    /// Everything as it was committed, as kustomize sees what it clones: nothing is ignored, and links are followed, as
    /// far as they lead to something within the tree.
    pub is_whole: bool,
}

/// The files of one commit as Flux's artifact has them.
///
/// Unless the selection is whole, paths that are ignored do not exist. Nor do symbolic links: Flux's archive holds files
/// and folders alone, so no controller of Flux ever sees a link; a tree that followed them would build what Flux does
/// not. A submodule is an empty folder. Contents are as committed: no filters, no line-end conversion.
pub struct GitFiles {
    repository: gix::ThreadSafeRepository,
    /// Handles that are not in use: making one costs more than reading a small file.
    handles: Mutex<Vec<gix::Repository>>,
    files: HashMap<String, ObjectId>,
    /// Every folder that exists, with its entries by name: one that is ignored does, as long as something below it is
    /// included again.
    folders: HashMap<String, Vec<Entry>>,
    /// In the order of a walk by name, for the archive.
    items: Vec<Item>,
    links: Links,
}

impl GitFiles {
    /// Reads the tree of `commit`, and its ignore rules; contents are read when asked for.
    ///
    /// # Errors
    /// When an object is missing or broken, a name is not to be trusted, or the tree is beyond its limits.
    pub fn open(repository: gix::Repository, commit: ObjectId, selection: &Selection) -> Result<Self, Error> {
        let no_commit = |_: gix::Error| Error::NoCommit { commit: commit.to_string() };
        let tree = repository.find_commit(commit).map_err(no_commit)?.tree_id().map_err(no_commit)?.detach();
        // go-git would take the dot for a folder's name, so Flux strips it.
        let sparse: Vec<&str> = selection.sparse.iter().map(|folder| folder.trim_start_matches("./")).collect();
        let mut walk = Walk::new(&repository, &sparse);
        walk.folder("", tree, 0)?;
        check_sparse(&sparse, &walk.items)?;
        let files = walk.ignores.iter().map(|(folder, text)| (folder.as_str(), text.as_str()));
        let rules = (!selection.is_whole).then(|| Rules::new(files, selection.ignore.as_deref()));
        let links = if selection.is_whole { read_links(&repository, &walk.links)? } else { Links::default() };
        let (mut items, mut ids) = (walk.items, walk.ids);
        if let Some(rules) = rules {
            items.retain(|item| !rules.exclude(&item.path, item.kind == ItemKind::Folder));
        }
        let folders = folders(&items);
        let files = items.iter().filter(|item| item.kind != ItemKind::Folder);
        let files = files.filter_map(|item| ids.remove_entry(&item.path)).collect();
        Ok(Self { repository: repository.into_sync(), handles: Mutex::default(), files, folders, items, links })
    }

    fn with_handle<R>(&self, use_it: impl FnOnce(&gix::Repository) -> R) -> R {
        let spare = locked(&self.handles).pop();
        let handle = spare.unwrap_or_else(|| self.repository.to_thread_local());
        let result = use_it(&handle);
        locked(&self.handles).push(handle);
        result
    }

    fn blob(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let id = *self.files.get(path).ok_or_else(|| FilesError::NotFound { path: path.into() })?;
        let broken = |error: gix::Error| FilesError::Store { path: path.into(), source: error.to_string().into() };
        self.with_handle(|repository| {
            if repository.find_header(id).map_err(broken)?.size() > limit {
                return Err(FilesError::TooLarge { path: path.into(), limit });
            }
            Ok(repository.find_object(id).map_err(broken)?.detach().data)
        })
    }
}

impl Files for GitFiles {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        let Some(path) = self.links.resolve(path) else { return Ok(None) };
        let path = &*path;
        let folder = || self.folders.contains_key(path).then_some(EntryKind::Folder);
        Ok(self.files.get(path).map(|_| EntryKind::File).or_else(folder))
    }

    fn read(&self, path: &str, _purpose: Purpose<'_>) -> Result<Content, FilesError> {
        self.blob(&self.real(path)?, MAX_FILE).map(Content::new)
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        self.folders.get(&self.real(path)?).cloned().ok_or_else(|| FilesError::NotFound { path: path.into() })
    }

    fn real(&self, path: &str) -> Result<String, FilesError> {
        let real = self.links.resolve(path).ok_or_else(|| FilesError::NotFound { path: path.into() })?;
        Ok(real.into_owned())
    }

    fn content_id(&self, path: &str) -> Option<String> {
        self.files.get(path).map(ToString::to_string)
    }
}

impl Tree for GitFiles {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn content(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        self.blob(path, u64::MAX)
    }
}

/// A walk by name, as Go's `filepath.Walk` goes: Git sorts a folder as if its name ended in a slash.
struct Walk<'a> {
    repository: &'a gix::Repository,
    sparse: &'a [&'a str],
    /// Entries so far that are no folders. A folder without one does not exist in a checkout.
    leaves: usize,
    items: Vec<Item>,
    /// Blobs of the files among them.
    ids: HashMap<String, ObjectId>,
    /// Paths and blobs of symbolic links.
    links: Vec<(String, ObjectId)>,
    /// Folder and text of the ignore files, parents first.
    ignores: Vec<(String, String)>,
}

struct Raw {
    name: String,
    mode: Mode,
    id: ObjectId,
}

impl<'a> Walk<'a> {
    fn new(repository: &'a gix::Repository, sparse: &'a [&'a str]) -> Self {
        let (items, ids, links, ignores) = Default::default();
        Self { repository, sparse, leaves: 0, items, ids, links, ignores }
    }

    fn folder(&mut self, path: &str, id: ObjectId, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(tree_error(path, "folders stand too deep"));
        }
        let entries = self.entries(path, id)?;
        self.read_ignore_file(path, &entries)?;
        for entry in entries {
            let below = if path.is_empty() { entry.name } else { format!("{path}/{}", entry.name) };
            if self.items.len() >= MAX_ENTRIES {
                return Err(tree_error(&below, "the tree has too many entries"));
            }
            match entry.mode {
                Mode::Tree => self.subfolder(below, entry.id, depth + 1)?,
                mode if self.is_checked_out(&below) => self.leaf(below, mode, entry.id),
                _ => {}
            }
        }
        Ok(())
    }

    fn subfolder(&mut self, path: String, id: ObjectId, depth: usize) -> Result<(), Error> {
        let (leaves, at) = (self.leaves, self.items.len());
        self.items.push(Item { path: path.clone(), kind: ItemKind::Folder });
        self.folder(&path, id, depth)?;
        if self.leaves == leaves {
            self.items.truncate(at);
        }
        Ok(())
    }

    fn leaf(&mut self, path: String, mode: Mode, id: ObjectId) {
        self.leaves += 1;
        let kind = match mode {
            Mode::Blob => ItemKind::File,
            Mode::BlobExecutable => ItemKind::Program,
            Mode::Commit => ItemKind::Folder,
            Mode::Link => return self.links.push((path, id)),
            Mode::Tree => return,
        };
        if kind != ItemKind::Folder {
            self.ids.insert(path.clone(), id);
        }
        self.items.push(Item { path, kind });
    }

    fn is_checked_out(&self, path: &str) -> bool {
        self.sparse.is_empty() || self.sparse.iter().any(|prefix| path.starts_with(prefix))
    }

    fn entries(&self, path: &str, id: ObjectId) -> Result<Vec<Raw>, Error> {
        let broken = |error: gix::Error| tree_error(path, &error.to_string());
        let tree = self.repository.find_tree(id).map_err(broken)?;
        let mut entries = Vec::new();
        for entry in tree.iter() {
            let entry = entry.map_err(broken)?;
            let name = entry.filename().to_string();
            if name.is_empty()
                || name.contains('/')
                || [".", ".."].contains(&&*name)
                || name.eq_ignore_ascii_case(".git")
            {
                return Err(tree_error(path, "an entry has a name that no file may have"));
            }
            entries.push(Raw { name, mode: entry.kind(), id: entry.object_id() });
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn read_ignore_file(&mut self, folder: &str, entries: &[Raw]) -> Result<(), Error> {
        let path = if folder.is_empty() { IGNORE_FILE.into() } else { format!("{folder}/{IGNORE_FILE}") };
        let is_file =
            |entry: &&Raw| entry.name == IGNORE_FILE && matches!(entry.mode, Mode::Blob | Mode::BlobExecutable);
        let Some(entry) = entries.iter().find(is_file).filter(|_| self.is_checked_out(&path)) else {
            return Ok(());
        };
        let broken = |error: gix::Error| tree_error(&path, &error.to_string());
        if self.repository.find_header(entry.id).map_err(broken)?.size() > MAX_FILE {
            return Err(tree_error(&path, "the file is too large"));
        }
        let data = self.repository.find_object(entry.id).map_err(broken)?.detach().data;
        self.ignores.push((folder.to_owned(), String::from_utf8_lossy(&data).into_owned()));
        Ok(())
    }
}

/// Links with what they hold; what is too long for a path leads nowhere.
fn read_links(repository: &gix::Repository, found: &[(String, ObjectId)]) -> Result<Links, Error> {
    let mut links = Links::default();
    for (path, id) in found {
        let broken = |error: gix::Error| tree_error(path, &error.to_string());
        let size = repository.find_header(*id).map_err(broken)?.size();
        let target =
            if size > MAX_LINK { Vec::new() } else { repository.find_object(*id).map_err(broken)?.detach().data };
        links.insert(path.clone(), String::from_utf8_lossy(&target).into_owned());
    }
    Ok(links)
}

fn tree_error(path: &str, problem: &str) -> Error {
    Error::Tree { path: if path.is_empty() { "." } else { path }.into(), problem: problem.into() }
}

/// Flux looks for the folders after the checkout, and only then ignores.
fn check_sparse(sparse: &[&str], items: &[Item]) -> Result<(), Error> {
    for folder in sparse {
        let name = folder.trim_matches('/');
        let exists = name.is_empty() || items.iter().any(|item| item.path == name && item.kind == ItemKind::Folder);
        if !exists {
            return Err(Error::NoSparseFolder { folder: (*folder).to_owned() });
        }
    }
    Ok(())
}

fn folders(items: &[Item]) -> HashMap<String, Vec<Entry>> {
    let mut folders = HashMap::from([(String::new(), Vec::new())]);
    for item in items {
        if item.kind == ItemKind::Folder {
            folder_at(&mut folders, &item.path);
        } else {
            let (folder, name) = parent(&item.path);
            folder_at(&mut folders, folder).push(Entry { name: name.to_owned(), kind: EntryKind::File });
        }
    }
    for entries in folders.values_mut() {
        entries.sort_by(|one, other| one.name.cmp(&other.name));
    }
    folders
}

/// The entries of a folder, which is made when it is not there, and those above it.
fn folder_at<'a>(folders: &'a mut HashMap<String, Vec<Entry>>, path: &str) -> &'a mut Vec<Entry> {
    if !folders.contains_key(path) {
        let (above, name) = parent(path);
        folder_at(folders, above).push(Entry { name: name.to_owned(), kind: EntryKind::Folder });
    }
    folders.entry(path.to_owned()).or_default()
}

fn parent(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
