//! `lockstep plan`: what would change, every error at once, no value of any secret, and nothing written.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use scene::{Scene, deployment, external};
use serde_json::Value;
use tempfile::TempDir;
use testbed::command;

fn lockstep() -> Command {
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_lockstep")));
    command.env_remove("KUBECONFIG");
    command
}

fn plan(arguments: &[&str]) -> Output {
    lockstep().arg("plan").args(arguments).output().expect("it is built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// The standard output of a plan that ended with a code.
fn told(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn json(output: &Output, code: i32) -> Value {
    serde_json::from_str(told(output, code)).expect("one document")
}

/// The value of `object` in the plan of a unit.
fn find<'v>(plan: &'v Value, unit: &str, list: &str, object: &str) -> &'v Value {
    let units = plan["units"].as_array().into_iter().flatten();
    let lists = units.filter(|found| found["unit"] == unit).flat_map(|unit| unit[list].as_array());
    lists.flatten().find(|found| found["object"] == object).unwrap_or(&Value::Null)
}

fn check_secrecy(output: &Output, secrets: &[&str]) {
    for secret in secrets {
        let form = STANDARD_NO_PAD.encode(secret);
        for form in [secret, &form.as_str()] {
            assert!(!text(&output.stdout).contains(form), "{form} is told: {}", text(&output.stdout));
            assert!(!text(&output.stderr).contains(form), "{form} is told: {}", text(&output.stderr));
        }
    }
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn path(folder: &TempDir, below: &str) -> String {
    folder.path().join(below).to_str().expect("text").to_owned()
}

/// A Flux Kustomization of `./NAME`.
fn kustomization(name: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\n\
         spec: {{path: ./{name}, interval: 10m, prune: true, sourceRef: {{kind: GitRepository, name: fleet}}{more}}}\n"
    )
}

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("keys-example")
}

/// The Secret with the example's age key.
fn age_key() -> String {
    let key = fs::read_to_string(example().join("age/x25519.agekey")).expect("it is there");
    let key = key.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: sops-age, namespace: flux-system}}\nstringData:\n  age.agekey: |\n{key}"
    )
}

#[test]
fn a_repository_that_never_landed_is_planned_unit_after_unit_in_the_cluster_of_the_plan() {
    let with = folder(&[("age.yaml", &age_key())]);
    let (repository, age) = (example().join("repository"), path(&with, "age.yaml"));
    let root = repository.to_str().expect("text");
    let output = plan(&[root, "--embedded", "--with", &age]);
    let all = told(&output, 2).to_owned();
    check_secrecy(&output, &["example-password-1", "example-token-1", "AGE-SECRET-KEY"]);
    assert!(!all.contains('\u{1b}'), "colours where nobody sees them: {all}");
    let units: Vec<&str> = all.lines().filter(|line| line.starts_with("Kustomization/")).collect();
    let expected = ["flux-system", "infrastructure", "apps"];
    assert_eq!(units, expected.map(|name| format!("Kustomization/flux-system/{name} at local files")), "{all}");
    assert!(all.contains("  + Secret/shop/payment apps/base/payment.yaml:3\n      data.token: added\n"), "{all}");
    assert!(all.contains("  + Deployment/shop/web apps/base/web.yaml:2\n"), "{all}");
    let cluster = format!("{root}/clusters/demo");
    assert_eq!(told(&plan(&[&cluster, "--embedded", "--with", &age]), 2), all, "its cluster's folder is the same plan");
    let without = plan(&[root, "--embedded", "-o", "json"]);
    let apps = json(&without, 1)["units"][2].clone();
    let message = "decryption secret 'Secret/flux-system/sops-age' not found";
    assert_eq!((&apps["fate"], &apps["problems"][0]["message"]), (&"fails".into(), &message.into()), "{apps:#}");
}

