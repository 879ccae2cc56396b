//! `lockstep keys add`, `remove` and `rotate`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use gotemplate::Environment as _;
use sops::{Action, MasterKey, Settings};

use super::repository::{Encrypted, Repository};
use super::{Failure, Outcome, identity, named};
use crate::cli::print;
use crate::cli::sops::{Keys, close, is_confirmed, write};
use crate::system::System;

/// Let another key open the encrypted files of this repository.
///
/// The recipient comes into .sops.yaml, and the data key of each file is wrapped for it; values keep their ciphertext. It
/// takes a key that opens the files already.
#[derive(Args)]
pub(super) struct Add {
    /// The age recipient: age1..., or an SSH public key.
    recipient: String,
    /// Only these creation rules, from 0.
    #[arg(long = "rule", value_name = "NUMBER")]
    rules: Vec<usize>,
    /// Of rules with several key groups, this one, from 0.
    #[arg(long, value_name = "NUMBER")]
    group: Option<usize>,
    #[command(flatten)]
    consent: Consent,
}

/// Take a key out of .sops.yaml and of all files, which are encrypted anew with new data keys.
///
/// Whoever had the key can still read what is in the history of Git: what was secret there should be replaced. `lockstep
/// keys who-can-read` lists it.
#[derive(Args)]
pub(super) struct Remove {
    /// The age recipient.
    recipient: String,
    #[command(flatten)]
    consent: Consent,
}

/// Change to a new age key in two steps: first both open everything, then the old one is retired.
///
/// The first step makes an identity behind the one that is there, and adds it everywhere. When the cluster has both, --retire
/// takes the old one out. Interrupted, the same command goes on.
#[derive(Args)]
pub(super) struct Rotate {
    /// The file of the identities.
    #[arg(long, value_name = "FILE", default_value = "age.agekey")]
    identity: PathBuf,
    /// Make a post-quantum identity.
    #[arg(long)]
    post_quantum: bool,
    /// Take this recipient out: the second step.
    #[arg(long, value_name = "RECIPIENT")]
    retire: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// How a plan becomes deeds.
#[derive(Args)]
struct Consent {
    /// Do it without asking.
    #[arg(short, long)]
    yes: bool,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What is to be done.
struct Plan {
    repository: Repository,
    /// The new text of the configuration, where it changes.
    config: Option<String>,
    /// Files whose data key is wrapped for other keys, and those that get another data key.
    files: Vec<(Encrypted, Settings)>,
    rotates: bool,
    recipient: String,
}

impl Add {
    pub(super) fn run(self) -> Outcome {
        let (repository, _lock) = Repository::locked(Path::new("."))?;
        let recipient = named(&self.recipient)?;
        sops::check_recipient(&recipient).map_err(|problem| anyhow!("{recipient}: {problem}"))?;
        let count = repository.config.rules();
        if let Some(rule) = self.rules.iter().find(|rule| **rule >= count) {
            return Err(anyhow!("{}: there is no rule {rule}, but {count}", repository.config_path().display()).into());
        }
        let rules = (!self.rules.is_empty()).then_some(self.rules.as_slice());
        let Some(plan) = Plan::adding(repository, &recipient, rules, self.group)? else {
            return print(b"Nothing to do: it is everywhere already\n");
        };
        if plan.is_agreed(&self.consent, "")? { plan.carry_out() } else { Ok(()) }
    }
}

impl Remove {
    pub(super) fn run(self) -> Outcome {
        remove(&self.recipient, &self.consent)
    }
}

fn remove(recipient: &str, consent: &Consent) -> Outcome {
    let ((repository, _lock), recipient) = (Repository::locked(Path::new("."))?, named(recipient)?);
    let text = sops::remove_recipient(&repository.text, &recipient)
        .with_context(|| repository.config_path().display().to_string())?;
    match Plan::new(repository, text, &recipient, true)? {
        None => print(b"Nothing to do: it is nowhere\n"),
        Some(plan) if plan.is_agreed(consent, "")? => plan.carry_out(),
        Some(_) => Ok(()),
    }
}

impl Rotate {
    pub(super) fn run(self) -> Outcome {
        if let Some(old) = &self.retire {
            return remove(old, &self.consent);
        }
        let (repository, _lock) = Repository::locked(Path::new("."))?;
        let mut recipients = identity::recipients(&self.identity)?;
        let is_named = |recipient: &String| repository.text.contains(recipient.as_str());
        // The last identity is what an interrupted run has made, where no rule knows it, or not all files do. Those before it
        // are older: no rule knows them because they were retired.
        let is_under_way = recipients.last().is_some_and(|last| !is_named(last))
            || recipients.iter().filter(|recipient| is_named(recipient)).count() > 1;
        let made = if is_under_way {
            None
        } else {
            let is_post_quantum = recipients.last().is_some_and(|last| last.starts_with("age1pq1"));
            let made = identity::generate(self.post_quantum || is_post_quantum)?;
            recipients.push(made.recipient.clone());
            Some(made)
        };
        let Some(recipient) = recipients.pop() else { return Err(anyhow!("there is no identity to change").into()) };
        recipients.retain(is_named);
        let plan = Plan::adding(repository, &recipient, None, None)?;
        if let Some(plan) = plan {
            let first = format!("{}: a new identity\n", self.identity.display());
            if !plan.is_agreed(&self.consent, if made.is_some() { &first } else { "" })? {
                return Ok(());
            }
            if let Some(made) = &made {
                made.append_to(&self.identity)?;
            }
            plan.carry_out()?;
        }
        let mut told = format!(
            "Both keys open the files now. Give the cluster {} again, commit and push; then retire the old one:\n",
            self.identity.display()
        );
        for old in recipients {
            told.push_str(&format!("  lockstep keys rotate --retire {old}\n"));
        }
        print(told.as_bytes())
    }
}

impl Plan {
    /// What lets a recipient open what rules are for.
    fn adding(
        repository: Repository,
        recipient: &str,
        rules: Option<&[usize]>,
        group: Option<usize>,
    ) -> anyhow::Result<Option<Self>> {
        let text = sops::add_recipient(&repository.text, recipient, rules, group)
            .with_context(|| repository.config_path().display().to_string())?;
        Self::new(repository, text, recipient, false)
    }

