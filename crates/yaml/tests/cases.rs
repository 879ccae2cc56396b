//! Small inputs of our own, each with what Go's libraries make of it: `tree` is the tree of yaml.v3 with its comments,
//! `wide.yaml` and `compact.yaml` its encodings with indent 4, and 2 with compact sequences; `sigs.json`, `sigs.yaml`
//! and `strict.json` are `sigs.k8s.io/yaml`'s. Where Go fails the name ends with `.error`.

#![expect(clippy::disallowed_methods, clippy::expect_used, clippy::panic, reason = "a test reads its cases")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use yaml::emit::{self, EmitOptions};
use yaml::json::{self, Html};
use yaml::{Kind, Limits, Node, Style, quote};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(folder).expect("the cases are there");
    entries.map(|entry| entry.expect("the folder can be read").path()).collect()
}

fn check(name: &str, run: impl Fn(&str) -> Result<String, yaml::Error>) {
    let mut ran = 0;
    for case in cases() {
        let input = std::fs::read_to_string(case.join("in.yaml")).expect("a case has an input");
        let ours = run(&input).map_err(|error| error.in_go_words());
        let theirs = match std::fs::read_to_string(case.join(name)) {
            Ok(text) => Ok(text),
            Err(_) => match std::fs::read_to_string(case.join(format!("{name}.error"))) {
                Ok(text) => Err(text.trim_end_matches('\n').to_owned()),
                Err(_) => continue,
            },
        };
        ran += 1;
        if ours != theirs {
            let show = |result: Result<String, String>| result.unwrap_or_else(|error| format!("error: {error}"));
            panic!("{}/{name}\nours:\n{}\ntheirs:\n{}", case.display(), show(ours), show(theirs));
        }
    }
    assert!(ran > 0, "no case has {name}");
}

fn documents(input: &str) -> Result<Vec<Node>, yaml::Error> {
    yaml::parse(input.as_bytes(), &Limits::default())
}

fn describe(node: &Node, depth: usize, text: &mut String) {
    let kind = match node.kind {
        Kind::Document => "document",
        Kind::Sequence => "sequence",
        Kind::Mapping => "mapping",
        Kind::Scalar => "scalar",
        Kind::Alias => "alias",
    };
    let style = match node.style {
        Style::Plain => "",
        Style::SingleQuoted => " single",
        Style::DoubleQuoted => " double",
        Style::Literal => " literal",
        Style::Folded => " folded",
        Style::Flow => " flow",
    };
    let tag = if node.tag.as_str().is_empty() { String::new() } else { format!(" {}", node.tag.as_str()) };
    let tagged = if node.tagged { " tagged" } else { "" };
    let place = format!("{}:{}", node.line, node.column);
    let _ = write!(text, "{:1$}{kind}{tag}{tagged}{style} {place}", "", depth * 2);
    let comments = node.comments.as_deref().cloned().unwrap_or_default();
    for (name, value) in [
        ("anchor", node.anchor.as_deref().unwrap_or_default()),
        ("value", &node.value),
        ("head", &comments.head),
        ("line", &comments.line),
        ("foot", &comments.foot),
    ] {
        if !value.is_empty() {
            let _ = write!(text, " {name}={}", quote(value));
        }
    }
    text.push('\n');
    for child in &node.children {
        describe(child, depth + 1, text);
    }
}

#[test]
fn trees_have_the_places_styles_and_comments_of_go() {
    check("tree", |input| {
        let mut text = String::new();
        documents(input)?.iter().for_each(|document| describe(document, 0, &mut text));
        Ok(text)
    });
}

#[test]
fn trees_print_as_sops_prints_them() {
    check("wide.yaml", |input| Ok(emit::documents(&documents(input)?, EmitOptions::SOPS)));
}

#[test]
fn trees_print_as_kyaml_prints_them() {
    check("compact.yaml", |input| Ok(emit::documents(&documents(input)?, EmitOptions::KYAML)));
}

#[test]
fn values_are_those_of_sigs() {
    let print = |value| format!("{}\n", json::to_string(&value, Html::Escaped));
    check("sigs.json", |input| yaml::from_str(input).map(print));
    check("strict.json", |input| yaml::from_str_strict(input).map(print));
    check("sigs.yaml", |input| Ok(emit::to_yaml(&yaml::from_str(input)?)));
}
