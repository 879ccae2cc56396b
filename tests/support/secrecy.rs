//! The canary that stands in every secret value, and must be found nowhere. Included by path, beside `agent` and `testbed`.
//!
//! # Panics
//! Every function here: what fails stops the test, and its message says what was found.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::agent::Agent;
use super::testbed::Testbed;

/// How a canary begins: with characters that encodings escape.
pub const CANARY: &str = "canary\"<&>/é+ ";

/// Ends the agent, and looks for the canaries in everything that it left behind: its log, its metrics, its files, its
/// journal, every object and event of its namespace and of others, but for the Secrets that are meant to hold it.
pub fn end_without_a_leak(testbed: &Testbed, agent: &mut Agent<'_>, canaries: &[&str], others: &[&str]) {
    let forms: Vec<String> = canaries.iter().flat_map(|canary| forms(canary)).collect();
    let check = |what: &str, text: &str| {
        for form in &forms {
            assert!(!text.contains(form.as_str()), "{what} holds the canary as {form:?}");
        }
    };
    let metrics = agent.metrics();
    assert!(metrics.contains("gotk_reconcile_duration_seconds"), "it has measured what it did: {metrics}");
    check("a metric", &metrics);
    assert!(agent.stop(), "asked to end, the agent ends well");
    check("the log", &agent.log());
    files(&agent.cache()).iter().for_each(|(path, text)| check(path, text));
    let kinds = testbed.kubectl(&["api-resources", "--verbs=list", "--namespaced", "-o", "name"]);
    let kinds: Vec<&str> = kinds.lines().filter(|kind| *kind != "secrets" && *kind != "events").collect();
    let own = agent.namespace.as_str();
    for namespace in others.iter().copied().chain([own]) {
        let list =
            |kinds: &str| testbed.kubectl(&["get", kinds, "-n", namespace, "-o", "yaml", "--show-managed-fields"]);
        check("an object", &list(&kinds.join(",")));
        check("an event", &list("events"));
    }
    let journal = testbed.kubectl(&["get", "secrets", "-n", own, "-l", "lockstep.dev/journal", "-o", "json"]);
    let journal: Value = serde_json::from_str(&journal).expect("JSON");
    for entry in journal["items"].as_array().into_iter().flatten() {
        let bytes = STANDARD.decode(entry["data"]["entry"].as_str().expect("an entry")).expect("base64");
        check("the journal", &String::from_utf8_lossy(&bytes));
    }
    let leases = testbed.kubectl(&["get", "leases", "-n", own, "-o", "jsonpath={.items[*].spec.holderIdentity}"]);
    assert_eq!(leases, "", "the lease is given back");
}

/// The canary as encodings write it: the start of a value, so that every value with it is meant.
fn forms(canary: &str) -> Vec<String> {
    let json = serde_json::to_string(canary).expect("text");
    let escaped = json.trim_matches('"').to_owned();
    let url: String = canary
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let base64 = |skip: usize| {
        let text = STANDARD.encode(&canary.as_bytes()[skip..]);
        text[4..text.len() - 4].to_owned()
    };
    vec![canary.to_owned(), escaped, url, base64(0), base64(1), base64(2)]
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| {
            if path.is_dir() {
                return files(&path);
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            vec![(path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned())]
        })
        .collect()
}