#[test]
fn what_landed_has_no_changes_and_what_is_newer_tells_which_fields_change_and_of_secrets_only_that() {
    let keep = tempfile::tempdir().expect("a folder");
    let demo = lockstep().args(["demo", "-o", "json", "--keep", &path(&keep, "demo")]).output().expect("it is built");
    told(&demo, 0);
    let cluster = path(&keep, "demo/cluster");
    let before = fs::read(format!("{cluster}/cluster.json")).expect("it is kept");
    let mirror = format!("https://git.example.com/shop/fleet=file://{}", path(&keep, "demo/repository.git"));
    let of = |name: &str, more: &[&str]| {
        let arguments = ["--kustomization", name, "--embedded", "--cluster", &cluster, "--mirror", &mirror];
        plan(&[&arguments, more].concat())
    };
    assert!(told(&of("infrastructure", &[]), 0).contains(" at main@sha1:"));
    let output = of("apps", &["-o", "json"]);
    let apps = json(&output, 2);
    check_secrecy(&output, &["example-password-2", "example-password-3", "example-token-2"]);
    assert_eq!((&apps["changes"], &apps["fails"]), (&true.into(), &false.into()));
    let of_apps = |object: &str| find(&apps, "Kustomization/flux-system/apps", "objects", object);
    let secret = of_apps("Secret/shop/database");
    assert_eq!(secret["fields"], serde_json::json!([{"path": "data.password", "change": "changed"}]), "{secret:#}");
    let orders = of_apps("Deployment/shop/orders");
    assert_eq!((&orders["action"], &orders["file"]), (&"configure".into(), &"apps/base/orders.yaml".into()));
    let field = serde_json::json!({"path": "spec.progressDeadlineSeconds", "change": "changed", "from": 600, "to": 1});
    assert!(orders["fields"].as_array().is_some_and(|fields| fields.contains(&field)), "{orders:#}");
    assert_eq!(of_apps("Secret/shop/payment")["action"], "unchanged");
    assert!(told(&of("apps", &[]), 2).contains("      spec.progressDeadlineSeconds: 600 -> 1\n"));
    assert_eq!(
        fs::read(format!("{cluster}/cluster.json")).expect("it is kept"),
        before,
        "the kept cluster stays as it is"
    );
    let absent = of("absent", &[]);
    assert!(told(&absent, 1).is_empty() && text(&absent.stderr).contains("Kustomization/flux-system/absent not found"));
}

#[test]
fn what_another_unit_of_the_commit_declares_is_handed_over_and_what_is_lost_by_mistake_is_held() {
    let (_keep, cluster, work) = demo();
    let of = |name: &str, folder: &str| {
        let folder = work.join(folder);
        plan(&[folder.to_str().expect("text"), "--kustomization", name, "--embedded", "--cluster", &cluster])
    };
    let drop_line = |file: &str, line: &str| {
        let text = fs::read_to_string(work.join(file)).expect("a file");
        fs::write(work.join(file), text.replace(line, "")).expect("a file");
    };
    drop_line("apps/base/kustomization.yaml", "- payment.yaml\n");
    let gone = of("apps", "apps/demo");
    assert!(told(&gone, 2).contains("  - ExternalSecret/shop/payment\n"), "{}", text(&gone.stdout));
    fs::copy(work.join("apps/base/payment.yaml"), work.join("infrastructure/payment.yaml")).expect("a file");
    let list = work.join("infrastructure/kustomization.yaml");
    let before = fs::read_to_string(&list).expect("a file");
    fs::write(&list, format!("{before}- payment.yaml\n")).expect("a file");
    let moved = of("apps", "apps/demo");
    let line = "  = ExternalSecret/shop/payment is handed over to Kustomization/flux-system/infrastructure\n";
    assert!(told(&moved, 2).contains(line) && !text(&moved.stdout).contains("prune"), "{}", text(&moved.stdout));
    let taken = of("infrastructure", "infrastructure");
    let line = "  = ExternalSecret/shop/payment is owned by Kustomization/flux-system/apps\n";
    assert!(told(&taken, 2).contains(line), "{}", text(&taken.stdout));
    drop_line("infrastructure/kustomization.yaml", "- namespace.yaml\n");
    let held = of("infrastructure", "infrastructure");
    let guard = "  ✗ 1 of 2 objects would be deleted, among them Namespace/shop: acknowledge it with the annotation";
    assert!(told(&held, 1).contains(guard), "{}", text(&held.stdout));
}

