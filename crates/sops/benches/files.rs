//! Opens the encrypted files that it reads, a path each line, one after another in this process, and prints each plaintext
//! behind its length, or -1 where it fails: the engine's half of `tests/bench/sops.py`, which says what is compared.

#![expect(clippy::disallowed_methods, reason = "the benchmark reads files, and the keys that variables name")]

use std::error::Error;
use std::io::Write as _;

use sops::{Format, Identities, Indents, MacState, Plain, Sealed};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let identities = identities()?;
    for path in std::io::stdin().lines() {
        let path = path?;
        match opened(&path, &identities) {
            Err(error) => {
                writeln!(std::io::stderr(), "{path}: {error}")?;
                writeln!(out, "-1")?;
            }
            Ok(plain) => {
                writeln!(out, "{}", plain.bytes().len())?;
                out.write_all(plain.bytes())?;
            }
        }
    }
    Ok(out.flush()?)
}

/// What the variables name, which are those of the command.
fn identities() -> Result<Identities, Box<dyn Error>> {
    let mut identities = Identities::default();
    for variable in ["SOPS_AGE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_PGP_KEY_FILE"] {
        let Ok(path) = std::env::var(variable) else { continue };
        let text = std::fs::read_to_string(path)?;
        match variable {
            "SOPS_AGE_KEY_FILE" => identities.add_age(variable, &text)?,
            "SOPS_PGP_KEY_FILE" => identities.add_pgp(variable, &text)?,
            _ => identities.add_ssh(variable, &text)?,
        }
    }
    Ok(identities)
}

fn opened(path: &str, identities: &Identities) -> Result<Plain, Box<dyn Error>> {
    let format = Format::from_path(path);
    let opened = Sealed::load(&std::fs::read(path)?, format)?.open(identities, &|_| {})?;
    match opened.mac() {
        MacState::Valid => Ok(opened.emit(format, Indents::default())?),
        state => Err(state.into()),
    }
}
