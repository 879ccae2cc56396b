//! `lockstep sops`: the commands of sops 3.13, with its flags, variables and exit codes.
//!
//! # Guarantees
//! A file is written whole or not at all: what fails leaves it as it was. Plaintext goes where it was asked for: to standard
//! output, into a named file, to the editor or the command that is run.

mod account;
mod change;
mod classic;
mod config;
mod decrypt;
mod edit;
mod encrypt;
mod exec;
mod input;
mod keys;
mod merge;
mod path;
mod private;
mod recipients;
mod update;
mod vaults;

use std::cell::OnceCell;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{ArgAction, Args, Subcommand};
use gotemplate::Environment as _;
use sops::{Action, Editing, Error, Format, Indents, KeyKind, Sealed};

use super::{Failure, Outcome, print, warn};
use crate::system::System;
pub(in crate::cli) use classic::with_verb;
pub(in crate::cli) use keys::Keys;
pub(in crate::cli) use update::is_confirmed;

/// Exit codes of sops for what goes wrong before a document is read, or after.
mod code {
    pub(super) const UNREADABLE: u8 = 2;
    pub(super) const UNWRITABLE: u8 = 3;
    pub(super) const VALUE: u8 = 7;
    pub(super) const CONFLICT: u8 = 8;
    pub(super) const NO_FILE_FOR_KEYS: u8 = 49;
    pub(super) const INTERRUPTED: u8 = 85;
    pub(super) const PATH: u8 = 91;
    pub(super) const NO_FILE: u8 = 100;
    pub(super) const DUPLICATE_KIND: u8 = 112;
    pub(super) const NOT_CHANGED: u8 = 200;
    pub(super) const EDITOR: u8 = 201;
}

/// Work with files that are encrypted with SOPS.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Configuration, instead of the .sops.yaml of this folder or of one above.
    #[arg(long, env = "SOPS_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Spaces a level in YAML and JSON.
    #[arg(long, value_name = "NUMBER", global = true)]
    indent: Option<usize>,
    /// Armored PGP keys, private or public. GnuPG is not run, and its keyrings are not read.
    #[arg(long, env = "SOPS_PGP_KEY_FILE", value_name = "FILE", global = true)]
    pgp_key: Vec<PathBuf>,
    #[command(flatten)]
    services: Services,
    #[command(subcommand)]
    verb: Verb,
}

/// Who opens data keys, and which are tried first.
#[derive(Args)]
struct Services {
    /// Kinds of keys to try first, such as kms,age; age,pgp when none are named.
    #[arg(long, env = "SOPS_DECRYPTION_ORDER", value_name = "KINDS", global = true)]
    decryption_order: Option<String>,
    #[arg(long, env = "SOPS_KEYSERVICE", value_name = "ADDRESS", global = true, hide = true)]
    keyservice: Vec<String>,
    #[arg(long, env = "SOPS_ENABLE_LOCAL_KEYSERVICE", num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", global = true, hide = true, action = ArgAction::Set)]
    enable_local_keyservice: bool,
}

impl Services {
    /// The order that is asked for.
    fn order(&self) -> Result<Option<Vec<KeyKind>>, Failure> {
        if !self.keyservice.is_empty() || !self.enable_local_keyservice {
            return Err(anyhow!("key services of sops are not supported: data keys are opened in this process").into());
        }
        let Some(order) = self.decryption_order.as_deref().filter(|order| !order.is_empty()) else { return Ok(None) };
        let mut kinds = Vec::new();
        for name in order.split(',') {
            match KeyKind::of_list(name) {
                Some(kind) if kinds.contains(&kind) => {
                    let problem = anyhow!("duplicate decryption key type: {name}");
                    return Err(Failure::new(code::DUPLICATE_KIND, problem));
                }
                Some(kind) => kinds.push(kind),
                None => warn(&format!("--decryption-order: there are no keys of kind '{name}'")),
            }
        }
        Ok(Some(kinds))
    }
}