#[test]
fn what_goes_with_a_kustomization_is_told() {
    let (_keep, cluster, work) = demo();
    let root = work.join("clusters/demo");
    let of = || {
        let folder = root.to_str().expect("text");
        plan(&[folder, "--kustomization", "flux-system", "--embedded", "--cluster", &cluster])
    };
    fs::remove_file(root.join("infrastructure.yaml")).expect("a file");
    let gone = of();
    let line = "  - Kustomization/flux-system/infrastructure and with it, unless another unit of this revision wants it: \
        Namespace/shop, SecretStore/shop/vault\n";
    assert!(told(&gone, 2).contains(line), "{}", text(&gone.stdout));
    respecify(&cluster, "infrastructure", "deletionPolicy", "Orphan".into());
    let left = of();
    assert!(told(&left, 2).contains("  - Kustomization/flux-system/infrastructure\n"), "{}", text(&left.stdout));
}

/// The demo's cluster and a clone of its repository.
fn demo() -> (TempDir, String, std::path::PathBuf) {
    let keep = tempfile::tempdir().expect("a folder");
    let demo = lockstep().args(["demo", "-o", "json", "--keep", &path(&keep, "demo")]).output().expect("it is built");
    told(&demo, 0);
    let (cluster, work) = (path(&keep, "demo/cluster"), keep.path().join("work"));
    let clone = command("git".as_ref()).args(["clone", "-q", &path(&keep, "demo/repository.git")]).arg(&work).status();
    assert!(clone.expect("git").success());
    (keep, cluster, work)
}

