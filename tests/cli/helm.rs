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
        ("--dry-run=none", "Must be \"server\" or \"client\""),
        ("--dry-run=off", "Must be \"none\", \"server\", or \"client\""),
        ("--post-renderer=sh", "programs are not run"),
        ("--repo=https://charts.example", "not fetched"),
        ("--verify", "not looked at"),
        ("--enable-dns", "no names are looked up"),
        ("--no-hooks=maybe", "invalid syntax"),
    ] {
        let error = template(folder.path(), &["c", flag]).fails(1);
        assert!(error.contains(reason), "{flag}: {error}");
    }
    let missing = template(folder.path(), &["web", "nothing", "--version=1"]).fails(1);
    assert!(missing.contains("charts are not fetched"), "{missing}");
    let plain = template(folder.path(), &["c"]).succeeds();
    for flags in [
        &["--dry-run=client"][..],
        &["--dry-run"],
        &["--dry-run=true"],
        &["--version=1.0.0", "--devel", "--username", "-x"],
        &["--wait", "--wait=legacy", "--timeout", "5m", "-l", "a=b"],
        &["--no-hooks=false", "--is-upgrade=F", "--server-side=true"],
        &["--kubeconfig", "/nonexistent", "--debug", "--qps=3"],
    ] {
        assert_eq!(template(folder.path(), &[&["c"], flags].concat()).succeeds(), plain, "{flags:?}");
    }
    assert_ne!(template(folder.path(), &["c", "--no-hooks=1"]).succeeds(), plain);
}

#[test]
fn a_flag_that_nobody_knows_is_told_as_by_helm() {
    let folder = chart();
    for (flag, told) in [
        ("-x", "unknown shorthand flag: 'x' in -x"),
        ("--foo=3", "unknown flag: --foo"),
        ("--set-everything", "unknown flag: --set-everything"),
    ] {
        assert_eq!(template(folder.path(), &[flag, "c"]).fails(1), format!("Error: {told}\n"));
    }
}

#[test]
fn what_is_no_manifest_is_printed_for_debugging() {
    let folder = chart();
    std::fs::write(folder.path().join("c/templates/bad.yaml"), "a: [\n").unwrap();
    assert_eq!(template(folder.path(), &["c"]).out(), "");
    let shown = template(folder.path(), &["c", "--debug"]);
    let end = "---\n# Source: c/templates/bad.yaml\na: [\n";
    assert!(shown.code() == 1 && shown.out().ends_with(end), "{}", shown.out());
    assert_eq!(shown.out().matches("# Source: c/templates/").count(), 3, "{}", shown.out());
}

/// The names of the flags in a text of help, and whether they take a value.
fn flags(help: &str) -> Vec<(String, bool)> {
    let lines = help.lines().filter_map(|line| line.split_once("--"));
    let lines = lines.filter(|(before, _)| before.trim().is_empty() || before.trim().ends_with(','));
    let flags = lines.map(|(_, line)| {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        (name.to_owned(), !rest.starts_with(' ') && !rest.contains("[="))
    });
    flags.collect()
}