#[derive(Subcommand)]
enum Verb {
    Decrypt(decrypt::Decrypt),
    Encrypt(encrypt::Encrypt),
    Edit(edit::Edit),
    Set(change::Set),
    Unset(change::Unset),
    Rotate(change::Rotate),
    #[command(name = "updatekeys")]
    UpdateKeys(update::UpdateKeys),
    Groups(update::Groups),
    #[command(name = "filestatus")]
    FileStatus(update::FileStatus),
    ExecEnv(exec::ExecEnv),
    ExecFile(exec::ExecFile),
    Diff(merge::Diff),
    Merge(merge::Merge),
    GitSetup(merge::GitSetup),
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        stay_in_memory()?;
        let config = config::find(self.config.as_deref())?;
        let mut indents = config::indents(config.as_ref());
        if let Some(indent) = self.indent {
            let yaml = if indent == 0 { Indents::default().yaml } else { indent };
            indents = Indents { yaml, json: Some(indent) };
        }
        let order = self.services.order()?;
        let desk = Desk { config, indents, pgp_keys: self.pgp_key, order, keys: OnceCell::new() };
        match self.verb {
            Verb::Decrypt(decrypt) => about(decrypt.file.clone(), decrypt.run(&desk)),
            Verb::Encrypt(encrypt) => about(encrypt.file.clone(), encrypt.run(&desk)),
            Verb::Edit(edit) => about(Some(edit.file.clone()), edit.run(&desk)),
            Verb::Set(set) => about(Some(set.file.clone()), set.run(&desk)),
            Verb::Unset(unset) => about(Some(unset.file.clone()), unset.run(&desk)),
            Verb::Rotate(rotate) => about(Some(rotate.file.clone()), rotate.run(&desk)),
            Verb::UpdateKeys(update) => update.run(&desk),
            Verb::Groups(groups) => groups.run(&desk),
            Verb::FileStatus(status) => status.run(),
            Verb::ExecEnv(exec) => exec.run(&desk),
            Verb::ExecFile(exec) => exec.run(&desk),
            Verb::Diff(diff) => diff.run(&desk),
            Verb::Merge(merge) => merge.run(&desk),
            Verb::GitSetup(setup) => setup.run(),
        }
    }
}

/// An outcome whose error names the file.
fn about<T>(file: Option<PathBuf>, outcome: Result<T, Failure>) -> Result<T, Failure> {
    outcome.map_err(|failure| match (file, failure.error) {
        (Some(file), Some(error)) => {
            let (file, said) = (file.display().to_string(), format!("{error:#}"));
            let error = if said.contains(&file) { error } else { anyhow!("{file}: {said}") };
            Failure { error: Some(error), ..failure }
        }
        (_, error) => Failure { error, ..failure },
    })
}

/// What all commands work with.
struct Desk {
    config: Option<config::Located>,
    indents: Indents,
    /// What `--pgp-key` names.
    pgp_keys: Vec<PathBuf>,
    order: Option<Vec<KeyKind>>,
    keys: OnceCell<Keys>,
}

impl Desk {
    /// The user's keys, read when the first command asks for them.
    fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| {
            let mut keys = Keys::read(&self.pgp_keys);
            self.order.iter().for_each(|order| keys.identities.set_order(order.clone()));
            keys
        })
    }
}