/// Changes the spec of a Kustomization in a kept cluster.
fn respecify(cluster: &str, name: &str, field: &str, value: Value) {
    let file = format!("{cluster}/cluster.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&file).expect("it is kept")).expect("JSON");
    let objects = kept["objects"].as_array_mut().into_iter().flatten();
    let mut found = objects.filter(|object| object["kind"] == "Kustomization" && object["metadata"]["name"] == name);
    found.next().expect("it is there")["spec"][field] = value;
    fs::write(&file, kept.to_string()).expect("it is kept");
}

#[test]
fn what_is_not_pruned_is_told_as_left() {
    let (_keep, cluster, work) = demo();
    let list = work.join("apps/base/kustomization.yaml");
    let before = fs::read_to_string(&list).expect("a file");
    fs::write(&list, before.replace("- payment.yaml\n", "")).expect("a file");
    respecify(&cluster, "apps", "prune", false.into());
    let folder = work.join("apps/demo");
    let of = |more: &[&str]| {
        let arguments =
            [folder.to_str().expect("text"), "--kustomization", "apps", "--embedded", "--cluster", &cluster];
        plan(&[&arguments, more].concat())
    };
    let output = of(&[]);
    let text = told(&output, 2);
    let line = "  = ExternalSecret/shop/payment is left: nobody declares it any more, and prune is false\n";
    assert!(text.contains(line) && text.contains("1 leave"), "{text}");
    let json = json(&of(&["-o", "json"]), 2);
    let left = find(&json, "Kustomization/flux-system/apps", "objects", "ExternalSecret/shop/payment");
    assert_eq!(left["action"], "leave", "{json:#}");
}

#[test]
fn who_has_suspended_a_unit_is_told() {
    let (_keep, cluster, work) = demo();
    respecify(&cluster, "apps", "suspend", true.into());
    let root = work.join("clusters/demo");
    let root = root.to_str().expect("text");
    let of = |arguments: &[&str]| {
        let output = plan(&[arguments, &["--embedded", "--cluster", &cluster]].concat());
        let all = text(&output.stdout).to_owned();
        let apps = all.split("Kustomization/flux-system/apps at ").nth(1).map(str::to_owned);
        apps.unwrap_or_else(|| panic!("no unit apps in:\n{all}{}", text(&output.stderr)))
    };
    let apps = work.join("apps/demo");
    for arguments in [vec![root], vec![apps.to_str().expect("text"), "--kustomization", "apps"]] {
        assert!(of(&arguments).contains("\n  suspended in the cluster: would not land\n"), "{}", of(&arguments));
    }
    respecify(&cluster, "apps", "suspend", false.into());
    let declared = find_file(&work.join("clusters"), "name: apps");
    let text = fs::read_to_string(&declared).expect("a file");
    let (head, tail) = text.split_once("name: apps").expect("two parts");
    fs::write(&declared, format!("{head}name: apps{}", tail.replacen("spec:\n", "spec:\n  suspend: true\n", 1)))
        .expect("a file");
    assert!(of(&[root]).contains("\n  suspended in Git: would not land\n"), "{}", of(&[root]));
}

/// The file below a folder that has a text.
fn find_file(folder: &Path, part: &str) -> std::path::PathBuf {
    let all = command("grep".as_ref()).args(["-rl", part]).arg(folder).output().expect("grep");
    text(&all.stdout).lines().next().expect("a file").into()
}

const LOST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\nspec: {selector: {matchLabels: \
    {app: web}}, template: {metadata: {labels: {app: web}}, spec: {imagePullSecrets: [{name: pull}], volumes: [{name: a, secret: \
    {secretName: gone}}, {name: b, configMap: {name: kube-root-ca.crt}}, {name: c, secret: {secretName: maybe, optional: true}}, \
    {name: d, secret: {secretName: certificate}}, {name: e, secret: {secretName: external}}], containers: [{name: c, image: i, envFrom: \
    [{secretRef: {name: db}}, {configMapRef: {name: lost}}]}]}}}\n";
const CERTIFICATE: &str = "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: web, namespace: default}\n\
    spec: {secretName: certificate}\n";

#[test]
fn what_a_pod_reads_and_nobody_makes_is_told_with_object_and_field() {
    let secret = WEB.split_once("---\n").expect("two parts").0;
    let definition = DEFINITION.replace("example.com", "cert-manager.io").replace("gadgets", "certificates");
    let definition = definition.replace("Gadget", "Certificate");
    let files = [
        ("cluster/all.yaml", [kustomization("apps", ""), kustomization("data", "")].join("---\n")),
        ("apps/web.yaml", LOST.to_owned()),
        ("apps/definition.yaml", definition),
        ("apps/certificate.yaml", CERTIFICATE.to_owned()),
        ("apps/store.yaml", STORE.to_owned()),
        ("apps/external.yaml", EXTERNAL.replace("name: NAME", "name: external").replace("NAME", "token")),
        ("data/secret.yaml", secret.to_owned()),
    ];
    let folder = folder(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    let lost = |arguments: &[&str]| {
        let output = plan(&[arguments, &["--embedded", "-o", "json"]].concat());
        let planned: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let units = planned["units"].as_array().cloned().unwrap_or_default();
        let apps =
            units.into_iter().find(|unit| unit["unit"] == "Kustomization/flux-system/apps").expect("it is planned");
        let warnings = apps["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().map(|warning| warning.as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let says = |field: &str, id: &str, beyond: &str| {
        format!(
            "apps/web.yaml:1: Deployment/default/web: spec.template.spec.{field} names {id}: no unit makes it{beyond}"
        )
    };
    let unknown = "; whether a cluster has it is not known here";
    let map = says("containers[0].envFrom[1].configMapRef", "ConfigMap/default/lost", unknown);
    let pull = says("imagePullSecrets[0]", "Secret/default/pull", unknown);
    let gone = says("volumes[0].secret", "Secret/default/gone", unknown);
    assert_eq!(lost(&[&path(&folder, "cluster")]), [map, pull, gone]);
    // What the cluster has is not lost; a cluster that was kept is one.
    let (_keep, cluster, _work) = demo();
    let pull = "apiVersion: v1\nkind: Secret\nmetadata: {name: pull, namespace: default}\n";
    let pull = self::folder(&[("all.yaml", pull)]);
    let known = [path(&folder, "cluster/all.yaml"), path(&pull, "all.yaml")];
    let arguments = ["--kustomization", "apps", "--cluster", &cluster, "--with", &known[1], "--with", &known[0]];
    let told = lost(&[&[path(&folder, "apps").as_str()], &arguments[..]].concat());
    assert!(told.iter().all(|warning| !warning.contains("pull")), "{told:?}");
    let gone = "volumes[0].secret names Secret/default/gone: no unit makes it, and the cluster does not have it";
    assert!(told.iter().any(|warning| warning.ends_with(gone)), "{told:?}");
}

#[test]
fn a_variable_without_a_value_is_empty_where_the_agent_was_told_so() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\ndata: {k: 'x${unset}'}\n";
    let more = ", postBuild: {substitute: {other: value}}";
    let folder = folder(&[("cluster/all.yaml", &kustomization("apps", more)), ("apps/map.yaml", map)]);
    let root = path(&folder, "cluster");
    let strict = plan(&[&root, "--embedded"]);
    assert!(told(&strict, 1).contains("variable not set (strict mode): \"unset\""), "{}", text(&strict.stdout));
    let gate = "--feature-gates=StrictPostBuildSubstitutions=false";
    assert!(told(&plan(&[&root, "--embedded", gate]), 2).contains("+ ConfigMap/default/a"));
    let refused = plan(&[&root, "--embedded", "--feature-gates=UseHelm3Defaults=true"]);
    assert!(text(&refused.stderr).contains("UseHelm3Defaults=true is not supported"), "{}", text(&refused.stderr));
}

#[test]
fn what_another_unit_is_to_make_is_waited_for_and_no_error() {
    let (secret, rest) = WEB.split_once("---\n").expect("two parts");
    let apart = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: apart, namespace: default}\n";
    let units = [kustomization("apps", ""), kustomization("data", "")].join("---\n");
    let folder = folder(&[
        ("cluster/all.yaml", &units),
        ("apps/web.yaml", rest),
        ("apps/gadget.yaml", GADGET),
        ("apps/apart.yaml", apart),
        ("data/secret.yaml", secret),
        ("data/definition.yaml", DEFINITION),
    ]);
    let order = |output: &Output, code: i32| {
        let units = told(output, code).lines().filter_map(|line| line.strip_prefix("Kustomization/flux-system/"));
        units.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    let all = plan(&[&path(&folder, "cluster"), "--embedded"]);
    assert_eq!(order(&all, 2), ["cluster", "data", "apps"], "{}", text(&all.stdout));
    assert!(!text(&all.stdout).contains("waits for"), "{}", text(&all.stdout));
    // Where the plan is not done, one waits for the other, whose files are looked at for that.
    let known = path(&folder, "cluster/all.yaml");
    let apps = plan(&[&path(&folder, "apps"), "--kustomization", "apps", "--embedded", "--with", &known]);
    let apps = told(&apps, 2);
    for line in [
        "  … apps/web.yaml:1: Deployment/default/web: waits for Secret/default/db, which Kustomization/flux-system/data makes\n",
        "  … apps/gadget.yaml:1: Gadget/default/gadget: waits for the definition of Gadget.example.com, which Kustomization/flux-system/data makes\n",
        "  + ConfigMap/default/apart",
    ] {
        assert!(apps.contains(line), "{line} is not in:\n{apps}");
    }
    let json = plan(&[&path(&folder, "apps"), "--kustomization", "apps", "--embedded", "--with", &known, "-o", "json"]);
    let json = self::json(&json, 2);
    assert_eq!(json["units"][0]["waits"].as_array().map(Vec::len), Some(2), "{json:#}");
    assert_eq!(json["units"][0]["problems"], serde_json::json!([]), "{json:#}");
}

const STORE: &str = "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {name: vault, namespace: default}\n\
    spec: {provider: {fake: {data: [{key: token, value: canary-in-the-store}]}}}\n";
const EXTERNAL: &str = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: NAME, namespace: default}\n\
    spec: {secretStoreRef: {name: vault}, data: [{secretKey: token, remoteRef: {key: NAME}}]}\n";
const WRONG: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: wrong, namespace: default}\n\
    spec: {url: 'https://git.example.com/x', interval: '${password}'}\n";
