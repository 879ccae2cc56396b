//! Opens the encrypted files that it reads, a path each line, one after another in this process, and prints each plaintext
//! behind its length, or -1 where it fails: the engine's half of `tests/bench/sops.py`, which says what is compared.

#![expect(clippy::disallowed_methods, reason = "the benchmark reads files, and the key that a variable names")]

use std::error::Error;
use std::io::Write as _;

use sops::{Format, Identities, Indents, MacState, Plain, Sealed};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut identities = Identities::default();
    identities.add_age("SOPS_AGE_KEY_FILE", &std::fs::read_to_string(std::env::var("SOPS_AGE_KEY_FILE")?)?)?;
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

fn opened(path: &str, identities: &Identities) -> Result<Plain, Box<dyn Error>> {
    let format = Format::from_path(path);
    let opened = Sealed::load(&std::fs::read(path)?, format)?.open(identities, &|_| {})?;
    match opened.mac() {
        MacState::Valid => Ok(opened.emit(format, Indents::default())?),
        state => Err(state.into()),
    }
}
