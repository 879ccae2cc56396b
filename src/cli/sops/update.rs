//! `lockstep sops updatekeys`, `groups` and `filestatus`.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use gotemplate::Environment as _;
use sops::{Action, Error, MasterKey, Sealed};

use super::keys::Keys;
use super::recipients::Recipients;
use super::{Desk, Failure, Outcome, code, config, format, input, load, now, print, printed, write};
use crate::cli::{fail, print_styled};
use crate::system::System;

/// Bring the keys of files in line with .sops.yaml.
///
/// Values keep their ciphertext, and the data key stays: who has opened a file once can still open it. `rotate` makes a
/// new data key.
#[derive(Args)]
pub(super) struct UpdateKeys {
    /// The encrypted files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change the files without asking.
    #[arg(short, long)]
    yes: bool,
    /// Key groups that it takes to open a file.
    #[arg(long, value_name = "NUMBER")]
    shamir_secret_sharing_threshold: Option<usize>,
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<String>,
}

impl UpdateKeys {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let config = desk.config.as_ref().context("config file not found: there is no .sops.yaml here or above")?;
        if let [file] = self.files.as_slice() {
            return self.update(file, config, desk);
        }
        let mut failed = 0;
        for file in &self.files {
            if let Err(failure) = self.update(file, config, desk) {
                failed += 1;
                if let Some(error) = failure.error {
                    fail(&format!("{}: {error:#}", file.display()));
                }
            }
        }
        if failed > 0 { Err(anyhow!("failed updating {failed} files").into()) } else { Ok(()) }
    }

    fn update(&self, file: &Path, config: &config::Located, desk: &Desk) -> Outcome {
        if file.is_dir() {
            return Err(anyhow!("can't operate on a directory").into());
        }
        say(&format!("Syncing keys for file {}", file.display()));
        let format = format(self.input_type.as_deref(), file);
        let mut sealed = load(file, format)?;
        let settings = config.settings_for(file, &now())?;
        let settings =
            settings.with_context(|| format!("{} does not contain any creation rule", config.path.display()))?;
        let threshold = self.shamir_secret_sharing_threshold.filter(|threshold| *threshold != 0);
        let threshold = threshold.unwrap_or(sealed.threshold()).min(settings.groups.len());
        let Some(changes) = changes(&sealed, &settings.groups, threshold) else {
            say(&format!("File {} already up to date", file.display()));
            return Ok(());
        };
        print_styled(&format!("The following changes will be made to the file's groups:\n{changes}"))?;
        if !self.yes && !is_confirmed()? {
            say(&format!("File {} left unchanged", file.display()));
            return Ok(());
        }
        rewrap(&mut sealed, settings.groups, threshold, desk.keys())?;
        write(file, &printed(&sealed, format, desk.indents)?)?;
        say(&format!("File {} synced with new keys", file.display()));
        Ok(())
    }
}

fn rewrap(sealed: &mut Sealed, groups: Vec<Vec<MasterKey>>, threshold: usize, keys: &Keys) -> Outcome {
    let wrapped = sealed.rewrap(&keys.identities, groups, threshold, &mut |bytes| System.fill(bytes));
    wrapped.map_err(|error| keys.failure(error, Action::Decrypt))
}

/// The keys of each group before and after, and the threshold; none where nothing changes.
fn changes(sealed: &Sealed, wanted: &[Vec<MasterKey>], threshold: usize) -> Option<String> {
    let coloured = |colour: AnsiColor, line: String| {
        let style = Style::new().fg_color(Some(colour.into()));
        format!("{style}{line}{style:#}\n")
    };
    let added = |line: String| coloured(AnsiColor::Green, format!("+++ {line}"));
    let removed = |line: String| coloured(AnsiColor::Red, format!("--- {line}"));
    let (mut text, mut changes) = (String::new(), sealed.threshold() != threshold);
    match (sealed.threshold(), threshold) {
        (0, 0) => {}
        (old, new) if old == new => text.push_str(&format!("shamir_threshold: {new}\n")),
        (old, new) => {
            let line = |count: usize| (count > 0).then(|| format!("shamir_threshold: {count}"));
            text.extend(line(new).map(added).into_iter().chain(line(old).map(removed)));
        }
    }
    let names = |groups: &[Vec<MasterKey>], index: usize| -> Vec<String> {
        groups.get(index).into_iter().flatten().map(MasterKey::name).collect()
    };
    for index in 0..sealed.groups().len().max(wanted.len()) {
        let (old, new) = (names(sealed.groups(), index), names(wanted, index));
        let heading = Style::new().underline();
        text.push_str(&format!("{heading}Group {}{heading:#}\n", index + 1));
        text.extend(new.iter().filter(|name| old.contains(name)).map(|name| format!("    {name}\n")));
        let (come, go): (Vec<_>, Vec<_>) = (
            new.iter().filter(|name| !old.contains(name)).collect(),
            old.iter().filter(|name| !new.contains(name)).collect(),
        );
        changes |= !come.is_empty() || !go.is_empty();
        text.extend(come.into_iter().map(|name| added(name.clone())));
        text.extend(go.into_iter().map(|name| removed(name.clone())));
    }
    changes.then_some(text)
}

