//! `lockstep keys audit`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use sops::{KeyProblem, MacState};

use super::history::{Today, Version, readers, versions};
use super::repository::{Encrypted, Repository, encrypted, names};
use super::{Failure, Outcome};
use crate::cli::document::Document;
use crate::cli::print;
use crate::cli::sops::Keys;

/// The exit code where something was found.
const FOUND: u8 = 2;

/// Say what is wrong with the encrypted files of a repository.
///
/// Looks for files that .sops.yaml means to be encrypted and that are not, recipients that differ from .sops.yaml, MACs
/// that do not match (of files that your keys open), values in clear that look like secrets, and keys that were removed
/// and could still read what a file holds, by the history of Git. Exit codes: 0 nothing found, 2 something found, 1 it
/// could not be looked at.
#[derive(Args)]
#[command(after_help = "Example: before each commit, in .git/hooks/pre-commit\n  lockstep keys audit --staged")]
pub(super) struct Audit {
    /// A folder of the repository.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Look at what the next commit will hold, instead of the work tree.
    #[arg(long)]
    staged: bool,
    /// Print a document instead of lines.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Document>,
}

/// What is known of one file.
#[derive(Default)]
struct Report {
    recipients: BTreeSet<String>,
    last_modified: String,
    mac: &'static str,
    findings: Vec<String>,
}

impl Audit {
    pub(super) fn run(self) -> Outcome {
        let repository = Repository::find(&self.path)?;
        let files = if self.staged { staged(&repository)? } else { on_disk(&repository)? };
        let past = if self.staged { Vec::new() } else { versions(&repository.folder)? };
        let look = Look { repository: &repository, keys: Keys::of_environment(), past };
        let mut reports: BTreeMap<String, Report> = BTreeMap::new();
        for (path, bytes) in &files {
            reports.extend(look.at(path, bytes)?.map(|report| (path.clone(), report)));
        }
        let found: usize = reports.values().map(|report| report.findings.len()).sum();
        match self.output {
            Some(document) => print(document.text(&told(&reports)).as_bytes())?,
            None => print(lines(&reports, found).as_bytes())?,
        }
        if found > 0 { Err(Failure::silent(FOUND)) } else { Ok(()) }
    }
}

fn told(reports: &BTreeMap<String, Report>) -> Value {
    let entry = |(path, report): (&String, &Report)| json!({"path": path, "recipients": report.recipients, "lastModified": report.last_modified, "mac": report.mac, "findings": report.findings});
    reports.iter().map(entry).collect()
}

fn lines(reports: &BTreeMap<String, Report>, found: usize) -> String {
    let mut text = String::new();
    for (path, report) in reports {
        for finding in &report.findings {
            text.push_str(&format!("{path}: {finding}\n"));
        }
    }
    let encrypted = reports.values().filter(|report| !report.mac.is_empty()).count();
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let unknown = reports.values().filter(|report| report.mac == "unknown").count();
    let unchecked = if unknown > 0 { format!(", {unknown} not opened for want of a key") } else { String::new() };
    text.push_str(&format!("{}{unchecked}, {}\n", count(encrypted, "encrypted file"), count(found, "finding")));
    text
}

/// The files of the work tree, by path.
fn on_disk(repository: &Repository) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let read = |path: String| {
        let place = repository.place(&path);
        let is_small = std::fs::metadata(&place).is_ok_and(|metadata| metadata.len() <= sops::LARGEST as u64);
        is_small.then(|| std::fs::read(&place).with_context(|| path.clone()).map(|bytes| (path, bytes)))
    };
    repository.files()?.into_iter().filter_map(read).collect()
}

