//! `lockstep helm`: flags of its own tests, and what the original prints of the same charts.

use std::path::Path;

use super::cases::{lines, made};
use super::corpus::{corpus, report, report_besides};
use super::testbed::Testbed;
use super::{Lockstep, Ran};

const CHART: [(&str, &str); 4] = [
    ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
    ("templates/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\n---\na: 1\n"),
    ("templates/b/hook.yaml", "kind: Job\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\n"),
    ("crds/d.yaml", "kind: CustomResourceDefinition\n"),
];

/// A folder with a chart `c` in it.
fn chart() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in CHART {
        let path = folder.path().join("c").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn template(folder: &Path, arguments: &[&str]) -> Ran {
    Lockstep::new(folder).run(&[&["helm", "template"], arguments].concat())
}

#[test]
fn a_chart_alone_is_named_by_a_template_or_not_at_all() {
    let folder = chart();
    let name = |arguments: &[&str]| {
        let out = template(folder.path(), arguments).succeeds();
        out.split_once("{name: '").unwrap().1.split_once('\'').unwrap().0.to_owned()
    };
    assert_eq!(name(&["c"]), "release-name");
    assert_eq!(name(&["c", "--generate-name"]), "release-name");
    assert_eq!(name(&["c", "--name-template", "{{ \"WEB\" | lower }}-1"]), "web-1");
    assert_eq!(name(&["web", "c"]), "web");
    for (flag, value) in [("--generate-name", None), ("--name-template", Some("x"))] {
        let arguments: Vec<&str> = ["web", "c", flag].into_iter().chain(value).collect();
        let error = template(folder.path(), &arguments).fails(1);
        assert_eq!(error, format!("Error: cannot set {flag} and also specify a name\n"));
    }
}

#[test]
fn manifests_are_written_to_files_by_template() {
    let folder = chart();
    let told = template(folder.path(), &["web", "c", "--output-dir", "out", "--include-crds"]).succeeds();
    let wanted = ["c/crds/d.yaml", "c/templates/a.yaml", "c/templates/a.yaml", "c/templates/b/hook.yaml"];
    let wanted: String = wanted.iter().map(|file| format!("wrote out/{file}\n")).collect();
    assert_eq!(told, wanted + "\n");
    let both = std::fs::read_to_string(folder.path().join("out/c/templates/a.yaml")).unwrap();
    assert_eq!(both.matches("---\n# Source: c/templates/a.yaml\n").count(), 2, "{both}");
    template(folder.path(), &["web", "c", "--output-dir", "out", "--release-name"]).succeeds();
    assert!(folder.path().join("out/web/c/templates/b/hook.yaml").exists());
}

#[test]
fn what_needs_a_cluster_a_network_or_a_program_is_refused_with_the_reason() {
    let folder = chart();
    for (flag, reason) in [
        ("--validate", "without a cluster"),
        ("--dry-run=server", "without a cluster"),
        ("--dry-run=none", "Must be"),
        ("--post-renderer=sh", "programs are not run"),
        ("--dependency-update", "not fetched"),
        ("--repo=https://charts.example", "not fetched"),
        ("--version=1.0.0", "not fetched"),
    ] {
        let error = template(folder.path(), &["c", flag]).fails(1);
        assert!(error.contains(reason), "{flag}: {error}");
    }
    template(folder.path(), &["c", "--dry-run=client"]).succeeds();
    template(folder.path(), &["c", "--dry-run"]).succeeds();
}

/// What both print of a chart, and how they end, by verb.
fn compare(original: &Testbed, charts: &Path, arguments: &[&str], failed: &mut Vec<String>) {
    let own = Lockstep::new(charts).run(&[&["helm"], arguments].concat());
    let wanted = original.tool("helm").args(arguments).current_dir(charts).output().unwrap();
    let wanted = Ran(wanted);
    if (own.code(), own.out()) != (wanted.code(), wanted.out()) {
        let (own_out, wanted_out) = (own.out(), wanted.out());
        let first = wanted_out.lines().zip(own_out.lines()).find(|(wanted, own)| wanted != own);
        failed.push(format!(
            "{arguments:?}: exit {} for {}, {first:?}, {} lines for {} {}",
            own.code(),
            wanted.code(),
            own_out.lines().count(),
            wanted_out.lines().count(),
            own.err()
        ));
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn charts_are_shown_as_by_the_original() {
    let Some(charts) = corpus("helm/charts") else { return };
    let original = Testbed::shared();
    let (mut ran, mut failed) = (0, Vec::new());
    let mut check = |arguments: &[&str]| {
        ran += 1;
        compare(original, &charts, arguments, &mut failed);
    };
    for entry in std::fs::read_dir(&charts).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        check(&["show", "all", &name]);
        check(&["dependency", "list", &name]);
    }
    for part in ["chart", "values", "readme", "crds"] {
        check(&["show", part, "cert-manager"]);
    }
    check(&["show", "all", "nothing-there"]);
    report("cli/helm-show", ran, &failed);
}

/// Charts whose schema is fetched by the original, which has a network or none.
const FETCHED: [&str; 5] =
    ["bjw-s-common", "bjw-s-app-template", "bjw-s-test-chart", "schema-remote-ref", "schema-invalid"];

#[test]
#[ignore = "needs the testbed: make test"]
fn the_same_is_found_wrong_with_charts_as_by_the_original() {
    let (Some(charts), Some(all_made)) = (corpus("helm/charts"), corpus("helm/made.jsonl")) else { return };
    let original = Testbed::shared();
    let (mut ran, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(&charts).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !FETCHED.contains(&name.as_str()) {
            ran += 1;
            compare(original, &charts, &["lint", &name], &mut failed);
        }
    }
    for chart in lines(&all_made) {
        let id = chart["id"].as_str().unwrap_or_default();
        if FETCHED.contains(&id) {
            continue;
        }
        ran += 1;
        let folder = made(&chart);
        std::fs::rename(folder.path().join("c"), folder.path().join(id)).unwrap();
        compare(original, folder.path(), &["lint", "--strict", id], &mut failed);
    }
    report_besides("cli/helm-lint", ran + FETCHED.len(), &failed, FETCHED.len());
}