const UNKNOWN: &str = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: gadget, namespace: default}\n";
const BAD_YAML: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n data: {}\n";
const VARIABLES: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: variables, namespace: flux-system}\n\
    stringData: {password: canary-of-today}\n";
const SUBSTITUTES: &str = ", postBuild: {substituteFrom: [{kind: Secret, name: variables}]}";

#[test]
fn every_error_of_every_unit_is_told_in_one_pass_with_file_line_and_object_and_without_a_secret() {
    let more = format!(", dependsOn: [{{name: files}}]{SUBSTITUTES}");
    let repository = folder(&[
        (
            "cluster/all.yaml",
            &[kustomization("files", ""), kustomization("late", &more), kustomization("server", SUBSTITUTES)]
                .join("---\n"),
        ),
        ("files/one.yaml", BAD_YAML),
        ("files/two.yaml", BAD_YAML),
        ("late/kustomization.yaml", "resources: [absent.yaml]\n"),
        ("server/store.yaml", STORE),
        ("server/token.yaml", &EXTERNAL.replace("NAME", "token")),
        ("server/absent.yaml", &EXTERNAL.replace("NAME", "absent")),
        ("server/wrong.yaml", WRONG),
        ("server/unknown.yaml", UNKNOWN),
    ]);
    let with = folder(&[("variables.yaml", VARIABLES)]);
    let arguments = [&path(&repository, "cluster"), "--embedded", "--with", &path(&with, "variables.yaml")];
    let output = plan(&arguments);
    check_secrecy(&output, &["canary-of-today", "canary-in-the-store"]);
    let all = told(&output, 1);
    assert!(text(&output.stderr).contains("it would not land"));
    for expected in [
        "✗ files/one.yaml:5: ",
        "✗ files/two.yaml:5: ",
        "✗ late/kustomization.yaml: 'late/absent.yaml': no such file",
        "✗ server/absent.yaml:1: ExternalSecret/default/absent: ",
        "✗ server/unknown.yaml:1: Gadget/default/gadget: ",
        "✗ server/wrong.yaml:1: GitRepository/default/wrong is refused: ",
        "spec.interval: Invalid value: \"***\"",
    ] {
        assert!(all.contains(expected), "{expected} is not in:\n{all}");
    }
    let output = plan(&[&arguments[..], &["-o", "json"]].concat());
    check_secrecy(&output, &["canary-of-today", "canary-in-the-store"]);
    let told = json(&output, 1);
    let problem = find(&told, "Kustomization/flux-system/server", "problems", "GitRepository/default/wrong");
    assert_eq!((&problem["file"], &problem["line"]), (&"server/wrong.yaml".into(), &1.into()), "{told:#}");
}

