//! The disk, as the engines read it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use manifest::{Content, Entry, EntryKind, Files, FilesError, Purpose};

/// The whole disk as one tree, so that a kustomization reaches whatever its `..` leads to: `/home/me/app` is
/// `home/me/app` in it.
pub(super) struct Disk;

impl Disk {
    /// Where a path of the command line lies in the tree, once its links are followed.
    pub(super) fn place(path: &Path) -> anyhow::Result<String> {
        let real = path.canonicalize().with_context(|| path.display().to_string())?;
        let real = real.to_str().with_context(|| format!("{}: not UTF-8", path.display()))?;
        Ok(real.trim_start_matches('/').to_owned())
    }

    /// An error of an engine that read what lies at `place`, with paths as a user knows them: from the current folder, or
    /// from the root.
    pub(super) fn told(place: &str, error: &dyn std::fmt::Display) -> anyhow::Error {
        let current = Self::place(Path::new(".")).unwrap_or_default();
        anyhow::Error::msg(shown(&error.to_string(), place, &current))
    }
}

/// Shows paths of the tree as paths of the system. All begin as `place` does.
fn shown(text: &str, place: &str, current: &str) -> String {
    let first = place.split('/').next().unwrap_or_default();
    if current.is_empty() || first.is_empty() {
        return text.to_owned();
    }
    let text = replace_beginnings(text, &format!("{current}/"), "");
    replace_beginnings(&text, &format!("{first}/"), &format!("/{first}/"))
}

/// Replaces `from` where a path begins with it.
fn replace_beginnings(text: &str, from: &str, to: &str) -> String {
    let is_inside = |character: char| character.is_alphanumeric() || matches!(character, '/' | '.' | '_' | '-');
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(from) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        out.push_str(if out.ends_with(is_inside) { from } else { to });
        rest = behind.strip_prefix(from).unwrap_or_default();
    }
    out + rest
}

fn system(path: &str) -> PathBuf {
    Path::new("/").join(path)
}

fn failed(path: &str, error: io::Error) -> FilesError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            FilesError::NotFound { path }
        }
        _ => FilesError::Store { path, source: Box::new(error) },
    }
}

fn kind_of(metadata: &std::fs::Metadata) -> EntryKind {
    if metadata.is_dir() { EntryKind::Folder } else { EntryKind::File }
}

impl Files for Disk {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        match std::fs::metadata(system(path)).map_err(|error| failed(path, error)) {
            Ok(metadata) => Ok(Some(kind_of(&metadata))),
            Err(FilesError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &str, _purpose: Purpose<'_>) -> Result<Content, FilesError> {
        std::fs::read(system(path)).map(Content::new).map_err(|error| failed(path, error))
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(system(path)).map_err(|error| failed(path, error))? {
            let entry = entry.map_err(|error| failed(path, error))?;
            let found = entry.file_type().map_err(|error| failed(path, error))?;
            // A link that leads nowhere is a file that cannot be read.
            let is_folder = if found.is_symlink() {
                std::fs::metadata(entry.path()).is_ok_and(|to| to.is_dir())
            } else {
                found.is_dir()
            };
            let kind = if is_folder { EntryKind::Folder } else { EntryKind::File };
            entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), kind });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    fn real(&self, path: &str) -> Result<String, FilesError> {
        let real = system(path).canonicalize().map_err(|error| failed(path, error))?;
        Ok(real.to_string_lossy().trim_start_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_the_current_folder_or_from_the_root() {
        for (text, expected) in [
            ("home/me/app/a.yaml: bad", "a.yaml: bad"),
            ("no 'home/me/app/b', no home/you/c", "no 'b', no /home/you/c"),
            ("home/me/app", "/home/me/app"),
            ("x/home/me/app/a.yaml and myhome/me", "x/home/me/app/a.yaml and myhome/me"),
        ] {
            assert_eq!(shown(text, "home/me/app", "home/me/app"), expected);
        }
        assert_eq!(shown("srv/app/a.yaml: bad", "srv/app", "home/me"), "/srv/app/a.yaml: bad");
        assert_eq!(shown("srv/app/a.yaml: bad", "srv/app", ""), "srv/app/a.yaml: bad");
    }
}
