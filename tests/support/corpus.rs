//! Finds the corpus and reports how much of it a suite ran. Included by path into the tests of every crate.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "each test binary uses a part of it, and what fails here stops the test"
)]

use std::path::{Path, PathBuf};

/// A part of the corpus, such as `yaml` or `tables/gotemplate.jsonl`; `None`, said loudly, on a checkout without it.
///
/// # Panics
/// With `CI=true`, where the corpus must be there.
pub fn corpus(part: &str) -> Option<PathBuf> {
    let path = root().join("../shared/corpus").join(part);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the corpus, but {} is missing", path.display());
    eprintln!("CORPUS MISSING: {} is not there; only the project's own cases run", path.display());
    None
}

/// Says how many cases of `suite` ran and passed; `make test` prints what all suites said. Then fails the test with
/// the names of the failed cases, unless there are none.
pub fn report(suite: &str, ran: usize, failed: &[String]) {
    report_besides(suite, ran, failed, 0);
}

/// As [`report`], for a suite of which some cases differ from the original for a named reason: they ran, they are not
/// failed, and they have not passed.
pub fn report_besides(suite: &str, ran: usize, failed: &[String], different: usize) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let besides = if different > 0 { format!(", {different} differ for a named reason") } else { String::new() };
    let line = format!("{suite}: {} of {ran} cases passed{besides}\n", ran - failed.len() - different);
    std::fs::write(folder.join(suite.replace('/', "-")), &line).expect("the target folder can be written");
    print!("{line}");
    assert!(failed.is_empty(), "{suite}: {} of {ran} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(ran > 0, "{suite}: no case ran");
}

/// The project's root, from whichever package the test stands in.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let above = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    above.expect("the package lies in the workspace").to_path_buf()
}