#[test]
fn a_secret_that_stands_in_another_object_is_told_neither_as_it_is_nor_as_it_was() {
    let object = |value: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: default}}\n\
             data: {{url: 'https://user:{value}@host/{}', {more}}}\n",
            "long".repeat(40)
        )
    };
    let repository = folder(&[
        ("cluster/all.yaml", &kustomization("apps", SUBSTITUTES)),
        ("apps/settings.yaml", &object("${password}", "level: high")),
        (
            "apps/secret.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: own, namespace: default}\nstringData: {a: canary-of-a, b: canary-of-b, d: new}\n",
        ),
    ]);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: own, namespace: default}\n\
        stringData: {a: canary-of-a, b: canary-of-yesterday, c: canary-of-c}\n";
    let with = [VARIABLES, secret, &object("canary-before", "level: low")].join("---\n");
    let with = folder(&[("cluster.yaml", &with)]);
    let arguments = [&path(&repository, "cluster"), "--embedded", "--with", &path(&with, "cluster.yaml")];
    let secrets = ["canary-of", "canary-before"];
    let output = plan(&arguments);
    check_secrecy(&output, &secrets);
    let all = told(&output, 2);
    for field in
        ["data.level: \"low\" -> \"high\"", "data.url: changed", "data.a: same", "data.b: changed", "data.d: added"]
    {
        assert!(all.contains(&format!("      {field}\n")), "{field} is not in:\n{all}");
    }
    let output = plan(&[&arguments[..], &["-o", "json"]].concat());
    check_secrecy(&output, &secrets);
    let told = json(&output, 2);
    let settings = find(&told, "Kustomization/flux-system/apps", "objects", "ConfigMap/default/settings");
    let url = serde_json::json!({"path": "data.url", "change": "changed"});
    assert!(settings["fields"].as_array().is_some_and(|fields| fields.contains(&url)), "{told:#}");
}

