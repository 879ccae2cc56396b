//! The command line as a user has it: the real binary, over committed folders, and over the corpus.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what fails here stops the test"
)]

#[path = "cli/beside.rs"]
mod beside;
#[path = "cli/corpus.rs"]
mod cases;
#[path = "cli/helm.rs"]
mod charts;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/dice.rs"]
mod dice;
#[path = "../crates/kustomize/tests/support/disk.rs"]
mod disk;
#[path = "cli/flux.rs"]
mod flux;
#[path = "support/git_server.rs"]
mod git_server;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/kustomize.rs"]
mod kustomizations;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/merges.rs"]
mod merges;
#[path = "../crates/kustomize/tests/beside/patch.rs"]
mod patch;
#[path = "cli/remote.rs"]
mod remote;
#[path = "support/repository.rs"]
mod repository;
#[path = "cli/sops.rs"]
mod sops_commands;
#[path = "support/testbed.rs"]
mod testbed;
#[path = "../crates/kustomize/tests/support/tree.rs"]
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sops::{Format, Identities, Indents, MasterKey, Sealed, Settings};

/// What the binary prints and how it ends, in a folder, without keys or settings of whoever runs the tests.
struct Lockstep(Command);

impl Lockstep {
    fn new(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.current_dir(folder).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
        Self(command)
    }

    fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    fn run(mut self, arguments: &[&str]) -> Ran {
        Ran(self.0.args(arguments).output().expect("the binary runs"))
    }
}

struct Ran(Output);

impl Ran {
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    /// What was printed, of a run without a word on standard error.
    #[track_caller]
    fn succeeds(&self) -> String {
        assert_eq!((self.code(), self.err().as_str()), (0, ""));
        self.out()
    }

    /// What standard error says, of a run that printed nothing.
    #[track_caller]
    fn fails(&self, code: i32) -> String {
        assert_eq!((self.code(), self.out().as_str()), (code, ""), "{}", self.err());
        self.err()
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli")
}

fn lockstep(arguments: &[&str]) -> Ran {
    Lockstep::new(&here()).run(arguments)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(here().join(file)).unwrap()
}

#[test]
fn a_kustomization_is_printed_in_the_orders_of_the_original() {
    let build = ["kustomize", "build", "overlay", "--load-restrictor", "LoadRestrictionsNone"];
    assert_eq!(lockstep(&build).succeeds(), text("expected.overlay.yaml"));
    let as_built = [&build[..], &["--reorder", "none"]].concat();
    assert_eq!(lockstep(&as_built).succeeds(), text("expected.overlay.none.yaml"));
}

#[test]
fn the_folder_that_is_built_is_the_current_one_when_none_is_named() {
    let built = Lockstep::new(&here().join("base")).run(&["kustomize", "build"]);
    assert_eq!(built.succeeds(), lockstep(&["kustomize", "build", "base"]).succeeds());
}

#[test]
fn a_file_outside_of_a_kustomization_is_refused_and_named_from_the_current_folder() {
    let error = lockstep(&["kustomize", "build", "overlay"]).fails(1);
    assert!(error.starts_with("Error: shared.properties: security; file 'shared.properties' is not in"), "{error}");
    let above = Lockstep::new(&here().join("overlay")).run(&["kustomize", "build", "."]).fails(1);
    assert!(above.contains(&format!("{}: security;", here().join("shared.properties").display())), "{above}");
}

#[test]
fn a_link_that_leaves_a_kustomization_is_refused_like_the_file_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
    std::fs::create_dir_all(folder.path().join("app/inner")).unwrap();
    write("secret.txt", "outside");
    write("app/inner/real.txt", "inside");
    let link = |target: &str, path: &str| std::os::unix::fs::symlink(target, folder.path().join(path)).unwrap();
    link("../secret.txt", "app/out.txt");
    link("inner/real.txt", "app/in.txt");
    let generator = |file: &str| format!("configMapGenerator:\n- name: a\n  files: [{file}]\n");
    write("app/kustomization.yaml", &generator("in.txt"));
    assert!(Lockstep::new(folder.path()).run(&["kustomize", "build", "app"]).succeeds().contains("inside"));
    write("app/kustomization.yaml", &generator("out.txt"));
    let error = Lockstep::new(folder.path()).run(&["kustomize", "build", "app"]).fails(1);
    assert!(error.contains("app/out.txt") && error.contains("security"), "{error}");
}

#[test]
fn objects_are_written_to_a_file_or_to_one_each() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("all.yaml");
    lockstep(&["kustomize", "build", "base", "-o", whole.to_str().unwrap()]).succeeds();
    assert_eq!(std::fs::read_to_string(&whole).unwrap(), lockstep(&["kustomize", "build", "base"]).succeeds());
    std::fs::remove_file(&whole).unwrap();
    lockstep(&["kustomize", "build", "base", "-o", folder.path().to_str().unwrap()]).succeeds();
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["apps_v1_deployment_web.yaml", "v1_namespace_shop.yaml"]);
}

