//! The house rules that no lint knows: who imports whom, what engines may depend on, sizes and names of files.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]

#[path = "support/paths.rs"]
mod paths;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Knows no step: shapes, settings, how text leaves.
const BASE: &[&str] = &["api", "config", "telemetry", "redact", "expression", "system"];
/// What steps hand to one another.
const NOUNS: &[&str] = &["unit", "artifact"];
/// One step each. They do not know one another.
const STEPS: &[&str] = &["source", "decrypt", "build", "substitute", "resolve", "render", "cluster", "health"];
/// One controller frame, and what tells the outside.
const CONTROLLERS: &[&str] = &["reconcile", "notify", "image", "web"];

/// Which modules of `src` a module may import, beside itself; `None` for a module without a row.
fn may_import(module: &str) -> Option<Vec<&'static str>> {
    let sets: &[&[&str]] = match module {
        // Logs leave through redaction.
        "telemetry" => &[&["redact"]],
        // Flags hold durations as specs write them.
        "config" => &[&["api"]],
        _ if BASE.contains(&module) => &[],
        _ if NOUNS.contains(&module) => &[&["api"]],
        _ if STEPS.contains(&module) => &[&["api", "expression", "system"], NOUNS],
        "pipeline" => &[BASE, NOUNS, STEPS],
        "landing" => &[BASE, NOUNS, &["cluster", "health", "pipeline"]],
        // It says what the pipeline and the stores answered; of all others, it reads their errors alone.
        "status" => &[BASE, &["pipeline", "resolve"]],
        _ if CONTROLLERS.contains(&module) => &[BASE, NOUNS, STEPS, CONTROLLERS, &["pipeline", "landing", "status"]],
        "agent" => &[BASE, NOUNS, STEPS, CONTROLLERS, &["pipeline", "landing", "status"]],
        "cli" => &[BASE, NOUNS, STEPS, CONTROLLERS, &["pipeline", "landing", "status", "agent"]],
        _ => return None,
    };
    Some(sets.concat())
}

/// Modules whose errors `status` reads.
fn has_errors(module: &str) -> bool {
    !matches!(module, "reconcile" | "agent" | "cli") && may_import(module).is_some()
}

/// Engine crates: the siblings that each may use.
const ENGINES: &[(&str, &[&str])] = &[
    ("yaml", &[]),
    ("regexp", &[]),
    ("manifest", &["yaml"]),
    ("sops", &["regexp", "yaml"]),
    ("gotemplate", &["yaml", "regexp"]),
    ("kustomize", &["yaml", "manifest", "regexp"]),
    ("helm", &["yaml", "manifest", "gotemplate"]),
    ("apply", &["manifest"]),
];
/// What no engine may know: clusters, runtimes, the network.
const OUTSIDE: &[&str] = &[
    "kube",
    "k8s-openapi",
    "tokio",
    "reqwest",
    "rustls",
    "axum",
    "gix",
    "azure_core",
    "azure_identity",
    "tracing",
    "clap",
    "anyhow",
];

const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "crates",
    "crds",
    "deploy",
    "keys-example",
    "src",
    "target",
    "tests",
];
const BANNED_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "managers", "mod", "misc"];
const LONGEST_FILE: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file can be read")
}

/// What a file of `src` imports against its row. `file` is relative to `src`.
fn import_faults(file: &str, text: &str) -> Vec<String> {
    let module: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if matches!(module[0], "lib" | "main") {
        return Vec::new();
    }
    let Some(allowed) = may_import(module[0]) else {
        return vec![format!("src/{file}: module {} has no row in tests/house.rs", module[0])];
    };
    let wrong = |path: &paths::Import| {
        let target = path.names.first().map_or("", String::as_str);
        let error_alone =
            module[0] == "status" && has_errors(target) && path.names.last().is_some_and(|n| n.ends_with("Error"));
        target != module[0] && may_import(target).is_some() && !allowed.contains(&target) && !error_alone
    };
    let faults = paths::imports(&module, text).into_iter().filter(wrong);
    faults
        .map(|path| format!("src/{file}:{}: {} must not import crate::{}", path.line, module[0], path.names.join("::")))
        .collect()
}

