//! The corpus' tables of Go's template language and of what Go's libraries decide.

#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "tables/values.rs"]
mod values;

use std::io::Read as _;

use base64::Engine as _;
use gotemplate::{Functions, Limits, MissingKey, Session, Still, Templates, Value, go};
use serde_json::Value as Json;

/// A case that differs on purpose, and why.
type Difference = (&'static str, &'static str);

/// The lines of a table; nothing on a checkout without the corpus.
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

/// Runs every case of a table; `run` gives what the case gives, `expected` what it should.
fn check(suite: &str, name: &str, differences: &[Difference], run: impl Fn(&Json) -> Result<(), String>) {
    let Some(cases) = table(name) else { return };
    let mut failed = Vec::new();
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case)));
        let result = result.unwrap_or_else(|_| Err("panicked".into()));
        let is_known = differences.iter().any(|(known, _)| *known == id);
        match result {
            Err(message) if !is_known => failed.push(format!("{id}: {message}")),
            Ok(()) if is_known => failed.push(format!("{id}: is no difference any more")),
            _ => {}
        }
    }
    corpus::report(&format!("tables/{suite}"), cases.len(), &failed);
}

fn text<'a>(case: &'a Json, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_default()
}

/// Compares an output or an error with the case's.
fn compare(case: &Json, got: Result<Vec<u8>, String>) -> Result<(), String> {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let wanted = match (case["out"].as_str(), case["out_b64"].as_str()) {
        (Some(out), _) => Ok(out.as_bytes().to_vec()),
        (_, Some(out)) => Ok(base64::engine::general_purpose::STANDARD.decode(out).unwrap()),
        _ => Err(text(case, "error").to_owned()),
    };
    if got == wanted {
        return Ok(());
    }
    let side = |side: &Result<Vec<u8>, String>| match side {
        Ok(out) => format!("out {:?}", show(out)),
        Err(error) => format!("error {error:?}"),
    };
    Err(format!("{} wanted {}, got {}", case["tpl"].as_str().unwrap_or_default(), side(&wanted), side(&got)))
}

fn template(case: &Json) -> Result<Vec<u8>, String> {
    let missing = match text(case, "missing") {
        "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        _ => MissingKey::Default,
    };
    let delimiter = |index: usize| case["delims"][index].as_str().unwrap_or_default();
    let mut templates =
        Templates::new("t", Functions::builtin()).missing_key(missing).delimiters(delimiter(0), delimiter(1));
    for (name, definition) in case["defs"].as_object().into_iter().flatten() {
        templates.parse(name, definition.as_str().unwrap()).map_err(|error| error.to_string())?;
    }
    templates.parse("t", text(case, "tpl")).map_err(|error| error.to_string())?;
    let data = values::decode(&case["data"], text(case, "numbers"));
    let world = Still::default();
    let mut session = Session::new(&world, Limits { depth: 60, ..Limits::default() });
    templates.execute("t", &data, &mut session).map_err(|failed| {
        if let Some(partial) = case["partial"].as_str() {
            assert_eq!(String::from_utf8_lossy(&failed.partial), partial, "partial output");
        }
        failed.error.to_string()
    })
}

/// Maps whose keys are no strings reach a template only from Go programs.
const OTHER_KEYS: &str = "a map whose keys are no strings";

/// Host objects show the fields that they choose.
const REFLECTION: &str = "Go's reflection on what a struct hides";

#[test]
fn templates_print_and_fail_as_in_go() {
    const DIFFERENCES: &[Difference] = &[
        ("rangeval-053", OTHER_KEYS),
        ("rangeval-054", OTHER_KEYS),
        ("print-027", OTHER_KEYS),
        ("rangeval-057", REFLECTION),
        ("rangeval-058", REFLECTION),
        ("struct-019", REFLECTION),
        ("struct-020", REFLECTION),
        ("struct-033", REFLECTION),
        ("struct-047", REFLECTION),
        ("struct-048", REFLECTION),
        ("struct-051", REFLECTION),
        ("tmpl-005", "the depth is a limit of the caller, far below Go's, and its error cannot be swallowed"),
    ];
    check("gotemplate", "gotemplate.jsonl.gz", DIFFERENCES, |case| compare(case, template(case)));
}

#[test]
fn comparisons_hold_and_fail_as_in_go() {
    check("gotemplate-compare", "gotemplate-compare.jsonl.gz", &[], |case| compare(case, template(case)));
}

#[test]
fn verbs_print_values_as_in_go() {
    const DIFFERENCES: &[Difference] =
        &[("fmt-051", OTHER_KEYS), ("fmt-052", OTHER_KEYS), ("govalue-027", OTHER_KEYS), ("fmt-056", REFLECTION)];
    check("gotemplate-printf", "gotemplate-printf.jsonl.gz", DIFFERENCES, |case| {
        if case["fn"] == "sprintf" {
            let arguments: Vec<Value> =
                case["args"].as_array().unwrap().iter().map(|argument| values::decode(argument, "")).collect();
            let got = go::fmt::sprintf(text(case, "fmt").as_bytes(), &arguments);
            return compare(case, Ok(got)).map_err(|message| format!("{} {message}", case["fmt"]));
        }
        let value = [values::decode(&case["data"], "")];
        for (verb, wanted) in case["out"].as_object().unwrap() {
            let got = go::fmt::sprintf(format!("%{verb}").as_bytes(), &value);
            if got != wanted.as_str().unwrap().as_bytes() {
                return Err(format!("%{verb}: wanted {wanted}, got {:?}", String::from_utf8_lossy(&got)));
            }
        }
        Ok(())
    });
}