#[test]
fn a_folder_that_no_kustomization_is_for_is_planned_with_defaults_and_says_so() {
    let one = folder(&[("one/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n")]);
    let output = plan(&[&path(&one, "one"), "--embedded"]);
    let all = told(&output, 2);
    assert!(
        all.contains("! no Kustomization has this path") && all.contains("+ ConfigMap/default/a map.yaml:1"),
        "{all}"
    );
    let two = folder(&[("a/all.yaml", &kustomization("a", "")), ("b/all.yaml", &kustomization("b", ""))]);
    let output = plan(&[&path(&two, ""), "--embedded"]);
    assert!(told(&output, 1).is_empty() && text(&output.stderr).contains("several clusters, name one: a, b"));
}

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_5_against_a_cluster_a_plan_is_what_the_agent_does_next_and_writes_nothing() {
    let scene = Scene::new("plan");
    let namespace = scene.agent.namespace.clone();
    scene.vault.put("app", &scene.canary("first"));
    scene.git.write("app/all.yaml", &[external("app", "1h"), deployment("app", "app", "")].join("---\n"));
    scene.push("an application");
    scene.kustomization("app");
    scene.agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    let plan = |path: &[&str]| {
        let mut plan = lockstep();
        plan.envs(scene.testbed.environment()).args(["plan", "--kustomization", "app", "-n", &namespace]);
        plan.args(["--agent-namespace", &namespace, "--kubeconfig"]).arg(scene.testbed.kubeconfig());
        let output = plan.args(path).output().expect("it is built");
        check_secrecy(&output, &[&scene.canary("")]);
        output
    };
    let versions = || {
        let kinds = "secret,deployment,externalsecret,kustomization";
        scene.testbed.kubectl(&["get", kinds, "-n", &namespace, "-o", "jsonpath={.items[*].metadata.resourceVersion}"])
    };
    let before = versions();
    assert!(told(&plan(&[]), 0).contains(" at main@sha1:"));
    scene.vault.put("app", &scene.canary("second"));
    scene.git.write("app/all.yaml", &[external("app", "1h"), deployment("app", "app", ", tier: web")].join("---\n"));
    let work = scene.git.work().join("app");
    let work = work.to_str().expect("text");
    let output = plan(&[work]);
    let all = told(&output, 2);
    for expected in ["~ Secret/", "data.password: changed", "spec.template.metadata.labels.tier: added \"web\""] {
        assert!(all.contains(expected), "{expected} is not in:\n{all}");
    }
    scene.git.write("app/wrong.yaml", "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: gadget}\n");
    assert!(told(&plan(&[work]), 1).contains("✗ app/wrong.yaml:1: Gadget/"));
    assert_eq!(versions(), before, "nothing is written");
    scene.finish();
}