    /// What brings the files in line with a configuration, as far as a recipient goes; none where nothing is to be done.
    fn new(repository: Repository, text: String, recipient: &str, rotates: bool) -> anyhow::Result<Option<Self>> {
        let config = (text != repository.text).then_some(text.clone());
        let wanted = Repository { config: sops::Config::parse(&text)?, folder: repository.folder.clone(), text };
        let mut files = Vec::new();
        for file in wanted.encrypted()? {
            let Some(mut settings) = wanted.settings_for(&file.path)? else { continue };
            let sealed = match &file.sealed {
                Ok(sealed) => sealed,
                Err(error) => return Err(anyhow!("{}: {error}", file.path)),
            };
            let has = |groups: &[Vec<MasterKey>]| groups.iter().flatten().any(|key| key.name() == recipient);
            if has(sealed.groups()) != has(&settings.groups) {
                settings.threshold = sealed.threshold().min(settings.groups.len());
                files.push((file, settings));
            }
        }
        if config.is_none() && files.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { repository, config, files, rotates, recipient: recipient.to_owned() }))
    }

    /// Shows the plan, with what is done before it, and asks.
    fn is_agreed(&self, consent: &Consent, first: &str) -> Result<bool, Failure> {
        print(format!("{first}{}", self.told()).as_bytes())?;
        Ok(!consent.dry_run && (consent.yes || is_confirmed()?))
    }

    /// Does it: the configuration first.
    fn carry_out(self) -> Outcome {
        // Whoever cannot open the files learns it before anything is written.
        let keys = Keys::of_environment();
        let mut written = Vec::new();
        for (file, settings) in self.files {
            let place = self.repository.place(&file.path);
            let about = |failure: Failure| Failure {
                code: failure.code,
                error: failure.error.map(|error| anyhow!("{}: {error:#}", file.path)),
            };
            let failed = |error: sops::Error| about(keys.failure(error, Action::Decrypt));
            let indents = self.repository.config.indents();
            let Ok(mut sealed) = file.sealed else { continue };
            let bytes = if self.rotates {
                let mut editing = keys.open(sealed, false).map_err(about)?;
                *editing.groups_mut() = settings.groups;
                editing.rotate(&keys.identities, &mut |bytes| System.fill(bytes)).map_err(failed)?;
                close(editing, file.format, indents).map_err(about)?
            } else {
                let rewrapped = sealed
                    .rewrap(&keys.identities, settings.groups, settings.threshold, &mut |bytes| System.fill(bytes))
                    .and_then(|()| sealed.emit(file.format, indents));
                rewrapped.map_err(failed)?
            };
            written.push((place, bytes));
        }
        if let Some(text) = self.config {
            write(&self.repository.config_path(), text.as_bytes())?;
        }
        for (place, bytes) in &written {
            write(place, bytes)?;
        }
        let files = if written.len() == 1 { "file" } else { "files" };
        print(format!("Done: {} {files}. Commit what changed, with .sops.yaml\n", written.len()).as_bytes())
    }

    fn told(&self) -> String {
        let mut told = String::new();
        let deed = if self.rotates { "without" } else { "with" };
        if self.config.is_some() {
            told.push_str(&format!(".sops.yaml: {deed} {}\n", self.recipient));
        }
        for (file, _) in &self.files {
            let how = if self.rotates { ", encrypted anew with another data key" } else { "" };
            told.push_str(&format!("{}: {deed} {}{how}\n", file.path, self.recipient));
        }
        told
    }
}
