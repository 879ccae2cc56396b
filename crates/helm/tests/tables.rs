//! The corpus' tables of sprig's and Helm's functions, of values and their merging.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a case that cannot be read stops the test")]

#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "support/world.rs"]
mod world;

use std::io::Read as _;

use base64::Engine as _;
use gotemplate::Limits;
use helm::values::{self, Values, strvals};
use helm::{Chart, RenderOptions, render_texts};
use manifest::MemoryFiles;
use serde_json::{Value as Json, json};
use world::World;

/// A case that differs on purpose, or with a star several, and why.
type Difference = (&'static str, &'static str);

fn table(name: &str) -> Option<Vec<Json>> {
    let path = corpus::corpus(&format!("tables/{name}"))?;
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn check(suite: &str, name: &str, differences: &[Difference], run: impl Fn(&Json) -> Result<(), String>) {
    let Some(cases) = table(name) else { return };
    let (mut failed, mut different) = (Vec::new(), 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case)));
        let result = result.unwrap_or_else(|_| Err("panicked".into()));
        let is_known = differences.iter().any(|(known, _)| match known.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => *known == id,
        });
        match result {
            Err(_) if is_known => different += 1,
            Err(message) => failed.push(format!("{id}: {message}")),
            Ok(()) if is_known && differences.iter().any(|(known, _)| *known == id) => {
                failed.push(format!("{id}: is no difference any more"))
            }
            Ok(()) => {}
        }
    }
    corpus::report_besides(&format!("tables/{suite}"), cases.len(), &failed, different);
}

fn text<'a>(case: &'a Json, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_default()
}

fn chart(case: &Json) -> Chart {
    let mut files = MemoryFiles::default();
    files.insert("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.2.3\nappVersion: v9\ntype: application\n");
    if let Some(template) = case["tpl"].as_str() {
        files.insert("templates/t.yaml", template);
    }
    for field in ["templates", "files"] {
        for (name, content) in case[field].as_object().into_iter().flatten() {
            files.insert(name.as_str(), content.as_str().unwrap());
        }
    }
    Chart::load(&files, "").unwrap()
}

fn helm(case: &Json) -> Result<Json, String> {
    let mut options = RenderOptions::new("rel", "ns");
    options.is_strict = case["strict"] == true;
    options.limits = Limits { bytes: 64 << 20, steps: 10_000_000, ..options.limits };
    let given = values::from_json(case["values"].as_object().cloned().unwrap_or_default());
    let texts = render_texts(&chart(case), &given, &options, &World).map_err(|error| error.to_string())?;
    if case["tpl"].is_string() {
        return Ok(texts["c/templates/t.yaml"].as_str().into());
    }
    Ok(json!(texts))
}

