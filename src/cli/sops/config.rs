//! Where `.sops.yaml` is, and what it says of a file.

use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use sops::{Config, Indents, Settings};

use super::warn;

/// How many folders are looked through, from the current one up.
const MOST_FOLDERS: usize = 100;

/// A configuration and the folder that its paths are relative to.
pub(super) struct Located {
    pub(super) path: PathBuf,
    config: Config,
}

/// The named configuration, or the nearest one; none where there is none.
pub(super) fn find(named: Option<&Path>) -> anyhow::Result<Option<Located>> {
    let Some(path) = named.map(Path::to_owned).or_else(nearest) else { return Ok(None) };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let config = Config::parse(&text).with_context(|| path.display().to_string())?;
    Ok(Some(Located { path, config }))
}

/// The indents of a configuration, and sops' own without any.
pub(super) fn indents(located: Option<&Located>) -> Indents {
    located.map(|located| located.config.indents()).unwrap_or_default()
}

impl Located {
    /// What the first rule that is for a file says; none where there are no rules.
    pub(super) fn settings_for(&self, file: &Path, now: &str) -> anyhow::Result<Option<Settings>> {
        let absolute = |path: &Path| clean(path).with_context(|| path.display().to_string());
        let (file, config) = (absolute(file)?, absolute(&self.path)?);
        let relative = config.parent().and_then(|folder| file.strip_prefix(folder).ok()).unwrap_or(&file);
        let settings = self.config.settings_for(&relative.to_string_lossy(), now);
        settings.with_context(|| format!("error loading config {}", self.path.display()))
    }
}

/// An absolute path without `..`, as sops makes it of the text alone.
fn clean(path: &Path) -> std::io::Result<PathBuf> {
    let mut cleaned = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => drop(cleaned.pop()),
            part => cleaned.push(part),
        }
    }
    Ok(cleaned)
}

/// The nearest `.sops.yaml`; sops does not read `.sops.yml`, which is told.
fn nearest() -> Option<PathBuf> {
    let current = std::env::current_dir().ok()?;
    let mut other = None;
    for folder in current.ancestors().take(MOST_FOLDERS) {
        let named = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        if let Some(path) = named(".sops.yaml") {
            ignored(other.as_deref());
            return Some(path);
        }
        other = other.or_else(|| named(".sops.yml"));
    }
    ignored(other.as_deref());
    None
}

fn ignored(other: Option<&Path>) {
    if let Some(path) = other {
        warn(&format!("ignoring {}: the config file must be called .sops.yaml", path.display()));
    }
}
