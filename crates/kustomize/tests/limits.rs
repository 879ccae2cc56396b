//! Short kustomizations that would make more than any machine can hold, or go deeper than any stack: each is refused, and
//! soon.

use kustomize::{Options, build, print};
use manifest::MemoryFiles;

/// What a build says of a kustomization over one object `{kind: Thing, spec: {a: {b: c}}}`.
fn said(kustomization: &str) -> String {
    with_file(kustomization, "unread", "")
}

fn with_file(kustomization: &str, name: &str, content: &str) -> String {
    let mut files = MemoryFiles::default();
    files.insert(name, content);
    files.insert("kustomization.yaml", format!("resources: [thing.yaml]\n{kustomization}"));
    files.insert("thing.yaml", "{apiVersion: g/v1, kind: Thing, metadata: {name: t}, spec: {a: {b: c}}}");
    match build(&files, "", &Options::default()) {
        Ok(objects) => format!("{} bytes", print(&objects).len()),
        Err(errors) => errors.to_string(),
    }
}

fn patch(operations: &str) -> String {
    said(&format!("patches: [{{target: {{kind: Thing}}, patch: '[{operations}]'}}]\n"))
}

fn targets(paths: &str) -> String {
    format!("targets: [{{select: {{kind: Thing}}, fieldPaths: [{paths}], options: {{create: true}}}}]")
}

fn replacement(from: &str, to: &str) -> String {
    format!("- {{source: {{kind: Thing, fieldPath: {from}}}, {}}}\n", targets(to))
}

fn is_refused(said: &str, what: &str) {
    assert!(said.contains("more than") && said.contains(what), "{}", said.get(..500).unwrap_or(said));
}

/// Two fields that each become what all of the object was.
const TWICE: [&str; 2] = ["x", "y"];

#[test]
fn a_patch_that_copies_its_copies_is_refused() {
    let copy = TWICE.map(|field| format!(r#"{{"op": "copy", "from": "/spec", "path": "/spec/{field}"}}"#)).join(",");
    is_refused(&patch(&[copy.as_str(); 40].join(",")), "bytes added to the objects of a build");
}

#[test]
fn replacements_that_copy_their_copies_are_refused() {
    let copy = TWICE.map(|field| replacement("spec", &format!("spec.{field}"))).concat();
    is_refused(&said(&format!("replacements:\n{}", copy.repeat(40))), "bytes added to the objects of a build");
}

#[test]
fn one_large_value_for_very_many_places_is_refused() {
    let (large, paths) = ("v".repeat(1 << 20), (0..70).map(|n| format!("spec.x{n}")).collect::<Vec<_>>().join(", "));
    let entry = format!("{{sourceValue: {large}, {}}}", targets(&paths));
    is_refused(&said(&format!("replacements: [{entry}]\n")), "bytes added to the objects of a build");
    let labels: String = (0..70).map(|n| format!("{{path: spec/x{n}, create: true}}, ")).collect();
    let labels = format!("labels: [{{pairs: {{a: {large}}}, fields: [{labels}]}}]\n");
    is_refused(&said(&labels), "bytes added to the objects of a build");
    let files: String = (0..129).map(|n| format!("k{n}=large, ")).collect();
    let generator = format!("configMapGenerator: [{{name: c, files: [{files}]}}]\n");
    is_refused(&with_file(&generator, "large", &large), "bytes read in one build");
}

#[test]
fn a_patch_that_nests_what_it_moves_is_refused() {
    let step = r#"{"op": "add", "path": "/o", "value": {}}, {"op": "move", "from": "/spec", "path": "/o/x"}, {"op": "move", "from": "/o", "path": "/spec"}"#;
    is_refused(&patch(&[step; 20_000].join(",")), "fields within one another");
}

#[test]
fn a_path_that_makes_very_many_fields_is_refused() {
    let deep = ["x"; 20_000];
    let entry = replacement("metadata.name", &deep.join("."));
    is_refused(&said(&format!("replacements:\n{entry}")), "fields within one another");
    let labels = format!("labels: [{{pairs: {{a: b}}, fields: [{{path: {}, create: true}}]}}]\n", deep.join("/"));
    is_refused(&said(&labels), "fields within one another");
}
