//! Where plaintext lies that another program shall read: a folder of this user alone, in memory where there is such a place.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::warn;

/// A folder that is wiped and removed with all that is in it.
pub(super) struct Private {
    folder: TempDir,
}

impl Private {
    /// Makes one, where nothing reaches a disk if possible.
    pub(super) fn new() -> anyhow::Result<Self> {
        let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let places = named.into_iter().chain([PathBuf::from("/dev/shm")]).chain([std::env::temp_dir()]);
        let mut in_memory = places.filter(|place| is_in_memory(place));
        // The user's mask alone would let others look into it, and read what an editor leaves beside the file.
        let own = Permissions::from_mode(0o700);
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(".sops").permissions(own);
        let made = in_memory.find_map(|place| builder.tempdir_in(place).ok());
        let folder = match made {
            Some(folder) => folder,
            None => {
                warn("there is no memory-backed folder: the plaintext lies on a disk meanwhile");
                builder.tempdir().context("a temporary folder")?
            }
        };
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that its owner alone can read.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Drop for Private {
    /// Editors leave files of their own there: all are wiped. The folder itself goes with its guard.
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path()).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                wipe(&entry.path());
            }
        }
    }
}

/// What cannot be overwritten is removed all the same.
fn wipe(path: &Path) {
    let Ok(length) = std::fs::metadata(path).map(|metadata| metadata.len()) else { return };
    let Ok(mut file) = File::options().write(true).open(path) else { return };
    let zeros = [0; 4096];
    let mut left = length;
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        if file.write_all(zeros.get(..usize::try_from(count).unwrap_or(0)).unwrap_or_default()).is_err() {
            return;
        }
        left -= count;
    }
}

#[cfg(target_os = "linux")]
fn is_in_memory(folder: &Path) -> bool {
    /// Of tmpfs and ramfs, as `statfs(2)` lists them.
    const KINDS: [i128; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(folder).is_ok_and(|place| KINDS.contains(&(place.f_type as i128)))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}
