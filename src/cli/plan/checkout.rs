//! Where local files belong: the root of the checkout that a folder lies in, and the folder's path from there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use manifest::{EntryKind, Files as _, Object, Purpose, normalize};

use super::FLUX;
use crate::artifact::{Artifact, Measure, Trust};
use crate::pipeline::sources::{Fetched, SourceName};
use crate::source::folder::FolderFiles;

/// Revision of what was not fetched.
const REVISION: &str = "local files";

/// A checkout on disk, in the place of a source.
pub(super) struct Checkout {
    pub(super) root: PathBuf,
    /// The folder that was asked for.
    pub(super) folder: PathBuf,
    files: Arc<FolderFiles>,
}

impl Checkout {
    /// The checkout that `folder` lies in. Its root is the nearest folder above of which `is_root(root, folder)` holds;
    /// else what has a `.git`; else `folder` itself.
    pub(super) fn open(folder: &Path, is_root: impl Fn(&Path, &Path) -> bool) -> anyhow::Result<Self> {
        let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
        anyhow::ensure!(folder.is_dir(), "{}: not a folder", folder.display());
        let nearest = |is_root: &dyn Fn(&Path) -> bool| folder.ancestors().find(|root| is_root(root));
        let root = nearest(&|root| is_root(root, &folder)).or_else(|| nearest(&|root| root.join(".git").exists()));
        let root = root.unwrap_or(&folder).to_owned();
        let files = Arc::new(FolderFiles::open(&root)?);
        Ok(Self { root, folder, files })
    }

    /// The same folder below the root from which most of these paths lead somewhere, the nearest of such; as it is, when
    /// none does.
    pub(super) fn rooted(self, paths: &[&str]) -> anyhow::Result<Self> {
        let is_there = |root: &Path, path: &str| below(root, path).is_some_and(|path| path.is_dir());
        let count = |root: &Path| paths.iter().filter(|path| is_there(root, path)).count();
        let counts: Vec<(&Path, usize)> = self.folder.ancestors().map(|root| (root, count(root))).collect();
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        match counts.into_iter().find(|(_, count)| *count == most) {
            Some((root, _)) if most > 0 && root != self.root => Ok(Self {
                root: root.to_owned(),
                files: Arc::new(FolderFiles::open(root)?),
                folder: self.folder.clone(),
            }),
            _ => Ok(self),
        }
    }

    /// Of a whole repository, the folder of its cluster: the one that holds the Kustomization of its own path, as
    /// `flux bootstrap` writes it. Any other folder stays as it is.
    pub(super) fn enter(self) -> anyhow::Result<Self> {
        let files =
            if self.folder == self.root { self.files.clone() } else { Arc::new(FolderFiles::open(&self.folder)?) };
        if files.kind("kustomization.yaml")?.is_some() {
            return Ok(self);
        }
        let mut clusters = BTreeSet::new();
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            for entry in files.list(&folder)? {
                let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                match entry.kind {
                    EntryKind::Folder => open.push(path),
                    EntryKind::File if path.ends_with(".yaml") || path.ends_with(".yml") => {
                        clusters.extend(cluster(&files, &path)?);
                    }
                    EntryKind::File => {}
                }
            }
        }
        let names = || clusters.iter().cloned().collect::<Vec<_>>().join(", ");
        anyhow::ensure!(clusters.len() < 2, "{}: several clusters, name one: {}", self.folder.display(), names());
        match clusters.first() {
            Some(path) => Ok(Self { folder: self.folder.join(path), root: self.folder, files }),
            None => Ok(self),
        }
    }

    /// Path of the folder that was asked for, from the root.
    pub(super) fn path(&self) -> String {
        // Every name below the root is text, or the checkout could not be opened.
        self.folder.strip_prefix(&self.root).unwrap_or(&self.folder).to_string_lossy().into_owned()
    }

    /// The files as the newest revision of a source.
    pub(super) fn as_source(&self, name: SourceName) -> Fetched {
        // No status is written that would tell of an archive.
        let measure = Box::new(|| Ok(Measure { digest: String::new(), size: 0 }));
        let artifact = Artifact::new(REVISION.into(), None, self.files.clone(), measure);
        let Ok(verified) = Arc::new(artifact).verify(&Trust::None);
        let revision = REVISION.to_owned();
        Fetched { name, digest: revision.clone(), revision, verified, secrets: Vec::new() }
    }
}

/// The folder above a file that a Kustomization in it is for.
fn cluster(files: &FolderFiles, file: &str) -> anyhow::Result<Option<String>> {
    let content = files.read(file, Purpose::Resource)?;
    let documents = yaml::documents(content.text().unwrap_or_default());
    // What is no YAML is told by whoever builds it.
    let objects = documents.into_iter().filter_map(|document| Object::new(yaml::from_str(document.text).ok()?).ok());
    let flux = objects.filter(|object| object.kind() == "Kustomization" && object.api_version() == FLUX);
    let mut paths = flux.filter_map(|object| normalize("", object.text("/spec/path")?).ok());
    Ok(paths.find(|path| !path.is_empty() && file.starts_with(&format!("{path}/"))))
}

/// Where `spec.path` leads to from `root`.
pub(super) fn below(root: &Path, path: &str) -> Option<PathBuf> {
    normalize("", path).ok().map(|path| root.join(path))
}