/// The files of Git's index that differ from the last commit.
fn staged(repository: &Repository) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let git = gix::discover(&repository.folder)?;
    let top = std::fs::canonicalize(git.workdir().context("the repository has no work tree")?)?;
    let head = git.head_tree_id().ok().map(|id| git.find_tree(id)).transpose()?;
    let mut files = Vec::new();
    let index = git.index()?;
    for entry in index.entries() {
        let name = entry.path(&index).to_string();
        let Ok(path) = top.join(&name).strip_prefix(&repository.folder).map(Path::to_path_buf) else { continue };
        let committed = head.as_ref().map(|tree| tree.lookup_entry_by_path(&name)).transpose()?.flatten();
        if committed.is_some_and(|committed| committed.object_id() == entry.id) {
            continue;
        }
        let Ok(blob) = git.find_blob(entry.id) else { continue };
        if blob.data.len() <= sops::LARGEST {
            files.push((path.to_string_lossy().into_owned(), blob.data.clone()));
        }
    }
    Ok(files)
}

struct Look<'l> {
    repository: &'l Repository,
    keys: Keys,
    past: Vec<Version>,
}

impl Look<'_> {
    /// What is to be said of a file; none of one that has nothing to do with secrets.
    fn at(&self, path: &str, bytes: &[u8]) -> anyhow::Result<Option<Report>> {
        let mut report = Report::default();
        let is_configuration = path == ".sops.yaml";
        match encrypted(path, bytes) {
            Some(file) => self.encrypted(file, bytes, &mut report)?,
            None if is_configuration => {}
            None if self.has_narrow_rule(path)? => {
                report.findings.push("is not encrypted, and .sops.yaml has a rule for it".to_owned());
            }
            None => {}
        }
        report.findings.extend(in_clear(path, bytes));
        let says_something = !report.mac.is_empty() || !report.findings.is_empty();
        Ok(says_something.then_some(report))
    }

    /// Whether a rule is for a path, and names paths at all: one for everything does not mean that all is encrypted.
    fn has_narrow_rule(&self, path: &str) -> anyhow::Result<bool> {
        let rule_for = |path| self.repository.config.rule_for(path);
        let rule = rule_for(path)?;
        Ok(rule.is_some() && rule != rule_for("\0")?)
    }

    fn encrypted(&self, file: Encrypted, bytes: &[u8], report: &mut Report) -> anyhow::Result<()> {
        let sealed = match file.sealed {
            Ok(sealed) => sealed,
            Err(error) => {
                report.mac = "unknown";
                report.findings.push(error.to_string());
                return Ok(());
            }
        };
        report.recipients = readers(&sealed).into_iter().collect();
        sealed.last_modified().clone_into(&mut report.last_modified);
        match self.repository.settings_for(&file.path)? {
            None => report.findings.push("is encrypted, and .sops.yaml has no rule for it".to_owned()),
            Some(settings) if names(&settings.groups) != names(sealed.groups()) => {
                let (wanted, found) = (names(&settings.groups).concat(), names(sealed.groups()).concat());
                let lacking = wanted.iter().filter(|name| !found.contains(name)).map(|name| format!("lacks {name}"));
                let more = found.iter().filter(|name| !wanted.contains(name)).map(|name| format!("still has {name}"));
                let differences: Vec<String> = lacking.chain(more).collect();
                report.findings.push(format!("differs from .sops.yaml: {}", differences.join(", ")));
            }
            Some(_) => {}
        }
        report.findings.extend(self.past_readers(&file.path, bytes, &report.recipients));
        report.mac = match sealed.open(&self.keys.identities, &|_| {}).map(|opened| opened.mac()) {
            Ok(MacState::Valid) => "valid",
            Ok(MacState::Missing) => "missing",
            Ok(MacState::Stale) => "stale",
            Ok(_) => "unreadable",
            // Whoever has none of the keys cannot tell.
            Err(error) if is_somebody_elses(&error) => "unknown",
            Err(error) => {
                report.findings.push(format!("does not open: {error}"));
                "broken"
            }
        };
        if matches!(report.mac, "missing" | "stale" | "unreadable") {
            report.findings.push(format!("its MAC is {}: it was changed without sops", report.mac));
        }
        Ok(())
    }

    /// Keys that are not named any more, and that can open values which the file still has.
    fn past_readers(&self, path: &str, bytes: &[u8], now: &BTreeSet<String>) -> Vec<String> {
        let mut past: BTreeMap<&str, &str> = BTreeMap::new();
        let mut today = None;
        let is_gone = |version: &&Version| version.path == path && version.readers.iter().any(|it| !now.contains(it));
        for version in self.past.iter().filter(is_gone) {
            let today = today.get_or_insert_with(|| Today::new(self.repository, path, bytes, &self.keys));
            if !today.is_known_by(version) {
                continue;
            }
            for reader in version.readers.iter().filter(|reader| !now.contains(*reader)) {
                past.insert(reader, &version.commit);
            }
        }
        let finding = |(reader, commit): (&str, &str)| {
            format!("{reader} was removed and can still read values of it with commit {commit}: they must be replaced")
        };
        past.into_iter().map(finding).collect()
    }
}