#[test]
fn charts_of_a_kustomization_are_rendered_when_asked_for() {
    let error = lockstep(&["kustomize", "build", "charted"]).fails(1);
    assert!(error.contains("must specify --enable-helm"), "{error}");
    let built = lockstep(&["kustomize", "build", "charted", "--enable-helm", "--helm-kube-version", "1.33.0"]);
    let built = built.succeeds();
    for part in ["name: shop", "namespace: apps", "greeting: good day", "kube: v1.33.0", "routes: \"true\""] {
        assert!(built.contains(part), "{part} in {built}");
    }
}

#[test]
fn what_would_have_to_be_fetched_is_refused_by_name() {
    let remote =
        lockstep(&["kustomize", "build", "https://me:word@example.org/a/b?ref=main", "--no-remote-bases"]).fails(1);
    assert!(remote.contains("'https://example.org/a/b' is remote, and remote bases are not allowed here"), "{remote}");
    let chart = lockstep(&["helm", "template", "web", "repository/web"]).fails(1);
    assert!(chart.contains("path \"repository/web\" not found; charts are not fetched"), "{chart}");
}

const WEB: &str = "charted/charts/web";

#[test]
fn a_chart_is_printed_with_values_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, "greeting: from a file\nreplicas: 2\n").unwrap();
    let file = file.to_str().unwrap();
    let template = ["helm", "template", "shop", WEB, "-n", "apps", "-f", file, "--set", "replicas=3"];
    let printed = lockstep(&[&template[..], &["--set-literal", "greeting=a,b"]].concat()).succeeds();
    for part in ["name: shop", "namespace: apps", "greeting: \"a,b\"", "replicas: \"3\"", "kube: v1.36.0"] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    assert!(!printed.contains("CustomResourceDefinition"), "{printed}");
    let json = lockstep(&["helm", "template", WEB, "--set-json", "{\"replicas\": 5}", "--include-crds"]).succeeds();
    assert!(json.contains("replicas: \"5\"") && json.contains("name: release-name"), "{json}");
    assert!(json.starts_with("---\n# Source: web/crds/colour.yaml\n"), "{json}");
}

#[test]
fn hooks_are_left_out_as_asked() {
    let hooks = |flags: &[&str]| {
        let printed = lockstep(&[&["helm", "template", "shop", WEB], flags].concat()).succeeds();
        (printed.contains("kind: Pod"), printed.contains("kind: Job"))
    };
    assert_eq!(hooks(&[]), (true, true));
    assert_eq!(hooks(&["--skip-tests"]), (false, true));
    assert_eq!(hooks(&["--no-hooks"]), (false, false));
}

#[test]
fn a_chart_archive_is_a_chart() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("web-1.2.3.tgz");
    let gzip = flate2::write::GzEncoder::new(std::fs::File::create(&archive).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    tar.append_dir_all("web", here().join(WEB)).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let printed = lockstep(&["helm", "template", "shop", archive.to_str().unwrap()]).succeeds();
    assert_eq!(printed, lockstep(&["helm", "template", "shop", WEB]).succeeds());
}

#[test]
fn a_render_that_fails_says_what_helm_says() {
    let old = lockstep(&["helm", "template", "shop", WEB, "--kube-version", "1.29"]).fails(1);
    assert!(old.contains("chart requires kubeVersion: >=1.30 which is incompatible with Kubernetes v1.29"), "{old}");
    let name = lockstep(&["helm", "template", "Shop", WEB]).fails(1);
    assert!(name.contains("release name \"Shop\""), "{name}");
    let none = lockstep(&["helm", "template", "shop", WEB, "-s", "templates/none.yaml"]).fails(1);
    assert_eq!(none, "Error: could not find template templates/none.yaml in chart\n");
}

/// A folder with an encrypted file, and the identity that opens it.
fn encrypted() -> (tempfile::TempDir, String) {
    let (identity, recipient) = sops::generate();
    let settings = Settings { groups: vec![vec![MasterKey::age(&recipient)]], ..Settings::default() };
    let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
    let plain = b"user: admin\nlist:\n    - one\n    - two\n";
    let sealed =
        Sealed::encrypt(plain, Format::Yaml, settings, &Identities::default(), "2026-01-02T03:04:05Z", &mut random)
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.yaml"), sealed.emit(Format::Yaml, Indents::default()).unwrap()).unwrap();
    (folder, identity.to_string())
}

#[test]
fn identities_come_from_the_places_of_sops() {
    let (folder, identity) = encrypted();
    let plain = "user: admin\nlist:\n    - one\n    - two\n";
    let run =
        |name: &str, value: &str| Lockstep::new(folder.path()).env(name, value).run(&["sops", "decrypt", "s.yaml"]);
    assert_eq!(run("SOPS_AGE_KEY", &format!("# mine\n{identity}")).succeeds(), plain);
    std::fs::create_dir_all(folder.path().join("sops/age")).unwrap();
    let file = folder.path().join("sops/age/keys.txt");
    std::fs::write(&file, format!("{identity}\n")).unwrap();
    assert_eq!(run("SOPS_AGE_KEY_FILE", file.to_str().unwrap()).succeeds(), plain);
    assert_eq!(run("XDG_CONFIG_HOME", folder.path().to_str().unwrap()).succeeds(), plain);
}