/// Asks until there is an answer; the end of standard input is none.
pub(in crate::cli) fn is_confirmed() -> Result<bool, Failure> {
    loop {
        print(b"Is this okay? (y/n):")?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).context("standard input")? == 0 {
            return Err(anyhow!("no answer; --yes goes on without").into());
        }
        match line.trim() {
            "y" => return Ok(true),
            "n" => return Ok(false),
            _ => {}
        }
    }
}

/// Progress, on standard error as with sops.
fn say(line: &str) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Change the key groups of a file: keys of several groups together open it.
#[derive(Args)]
pub(super) struct Groups {
    #[command(subcommand)]
    verb: GroupsVerb,
}

#[derive(Subcommand)]
enum GroupsVerb {
    /// Add a group.
    Add(Box<Add>),
    /// Delete a group.
    Delete(Delete),
}

/// The file whose groups change.
#[derive(Args)]
struct Grouped {
    /// The encrypted file.
    #[arg(short, long)]
    file: PathBuf,
    /// Write back to the file.
    #[arg(short, long)]
    in_place: bool,
    /// Key groups that it takes to open the file.
    #[arg(long, value_name = "NUMBER")]
    shamir_secret_sharing_threshold: Option<usize>,
}

#[derive(Args)]
struct Add {
    #[command(flatten)]
    grouped: Grouped,
    #[command(flatten)]
    recipients: Recipients,
}

#[derive(Args)]
struct Delete {
    #[command(flatten)]
    grouped: Grouped,
    /// Which group, from 0.
    index: usize,
}

impl Groups {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        match self.verb {
            GroupsVerb::Add(add) => {
                let keys = add.recipients.keys(&now())?;
                add.grouped.change(desk, |groups| {
                    groups.push(keys);
                    Ok(())
                })
            }
            GroupsVerb::Delete(Delete { grouped, index }) => grouped.change(desk, |groups| {
                anyhow::ensure!(index < groups.len(), "there is no group {index}: the file has {}", groups.len());
                groups.remove(index);
                Ok(())
            }),
        }
    }
}

impl Grouped {
    fn change(&self, desk: &Desk, change: impl FnOnce(&mut Vec<Vec<MasterKey>>) -> anyhow::Result<()>) -> Outcome {
        let format = format(None, &self.file);
        let mut sealed = load(&self.file, format)?;
        let mut groups = sealed.groups().to_vec();
        change(&mut groups)?;
        let given = self.shamir_secret_sharing_threshold.filter(|threshold| *threshold != 0);
        let threshold = given.unwrap_or(sealed.threshold());
        if groups.len() < threshold {
            let problem = "removing this key group will make the Shamir threshold impossible to satisfy";
            return Err(anyhow!("{problem}: it is {threshold}, and {} groups are left", groups.len()).into());
        }
        rewrap(&mut sealed, groups, threshold, desk.keys())?;
        let printed = printed(&sealed, format, desk.indents)?;
        if self.in_place { write(&self.file, &printed) } else { print(&printed) }
    }
}

/// Say whether a file is encrypted: {"encrypted":true}.
#[derive(Args)]
pub(super) struct FileStatus {
    /// The file.
    file: PathBuf,
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<String>,
}

impl FileStatus {
    pub(super) fn run(self) -> Outcome {
        if !input::exists(&self.file) {
            return Err(anyhow!("cannot check file status: {}: there is no such file", self.file.display()).into());
        }
        let bytes = input::read(Some(&self.file)).map_err(|error| Failure::new(code::UNREADABLE, error))?;
        let encrypted = match Sealed::load(&bytes, format(self.input_type.as_deref(), &self.file)) {
            Ok(sealed) => sealed.has_mac_and_version(),
            Err(Error::NotEncrypted) => false,
            Err(error) => return Err(anyhow!("cannot check file status: {error}").into()),
        };
        print(format!("{{\"encrypted\":{encrypted}}}\n").as_bytes())
    }
}
