//! Flux Kustomizations, built and substituted as kustomize-controller does it, against what it printed.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "../crates/kustomize/tests/support/disk.rs"]
mod disk;
#[path = "../crates/kustomize/tests/support/tree.rs"]
mod tree;

use disk::DiskFiles;
use kustomize::Options;
use lockstep::substitute::template::expand;
use lockstep::substitute::{Unset, Variables, all, value_of};
use manifest::Files;
use serde_json::Value;
use tree::{Suite, difference, inline_files, lines};

fn variables(map: &Value, read: fn(&str) -> String) -> Variables {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), read(value.as_str().unwrap_or_default()))).collect()
}

fn unset(line: &Value) -> Unset {
    if line["strict"] == true { Unset::Error } else { Unset::Empty }
}

/// Builds a Flux Kustomization up to the text that is applied.
fn build(files: &dyn Files, line: &Value) -> Result<String, String> {
    let spec = &line["kustomization"]["spec"];
    let path = spec["path"].as_str().unwrap_or_default();
    let objects =
        kustomize::flux::build(files, path, spec, &Options::default()).map_err(|errors| errors.to_string())?;
    let variables = variables(&spec["postBuild"]["substitute"], value_of);
    if variables.is_empty() {
        return Ok(kustomize::print(&objects));
    }
    let objects = all(objects, &variables, unset(line)).map_err(|errors| format!("{errors:?}"))?;
    Ok(kustomize::print(&objects))
}

fn check(files: &dyn Files, line: &Value) -> Result<(), String> {
    match (build(files, line), line["output"].as_str()) {
        (Ok(printed), Some(expected)) if printed == expected => Ok(()),
        (Ok(printed), Some(expected)) => Err(difference(expected, &printed)),
        (Err(error), Some(_)) => Err(format!("fails: {error}")),
        (Ok(_), None) => Err(format!("must fail: {}", line["error"])),
        (Err(_), None) => Ok(()),
    }
}

#[test]
fn made_kustomizations_build_as_flux_builds_them() {
    let Some(path) = corpus::corpus("flux/made.jsonl") else { return };
    let mut suite = Suite::new("flux/made");
    for line in lines(&path) {
        suite.case(line["id"].as_str().unwrap_or_default(), check(&inline_files(&line), &line));
    }
    suite.report();
}

#[test]
fn kustomizations_of_real_repositories_build_as_flux_builds_them() {
    let Some(path) = corpus::corpus("flux/repos.jsonl.gz") else { return };
    let Some(repositories) = corpus::corpus("repos") else { return };
    let mut suite = Suite::new("flux/repos");
    for line in lines(&path) {
        let files = DiskFiles(repositories.join(line["root"].as_str().unwrap_or_default()));
        suite.case(line["id"].as_str().unwrap_or_default(), check(&files, &line));
    }
    suite.report();
}

#[test]
fn templates_expand_as_flux_expands_them() {
    use base64::Engine as _;
    let Some(path) = corpus::corpus("tables/envsubst.jsonl") else { return };
    let mut suite = Suite::new("tables/envsubst");
    for line in lines(&path) {
        let outcome = expand(
            line["text"].as_str().unwrap_or_default(),
            &variables(&line["vars"], |value| value.into()),
            unset(&line),
        );
        let expected = match (line["out"].as_str(), line["out_b64"].as_str()) {
            (Some(text), _) => Ok(text.as_bytes().to_vec()),
            (None, Some(text)) => Ok(base64::engine::general_purpose::STANDARD.decode(text).expect("base64")),
            (None, None) => Err(line["error"].as_str().unwrap_or_default()),
        };
        let result = match (&outcome, &expected) {
            (Ok(found), Ok(wanted)) if found == wanted => Ok(()),
            (Err(error), Err(wanted)) if error.to_string() == *wanted => Ok(()),
            _ => Err(format!("expected {expected:?}, got {outcome:?}")),
        };
        suite.case(line["id"].as_str().unwrap_or_default(), result);
    }
    suite.report();
}
