//! `lockstep sops set`, `unset` and `rotate`.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use gotemplate::Environment as _;
use sops::{Action, Error, MasterKey, Step};
use zeroize::Zeroizing;

use super::recipients::Changes;
use super::{Desk, Failure, Outcome, Target, Types, close, code, failure, input, load, now, path, write};
use crate::system::System;

/// Change one value of an encrypted file; all other values keep their ciphertext.
///
/// The value is JSON: a text stands in quotes. On the command line others may read it (`ps`); --value-stdin is for
/// secrets.
#[derive(Args)]
#[command(after_help = "Example: a password from a file\n  \
    lockstep sops set --value-file secret.yaml '[\"stringData\"][\"password\"]' password.json")]
pub(super) struct Set {
    /// The encrypted file.
    pub(super) file: PathBuf,
    /// The place of the value, such as '["key"][0]'.
    index: String,
    /// The value, as JSON; with --value-file the file that holds it.
    #[arg(allow_hyphen_values = true, required_unless_present = "value_stdin", conflicts_with = "value_stdin")]
    value: Option<String>,
    /// Read the value from the file that is named in its place.
    #[arg(long)]
    value_file: bool,
    /// Read the value from standard input.
    #[arg(long, conflicts_with = "value_file")]
    value_stdin: bool,
    /// Do not write the file when the value is there already.
    #[arg(long)]
    idempotent: bool,
    /// Change a file all the same that is not as it was when it was encrypted.
    #[arg(long)]
    ignore_mac: bool,
    #[command(flatten)]
    types: Types,
}

/// Take one value out of an encrypted file; all other values keep their ciphertext.
#[derive(Args)]
pub(super) struct Unset {
    /// The encrypted file.
    pub(super) file: PathBuf,
    /// The place of the value, such as '["key"][0]'.
    index: String,
    /// A value that is not there is no failure.
    #[arg(long)]
    idempotent: bool,
    /// Change a file all the same that is not as it was when it was encrypted.
    #[arg(long)]
    ignore_mac: bool,
    #[command(flatten)]
    types: Types,
}

/// Encrypt a file anew with a new data key, and add or remove keys that can open it.
///
/// Who could open the file before can still open what he has kept, and what is in the history of Git.
#[derive(Args)]
pub(super) struct Rotate {
    /// The encrypted file.
    pub(super) file: PathBuf,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    changes: Changes,
    /// Rotate a file all the same that is not as it was when it was encrypted.
    #[arg(long)]
    ignore_mac: bool,
    /// Name that tells the formats, instead of the file's.
    #[arg(long, value_name = "FILE")]
    filename_override: Option<PathBuf>,
    #[command(flatten)]
    types: Types,
}

fn steps(index: &str, verb: &'static str) -> Result<Vec<Step>, Failure> {
    let refused =
        |error: anyhow::Error| Failure::new(code::VALUE, error.context(format!("invalid {verb} index format")));
    path::steps(index).map_err(refused)
}

impl Set {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let steps = steps(&self.index, "set")?;
        let value = self.value()?;
        let sealed = load(&self.file, self.types.input(&self.file))?;
        let mut editing = desk.keys().open(sealed, self.ignore_mac)?;
        let changed = editing.set(&steps, &value).map_err(|error| match error {
            // Of the value, not of the file.
            Error::Malformed { problem, .. } => {
                Failure::new(code::VALUE, anyhow!("the value is not valid JSON: {problem}"))
            }
            error => failure(error, Action::Encrypt),
        })?;
        if !changed && self.idempotent {
            return Ok(());
        }
        write(&self.file, &close(editing, self.types.output(&self.file), desk.indents)?)
    }

    fn value(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let bytes = match &self.value {
            None => input::read(None)?,
            Some(file) if self.value_file => input::read(Some(Path::new(file)))?,
            Some(value) => value.clone().into_bytes(),
        };
        Ok(Zeroizing::new(bytes))
    }
}

impl Unset {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let steps = steps(&self.index, "unset")?;
        let sealed = load(&self.file, self.types.input(&self.file))?;
        let mut editing = desk.keys().open(sealed, self.ignore_mac)?;
        match editing.unset(&steps) {
            Err(Error::NoSuchPath { .. }) if self.idempotent => return Ok(()),
            taken => taken.map_err(|error| failure(error, Action::Encrypt))?,
        }
        write(&self.file, &close(editing, self.types.output(&self.file), desk.indents)?)
    }
}

impl Rotate {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        self.target.check()?;
        let (added, removed) = self.changes.keys(&now())?;
        let changes_keys = !added.is_empty() || !removed.is_empty();
        if changes_keys && !self.file.exists() {
            let problem = "cannot add or remove keys on a file that does not exist; `edit` makes one";
            return Err(Failure::new(code::NO_FILE_FOR_KEYS, anyhow!("{problem}: {}", self.file.display())));
        }
        let name = self.filename_override.as_ref().unwrap_or(&self.file);
        let sealed = load(&self.file, self.types.input(name))?;
        let mut editing = desk.keys().open(sealed, self.ignore_mac)?;
        exchange(editing.groups_mut(), added, &removed);
        let rotated = editing.rotate(&desk.keys().identities, &mut |bytes| System.fill(bytes));
        rotated.map_err(|error| failure(error, Action::Encrypt))?;
        self.target.write(Some(&self.file), &close(editing, self.types.output(name), desk.indents)?)
    }
}

/// Adds keys to the first group, and takes others out of all groups.
fn exchange(groups: &mut [Vec<MasterKey>], added: Vec<MasterKey>, removed: &[MasterKey]) {
    if let Some(first) = groups.first_mut() {
        first.extend(added);
    }
    let is_removed = |key: &MasterKey| removed.iter().any(|removed| removed.name() == key.name());
    for group in groups {
        group.retain(|key| !is_removed(key));
    }
}
