//! A read-only tree of files, wherever it stands: a Git object database, an archive, a map in a test.

use std::collections::BTreeMap;

use zeroize::Zeroize as _;

/// What a file is read for. Encrypted files are opened by purpose (landing.md section 6), so that ciphertext of a
/// ConfigMap's file stays sealed while a Secret's is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose<'a> {
    /// A kustomization file, a transformer's configuration, an OpenAPI document, a chart: never opened.
    Recipe,
    /// A file named under `resources`, or found in a tree without kustomization.
    Resource,
    /// A file that holds a patch.
    Patch,
    /// A file of `secretGenerator.files`; the key decides its format, as Flux has it.
    SecretFile {
        /// Key that the file's content gets in the Secret.
        key: &'a str,
    },
    /// A file of `secretGenerator.envs`.
    SecretEnvs,
    /// A file that a `configMapGenerator` reads: stays sealed.
    ConfigMap,
}

/// A file's bytes. It may be plaintext: there is no `Debug`, and the bytes are wiped on drop.
pub struct Content {
    bytes: Vec<u8>,
}

impl Content {
    /// Takes bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Shows the bytes. Not for logs, errors or status.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as text, or `None` when they are not UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, or a link to one inside the tree.
    File,
    /// A folder, or a link to one inside the tree.
    Folder,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name within its folder.
    pub name: String,
    /// File or folder.
    pub kind: EntryKind,
}

/// A read-only tree. Paths use `/`, are relative to the root and normalized (see [`normalize`]); the root is `""`.
///
/// Implementors follow symbolic links inside the tree and answer [`FilesError::Outside`] for one that leaves it.
pub trait Files: Send + Sync {
    /// What stands at `path`; `None` when nothing does.
    ///
    /// # Errors
    /// When the tree cannot be read, or a link leaves it.
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError>;

    /// The content of the file at `path`, opened as `purpose` allows.
    ///
    /// # Errors
    /// When there is no file, it is too large, it cannot be opened, or a link leaves the tree.
    fn read(&self, path: &str, purpose: Purpose<'_>) -> Result<Content, FilesError>;

    /// The entries of the folder at `path`, by name.
    ///
    /// # Errors
    /// When there is no folder, or a link leaves the tree.
    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError>;

    /// A name of the content of the file at `path` that is had without reading it: the same for the same bytes alone.
    /// `None` where the tree has none, or no file stands there.
    fn content_id(&self, path: &str) -> Option<String> {
        let _ = path;
        None
    }

    /// Where `path` leads once its links are followed; the path itself in a tree without links.
    ///
    /// # Errors
    /// When nothing stands there, or a link leaves the tree.
    fn real(&self, path: &str) -> Result<String, FilesError> {
        Ok(path.to_owned())
    }
}

/// Why a tree could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// Nothing there, or a folder where a file was asked for, or the other way round.
    #[error("{path}: no such file or directory")]
    NotFound {
        /// Path as asked for.
        path: String,
    },
    /// A path or link that leaves the tree.
    #[error("{path}: leads outside the source root")]
    Outside {
        /// Path as asked for.
        path: String,
    },
    /// A file that is larger than the tree's limit.
    #[error("{path}: larger than {limit} bytes")]
    TooLarge {
        /// Path as asked for.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The store behind the tree failed.
    #[error("{path}: cannot be read")]
    Store {
        /// Path as asked for.
        path: String,
        /// The store's error, which names no content.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An encrypted file that could not be opened.
    #[error("{path}: cannot be decrypted")]
    Sealed {
        /// Path as asked for.
        path: String,
        /// Which recipients it has, what was tried.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Joins `path` to `folder` and removes `.`, `..` and doubled slashes.
///
/// # Errors
/// [`FilesError::Outside`] when `..` climbs above the root. An absolute path is taken from the root, as Flux's secure
/// join does.
pub fn normalize(folder: &str, path: &str) -> Result<String, FilesError> {
    let mut parts: Vec<&str> = Vec::new();
    let start = if path.starts_with('/') { "" } else { folder };
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| FilesError::Outside { path: path.into() })?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// A tree in memory: path to bytes. Folders exist as far as a file lies below them.
#[derive(Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    /// Puts a file, replacing what stood at its path.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// Paths of all files, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.files.keys().filter_map(move |path| {
            if folder.is_empty() { Some(path.as_str()) } else { path.strip_prefix(folder)?.strip_prefix('/') }
        })
    }
}

impl Files for MemoryFiles {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        if self.files.contains_key(path) {
            return Ok(Some(EntryKind::File));
        }
        let is_folder = path.is_empty() || self.below(path).next().is_some();
        Ok(is_folder.then_some(EntryKind::Folder))
    }

    fn read(&self, path: &str, _purpose: Purpose<'_>) -> Result<Content, FilesError> {
        let bytes = self.files.get(path).ok_or_else(|| FilesError::NotFound { path: path.into() })?;
        Ok(Content::new(bytes.clone()))
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        let mut entries: BTreeMap<&str, EntryKind> = BTreeMap::new();
        for rest in self.below(path) {
            match rest.split_once('/') {
                Some((folder, _)) => entries.insert(folder, EntryKind::Folder),
                None => entries.insert(rest, EntryKind::File),
            };
        }
        if entries.is_empty() && !path.is_empty() {
            return Err(FilesError::NotFound { path: path.into() });
        }
        Ok(entries.into_iter().map(|(name, kind)| Entry { name: name.into(), kind }).collect())
    }
}