const WEB: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: default}\nstringData: {k: v}\n---\n\
    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\nspec: {selector: {matchLabels: {app: web}}, template: \
    {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i, envFrom: [{secretRef: {name: db}}]}]}}}\n---\n\
    apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gadgets.example.com}\n\
    spec: {group: example.com, scope: Namespaced, names: {kind: Gadget, plural: gadgets}, versions: [{name: v1, served: true, \
    storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n";
const GADGET: &str = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: gadget, namespace: default}\n";

#[test]
fn parcels_are_drawn_and_one_that_fails_is_held_alone() {
    let alone = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: alone, namespace: default}\n";
    let folder = folder(&[("apps/web.yaml", WEB), ("apps/gadget.yaml", GADGET), ("apps/alone.yaml", alone)]);
    let root = path(&folder, "apps");
    let text = plan(&[&root, "--embedded", "--parcels"]);
    let drawn = told(&text, 1);
    let web = "  ▣ Deployment/default/web (3 objects)\n    ├─ Secret/default/db create\n    ├─ Service/default/web create with Deployment/default/web\n    \
         └─ Deployment/default/web create with Secret/default/db\n";
    assert!(drawn.contains(web), "{drawn}");
    assert!(drawn.contains("  ▣ ConfigMap/default/alone (1 object)\n"), "{drawn}");
    assert!(drawn.contains("  ✗ Gadget/default/gadget (1 object, held)\n"), "{drawn}");
    let output = plan(&[&root, "--embedded", "-o", "json"]);
    let value = json(&output, 1);
    let unit = &value["units"][0];
    assert_eq!((&unit["fate"], &unit["held"][0]), (&"lands".into(), &"Gadget/default/gadget".into()), "{unit:#}");
    let file = unit["problems"][0]["file"].as_str();
    assert!(file.is_some_and(|file| file.ends_with("gadget.yaml")), "{unit:#}");
    assert_eq!(unit["objects"].as_array().map(Vec::len), Some(4), "{unit:#}");
    let dot = plan(&[&root, "--embedded", "--parcels", "-o", "dot"]);
    let dot = told(&dot, 1);
    assert!(dot.contains("\"0/Service/default/web\" -> \"0/Deployment/default/web\";"), "{dot}");
    assert_eq!(plan(&[&root, "--embedded", "-o", "dot"]).status.code(), Some(1), "dot draws parcels only");
}

/// The lease tells how often it has changed hands. Whoever plans reads what has landed under any of them, and whoever leads by one
/// that counts anew goes on.
#[test]
#[ignore = "needs the testbed: make test"]
fn what_landed_before_the_lease_counted_anew_is_planned_and_lands_further() {
    let mut scene = Scene::new("lease");
    let namespace = scene.agent.namespace.clone();
    let testbed = scene.testbed;
    let lease = |verb: &str, more: &[&str]| {
        testbed.kubectl(&[&[verb, "lease", "lockstep-leader", "-n", &namespace], more].concat());
    };
    scene.vault.put("app", &scene.canary("first"));
    scene.git.write("app/all.yaml", &[external("app", "1h"), deployment("app", "app", "")].join("---\n"));
    assert!(scene.agent.stop(), "asked to end, it ends well");
    lease("patch", &["--type=merge", "-p", r#"{"spec":{"leaseTransitions":7}}"#]);
    scene.agent.start();
    scene.push("an application");
    scene.kustomization("app");
    scene.agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    let mut plan = lockstep();
    plan.envs(testbed.environment()).args(["plan", "--kustomization", "app", "-n", &namespace]);
    plan.args(["--agent-namespace", &namespace, "--kubeconfig"]).arg(testbed.kubeconfig());
    assert!(told(&plan.output().expect("it is built"), 0).contains(" at main@sha1:"));

    assert!(scene.agent.stop(), "asked to end, it ends well");
    lease("delete", &[]);
    scene.agent.start();
    scene.git.write("app/all.yaml", &[external("app", "1h"), deployment("app", "app", ", tier: web")].join("---\n"));
    let commit = scene.push("a label");
    let is_applied = |found: &Value| found["status"]["lastAppliedRevision"] == format!("main@sha1:{commit}");
    scene.agent.until("kustomization/app", is_applied);
    scene.finish();
}