fn compare(case: &Json, got: Result<Json, String>) -> Result<(), String> {
    let bytes = case["out_b64"].as_str().map(|out| base64::engine::general_purpose::STANDARD.decode(out).unwrap());
    let wanted = match (&case["out"], bytes) {
        (_, Some(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned().into()),
        (Json::Null, None) => Err(text(case, "error").to_owned()),
        (out, None) => Ok(out.clone()),
    };
    let is_one_of_many = case["varies"] == true
        && got.as_ref().is_ok_and(|got| case["also"].as_array().is_some_and(|also| also.contains(got)));
    if got == wanted || is_one_of_many {
        return Ok(());
    }
    Err(format!("{} wanted {wanted:?}, got {got:?}", text(case, "tpl")))
}

#[test]
fn functions_of_sprig_answer_as_in_helm() {
    check("sprig", "sprig.jsonl.gz", &[], |case| match text(case, "fn") {
        "helm" => compare(case, helm(case)),
        _ => Ok(()),
    });
}

#[test]
fn functions_of_sprig_answer_to_anything_as_in_helm() {
    check("sprig-matrix", "sprig-matrix.jsonl.gz", &[], |case| compare(case, helm(case)));
}

#[test]
fn functions_of_helm_answer_as_in_helm() {
    check("helm-functions", "helm-functions.jsonl.gz", &[], |case| compare(case, helm(case)));
}

fn line(case: &Json) -> Result<Json, String> {
    let files = case["files"].as_object().cloned().unwrap_or_default();
    let read = |name: &str| {
        let content = files.get(name).and_then(Json::as_str).map(str::to_owned);
        content.ok_or_else(|| format!("open {name}: no such file or directory"))
    };
    let mode = match text(case, "op") {
        "set" => strvals::Mode::Typed,
        "string" => strvals::Mode::Text,
        "file" => strvals::Mode::File(&read),
        "json" => strvals::Mode::Json,
        _ => strvals::Mode::Literal,
    };
    let mut values = case["base"].as_object().cloned().unwrap_or_default();
    for expression in case["expr"].as_array().unwrap() {
        strvals::parse(expression.as_str().unwrap(), mode, &mut values).map_err(|error| error.to_string())?;
    }
    Ok(Json::Object(values))
}

/// Numbers as floats: the table does not tell integers from them.
fn floats(json: &Json) -> Json {
    match json {
        Json::Object(map) => Json::Object(values::from_json(map.clone())),
        other => other.clone(),
    }
}

#[test]
fn lines_of_values_are_read_as_in_helm() {
    const DIFFERENCES: &[Difference] = &[];
    check("strvals", "strvals.jsonl.gz", DIFFERENCES, |case| {
        let wanted =
            if case["error"].is_null() { Ok(floats(&case["out"])) } else { Err(text(case, "error").to_owned()) };
        let got = line(case).map(|values| floats(&values));
        if got == wanted {
            Ok(())
        } else {
            Err(format!("{} {} wanted {wanted:?}, got {got:?}", case["op"], case["expr"]))
        }
    });
}

#[test]
fn values_are_merged_as_in_helm() {
    check("values-merge", "values-merge.jsonl", &[], |case| {
        let map = |field: &str| case[field].as_object().cloned().unwrap_or_else(Values::new);
        let got = match text(case, "fn") {
            _ if case["dst"].is_null() => map("src"),
            "merge-tables" => values::merge_tables(map("dst"), map("src")),
            _ => values::coalesce_tables(map("dst"), map("src")),
        };
        let got = Json::Object(got);
        if got == case["out"] { Ok(()) } else { Err(format!("wanted {}, got {got}", case["out"])) }
    });
}

#[test]
fn values_are_checked_against_schemas_as_in_helm() {
    const METASCHEMA: &str = "a malformed schema is refused in our words";
    const NETWORK: &str = "a schema elsewhere takes everything; the original fetches it, here in vain";
    const DIFFERENCES: &[Difference] = &[
        ("draft-001", METASCHEMA),
        ("draft-002", METASCHEMA),
        ("draft-003", METASCHEMA),
        ("draft-022", NETWORK),
        ("draft-023", NETWORK),
        ("draft-024", NETWORK),
    ];
    check("values-schema", "values-schema.jsonl", DIFFERENCES, |case| {
        let given = values::from_json(case["values"].as_object().unwrap().clone());
        let mut got = match values::schema::check_one(&given, text(case, "schema").as_bytes()) {
            Ok(()) => vec!["valid".to_owned()],
            Err(lines) => lines,
        };
        let wanted = case["out"].as_str().unwrap_or(text(case, "error"));
        let mut wanted: Vec<&str> = wanted.lines().collect();
        // Go's maps have no order: neither have its lines, nor the names within one.
        let sorted = |line: &str| {
            let mut words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
            words.sort_unstable();
            words.join(" ")
        };
        got.sort_by_key(|line| sorted(line));
        wanted.sort_by_key(|line| sorted(line));
        let fits =
            got.len() == wanted.len() && got.iter().zip(&wanted).all(|(got, wanted)| sorted(got) == sorted(wanted));
        if fits { Ok(()) } else { Err(format!("wanted {wanted:?}, got {got:?}")) }
    });
}
