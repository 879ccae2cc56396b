//! A folder with a `.sops.yaml` at its top, and the encrypted files below.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use gix::index::entry::Mode;
use gix::worktree::stack::state::ignore::Source;
use sops::{Config, Format, MasterKey, Sealed, Settings};

use crate::cli::sops::now;

/// How many folders within folders are looked into.
const DEEPEST: usize = 64;

/// What is known of it.
pub(super) struct Repository {
    /// Where the configuration lies; paths of its rules begin there.
    pub(super) folder: PathBuf,
    pub(super) text: String,
    pub(super) config: Config,
}

/// A rule of `.sops.yaml`.
pub(super) struct Shown {
    /// None where it is for all files.
    pub(super) path_regex: Option<String>,
    pub(super) line: u32,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (.sops.yaml:{})", self.path_regex.as_deref().unwrap_or("all files"), self.line)
    }
}

/// A file that holds the marks of an encrypted one.
pub(super) struct Encrypted {
    /// From the folder of the configuration.
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) sealed: Result<Sealed, sops::Error>,
}

impl Repository {
    /// The one that a folder is in: its `.sops.yaml`, or the nearest one above.
    pub(super) fn find(from: &Path) -> anyhow::Result<Self> {
        let from = std::fs::canonicalize(from).with_context(|| from.display().to_string())?;
        let folder = from.ancestors().find(|folder| folder.join(".sops.yaml").exists());
        let folder =
            folder.ok_or_else(|| anyhow!("there is no .sops.yaml here or above: `lockstep keys init` makes one"))?;
        Self::read(folder)
    }

    /// Likewise for changes: nobody else changes it until the lock is dropped.
    pub(super) fn locked(from: &Path) -> anyhow::Result<(Self, File)> {
        let found = Self::find(from)?;
        let lock = File::open(&found.folder).with_context(|| found.folder.display().to_string())?;
        lock.lock().with_context(|| found.folder.display().to_string())?;
        // As whoever had the lock has left it.
        Ok((Self::read(&found.folder)?, lock))
    }

    fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(".sops.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let config = Config::parse(&text).with_context(|| path.display().to_string())?;
        Ok(Self { folder: folder.to_owned(), text, config })
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.folder.join(".sops.yaml")
    }

    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The rules as a person knows them: the files that each is for, and where it stands.
    pub(super) fn rules(&self) -> Vec<Shown> {
        let documents = yaml::parse(self.text.as_bytes(), &yaml::Limits::default()).unwrap_or_default();
        let rules = documents.first().and_then(|document| document.root().get("creation_rules"));
        let lines = rules.into_iter().flat_map(|rules| &rules.children).map(|rule| rule.line).enumerate();
        let regex = |rule| self.config.path_regex_of(rule).map(str::to_owned);
        lines.map(|(rule, line)| Shown { path_regex: regex(rule), line }).collect()
    }

    /// What the rules say of a file; none where no rule is for it.
    pub(super) fn settings_for(&self, path: &str) -> anyhow::Result<Option<Settings>> {
        let Some(rule) = self.config.rule_for(path)? else { return Ok(None) };
        Ok(self.config.settings_of(rule, &now())?)
    }

    /// All encrypted files below, by their paths.
    pub(super) fn encrypted(&self) -> anyhow::Result<Vec<Encrypted>> {
        let mut found = Vec::new();
        for path in self.files()? {
            let place = self.place(&path);
            if std::fs::metadata(&place).is_ok_and(|metadata| metadata.len() > sops::LARGEST as u64) {
                continue;
            }
            let bytes = std::fs::read(&place).with_context(|| place.display().to_string())?;
            found.extend(encrypted(&path, &bytes));
        }
        Ok(found)
    }

    /// The paths of all files below, without Git's own, what it ignores, and what links lead to.
    pub(super) fn files(&self) -> anyhow::Result<Vec<String>> {
        let git = gix::discover(&self.folder).ok().filter(|git| git.workdir().is_some());
        let mut walk = Walk { ignored: None, prefix: String::new(), paths: Vec::new() };
        let index = git.as_ref().map(gix::Repository::index_or_empty).transpose()?;
        if let (Some(git), Some(index)) = (&git, &index) {
            let top = std::fs::canonicalize(git.workdir().unwrap_or(&self.folder))?;
            let below = self.folder.strip_prefix(&top).unwrap_or(Path::new("")).to_string_lossy();
            walk.prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
            walk.ignored = Some(git.excludes(index, None, Source::WorktreeThenIdMappingIfNotSkipped)?);
        }
        walk.folder(&self.folder, "", 0)?;
        walk.paths.sort();
        Ok(walk.paths)
    }
}

/// A file as an encrypted one, where it has the marks of one.
pub(super) fn encrypted(path: &str, bytes: &[u8]) -> Option<Encrypted> {
    let format = Format::from_path(path);
    sops::is_encrypted(bytes, format).then(|| Encrypted {
        path: path.to_owned(),
        format,
        sealed: Sealed::load(bytes, format),
    })
}

/// The names of the keys of each group, sorted.
pub(super) fn names(groups: &[Vec<MasterKey>]) -> Vec<Vec<String>> {
    let sorted = |group: &Vec<MasterKey>| {
        let mut names: Vec<String> = group.iter().map(MasterKey::name).collect();
        names.sort();
        names.dedup();
        names
    };
    groups.iter().map(sorted).collect()
}

struct Walk<'g> {
    /// What Git ignores, where there is a repository.
    ignored: Option<gix::AttributeStack<'g>>,
    /// From the top of the repository to the folder of the configuration.
    prefix: String,
    paths: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> anyhow::Result<()> {
        if depth > DEEPEST {
            return Ok(());
        }
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry.with_context(|| folder.display().to_string())?;
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let path = format!("{prefix}{name}");
            if name == ".git" || self.is_ignored(&path, kind.is_dir())? {
                continue;
            }
            if kind.is_dir() {
                self.folder(&entry.path(), &format!("{path}/"), depth + 1)?;
            } else if kind.is_file() {
                self.paths.push(path);
            }
        }
        Ok(())
    }

    fn is_ignored(&mut self, path: &str, is_folder: bool) -> anyhow::Result<bool> {
        let Some(ignored) = &mut self.ignored else { return Ok(false) };
        let mode = if is_folder { Mode::DIR } else { Mode::FILE };
        Ok(ignored.at_path(format!("{}{path}", self.prefix), Some(mode))?.is_excluded())
    }
}
