//! Folders of the corpus, changed at random, built beside the original's command: the same bytes, or both refuse.
//! `ROUNDS` in the environment says how many rounds of fifty, `FROM` with which it begins.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here stops the test"
)]

#[path = "beside/change.rs"]
mod change;
#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "../../../tests/support/dice.rs"]
mod dice;
#[path = "support/disk.rs"]
mod disk;
#[path = "beside/patch.rs"]
mod patch;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use change::Draft;
use dice::Dice;
use disk::DiskFiles;
use kustomize::{Options, build, print};
use manifest::{EntryKind, Files as _};
use tree::{Suite, difference, lines};

/// Folders that are changed in a round, and rounds, unless `ROUNDS` says.
const FOLDERS: usize = 50;
const ROUNDS: u64 = 4;

#[test]
#[ignore = "runs the original's command, which tests/testbed/build.sh builds"]
fn folders_changed_at_random_build_as_the_original_builds_them() {
    let (Some(repositories), Some(cases)) = (corpus::corpus("kustomize/repos"), corpus::corpus("kustomize/cases"))
    else {
        return;
    };
    let original = original();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("beside");
    let _ = std::fs::remove_dir_all(&root);
    copy(&corpus::corpus("repos").expect("beside kustomize/repos"), &root.join("repos"));
    copy(&cases, &root.join("cases"));
    let from = number("FROM", 0);
    let (mut suite, mut built, mut named) = (Suite::new("kustomize/changed"), 0, 0);
    for round in from..from + number("ROUNDS", ROUNDS) {
        for (at, folder) in chosen(&repositories, &cases, round).into_iter().enumerate() {
            let seed = round * 1000 + at as u64;
            let outcome = changed(&original, &root, &folder, seed);
            built += usize::from(outcome == Ok(Same::Built));
            named += usize::from(outcome == Ok(Same::ButForAName));
            suite.case(&format!("{folder} changed by {seed}"), outcome.map(drop));
        }
    }
    println!("{built} are built by both, {named} differ for a named reason, the others are refused by both");
    assert!(built * 3 > FOLDERS, "hardly anything is built any more");
    suite.report();
}

/// Some folders of real repositories, and some of the original's own tests, which use more of it: others each round.
fn chosen(repositories: &Path, cases: &Path, round: u64) -> Vec<String> {
    let mut real = Vec::new();
    for file in DiskFiles(repositories.to_owned()).list("").expect("the corpus can be read") {
        let name = file.name.trim_end_matches(".jsonl.gz");
        let folders = lines(&repositories.join(&file.name)).into_iter().filter(|line| line["status"] == "ok");
        real.extend(folders.map(|line| format!("repos/{name}/{}", line["dir"].as_str().unwrap_or_default())));
    }
    let mut made = Vec::new();
    for case in DiskFiles(cases.to_owned()).list("").expect("the corpus can be read") {
        let about = std::fs::read(cases.join(&case.name).join("case.json")).expect("case.json");
        let about: serde_json::Value = serde_json::from_slice(&about).expect("JSON");
        if about["kind"] == "ok" && about["verified"] == "byte-equal" {
            let folder =
                manifest::normalize(&case.name, &format!("in/{}", about["build"].as_str().unwrap_or_default()));
            made.push(format!("cases/{}", folder.expect("a folder of the case")));
        }
    }
    let some = |of: Vec<String>, count: usize| {
        let step = of.len() / count;
        of.into_iter().skip(round as usize % step).step_by(step).take(count).collect::<Vec<_>>()
    };
    [some(real, FOLDERS / 2), some(made, FOLDERS / 2)].concat()
}

/// How both agree.
#[derive(Debug, PartialEq)]
enum Same {
    Built,
    Refused,
    /// They do not, for a reason that is known: the original panics, or takes the hash of its parser's memory.
    ButForAName,
}

/// Changes a folder, builds it by both, and puts everything back.
fn changed(original: &Path, root: &Path, folder: &str, seed: u64) -> Result<Same, String> {
    let files = DiskFiles(root.to_owned());
    let Some(mut draft) = Draft::of(&files, folder) else { return Ok(Same::Refused) };
    let mut dice = Dice(seed);
    for _ in 0..10 {
        dice.below(2);
    }
    draft.change(&mut dice);
    let was = write(root, &draft.texts());
    let expected = Command::new(original)
        .args(["build", "--load-restrictor", "LoadRestrictionsNone", "--reorder", "none"])
        .arg(root.join(&draft.folder))
        .output()
        .expect("the original's command runs");
    let expected = (expected.status.success())
        .then(|| String::from_utf8_lossy(&expected.stdout).into_owned())
        .ok_or_else(|| String::from_utf8_lossy(&expected.stderr).into_owned());
    let built = build(&files, &draft.folder, &Options::default());
    let told = compare(expected, built.map(|objects| print(&objects)).map_err(|errors| errors.to_string()));
    restore(root, was);
    told.map_err(|why| format!("{why}\n{draft}"))
}

fn compare(expected: Result<String, String>, built: Result<String, String>) -> Result<Same, String> {
    match (expected, built) {
        (Ok(expected), Ok(built)) if expected == built => Ok(Same::Built),
        (Ok(expected), Ok(built)) => Err(difference(&expected, &built)),
        (Ok(_), Err(error)) if error.contains("cannot be made from its content") => Ok(Same::ButForAName),
        (Ok(_), Err(error)) => Err(format!("fails: {error}")),
        (Err(error), _) if error.contains("panic: ") => Ok(Same::ButForAName),
        (Err(error), Ok(_)) => Err(format!("must fail: {error}")),
        (Err(_), Err(_)) => Ok(Same::Refused),
    }
}

fn number(name: &str, unless_said: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(unless_said)
}

/// Files by path, with what they hold; `None` for one that is not there.
type Texts = BTreeMap<String, Option<String>>;

/// Writes files, and gives what was there.
fn write(root: &Path, texts: &Texts) -> Texts {
    let mut was = Texts::new();
    for (path, text) in texts {
        let file = root.join(path);
        was.insert(path.clone(), std::fs::read_to_string(&file).ok());
        match text {
            Some(text) => {
                std::fs::create_dir_all(file.parent().expect("a folder")).expect("the target folder can be written");
                std::fs::write(&file, text).expect("the target folder can be written");
            }
            None => drop(std::fs::remove_file(&file)),
        }
    }
    was
}

fn restore(root: &Path, was: Texts) {
    write(root, &was);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target folder can be written");
    for entry in DiskFiles(from.to_owned()).list("").expect("the corpus can be read") {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        match entry.kind {
            EntryKind::Folder => copy(&from, &to),
            // A link may lead nowhere.
            _ => drop(std::fs::copy(&from, &to)),
        }
    }
}

/// The original's command.
fn original() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools");
    let built = Command::new(project.join("tests/testbed/build.sh")).arg(&tools).arg("kustomize").status();
    assert!(built.expect("bash runs").success(), "kustomize could not be built");
    tools.join("kustomize")
}
