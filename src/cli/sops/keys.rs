//! Identities of the user, where sops looks for them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use sops::{Action, Editing, Error, Identities, IdentityError, MacState, Prompt, Sealed};
use zeroize::Zeroizing;

use super::Failure;
use super::vaults::OnDemand;
use crate::cli::warn;

/// Identities, and what is wrong with the places that have some. That is told when a file does not open alone: one good
/// identity is enough.
#[derive(Default)]
pub(in crate::cli) struct Keys {
    pub(in crate::cli) identities: Identities,
    problems: Vec<String>,
    /// Places that have none.
    empty: Vec<String>,
}

impl Keys {
    /// Reads all places, where no flag names a file.
    pub(in crate::cli) fn of_environment() -> Self {
        let named = env::var_os("SOPS_PGP_KEY_FILE").map(PathBuf::from);
        Self::read(&named.into_iter().collect::<Vec<_>>())
    }

    /// Reads all places, and armored PGP keys from files.
    pub(super) fn read(pgp: &[PathBuf]) -> Self {
        let mut keys = Self::default();
        keys.identities.set_prompt(Arc::new(Terminal));
        keys.read_ssh();
        match env::var("SOPS_AGE_KEY").map(Zeroizing::new) {
            Ok(text) => keys.add("SOPS_AGE_KEY", |identities| identities.add_age("SOPS_AGE_KEY", &one_a_line(&text))),
            Err(_) => keys.empty.push("SOPS_AGE_KEY".to_owned()),
        }
        keys.add_named("SOPS_AGE_KEY_FILE", Identities::add_age_file);
        keys.read_pgp(pgp);
        if let Some(path) = users_file() {
            keys.add_usual(&path, Identities::add_age_file);
        }
        for refused in ["SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"] {
            if env::var_os(refused).is_some() {
                keys.problems.push(format!("{refused} names a program, and none is run: put the key into a file"));
            }
        }
        keys.identities.set_service(Arc::new(OnDemand::default()));
        keys
    }

    /// Ours: GnuPG is a program, and its keyrings are not read.
    fn read_pgp(&mut self, files: &[PathBuf]) {
        if files.is_empty() {
            self.empty.push("--pgp-key and SOPS_PGP_KEY_FILE".to_owned());
        }
        files.iter().for_each(|file| self.add_file("--pgp-key", file, add_pgp));
    }

    fn read_ssh(&mut self) {
        self.add_named("SOPS_AGE_SSH_PRIVATE_KEY_FILE", add_ssh);
        let Some(home) = env::home_dir().filter(|home| !home.as_os_str().is_empty()) else { return };
        for name in ["id_ed25519", "id_rsa"] {
            self.add_usual(&home.join(".ssh").join(name), add_ssh);
        }
    }

    /// Opens a document for changes; one that is not as it was when it was encrypted is refused, unless that does not matter.
    pub(in crate::cli) fn open(&self, sealed: Sealed, ignores_mac: bool) -> Result<Editing, Failure> {
        let failed = |error| self.failure(error, Action::Decrypt);
        let editing = sealed.edit(&self.identities).map_err(failed)?;
        match editing.mac() {
            MacState::Valid => Ok(editing),
            _ if ignores_mac => Ok(editing),
            state => Err(failed(Error::Mac(state))),
        }
    }

    /// With the exit code of sops, and what may be wrong with the keys where none fits.
    pub(in crate::cli) fn failure(&self, error: Error, action: Action) -> Failure {
        let hint = if matches!(error, Error::DataKey(_)) { self.hint() } else { String::new() };
        Failure::new(error.exit_code(action), anyhow!("{error}{hint}"))
    }

    /// What may be the reason that a file does not open, to be put behind the error.
    fn hint(&self) -> String {
        let mut reasons = self.problems.clone();
        if self.identities.names().is_empty() {
            reasons.push(format!("nothing in {}", self.empty.join(", ")));
        }
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
    }

    fn add(&mut self, place: &str, read: impl FnOnce(&mut Identities) -> Result<(), IdentityError>) {
        let before = self.identities.names().len();
        match read(&mut self.identities) {
            Err(error) => self.problems.push(error.to_string()),
            Ok(()) if self.identities.names().len() == before => self.empty.push(place.to_owned()),
            Ok(()) => {}
        }
    }

    /// The file that a variable names, which must be there.
    fn add_named(&mut self, variable: &str, read: Read) {
        match env::var_os(variable) {
            Some(path) => self.add_file(variable, Path::new(&path), read),
            None => self.empty.push(variable.to_owned()),
        }
    }

    /// A file that is read wherever there is one.
    fn add_usual(&mut self, path: &Path, read: Read) {
        let place = path.display().to_string();
        if path.exists() { self.add_file(&place, path, read) } else { self.empty.push(place) }
    }

    fn add_file(&mut self, place: &str, path: &Path, read: Read) {
        match std::fs::read(path).map(Zeroizing::new) {
            Ok(bytes) => self.add(place, |identities| read(identities, place, &bytes)),
            Err(error) => self.problems.push(format!("{place}: {}: {error}", path.display())),
        }
    }
}

/// How the file of a place, with its name, becomes identities.
type Read = fn(&mut Identities, &str, &[u8]) -> Result<(), IdentityError>;

fn add_ssh(identities: &mut Identities, place: &str, file: &[u8]) -> Result<(), IdentityError> {
    identities.add_ssh(place, &Zeroizing::new(String::from_utf8_lossy(file).into_owned()))
}

fn add_pgp(identities: &mut Identities, place: &str, file: &[u8]) -> Result<(), IdentityError> {
    identities.add_pgp(place, &Zeroizing::new(String::from_utf8_lossy(file).into_owned()))
}

/// Asks on the terminal of the process, whatever its standard input is.
struct Terminal;

impl Prompt for Terminal {
    fn passphrase(&self, file: &str) -> Option<Zeroizing<String>> {
        match rpassword::prompt_password(format!("Enter passphrase for \"{file}\": ")) {
            Ok(passphrase) => Some(Zeroizing::new(passphrase)),
            Err(error) => {
                warn(&format!("could not read the passphrase for {file}: {error}"));
                None
            }
        }
    }

    fn refused(&self, file: &str) {
        warn(&format!("incorrect passphrase for {file}"));
    }
}

/// A variable may hold several identities on a line.
fn one_a_line(text: &str) -> Zeroizing<String> {
    let mut lines = Zeroizing::new(String::with_capacity(text.len() + 1));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for word in line.split_whitespace() {
            lines.push_str(word);
            lines.push('\n');
        }
    }
    lines
}

/// `sops/age/keys.txt` in the configuration folder of the user.
fn users_file() -> Option<PathBuf> {
    let named = env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let usual = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    let folder = named.or_else(|| Some(env::home_dir()?.join(usual)))?;
    Some(folder.join("sops/age/keys.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_holds_several_identities_on_a_line() {
        assert_eq!(*one_a_line("# mine\nA B\n\n C\t\n"), "A\nB\nC\n");
    }
}
