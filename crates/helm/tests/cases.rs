//! The project's own charts, each a folder: `in` is rendered as the command line in `origin` says, and gives
//! `expected.yaml` to the byte, or an error with every line of `expected.error`.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a case that cannot be read stops the test")]

#[path = "support/command.rs"]
mod command;
#[path = "support/disk.rs"]
#[expect(dead_code, reason = "other tests read lines")]
mod disk;
#[path = "support/world.rs"]
mod world;

use std::path::{Path, PathBuf};

use command::Command;
use disk::Disk;
use helm::Chart;

/// What stands in `origin` before the flags, after the line with the version.
const COMMAND: &str = "helm template rel in -n apps ";

fn cases() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap();
    let mut cases: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn render(case: &Path) -> Result<String, String> {
    let origin = std::fs::read_to_string(case.join("origin")).unwrap();
    let flags = origin.lines().nth(1).unwrap().strip_prefix(COMMAND).unwrap();
    let command = Command::parse("rel", "apps", flags.split(' '), &Disk::new(case), "")?;
    command.run(&Chart::load(&Disk::new(&case.join("in")), "").map_err(|error| error.to_string())?)
}

fn check(case: &Path) -> Result<(), String> {
    let expected = |name: &str| std::fs::read_to_string(case.join(name));
    match (render(case), expected("expected.yaml"), expected("expected.error")) {
        (Ok(output), Ok(wanted), _) if output == wanted => Ok(()),
        (Err(error), _, Ok(wanted)) if wanted.lines().all(|line| error.contains(line)) => Ok(()),
        (output, wanted, _) => Err(format!("got {output:?} for {wanted:?}")),
    }
}

#[test]
fn every_chart_renders_or_fails_as_in_helm() {
    // What `record` holds, `tests/record.rs` looks at.
    let cases: Vec<PathBuf> = cases().into_iter().filter(|case| !case.ends_with("record")).collect();
    let failed: Vec<String> =
        cases.iter().filter_map(|case| check(case).err().map(|why| format!("{}: {why}", case.display()))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(cases.len() >= 23, "only {} cases", cases.len());
}
