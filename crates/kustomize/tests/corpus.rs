//! The corpus of the original's own tests, of real repositories, and of cases made for each behaviour.

#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/tree.rs"]
mod tree;

use disk::DiskFiles;
use kustomize::{Options, Order, Restriction, build, print, to_yaml};
use manifest::Files;
use serde_json::Value;
use tree::{Suite, difference, inline_files, lines};

/// Where we say another cause: the original panics, or looks for what lies outside of a tree that we never leave.
const OTHER_CAUSES: [&str; 2] = ["panic: runtime error", "from '../ov1': open <case>/ov1: no such file or directory"];

/// Builds a folder and compares with what the original printed, in its two orders, or checks that both fail.
fn check(
    files: &dyn Files,
    folder: &str,
    options: &Options<'_>,
    expected: Result<(&str, Option<&Value>), &str>,
) -> Result<(), String> {
    let objects = match (build(files, folder, options), expected) {
        (Err(errors), Err(original)) if tree::says_the_cause(original, &errors.to_string()) => return Ok(()),
        (Err(_), Err(original)) if OTHER_CAUSES.iter().any(|cause| original.contains(cause)) => return Ok(()),
        (Err(errors), Err(original)) => return Err(format!("fails, but not as {original}\nbut: {errors}")),
        (Err(errors), Ok(_)) => return Err(format!("fails: {errors}")),
        (Ok(_), Err(error)) => return Err(format!("must fail: {error}")),
        (Ok(objects), Ok(_)) => objects,
    };
    let Ok((output, order)) = expected else { return Ok(()) };
    let printed = print(&objects);
    if printed != output {
        return Err(difference(output, &printed));
    }
    let Some(order) = order.and_then(Value::as_array) else { return Ok(()) };
    let sorted =
        build(files, folder, &Options { order: Order::Legacy, ..*options }).map_err(|errors| errors.to_string())?;
    let wanted: Vec<String> =
        order.iter().filter_map(Value::as_u64).filter_map(|at| objects.get(at as usize)).map(to_yaml).collect();
    let wanted = wanted.join("---\n");
    if wanted == print(&sorted) {
        Ok(())
    } else {
        Err(format!("legacy order: {}", difference(&wanted, &print(&sorted))))
    }
}

fn expectation(line: &Value) -> Result<(&str, Option<&Value>), &str> {
    match line["status"].as_str() {
        Some("ok") => Ok((line["output"].as_str().unwrap_or_default(), line.get("cli_order"))),
        _ => Err(line["error"].as_str().unwrap_or_default()),
    }
}

#[test]
fn made_cases_build_as_the_original_builds_them() {
    let Some(path) = corpus::corpus("kustomize/made.jsonl") else { return };
    let mut suite = Suite::new("kustomize/made");
    for line in lines(&path) {
        let folder = line["build"].as_str().unwrap_or(".");
        let outcome = check(&inline_files(&line), folder, &Options::default(), expectation(&line));
        suite.case(line["id"].as_str().unwrap_or_default(), outcome);
    }
    suite.report();
}

#[test]
fn upstream_cases_build_as_the_original_builds_them() {
    let Some(path) = corpus::corpus("kustomize/cases") else { return };
    let mut suite = Suite::new("kustomize/cases");
    for folder in DiskFiles(path.clone()).list("").expect("the corpus can be read") {
        let case = DiskFiles(path.join(&folder.name));
        let about = case.read("case.json", manifest::Purpose::Recipe).expect("case.json");
        let about: Value = serde_json::from_slice(about.bytes()).expect("JSON");
        let flags: Vec<&str> = about["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let free = flags.contains(&"LoadRestrictionsNone");
        let restriction = if free { Restriction::None } else { Restriction::RootOnly };
        let expected = case.read("expected.yaml", manifest::Purpose::Recipe);
        let text = expected.as_ref().ok().and_then(|content| content.text()).unwrap_or_default();
        let fails = about["kind"] != "ok" || about["verified"] == "must-fail";
        let expected = if fails { Err(about["error"].as_str().unwrap_or_default()) } else { Ok((text, None)) };
        let options = Options { restriction, ..Options::default() };
        let files = DiskFiles(path.join(&folder.name).join("in"));
        suite.case(&folder.name, check(&files, about["build"].as_str().unwrap_or_default(), &options, expected));
    }
    suite.report();
}

#[test]
fn folders_of_real_repositories_build_as_the_original_builds_them() {
    let Some(path) = corpus::corpus("kustomize/repos") else { return };
    let Some(repositories) = corpus::corpus("repos") else { return };
    let mut suite = Suite::new("kustomize/repos");
    for file in DiskFiles(path.clone()).list("").expect("the corpus can be read") {
        let name = file.name.trim_end_matches(".jsonl.gz");
        let files = DiskFiles(repositories.join(name));
        for line in lines(&path.join(&file.name)) {
            let folder = line["dir"].as_str().unwrap_or_default();
            suite.case(&format!("{name}/{folder}"), check(&files, folder, &Options::default(), expectation(&line)));
        }
    }
    suite.report();
}