#[test]
#[ignore = "needs the testbed: make test"]
fn every_flag_of_the_original_is_taken_or_refused_with_a_reason() {
    let (folder, original) = (chart(), Testbed::shared());
    let mut seen = 0;
    let shows = ["all", "chart", "values", "readme", "crds"].map(|part| vec!["show", part]);
    for verb in [vec!["template"], vec!["lint"], vec!["dependency", "list"]].into_iter().chain(shows) {
        let help = original.tool("helm").args(&verb).arg("--help").output().unwrap();
        for (name, takes_value) in flags(&Ran(help).out()) {
            seen += 1;
            let flag = format!("--{name}");
            let arguments: Vec<&str> = ["helm"]
                .into_iter()
                .chain(verb.iter().copied())
                .chain(["c", &flag])
                .chain(takes_value.then_some("1"))
                .collect();
            let told = Lockstep::new(folder.path()).run(&arguments).err();
            assert!(!told.contains("unknown") && !told.contains("unexpected"), "{arguments:?}: {told}");
        }
    }
    assert!(seen > 250, "only {seen} flags");
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

/// Right ones and wrong ones, where the rules of others would say otherwise.
const MAILS: [&str; 28] = [
    "a@b.c",
    "a@b",
    "a.b+c@d-e.fg",
    "A@B.COM",
    ".a@b.co",
    "a.@b.co",
    "a..b@c.de",
    "\"a b\"@c.de",
    "\"a\\\"b\"@c.de",
    "a b@c.de",
    "ö@ü.de",
    "a@b.c0m",
    "a@b.1",
    "a@-b.de",
    "a@b-.de",
    "a@b_c.de",
    "a@b..de",
    "a@b.de.",
    "a@b.de..",
    "a@127.0.0.1",
    "a@[1.2.3.4]",
    "a@b@c.de",
    "{a|b}~@c.de",
    "a@b~c.de",
    "\"(a\"@c.de",
    "web@shop.example",
    "\"a\"@c.de",
    "\"a\"b\"@c.de",
];
const WEBS: [&str; 40] = [
    "http://a.de",
    "https://a.de/b?c#d",
    "a.de",
    "a",
    "abc",
    "abcd",
    "a.b",
    ".a.de",
    "http://.a.de",
    "http://a",
    "http://localhost:8080/x",
    "localhost:80",
    "//a.de",
    "/a/b.c",
    "/a/b",
    "ftp://u:p@a.de",
    "git://a.de",
    "http://a_b.de",
    "http://a-.de",
    "http://-a.de",
    "http://a..de",
    "http://a.de:123456",
    "http://a.de:x",
    "http://1.2.3.4",
    "http://256.2.3.4",
    "http://0.1.2.3",
    "http://[::1]",
    "http://[::1]:80/x",
    "http://[1:2:3:4:5:6:7:8]",
    "http://[fe80::1%25eth0]",
    "http://ü.de",
    "http://a.d_e",
    "http://a de",
    "http://www.a-b.co.uk/~x",
    "mailto:a@b.de",
    "http://a.de#x",
    "http://a.de/#x",
    "http://%zz",
    "HTTP://A.DE",
    "http://a--b.de",
];
const REQUESTS: [&str; 22] = [
    "http://a.de",
    "a.de",
    "/a/b",
    "//a.de",
    "mailto:a@b.de",
    "data:image/png;base64,AAAA",
    "http://a.de#x",
    "http://a.de/#x",
    "http://a.de/%zz",
    "http://a b.de",
    "http://a.de/b c",
    "http://[::1",
    "http://[::1]:x",
    "http:",
    ":a",
    "1a:b",
    "a-b+c.d:e",
    "file:///a.png",
    "http://a.de:80#x",
    "http://a.de?b#c",
    "http://u:p w@a.de",
    "oci://a/b",
];

/// Charts that say one thing each in `Chart.yaml`, and their names.
fn charts_that_say(folder: &Path, kind: &str, texts: &[&str], line: fn(&str) -> String) -> Vec<String> {
    let write = |(index, text): (usize, &&str)| {
        let name = format!("{kind}{index}");
        std::fs::create_dir(folder.join(&name)).unwrap();
        let shown = serde_json::to_string(text).unwrap();
        let definition = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{}\n", line(&shown));
        std::fs::write(folder.join(&name).join("Chart.yaml"), definition).unwrap();
        name
    };
    texts.iter().enumerate().map(write).collect()
}

#[test]
#[ignore = "needs the testbed: make test"]
fn addresses_are_judged_as_by_the_original() {
    let (folder, original) = (tempfile::tempdir().unwrap(), Testbed::shared());
    let mut failed = Vec::new();
    let charts = [
        charts_that_say(folder.path(), "mail", &MAILS, |text| format!("maintainers: [{{name: a, email: {text}}}]")),
        charts_that_say(folder.path(), "web", &WEBS, |text| format!("maintainers: [{{name: a, url: {text}}}]")),
        charts_that_say(folder.path(), "source", &REQUESTS, |text| format!("sources: [{text}]")),
        charts_that_say(folder.path(), "icon", &REQUESTS, |text| format!("icon: {text}")),
    ];
    for chart in charts.concat() {
        compare(original, folder.path(), &["lint", &chart], &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Every kind of Kubernetes' own in every version that a group ever had, and those of old kinds.
fn manifests_of_all_kinds() -> Vec<(String, String)> {
    const VERSIONS: [&str; 10] =
        ["v1", "v2", "v1alpha1", "v1alpha2", "v1alpha3", "v1beta1", "v1beta2", "v1beta3", "v2beta1", "v2beta2"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (kinds, old) = (read("crates/manifest/src/kinds.txt"), read("crates/helm/src/lint/deprecated.txt"));
    let kinds = kinds.lines().filter_map(|line| line.strip_prefix("kind ")?.split_once(' '));
    let old = old.lines().filter_map(|line| line.split_once('\t')?.1.split_once(' '));
    let mut found = std::collections::BTreeSet::new();
    for (group_version, rest) in kinds.chain(old) {
        let kind = rest.split(' ').next().unwrap();
        let group = group_version.split_once('/').map_or("", |(group, _)| group);
        for version in VERSIONS {
            let of = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            found.insert((of.clone(), kind.to_owned()));
            found.insert((of, format!("{kind}List")));
        }
    }
    found.into_iter().collect()
}

#[test]
#[ignore = "needs the testbed: make test"]
fn api_versions_are_deprecated_as_by_the_original() {
    let (folder, original) = (chart(), Testbed::shared());
    let manifests = manifests_of_all_kinds();
    for (index, (version, kind)) in manifests.iter().enumerate() {
        let text = format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{selector: {{matchLabels: {{a: b}}}}}}\n"
        );
        std::fs::write(folder.path().join(format!("c/templates/{index:05}.yaml")), text).unwrap();
    }
    let mut failed = Vec::new();
    for version in ["1.15", "1.19", "1.24", "1.29", "1.34", "1.36"] {
        compare(original, folder.path(), &["lint", "c", "--kube-version", version], &mut failed);
    }
    assert!(failed.is_empty() && manifests.len() > 1000, "{} of {}", failed.join("\n"), manifests.len());
}

#[test]
#[ignore = "needs the testbed: make test"]
fn notes_are_those_of_the_original() {
    let Some(charts) = corpus("helm/charts") else { return };
    let original = Testbed::shared();
    let (mut ran, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(&charts).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut install = original.tool("helm");
        let arguments = ["install", "rel", &name, "-n", "apps", "--dry-run=client", "--skip-schema-validation"];
        let printed = Ran(install.args(arguments).current_dir(&charts).output().unwrap());
        let Some((_, wanted)) = printed.out().split_once("\nNOTES:\n").map(|(a, b)| (a.to_owned(), b.to_owned()))
        else {
            continue;
        };
        ran += 1;
        let chart = helm::Chart::load(&super::disk::DiskFiles(charts.join(&name)), "").unwrap();
        let mut options = helm::RenderOptions::new("rel", "apps");
        options.skips_schema = true;
        let none = std::sync::Arc::new(helm::NoCluster);
        let rendered = helm::render(&chart, &helm::values::Values::new(), &options, none, &lockstep::system::System);
        let notes = rendered.map(|rendered| rendered.notes).unwrap_or_default();
        if notes.trim() != wanted.trim() {
            let first = wanted.trim().lines().zip(notes.trim().lines()).find(|(wanted, own)| wanted != own);
            failed.push(format!("{name}: {first:?}"));
        }
    }
    report("cli/helm-notes", ran, &failed);
    assert!(ran > 45, "only {ran} charts have notes");
}
