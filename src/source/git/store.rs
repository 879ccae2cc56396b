//! Where fetched objects stand: bare repositories in the caller's folder.
//!
//! ```text
//! <folder>/7        a generation: a bare, shallow repository
//! <folder>/8        the next one, begun when 7 had many packs or could not be used; 6 was removed then
//! <folder>/9.new    being cloned; removed when it is found at the next fetch
//! ```
//! Each fetch of a new commit adds one pack. After [`MAX_PACKS`] of them the repository is cloned anew, which drops the
//! objects of old commits; the generation before stays, so that files of the revision that stands now can be read on.
//! The bound is therefore about two clones and twice [`MAX_PACKS`] packs of changes.

use std::path::{Path, PathBuf};

use crate::source::Error;

/// Packs of a generation; the next commit begins another.
const MAX_PACKS: usize = 40;

/// A generation that can be fetched into.
pub(super) struct Store {
    folder: PathBuf,
    generation: u64,
    /// Not yet published: nothing was fetched into it.
    is_new: bool,
    pub(super) repository: gix::Repository,
}

impl Store {
    /// The newest generation, or a new one when there is none that can be used or it has many packs.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let newest = generations(folder).into_iter().max();
        let path = newest.map(|generation| folder.join(generation.to_string()));
        let opened = path.filter(|path| packs(path) < MAX_PACKS).and_then(|path| open(&path).ok());
        match (opened, newest) {
            (Some(repository), Some(generation)) => {
                Ok(Self { folder: folder.to_owned(), generation, is_new: false, repository })
            }
            _ => Self::anew(folder),
        }
    }

    /// A new generation, empty.
    pub(super) fn anew(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|source| unusable(folder, source))?;
        let known = generations(folder);
        let newest = known.iter().max().copied().unwrap_or_default();
        for name in names(folder).into_iter().filter(|name| is_stale(name, newest)) {
            let path = folder.join(name);
            std::fs::remove_dir_all(&path).map_err(|source| unusable(&path, source))?;
        }
        let path = folder.join(format!("{}.new", newest + 1));
        let repository = create(&path)?;
        Ok(Self { folder: folder.to_owned(), generation: newest + 1, is_new: true, repository })
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Gives the generation its name, after the first fetch into it, so that a torn clone is never taken for a whole one.
    pub(super) fn publish(self) -> Result<gix::Repository, Error> {
        if !self.is_new {
            return Ok(self.repository);
        }
        let path = self.folder.join(self.generation.to_string());
        std::fs::rename(self.folder.join(format!("{}.new", self.generation)), &path)
            .map_err(|source| unusable(&path, source))?;
        open(&path).map_err(|_| unusable(&path, std::io::Error::other("the clone cannot be opened")))
    }
}

/// Opens a repository for reading, without any configuration but its own.
pub(super) fn open(path: &Path) -> gix::Result<gix::Repository> {
    gix::open_opts(path, gix::open::Options::isolated())
}

fn create(path: &Path) -> Result<gix::Repository, Error> {
    let kind = gix::create::Kind::Bare;
    gix::ThreadSafeRepository::init_opts(path, kind, gix::create::Options::default(), gix::open::Options::isolated())
        .map(|repository| repository.to_thread_local())
        .map_err(|error| unusable(path, std::io::Error::other(error.to_string())))
}

fn unusable(path: &Path, source: std::io::Error) -> Error {
    Error::Folder { path: path.display().to_string(), source }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn generations(folder: &Path) -> Vec<u64> {
    names(folder).iter().filter_map(|name| name.parse().ok()).collect()
}

/// Torn clones, and all but the newest generation, which is the one before from now on.
fn is_stale(name: &str, newest: u64) -> bool {
    match name.strip_suffix(".new") {
        Some(number) => number.parse::<u64>().is_ok(),
        None => name.parse::<u64>().is_ok_and(|generation| generation < newest),
    }
}

fn packs(repository: &Path) -> usize {
    names(&repository.join("objects/pack")).iter().filter(|name| name.ends_with(".pack")).count()
}