/// What an engine's manifest depends on against its row.
fn dependency_faults(engine: &str, manifest: &str) -> Vec<String> {
    let Some((_, siblings)) = ENGINES.iter().find(|(name, _)| *name == engine) else {
        return vec![format!("crates/{engine}: no row in tests/house.rs")];
    };
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]")).unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', '=', ' ']).next()).filter(|name| !name.is_empty());
    let sibling = |name: &str| ENGINES.iter().any(|(engine, _)| *engine == name) && !siblings.contains(&name);
    let wrong = names.filter(|name| sibling(name) || OUTSIDE.contains(name));
    wrong.map(|name| format!("crates/{engine} must not depend on {name}")).collect()
}

/// A file's size and name.
fn file_faults(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let mut faults = Vec::new();
    if lines > LONGEST_FILE {
        faults.push(format!("{path}: {lines} lines; {LONGEST_FILE} are the limit"));
    }
    for part in path.split('/').map(|part| part.trim_end_matches(".rs")) {
        if BANNED_NAMES.contains(&part) {
            faults.push(format!("{path}: '{part}' names nothing; say what it holds"));
        }
    }
    faults
}

fn inherits_lints(manifest: &str) -> bool {
    manifest.split("\n[").any(|section| section.starts_with("lints]") && section.contains("workspace = true"))
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn modules_import_downward_only() {
    let source = root().join("src");
    let faults = rust_files("src").into_iter().flat_map(|path| {
        let file = path.strip_prefix(&source).expect("it lies there").to_string_lossy().into_owned();
        import_faults(&file, &read(&path))
    });
    none(&faults.collect::<Vec<_>>());
}

#[test]
fn engines_depend_on_those_below_them() {
    let crates = std::fs::read_dir(root().join("crates")).expect("the folder can be read").flatten();
    let names: BTreeSet<String> = crates
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let manifest = |name: &str| read(&root().join("crates").join(name).join("Cargo.toml"));
    none(&names.iter().flat_map(|name| dependency_faults(name, &manifest(name))).collect::<Vec<_>>());
    let lax: Vec<_> = names.iter().filter(|name| !inherits_lints(&manifest(name))).cloned().collect();
    none(&lax);
    assert!(inherits_lints(&read(&root().join("Cargo.toml"))), "the root package does not inherit the lints");
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let files = ["src", "crates", "tests"].into_iter().flat_map(rust_files);
    let faults = files.flat_map(|path| {
        file_faults(&path.strip_prefix(root()).expect("it lies there").to_string_lossy(), &read(&path))
    });
    none(&faults.collect::<Vec<_>>());
}

#[test]
fn the_top_level_holds_what_the_ground_plan_names() {
    let entries = std::fs::read_dir(root()).expect("the folder can be read").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    none(&names.filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str())).collect::<Vec<_>>());
}

#[test]
fn the_checks_find_what_is_wrong() {
    let bad = "use crate::{api::Kind, landing};\nfn f() { super::source::fetch(); }\n// crate::cli\nconst S: &str = \"crate::cli\";\nfn g<'a>(_: &'a str) { '\"'; r#\"\"crate::cli\"#; }\n";
    let faults = import_faults("build.rs", bad);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("src/build.rs:1: build must not import crate::landing"), "{faults:?}");
    assert!(faults[1].contains("src/build.rs:2: build must not import crate::source::fetch"), "{faults:?}");
    none(&import_faults("build/kustomization.rs", "use super::Recipe;\nmod tests { use super::super::objects; }\n"));
    assert_eq!(import_faults("build/kustomization.rs", "use super::super::render::all;\n").len(), 1);
    none(&import_faults("status.rs", "use crate::landing::LandingError;\n"));
    assert_eq!(import_faults("status.rs", "use crate::landing::land;\n").len(), 1);
    assert_eq!(import_faults("status.rs", "use crate::agent::AgentError;\n").len(), 1);
    assert_eq!(import_faults("extra.rs", "").len(), 1);

    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nyaml.workspace = true\nhelm = { path = \"../helm\" }\ntokio = \"1\"\n\n[dev-dependencies]\ntempfile = \"3\"\n";
    assert_eq!(
        dependency_faults("sops", manifest),
        ["crates/sops must not depend on helm", "crates/sops must not depend on tokio"]
    );
    assert_eq!(dependency_faults("other", manifest).len(), 1);
    assert!(!inherits_lints(manifest));
    assert!(inherits_lints("[package]\n\n[lints]\nworkspace = true\n"));

    assert_eq!(file_faults("src/utils/a.rs", "").len(), 1);
    assert_eq!(file_faults("src/api/mod.rs", "").len(), 1);
    assert_eq!(file_faults("src/api.rs", &"\n".repeat(601)).len(), 1);
    none(&file_faults("src/api.rs", &"\n".repeat(600)));
}
