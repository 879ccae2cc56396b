//! `lockstep sops`.

mod config;
mod keys;
mod path;
mod vaults;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use sops::{Action, Error, Format, Indents, MacState, Opened, Plain, Sealed, Step};

use super::{Failure, Outcome, print, warn};
use keys::Keys;

/// Exit codes of sops for what goes wrong before a document is read, or after.
mod code {
    pub(super) const UNREADABLE: u8 = 2;
    pub(super) const UNWRITABLE: u8 = 3;
    pub(super) const CONFLICT: u8 = 8;
    pub(super) const PATH: u8 = 91;
    pub(super) const NO_FILE: u8 = 100;
}

/// Open files that were encrypted with SOPS.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Configuration, instead of the .sops.yaml of this folder or of one above.
    #[arg(long, env = "SOPS_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Spaces a level in YAML and JSON.
    #[arg(long, value_name = "NUMBER", global = true)]
    indent: Option<usize>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Decrypt(Decrypt),
}

/// Print a file in the clear, as sops 3.13 does.
///
/// age identities are read from SOPS_AGE_KEY, from the file that SOPS_AGE_KEY_FILE names, and from
/// sops/age/keys.txt in the configuration folder of the user (~/.config). Programs are not run: SOPS_AGE_KEY_CMD
/// and age plugins are refused. Exit codes are those of sops: 51 for a MAC that does not match, 128 for a data
/// key that no identity opens.
#[derive(Args)]
#[command(
    after_help = "Example: one value\n  lockstep sops decrypt --extract '[\"stringData\"][\"password\"]' secret.yaml"
)]
struct Decrypt {
    /// The encrypted file; standard input when none is named.
    file: Option<PathBuf>,
    /// Write the plaintext back to the file.
    #[arg(short, long)]
    in_place: bool,
    /// Print a part alone, such as '["key"][0]'.
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    extract: Option<String>,
    /// Write to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<String>,
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    output_type: Option<String>,
    /// Print a file all the same that is not as it was when it was encrypted.
    #[arg(long)]
    ignore_mac: bool,
    /// Name that tells the formats, instead of the file's.
    #[arg(long, value_name = "FILE")]
    filename_override: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let Verb::Decrypt(decrypt) = self.verb;
        decrypt.check()?;
        let mut indents = config::indents(self.config.as_deref())?;
        if let Some(indent) = self.indent {
            let yaml = if indent == 0 { Indents::default().yaml } else { indent };
            indents = Indents { yaml, json: Some(indent) };
        }
        decrypt.run(indents)
    }
}

impl Decrypt {
    /// Refuses what cannot be done, before anything is read.
    fn check(&self) -> Outcome {
        let conflict = |problem: &'static str| Err(Failure::new(code::CONFLICT, anyhow!(problem)));
        match &self.file {
            None if self.in_place => conflict("cannot use --in-place when reading from standard input"),
            Some(_) if self.in_place && self.output.is_some() => {
                conflict("cannot operate on both --output and --in-place")
            }
            Some(file) if !file.exists() => {
                let error = anyhow!("cannot operate on non-existent file \"{}\"", file.display());
                Err(Failure::new(code::NO_FILE, error))
            }
            _ => Ok(()),
        }
    }

    fn run(self, indents: Indents) -> Outcome {
        let steps = path::steps(self.extract.as_deref().unwrap_or_default());
        let steps = steps.map_err(|error| Failure::new(code::PATH, error.context("--extract")))?;
        let bytes = read(self.file.as_deref()).map_err(|error| Failure::new(code::UNREADABLE, error))?;
        let name = self.filename_override.as_ref().or(self.file.as_ref());
        let name = name.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let format = |told: &Option<String>| {
            told.as_deref().and_then(Format::from_name).unwrap_or_else(|| Format::from_path(&name))
        };
        let opened = self.open(&bytes, format(&self.input_type))?;
        let plain = print_plain(&opened, &steps, format(&self.output_type), indents);
        let plain = plain.map_err(|error| Failure::new(error.exit_code(Action::Decrypt), error))?;
        let target = if self.in_place { self.file } else { self.output };
        match target {
            None => print(plain.bytes()),
            Some(file) => write(&file, &plain).map_err(|error| Failure::new(code::UNWRITABLE, error)),
        }
    }

    fn open(&self, bytes: &[u8], format: Format) -> Result<Opened, Failure> {
        let keys = Keys::read();
        let opened = Sealed::load(bytes, format).and_then(|sealed| {
            sealed.check_version()?;
            let opened = sealed.open(&keys.identities, &|_| {})?;
            match opened.mac() {
                MacState::Valid => Ok(opened),
                _ if self.ignore_mac => Ok(opened),
                state => Err(Error::Mac(state)),
            }
        });
        let opened = opened.map_err(|error| {
            let hint = if matches!(error, Error::DataKey(_)) { keys.hint() } else { String::new() };
            Failure::new(error.exit_code(Action::Decrypt), anyhow!("{error}{hint}"))
        })?;
        if opened.unsealed_comments() > 0 {
            warn("the file has comments that should be encrypted and are not");
        }
        Ok(opened)
    }
}

fn print_plain(opened: &Opened, steps: &[Step], format: Format, indents: Indents) -> Result<Plain, Error> {
    if steps.is_empty() { opened.emit(format, indents) } else { opened.extract(steps, format, indents) }
}

fn read(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let Some(file) = file else {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
        return Ok(bytes);
    };
    std::fs::read(file).with_context(|| file.display().to_string())
}

/// Writes plaintext where it was asked for: the one place that does.
fn write(file: &Path, plain: &Plain) -> anyhow::Result<()> {
    std::fs::write(file, plain.bytes()).with_context(|| file.display().to_string())
}
