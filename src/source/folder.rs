//! A folder on disk as an artifact has it: what is in a checkout now, committed or not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use manifest::{Content, Entry, EntryKind, Files, FilesError, MemoryFiles, Purpose};

use super::ignore::{IGNORE_FILE, Rules};

/// Most files of a folder.
const MAX_FILES: usize = 500_000;

/// The files below a folder, without those that a source leaves out and without links: Flux's artifacts have neither.
///
/// Which files there are is settled when it is opened; contents are read when asked for.
pub struct FolderFiles {
    root: PathBuf,
    /// Which paths there are, without their contents.
    index: MemoryFiles,
}

impl FolderFiles {
    /// Lists what lies below `root`.
    ///
    /// # Errors
    /// When a folder cannot be read, a name is no UTF-8, or there are too many files.
    pub fn open(root: &Path) -> Result<Self, FilesError> {
        let (paths, ignores) = walk(root)?;
        let rules = Rules::new(ignores.iter().map(|(folder, text)| (folder.as_str(), text.as_str())), None);
        let mut index = MemoryFiles::default();
        for path in paths.into_iter().filter(|path| !rules.exclude(path, false)) {
            index.insert(path, []);
        }
        Ok(Self { root: root.into(), index })
    }
}

impl Files for FolderFiles {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        self.index.kind(path)
    }

    fn read(&self, path: &str, purpose: Purpose<'_>) -> Result<Content, FilesError> {
        self.index.read(path, purpose)?;
        fs::read(self.root.join(path)).map(Content::new).map_err(|error| failed(path, error))
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        self.index.list(path)
    }
}

/// The ignore files below `root`, as (folder, text), parents first.
///
/// # Errors
/// As [`FolderFiles::open`].
pub fn ignores(root: &Path) -> Result<Vec<(String, String)>, FilesError> {
    walk(root).map(|(_, ignores)| ignores)
}

fn failed(path: &str, error: io::Error) -> FilesError {
    FilesError::Store { path: path.into(), source: Box::new(error) }
}

/// Paths of all files, and the ignore files as (folder, text), parents first.
type Walked = (Vec<String>, Vec<(String, String)>);

fn walk(root: &Path) -> Result<Walked, FilesError> {
    let (mut paths, mut ignores, mut open) = (Vec::new(), Vec::new(), vec![String::new()]);
    while let Some(folder) = open.pop() {
        let of_folder = |error| failed(&folder, error);
        for entry in fs::read_dir(root.join(&folder)).map_err(of_folder)? {
            let entry = entry.map_err(of_folder)?;
            let kind = entry.file_type().map_err(of_folder)?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| of_folder(io::Error::new(io::ErrorKind::InvalidData, "a name is no UTF-8")))?;
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if kind.is_dir() && name != ".git" {
                open.push(path);
            } else if kind.is_file() {
                if name == IGNORE_FILE {
                    let text = fs::read_to_string(entry.path()).map_err(|error| failed(&path, error))?;
                    ignores.push((folder.clone(), text));
                }
                paths.push(path);
            }
        }
        if paths.len() > MAX_FILES {
            return Err(of_folder(io::Error::other("too many files")));
        }
    }
    ignores.sort();
    Ok((paths, ignores))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_leaves_out_is_not_there_and_the_rest_is_as_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in [".git/config", "apps/a.yaml", "apps/picture.png", "docs/b.yaml"] {
            write(path, path);
        }
        write("apps/.sourceignore", "*.png\n");
        std::os::unix::fs::symlink("a.yaml", root.path().join("apps/link.yaml")).unwrap();
        let files = FolderFiles::open(root.path()).unwrap();
        let names = |folder: &str| files.list(folder).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        assert_eq!(names(""), ["apps", "docs"]);
        assert_eq!(names("apps"), [".sourceignore", "a.yaml"]);
        assert_eq!(files.read("apps/a.yaml", Purpose::Resource).unwrap().text(), Some("apps/a.yaml"));
        assert!(files.read("apps/picture.png", Purpose::Resource).is_err());
    }
}
