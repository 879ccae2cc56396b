//! Where the objects go: one stream, a file, or a file for each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use manifest::Object;
use manifest::kinds::{Scope, scope};

use crate::cli::disk::Disk;
use crate::cli::{Outcome, print};

/// Where the objects of some folders are written.
pub(super) enum Target<'a> {
    /// Standard output, a stream that tells folders by comments when there are several.
    Stream(&'a [PathBuf]),
    /// A file, or a folder with a file for each object.
    Path(&'a Path),
    /// A folder with a file for each object, for each folder.
    Folders(Vec<PathBuf>),
}

impl<'a> Target<'a> {
    /// Reads what `--output` says.
    ///
    /// # Errors
    /// When one of several folders has no place below it.
    pub(super) fn new(output: Option<&'a Path>, folders: &'a [PathBuf]) -> anyhow::Result<Self> {
        match (output, folders) {
            (None, _) => Ok(Self::Stream(folders)),
            (Some(path), [_]) => Ok(Self::Path(path)),
            (Some(path), _) => {
                let below = folders.iter().map(|folder| Ok(path.join(from_here(folder)?)));
                below.collect::<anyhow::Result<_>>().map(Self::Folders)
            }
        }
    }

    /// Writes what each folder built.
    pub(super) fn write(&self, built: &[Vec<Object>]) -> Outcome {
        match self {
            Self::Stream([_]) => {
                print(built.iter().map(|objects| kustomize::print(objects)).collect::<String>().as_bytes())
            }
            Self::Stream(folders) => print(stream(folders, built).as_bytes()),
            Self::Path(folder) if folder.is_dir() => {
                Ok(built.iter().try_for_each(|objects| write_each(folder, objects))?)
            }
            Self::Path(file) => {
                let text: String = built.iter().map(|objects| kustomize::print(objects)).collect();
                Ok(std::fs::write(file, text).with_context(|| file.display().to_string())?)
            }
            Self::Folders(places) => {
                for (place, objects) in places.iter().zip(built) {
                    std::fs::create_dir_all(place).with_context(|| place.display().to_string())?;
                    write_each(place, objects)?;
                }
                Ok(())
            }
        }
    }
}

/// The path of a folder from the current one, in which it must lie.
fn from_here(folder: &Path) -> anyhow::Result<PathBuf> {
    if !folder.is_dir() {
        // Building it will tell.
        return Ok(folder.into());
    }
    let (here, place) = (Disk::place(Path::new("."))?, Disk::place(folder)?);
    let below = Path::new(&place).strip_prefix(&here);
    let reason =
        || format!("{}: lies outside of the current folder, so it has no place in the output", folder.display());
    Ok(below.with_context(reason)?.into())
}

/// One stream, in which a comment tells where the objects of a folder begin.
fn stream(folders: &[PathBuf], built: &[Vec<Object>]) -> String {
    let with_any = folders.iter().zip(built).filter(|(_, objects)| !objects.is_empty());
    let parts = with_any.map(|(folder, objects)| {
        let name = folder.display().to_string().replace(char::is_control, "?");
        format!("# Source: {name}\n{}", kustomize::print(objects))
    });
    parts.collect::<Vec<_>>().join("---\n")
}

/// Writes each object to a file of its own. The name tells the namespace only where there are several.
fn write_each(folder: &Path, objects: &[Object]) -> anyhow::Result<()> {
    let namespaces: BTreeSet<&str> = objects.iter().filter_map(namespace).collect();
    for object in objects {
        let mut name = file_name(object);
        if let Some(namespace) = namespace(object).filter(|_| namespaces.len() > 1) {
            name = format!("{}_{name}", namespace.to_lowercase());
        }
        // Names come from the kustomization, which must not choose where else files are written.
        ensure!(!name.contains('/'), "{}: its name cannot be that of a file", object.id());
        let path = folder.join(name);
        std::fs::write(&path, kustomize::to_yaml(object)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The namespace of an object that may have one.
fn namespace(object: &Object) -> Option<&str> {
    let is_cluster_scoped = scope(&object.gvk()) == Some(Scope::Cluster);
    let namespace = object.namespace();
    (!is_cluster_scoped).then_some(if namespace.is_empty() { "default" } else { namespace })
}

/// `apps_v1_deployment_web.yaml`.
fn file_name(object: &Object) -> String {
    let gvk = object.gvk();
    let words = [&gvk.group, &gvk.version, &gvk.kind, object.name()];
    let words: Vec<String> = words.iter().filter(|word| !word.is_empty()).map(|word| word.to_lowercase()).collect();
    format!("{}.yaml", words.join("_"))
}
