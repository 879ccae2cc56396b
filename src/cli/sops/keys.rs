//! Identities of the user, where sops looks for them.

use std::env;
use std::path::PathBuf;

use sops::Identities;
use zeroize::Zeroizing;

/// Identities, and what is wrong with the places that have some. That is told when a file does not open alone: one good
/// identity is enough.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) identities: Identities,
    problems: Vec<String>,
}

impl Keys {
    /// Reads all places.
    pub(super) fn read() -> Self {
        let mut keys = Self::default();
        if let Ok(text) = env::var("SOPS_AGE_KEY").map(Zeroizing::new) {
            keys.add("SOPS_AGE_KEY", &one_a_line(&text));
        }
        if let Some(path) = env::var_os("SOPS_AGE_KEY_FILE") {
            keys.add_file("SOPS_AGE_KEY_FILE", PathBuf::from(path));
        }
        if let Some(path) = users_file().filter(|path| path.exists()) {
            keys.add_file(&path.display().to_string(), path.clone());
        }
        for refused in ["SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"] {
            if env::var_os(refused).is_some() {
                keys.problems.push(format!("{refused} names a program, and none is run: put the key into a file"));
            }
        }
        if env::var_os("SOPS_AGE_SSH_PRIVATE_KEY_FILE").is_some() {
            keys.problems.push("SOPS_AGE_SSH_PRIVATE_KEY_FILE: SSH keys are not supported yet".to_owned());
        }
        keys
    }

    /// What may be the reason that a file does not open, to be put behind the error.
    pub(super) fn hint(&self) -> String {
        if self.problems.is_empty() { String::new() } else { format!(" ({})", self.problems.join("; ")) }
    }

    fn add(&mut self, place: &str, text: &str) {
        let added = self.identities.add_age(place, text);
        self.problems.extend(added.err().map(|error| error.to_string()));
    }

    fn add_file(&mut self, place: &str, path: PathBuf) {
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => self.add(place, &text),
            Err(error) => self.problems.push(format!("{place}: {}: {error}", path.display())),
        }
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
