//! A folder on disk as a tree.

#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "several binaries include it, and what fails here stops them"
)]

use std::path::PathBuf;

use manifest::{Content, Entry, EntryKind, Files, FilesError, Purpose};

/// A folder on disk. Links are followed.
pub struct DiskFiles(pub PathBuf);

impl Files for DiskFiles {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        let metadata = std::fs::metadata(self.0.join(path)).ok();
        Ok(metadata.map(|metadata| if metadata.is_dir() { EntryKind::Folder } else { EntryKind::File }))
    }

    fn read(&self, path: &str, _purpose: Purpose<'_>) -> Result<Content, FilesError> {
        let bytes = std::fs::read(self.0.join(path)).map_err(|_| FilesError::NotFound { path: path.into() })?;
        Ok(Content::new(bytes))
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        let folder = std::fs::read_dir(self.0.join(path)).map_err(|_| FilesError::NotFound { path: path.into() })?;
        let entry = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("the corpus can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            Entry { name, kind: if path.is_dir() { EntryKind::Folder } else { EntryKind::File } }
        };
        let mut entries: Vec<Entry> = folder.map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}