/// Keeps what is opened here out of a dump of the process and, where the system lets it, out of swap space: where locked
/// memory is limited, going beyond the limit would end the process.
#[cfg(target_os = "linux")]
pub(super) fn stay_in_memory() -> anyhow::Result<()> {
    use rustix::mm::MlockAllFlags;
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if has_no_lock_limit() {
        // Who has swap space and no lock is no worse off than with the original.
        let _ = rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
    Ok(())
}

/// Whether no limit is set, or none holds for this process: capabilities count in the user namespace of the system alone.
#[cfg(target_os = "linux")]
fn has_no_lock_limit() -> bool {
    use rustix::process::{Resource, getrlimit};
    use rustix::thread::{CapabilitySet, capabilities};
    let is_capable = || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let users = || std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_the_systems = || users().split_whitespace().eq(["0", "0", "4294967295"]);
    getrlimit(Resource::Memlock).current.is_none() || is_capable() && is_the_systems()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stay_in_memory() -> anyhow::Result<()> {
    Ok(())
}

/// How a file is read and written.
#[derive(Args)]
struct Types {
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<String>,
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    output_type: Option<String>,
}

impl Types {
    fn input(&self, name: &Path) -> Format {
        format(self.input_type.as_deref(), name)
    }

    fn output(&self, name: &Path) -> Format {
        format(self.output_type.as_deref(), name)
    }
}

/// The format that is told, or the one of a file's name.
fn format(told: Option<&str>, name: &Path) -> Format {
    told.and_then(Format::from_name).unwrap_or_else(|| Format::from_path(&name.to_string_lossy()))
}

/// Where an encrypted document goes.
#[derive(Args)]
struct Target {
    /// Write back to the file.
    #[arg(short, long)]
    in_place: bool,
    /// Write to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Target {
    /// Refuses two places.
    fn check(&self) -> Outcome {
        if self.in_place && self.output.is_some() {
            return Err(Failure::new(code::CONFLICT, anyhow!("cannot operate on both --output and --in-place")));
        }
        Ok(())
    }

    /// Writes to the place that was asked for, of which `file` is the one that was read.
    fn write(&self, file: Option<&Path>, bytes: &[u8]) -> Outcome {
        match if self.in_place { file } else { self.output.as_deref() } {
            None => print(bytes),
            Some(file) => write(file, bytes),
        }
    }
}

/// Replaces a file as a whole, as far as its folder allows another file beside it. Its permissions stay.
pub(in crate::cli) fn write(file: &Path, bytes: &[u8]) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::new(code::UNWRITABLE, anyhow::Error::new(error).context(file.display().to_string()))
    };
    // What stands behind a link is replaced, not the link; a pipe or a terminal is written to.
    let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let found = std::fs::metadata(&place);
    if found.as_ref().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(&place, bytes).map_err(failed);
    }
    // A file that may not be written is not replaced by another one either.
    if found.is_ok() {
        rustix::fs::access(&place, rustix::fs::Access::WRITE_OK).map_err(|error| failed(error.into()))?;
    }
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A new file is as the original makes it, the user's mask taken off. What replaces another is nobody else's until it
    // has that one's permissions.
    let first = Permissions::from_mode(if found.is_ok() { 0o600 } else { 0o666 });
    let mut beside = tempfile::Builder::new().permissions(first).tempfile_in(folder).map_err(failed)?;
    beside.write_all(bytes).map_err(failed)?;
    if let Ok(metadata) = found {
        beside.as_file().set_permissions(metadata.permissions()).map_err(failed)?;
    }
    beside.persist(&place).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Reads an encrypted document.
fn load(file: &Path, format: Format) -> Result<Sealed, Failure> {
    let bytes = input::read(Some(file)).map_err(|error| Failure::new(code::UNREADABLE, error))?;
    let sealed = Sealed::load(&bytes, format).and_then(|sealed| sealed.check_version().map(|()| sealed));
    sealed.map_err(|error| failure(error, Action::Decrypt))
}

/// Encrypts what was open, and prints it.
pub(in crate::cli) fn close(editing: Editing, format: Format, indents: Indents) -> Result<Vec<u8>, Failure> {
    let sealed =
        editing.close(&now(), &mut |bytes| System.fill(bytes)).map_err(|error| failure(error, Action::Encrypt))?;
    printed(&sealed, format, indents)
}

/// An encrypted document as a file.
fn printed(sealed: &Sealed, format: Format, indents: Indents) -> Result<Vec<u8>, Failure> {
    sealed.emit(format, indents).map_err(|error| failure(error, Action::Encrypt))
}

/// With the exit code of sops.
fn failure(error: Error, action: Action) -> Failure {
    Failure::new(error.exit_code(action), error)
}

/// The time of encryption.
pub(in crate::cli) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
