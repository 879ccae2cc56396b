//! `lockstep sops decrypt`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use sops::{Action, Error, Format, Indents, MacState, Opened, Plain, Sealed, Step};

use super::keys::Keys;
use super::{Desk, Failure, Outcome, Target, Types, code, failure, input, path, warn};

/// Print a file in the clear, as sops 3.13 does.
///
/// age identities are read from SOPS_AGE_KEY, from the file that SOPS_AGE_KEY_FILE names, and from
/// sops/age/keys.txt in the configuration folder of the user (~/.config); SSH keys from
/// SOPS_AGE_SSH_PRIVATE_KEY_FILE, ~/.ssh/id_ed25519 and ~/.ssh/id_rsa; PGP keys from --pgp-key. Passphrases are asked for
/// on the terminal, once a file is for such a key.
///
/// Key vaults are asked as the clouds' own tools find out who you are: Azure by AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET,
/// AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, or a managed identity; AWS by AWS_ACCESS_KEY_ID and
/// AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE, a profile (AWS_PROFILE), or what a container or an instance has;
/// Google by GOOGLE_CREDENTIALS, GOOGLE_OAUTH_ACCESS_TOKEN, GOOGLE_APPLICATION_CREDENTIALS, gcloud's file or the
/// metadata server; Vault by VAULT_TOKEN. Programs are not run: SOPS_AGE_KEY_CMD, GnuPG, age plugins,
/// credential_process and az are not asked. Exit codes are those of sops: 51 for a MAC that does not match, 128 for a data
/// key that no identity opens. A file may be named as it was in a commit: HEAD~1:apps/secret.yaml.
#[derive(Args)]
#[command(
    after_help = "Example: one value\n  lockstep sops decrypt --extract '[\"stringData\"][\"password\"]' secret.yaml"
)]
pub(super) struct Decrypt {
    /// The encrypted file; standard input when none is named.
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// Print a part alone, such as '["key"][0]'.
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    extract: Option<String>,
    #[command(flatten)]
    types: Types,
    /// Print a file all the same that is not as it was when it was encrypted.
    #[arg(long)]
    ignore_mac: bool,
    /// Name that tells the formats, instead of the file's.
    #[arg(long, value_name = "FILE")]
    filename_override: Option<PathBuf>,
}

impl Decrypt {
    /// Refuses what cannot be done, before anything is read.
    fn check(&self) -> Outcome {
        match &self.file {
            None if self.target.in_place => {
                let problem = anyhow!("cannot use --in-place when reading from standard input");
                Err(Failure::new(code::CONFLICT, problem))
            }
            None => Ok(()),
            Some(file) => {
                self.target.check()?;
                if input::exists(file) {
                    return Ok(());
                }
                let error = anyhow!("cannot operate on non-existent file \"{}\"", file.display());
                Err(Failure::new(code::NO_FILE, error))
            }
        }
    }

    pub(super) fn run(self, desk: &Desk) -> Outcome {
        self.check()?;
        let steps = path::steps(self.extract.as_deref().unwrap_or_default());
        let steps = steps.map_err(|error| Failure::new(code::PATH, error.context("--extract")))?;
        let bytes = input::read(self.file.as_deref()).map_err(|error| Failure::new(code::UNREADABLE, error))?;
        let name = self.filename_override.clone().or(self.file.clone()).unwrap_or_default();
        let opened = open(desk.keys(), &bytes, self.types.input(&name), self.ignore_mac)?;
        let plain = print_plain(&opened, &steps, self.types.output(&name), desk.indents);
        let plain = plain.map_err(|error| failure(error, Action::Decrypt))?;
        self.target.write(self.file.as_deref(), plain.bytes())
    }
}

/// Opens a document to be read; one that is not as it was when it was encrypted is refused, unless that does not matter.
pub(super) fn open(keys: &Keys, bytes: &[u8], format: Format, ignores_mac: bool) -> Result<Opened, Failure> {
    let opened = Sealed::load(bytes, format).and_then(|sealed| {
        sealed.check_version()?;
        let opened = sealed.open(&keys.identities, &|_| {})?;
        match opened.mac() {
            MacState::Valid => Ok(opened),
            _ if ignores_mac => Ok(opened),
            state => Err(Error::Mac(state)),
        }
    });
    let opened = opened.map_err(|error| keys.failure(error, Action::Decrypt))?;
    if opened.unsealed_comments() > 0 {
        warn("the file has comments that should be encrypted and are not");
    }
    Ok(opened)
}

fn print_plain(opened: &Opened, steps: &[Step], format: Format, indents: Indents) -> Result<Plain, Error> {
    if steps.is_empty() { opened.emit(format, indents) } else { opened.extract(steps, format, indents) }
}