/// Whether a file did not open for want of a key alone.
fn is_somebody_elses(error: &sops::Error) -> bool {
    let sops::Error::DataKey(failure) = error else { return false };
    let mut failures = failure.groups.iter().flat_map(|group| &group.failures);
    failure.combine.is_none() && !failures.any(|failure| failure.problem == KeyProblem::Damaged)
}

/// Texts that are secrets wherever they stand: a mark, how many letters and digits must follow it, what it is.
const SECRETS: [(&str, usize, &str); 7] = [
    ("AGE-SECRET-KEY-", 50, "an age identity"),
    ("PRIVATE KEY-----\n", 0, "a private key"),
    ("PGP PRIVATE KEY BLOCK-----", 0, "an OpenPGP private key"),
    ("ghp_", 30, "a token of GitHub"),
    ("glpat-", 16, "a token of GitLab"),
    ("xoxb-", 10, "a token of Slack"),
    ("sk_live_", 16, "a key of Stripe"),
];

/// What looks like a secret and is not encrypted; never the text itself.
fn in_clear(path: &str, bytes: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let mut findings = Vec::new();
    for (mark, length, what) in SECRETS {
        let is_one = |(at, _): &(usize, &str)| {
            let behind = text.get(at + mark.len()..).unwrap_or_default();
            behind.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count() >= length
        };
        if let Some((at, _)) = text.match_indices(mark).find(is_one) {
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            findings.push(format!("line {line} holds {what} in clear"));
        }
    }
    if path.ends_with(".yaml") || path.ends_with(".yml") || path.ends_with(".json") {
        let mut keys = HashSet::new();
        for document in yaml::documents(text) {
            let Ok(object) = yaml::from_str(document.text) else { continue };
            let marks = Marks { is_secret: object["kind"] == "Secret", is_sealed: object.get("sops").is_some() };
            clear_keys(&object, &mut String::new(), &marks, &mut keys);
        }
        let mut keys: Vec<String> = keys.into_iter().collect();
        keys.sort();
        findings.extend(keys.into_iter().map(|key| format!("the value of {key} is in clear")));
    }
    findings
}

/// What a document is.
struct Marks {
    is_secret: bool,
    /// An encrypted file.
    is_sealed: bool,
}

/// The values of Secrets that are not encrypted, and of entries whose names say that they are secret in encrypted files.
fn clear_keys(value: &Value, path: &mut String, marks: &Marks, keys: &mut HashSet<String>) {
    let Value::Object(map) = value else { return };
    for (name, value) in map {
        if path.is_empty() && name == "sops" {
            continue;
        }
        let length = path.len();
        path.push_str(if length > 0 { "." } else { "" });
        path.push_str(name);
        match value {
            Value::String(text) if !text.is_empty() && !text.starts_with("ENC[") && !text.contains("${") => {
                let in_data = marks.is_secret && (path.starts_with("data.") || path.starts_with("stringData."));
                if in_data || marks.is_sealed && says_secret(name) {
                    keys.insert(path.clone());
                }
            }
            value => clear_keys(value, path, marks, keys),
        }
        path.truncate(length);
    }
}

fn says_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "token", "apikey", "api_key", "privatekey", "private_key"]
        .iter()
        .any(|word| name.ends_with(word))
}
