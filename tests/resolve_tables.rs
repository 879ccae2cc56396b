//! The original's own answers: property paths.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]

#[path = "support/corpus.rs"]
mod corpus;

use lockstep::resolve::select;
use serde_json::Value;

/// The cases of one table, as JSON.
fn table(name: &str) -> Vec<Value> {
    let Some(path) = corpus::corpus(&format!("tables/{name}")) else { return Vec::new() };
    let text = std::fs::read_to_string(path).expect("the table can be read");
    text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("a case")).collect()
}

#[test]
fn properties_select_what_the_original_selects() {
    let cases = table("gjson.jsonl");
    let mut failed = Vec::new();
    for case in &cases {
        let (json, path) = (case["json"].as_str().expect("text"), case["path"].as_str().expect("a path"));
        let plain = case["fn"] == "gjson";
        let found = if plain { select::select(json, path) } else { select::property(json, path) };
        let expected = if plain {
            case["out"]["exists"].as_bool().expect("a flag").then(|| case["out"]["string"].as_str().expect("text"))
        } else {
            case["out"].as_str()
        };
        if found.as_ref().map(|found| found.as_str()) != expected {
            failed.push(format!("{}: {path}: {found:?} instead of {expected:?}", case["id"]));
        }
    }
    if !cases.is_empty() {
        corpus::report("resolve/gjson", cases.len(), &failed);
    }
}
