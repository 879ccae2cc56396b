//! A chart's folder on disk, and files of lines.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use manifest::{Content, Entry, EntryKind, Files, FilesError, Purpose};
use serde_json::Value as Json;

/// A folder.
pub(crate) struct Disk {
    root: PathBuf,
}

impl Disk {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Files for Disk {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        let path = self.root.join(path);
        Ok(if path.is_dir() { Some(EntryKind::Folder) } else { path.is_file().then_some(EntryKind::File) })
    }

    fn read(&self, path: &str, _: Purpose<'_>) -> Result<Content, FilesError> {
        let bytes = std::fs::read(self.root.join(path));
        bytes.map(Content::new).map_err(|_| FilesError::NotFound { path: path.into() })
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        let folder = std::fs::read_dir(self.root.join(path)).map_err(|_| FilesError::NotFound { path: path.into() })?;
        let mut entries: Vec<Entry> = folder
            .map(|entry| {
                let entry = entry.unwrap();
                let found = entry.file_type().unwrap();
                let is_folder = if found.is_symlink() { entry.path().is_dir() } else { found.is_dir() };
                let kind = if is_folder { EntryKind::Folder } else { EntryKind::File };
                Entry { name: entry.file_name().into_string().unwrap(), kind }
            })
            .collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }
}

/// The lines of a file, packed or not.
pub(crate) fn lines(path: &Path) -> Vec<Json> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bytes in base64.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
