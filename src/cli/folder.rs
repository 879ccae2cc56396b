//! A folder for a verb to work in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A folder that is kept, or one that goes when it is dropped.
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(PathBuf),
}

impl Folder {
    /// A folder of the user's, which must be empty, or not there yet.
    pub(super) fn kept(path: &Path) -> anyhow::Result<Self> {
        let place = || path.display().to_string();
        std::fs::create_dir_all(path).with_context(place)?;
        let is_empty = std::fs::read_dir(path).with_context(place)?.next().is_none();
        anyhow::ensure!(is_empty, "{}: the folder is not empty", path.display());
        Ok(Self::Kept(path.into()))
    }

    /// A new folder where temporary things lie, for the user alone.
    pub(super) fn temporary(verb: &str) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let number = getrandom::u64().map_err(|error| anyhow::anyhow!("randomness: {error}"))?;
        let path = std::env::temp_dir().join(format!("lockstep-{verb}-{number:016x}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(Self::Temporary(path))
    }

    pub(super) fn path(&self) -> &Path {
        let (Self::Kept(path) | Self::Temporary(path)) = self;
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            // What cannot be removed lies where temporary things lie.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
