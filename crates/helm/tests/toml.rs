//! TOML against `BurntSushi/toml` v1.6.0: `toml.jsonl` has texts, what Helm's `fromToml | toJson` gives of them, and what
//! `toToml` makes of that.

#![expect(clippy::unwrap_used, reason = "a case that cannot be read stops the test")]

use gotemplate::{Limits, Still};
use helm::{Chart, RenderOptions, render_texts};
use manifest::MemoryFiles;
use serde_json::{Value as Json, json};

const TEMPLATE: &str = "{{ $read := fromToml .Values.in }}{{ toJson $read }}\u{0}{{ toToml $read }}";

fn differences(lines: &str) -> Vec<String> {
    let mut files = MemoryFiles::default();
    files.insert("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");
    files.insert("templates/t.yaml", TEMPLATE);
    let chart = Chart::load(&files, "").unwrap();
    let mut options = RenderOptions::new("r", "n");
    options.limits = Limits::default();
    let run = |line: &str| {
        let case: Json = serde_json::from_str(line).unwrap();
        let given = json!({"in": case["in"]}).as_object().cloned().unwrap();
        let texts = render_texts(&chart, &given, &options, &Still::default()).unwrap();
        let (out, back) = texts["c/templates/t.yaml"].split_once('\0').unwrap();
        let wanted = (case["out"].as_str().unwrap(), case["back"].as_str().unwrap());
        (wanted != (out, back)).then(|| format!("{}\n  wanted {wanted:?}\n     got {:?}", case["in"], (out, back)))
    };
    lines.lines().filter_map(run).collect()
}

#[test]
fn toml_is_read_and_printed_as_in_helm() {
    let differences = differences(include_str!("toml.jsonl"));
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
