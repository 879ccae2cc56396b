//! What is read: a file, standard input, or a file as it was at a revision of Git (`REV:path`).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

/// Reads a file; standard input when none is named.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let Some(file) = file else {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
        return Ok(bytes);
    };
    match at_revision(file) {
        Some((revision, path)) => from_git(&revision, &path).with_context(|| file.display().to_string()),
        None => std::fs::read(file).with_context(|| file.display().to_string()),
    }
}

/// Whether there is something to read: what is named by a revision tells when it is read.
pub(super) fn exists(file: &Path) -> bool {
    file.exists() || at_revision(file).is_some()
}

/// Revision and path, of a name that is no file of the disk.
fn at_revision(file: &Path) -> Option<(String, String)> {
    if file.exists() {
        return None;
    }
    let (revision, path) = file.to_str()?.split_once(':')?;
    (!path.is_empty() && !revision.contains('/') || is_revision(revision))
        .then(|| (revision.to_owned(), path.to_owned()))
}

/// A branch may have slashes in its name; a folder of the disk is none.
fn is_revision(text: &str) -> bool {
    text.split('/').next().is_some_and(|first| !first.is_empty() && !PathBuf::from(first).exists())
}

/// A file of a commit; its path goes from the top of the repository, one that begins with `./` from the current folder.
fn from_git(revision: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let current = std::env::current_dir().context("the current folder")?;
    let repository = gix::discover(&current)?;
    let path = match path.strip_prefix("./") {
        None => PathBuf::from(path),
        Some(below) => {
            let top = repository.workdir().context("the repository has no work tree")?;
            let (top, current) = (std::fs::canonicalize(top)?, std::fs::canonicalize(&current)?);
            current.strip_prefix(&top).context("the current folder is not in the work tree")?.join(below)
        }
    };
    let revision = if revision.is_empty() { "HEAD" } else { revision };
    let commit = repository.rev_parse_single(revision)?.object()?.peel_to_commit()?;
    let entry = commit.tree()?.lookup_entry_by_path(&path)?;
    let entry = entry.ok_or_else(|| anyhow!("there is no such file in that commit"))?;
    let blob = entry.object()?.try_into_blob().map_err(|_| anyhow!("it is no file in that commit"))?;
    Ok(blob.data.clone())
}
