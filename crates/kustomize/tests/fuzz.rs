//! Replays the seeds of the fuzzer and the project's own cases, and many mutations of them, with the toolchain at hand.

#[path = "../fuzz/check.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes the file too")]
mod check;
#[path = "../../../tests/support/mutations.rs"]
mod mutations;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Mutations of all seeds together.
const ROUNDS: usize = 3_000;

/// What is put into a seed: everything that means something to one of the parsers.
const PIECES: [&str; 84] = [
    "\n",
    "\n  ",
    "\n- ",
    " ",
    "\t",
    ": ",
    "- ",
    ",",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    "\"",
    "'",
    "|\n",
    "&a ",
    "*a",
    "<<: *a",
    "---\n",
    "-- a.yaml --\n",
    "-- flux --\n",
    "# c\n",
    "null",
    "~",
    "true",
    "-1",
    "1e999",
    "9223372036854775808",
    "1000000000",
    "é",
    "\0",
    "../",
    "/",
    "~1",
    "*",
    ".",
    "a.yaml",
    "base",
    "https://example.com/a.yaml",
    "github.com/o/r//p?ref=v1",
    "$patch: delete",
    "$patch: replace",
    "$patch: merge",
    "$setElementOrder/containers: []",
    "$deleteFromPrimitiveList/finalizers: [a]",
    "$retainKeys: [a]",
    "$(A)",
    "$$(A)",
    "[name=a]",
    "[name=$(A)]",
    "kind: List\nitems: []\n",
    "kind: Secret\n",
    "kind: Deployment\n",
    "apiVersion: v1\n",
    "apiVersion: builtin\n",
    "metadata: {name: a}\n",
    "metadata: {generateName: a}\n",
    "namespace: n\n",
    "namePrefix: p-\n",
    "behavior: merge",
    "behavior: replace",
    "options: {disableNameSuffixHash: true}\n",
    "options: {delimiter: \".\", index: 1000000000}",
    "options: {create: true}",
    "op: copy",
    "op: move",
    "op: test",
    "op: add",
    "from: /spec",
    "path: \"\"",
    "path: /-",
    "target: {kind: .*}",
    "target: {labelSelector: \"a in (b), !c\"}",
    "fieldPath: data.a",
    "fieldPath: \"\"",
    "sortOptions: {order: legacy}\n",
    "buildMetadata: [originAnnotations, transformerAnnotations, managedByLabel]\n",
    "config.kubernetes.io/local-config: \"true\"",
    "internal.config.kubernetes.io/x: y",
    "kustomize.config.k8s.io/needs-hash: \"true\"",
    "newTag: \"1\"",
    "count: 3",
];

/// The project's cases, each as the fuzzer has trees: one file after another.
fn cases() -> Vec<Vec<u8>> {
    let mut cases: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for file in mutations::files("tests/cases") {
        let folders = file.ancestors().find(|folder| folder.ends_with("in"));
        let Some((folder, path)) = folders.and_then(|folder| Some((folder, file.strip_prefix(folder).ok()?))) else {
            continue;
        };
        let case = cases.entry(folder.to_owned()).or_default();
        case.extend(format!("-- {} --\n", path.display()).into_bytes());
        case.extend(mutations::contents(std::slice::from_ref(&file)).concat());
        case.push(b'\n');
    }
    cases.into_values().collect()
}

#[test]
fn no_seed_and_no_mutation_of_one_panics() {
    let seeds: Vec<_> = cases().into_iter().chain(mutations::contents(&mutations::files("fuzz/seeds"))).collect();
    mutations::replay(&seeds, &PIECES, ROUNDS, check::check);
}

#[test]
fn no_mutation_of_a_single_file_panics() {
    let files = |name: &str| {
        let named = |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().contains(name));
        let cases = mutations::files("tests/cases")
            .into_iter()
            .filter(|path| path.components().any(|part| part.as_os_str() == "in"));
        mutations::contents(&cases.filter(named).collect::<Vec<_>>())
    };
    mutations::replay(&files("kustomization"), &PIECES, ROUNDS, |bytes| check::check_file("kustomization.yaml", bytes));
    mutations::replay(&files("patch"), &PIECES, ROUNDS, |bytes| check::check_file("patch.yaml", bytes));
    mutations::replay(&files("deployment"), &PIECES, ROUNDS, |bytes| check::check_file("resource.yaml", bytes));
}

#[test]
fn depth_is_refused_and_not_followed() {
    for open in ["[", "{a: ", "{\"a\":", "- ", "? ", "$(", "a.", "a/", "[a="] {
        for times in [100, 300, 20_000] {
            let deep = open.repeat(times);
            check::check(deep.as_bytes());
            check::check(
                format!("resources: [a.yaml]\npatches: [{{path: p}}]\n-- p --\n{deep}\n-- a.yaml --\n{deep}")
                    .as_bytes(),
            );
        }
    }
}
