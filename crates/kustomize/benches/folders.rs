//! Builds the folders that it reads, a line each, one after another in this process, and prints each output behind its
//! length, or -1 where it fails: the engine's half of `tests/bench/kustomize.py`, which says what is compared.

#[path = "../tests/support/disk.rs"]
mod disk;

use std::error::Error;
use std::io::Write as _;

use disk::DiskFiles;
use kustomize::{Options, build, print};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for folder in std::io::stdin().lines() {
        let folder = folder?;
        match build(&DiskFiles("/".into()), folder.trim_start_matches('/'), &Options::default()) {
            Err(errors) => {
                writeln!(std::io::stderr(), "{folder}: {errors}")?;
                writeln!(out, "-1")?;
            }
            Ok(objects) => {
                let text = print(&objects);
                writeln!(out, "{}", text.len())?;
                out.write_all(text.as_bytes())?;
            }
        }
    }
    Ok(out.flush()?)
}
