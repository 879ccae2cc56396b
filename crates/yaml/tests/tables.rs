//! The tables of the corpus: what Go's libraries made of each input.

#[path = "../../../tests/support/corpus.rs"]
mod corpus;

use corpus::{corpus, report};
use serde_json::Value;
use yaml::json::{self, Html};

/// Rows whose JSON is the same and only written in another way: Go escapes the replacement character where it stands
/// for bytes that are no UTF-8 (a decoded `!!binary`), and leaves it as it is elsewhere. A value cannot tell the two.
const SAME_JSON: [&str; 1] = ["565N-0"];

#[expect(clippy::disallowed_methods, clippy::expect_used, reason = "a test reads its cases")]
fn rows(table: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(corpus(table)?).expect("the table can be read");
    let rows = text.split('\n').filter(|line| !line.is_empty());
    Some(rows.map(|line| serde_json::from_str(line).expect("a row is JSON")).collect())
}

fn text<'r>(row: &'r Value, field: &str) -> &'r str {
    row[field].as_str().unwrap_or_default()
}

/// Runs all rows of a function and reports those whose result is another one.
fn check(suite: &str, table: &str, function: &str, run: impl Fn(&Value) -> Result<String, String>) {
    let Some(rows) = rows(table) else { return };
    let rows: Vec<_> = rows.iter().filter(|row| row["fn"] == function).collect();
    let failed: Vec<String> = rows.iter().filter_map(|row| complaint(row, run(row))).collect();
    report(suite, rows.len(), &failed);
}

fn complaint(row: &Value, ours: Result<String, String>) -> Option<String> {
    let theirs = match row.get("error") {
        Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
        None => Ok(text(row, "out").to_owned()),
    };
    let theirs = match theirs {
        Ok(out) if SAME_JSON.contains(&text(row, "id")) => Ok(out.replace("\\ufffd", "\u{FFFD}")),
        theirs => theirs,
    };
    (ours != theirs).then(|| format!("{}: ours {ours:?}\n   theirs {theirs:?}\n   input {:?}", text(row, "id"), row))
}

fn to_json(row: &Value) -> Result<String, String> {
    let read = if row["strict"] == true { yaml::from_str_strict } else { yaml::from_str };
    let value = read(text(row, "text")).map_err(|error| error.in_go_words())?;
    Ok(json::to_string(&value, Html::Escaped))
}

#[test]
fn yaml_becomes_the_json_that_sigs_makes() {
    check("yaml/to-json", "tables/yaml.jsonl", "yaml-to-json", to_json);
}

#[test]
fn the_yaml_test_suite_becomes_the_json_that_sigs_makes() {
    check("yaml/suite", "tables/yaml-suite.jsonl", "yaml-to-json", to_json);
}
