//! The tables of the corpus: what Go's libraries made of each input.

#[path = "../../../tests/support/corpus.rs"]
mod corpus;

use corpus::{corpus, report};
use serde_json::Value;
use yaml::json::{self, Html};

/// Rows whose JSON is the same and only written in another way: Go escapes the replacement character where it stands
/// for bytes that are no UTF-8 (a decoded `!!binary`), and leaves it as it is elsewhere. A value cannot tell the two.
const SAME_JSON: [&str; 1] = ["565N-0"];

/// Rows whose numbers are `json.Number`s with a text that no other number type keeps (`1e6`, `-0.0`), and one whose
/// result Go cannot print, because it refuses to read its own JSON: we print the character escaped.
const DIFFERENT: [&str; 6] = ["num-011", "num-014", "num-017", "num-020", "num-050", "roundtrip-069"];

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
    let differs = DIFFERENT.contains(&text(row, "id"));
    ((ours != theirs) != differs)
        .then(|| format!("{}: ours {ours:?}\n   theirs {theirs:?}\n   input {:?}", text(row, "id"), row))
}

#[test]
fn texts_are_quoted_as_go_quotes_them() {
    let Some(rows) = rows("tables/go-json.jsonl") else { return };
    let rows: Vec<_> = rows.iter().filter(|row| row["fn"] == "quote").collect();
    let failed = rows.iter().filter(|row| row["out"]["quote"] != yaml::quote(text(row, "s")));
    let failed: Vec<String> = failed.map(|row| text(row, "id").to_owned()).collect();
    report("yaml/quote", rows.len(), &failed);
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

/// The marks by which the suite shows blanks and ends of lines.
fn without_marks(text: &str) -> String {
    let mut text = text.to_owned();
    while text.contains("—»") {
        text = text.replace("—»", "»");
    }
    let marks = [("»", "\t"), ("␣", " "), ("←", "\r"), ("⇔", "\u{FEFF}"), ("↵", ""), ("∎\n", "")];
    marks.iter().fold(text, |text, (mark, meaning)| text.replace(mark, meaning))
}

/// The files of the suite are YAML themselves, and hold the texts of the table.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its cases")]
fn the_files_of_the_yaml_test_suite_are_read() {
    let (Some(rows), Some(folder)) = (rows("tables/yaml-suite.jsonl"), corpus("yaml")) else { return };
    let mut failed = Vec::new();
    for row in &rows {
        let id = text(row, "id");
        let (file, place) = id.rsplit_once('-').expect("an id has a place");
        let path = folder.join(format!("{file}.yaml"));
        let cases = yaml::from_str(&std::fs::read_to_string(path).expect("the file can be read")).expect("it is YAML");
        let case = &cases[place.parse::<usize>().expect("a place is a number")];
        if without_marks(text(case, "yaml")) != text(row, "text") {
            failed.push(id.to_owned());
        }
    }
    report("yaml/suite-files", rows.len(), &failed);
}

/// Plain numbers of the data are Go's float64, unless the row says that they keep their text or are integers.
fn to_yaml(row: &Value) -> Result<String, String> {
    let mut data = row["data"].clone();
    if row.get("numbers").is_none() {
        as_floats(&mut data);
    }
    Ok(yaml::emit::to_yaml(&data))
}

fn as_floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(entries) => entries.iter_mut().for_each(as_floats),
        Value::Object(map) => map.values_mut().for_each(as_floats),
        _ => {}
    }
}

#[test]
fn values_become_the_yaml_that_sigs_makes() {
    check("yaml/to-yaml", "tables/yaml.jsonl", "to-yaml", to_yaml);
}

#[test]
fn yaml_read_and_printed_is_what_sigs_makes() {
    check("yaml/roundtrip", "tables/yaml.jsonl", "yaml-roundtrip", |row| {
        let value = yaml::from_str(text(row, "text"));
        let value = value.map_err(|error| format!("error converting YAML to JSON: {}", error.in_go_words()))?;
        Ok(yaml::emit::to_yaml(&value))
    });
}

#[test]
fn json_becomes_the_yaml_that_sigs_makes() {
    check("yaml/json-to-yaml", "tables/yaml.jsonl", "json-to-yaml", |row| {
        let value = yaml::from_str(text(row, "json")).map_err(|error| error.in_go_words())?;
        Ok(yaml::emit::to_yaml(&value))
    });
}

/// The values of the table that JSON can hold; the others are Go's own types, which only a template engine has.
fn plain_data(row: &Value) -> Option<Value> {
    fn convert(value: &Value) -> Option<Value> {
        match value {
            Value::Object(map) if map.contains_key("$t") => typed(map),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| Some((key.clone(), convert(value)?)));
                Some(Value::Object(entries.collect::<Option<_>>()?))
            }
            Value::Array(entries) => entries.iter().map(convert).collect::<Option<_>>().map(Value::Array),
            Value::Number(number) => number.as_f64().map(Value::from),
            other => Some(other.clone()),
        }
    }
    fn typed(map: &serde_json::Map<String, Value>) -> Option<Value> {
        let value = &map["v"];
        match map["$t"].as_str()? {
            "int" => Some(value.clone()),
            "uint64" => value.as_str()?.parse::<u64>().ok().map(Value::from),
            "strings" | "mapss" | "mapis" | "nilmap" | "nilslice" => Some(value.clone()),
            _ => None,
        }
    }
    convert(&row["data"])
}

#[test]
fn values_become_the_json_of_go() {
    let Some(rows) = rows("tables/go-json.jsonl") else { return };
    let mut ran = 0;
    let mut failed = Vec::new();
    for row in rows.iter().filter(|row| row["fn"] == "go-json") {
        let Some(data) = plain_data(row) else { continue };
        ran += 1;
        let out = match text(row, "op") {
            "indent" => json::to_string_indent(&data, "  ", Html::Escaped),
            "noescape" => json::to_string(&data, Html::Plain),
            _ => json::to_string(&data, Html::Escaped),
        };
        failed.extend(complaint(row, Ok(format!("{out}\n"))));
    }
    report("yaml/go-json", ran, &failed);
}