#[test]
fn a_file_that_does_not_open_tells_what_was_tried_and_no_key() {
    let (folder, _) = encrypted();
    let (_, stranger) = encrypted();
    let refused = Lockstep::new(folder.path()).env("SOPS_AGE_KEY_CMD", "cat key").run(&["sops", "decrypt", "s.yaml"]);
    let error = refused.fails(128);
    assert!(error.contains("no identity was given") && error.contains("SOPS_AGE_KEY_CMD names a program"), "{error}");
    let wrong = Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &stranger).run(&["sops", "decrypt", "s.yaml"]);
    let error = wrong.fails(128);
    assert!(error.contains("tried age1") && !error.contains(&stranger), "{error}");
}

#[test]
fn plaintext_goes_where_it_is_asked_to() {
    let (folder, identity) = encrypted();
    let run = |arguments: &[&str]| Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &identity).run(arguments);
    assert_eq!(run(&["sops", "decrypt", "--extract", "[\"list\"][1]", "s.yaml"]).succeeds(), "two");
    assert_eq!(
        run(&["sops", "decrypt", "--output-type", "json", "--indent", "1", "s.yaml"]).succeeds(),
        "{\n \"user\": \"admin\",\n \"list\": [\n  \"one\",\n  \"two\"\n ]\n}\n"
    );
    std::fs::write(folder.path().join(".sops.yaml"), "stores: {yaml: {indent: 2}}\n").unwrap();
    assert_eq!(run(&["sops", "decrypt", "--output", "p.yaml", "s.yaml"]).succeeds(), "");
    let written = std::fs::read_to_string(folder.path().join("p.yaml")).unwrap();
    assert_eq!(written, "user: admin\nlist:\n  - one\n  - two\n");
    run(&["sops", "decrypt", "-i", "s.yaml"]).succeeds();
    assert_eq!(std::fs::read_to_string(folder.path().join("s.yaml")).unwrap(), written);
}

#[test]
fn exit_codes_are_those_of_sops() {
    let (folder, identity) = encrypted();
    let run = |arguments: &[&str]| Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &identity).run(arguments);
    run(&["sops", "decrypt", "none.yaml"]).fails(100);
    run(&["sops", "decrypt", "."]).fails(2);
    run(&["sops", "decrypt", "-i"]).fails(8);
    run(&["sops", "decrypt", "-i", "--output", "x", "s.yaml"]).fails(8);
    run(&["sops", "decrypt", "--extract", "list", "s.yaml"]).fails(91);
    run(&["sops", "decrypt", "--output", "no/such/folder", "s.yaml"]).fails(3);
    let stale = std::fs::read_to_string(folder.path().join("s.yaml")).unwrap();
    let two = stale.lines().find(|line| line.trim_start().starts_with("- ENC[")).unwrap();
    std::fs::write(folder.path().join("stale.yaml"), stale.replacen(&format!("{two}\n"), "", 1)).unwrap();
    run(&["sops", "decrypt", "stale.yaml"]).fails(51);
    assert_eq!(run(&["sops", "decrypt", "--ignore-mac", "stale.yaml"]).succeeds(), "user: admin\nlist:\n    - two\n");
}

#[test]
fn every_definition_is_printed() {
    let stream = lockstep(&["crds"]).succeeds();
    let documents = stream.split("---\n").filter(|text| !text.is_empty());
    assert!(documents.clone().all(|text| text.contains("kind: CustomResourceDefinition")));
    assert_eq!(documents.count(), 40);
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = lockstep(&["completion", shell]).succeeds();
        assert!(script.contains("load-restrictor"), "{shell}");
    }
}

#[test]
fn the_version_has_three_forms() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(lockstep(&["version"]).succeeds().starts_with(&format!("lockstep {version} (as flux ")));
    let json: serde_json::Value = serde_json::from_str(&lockstep(&["version", "-o", "json"]).succeeds()).unwrap();
    assert_eq!(json["version"], version);
    assert_eq!(yaml::from_str(&lockstep(&["version", "-o", "yaml"]).succeeds()).unwrap(), json);
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Lockstep::new(&here());
    command.0.stdout(writer);
    let ran = command.run(&["crds"]);
    assert_eq!((ran.code(), ran.err().as_str()), (0, ""));
}

#[test]
fn what_is_no_command_is_explained_without_colours() {
    let error = lockstep(&["kustomise"]).fails(1);
    assert!(error.contains("unrecognized subcommand 'kustomise'") && !error.contains('\u{1b}'), "{error}");
    for verb in
        [&["--help"][..], &["kustomize", "build", "--help"], &["helm", "template", "--help"], &["crds", "--help"]]
    {
        let help = lockstep(verb).succeeds();
        assert!(help.contains("Example: ") && !help.contains('\u{1b}'), "{help}");
    }
}
