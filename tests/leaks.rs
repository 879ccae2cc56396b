//! Plaintext reaches no log, event, status, metric, file or object, whatever fails. A canary stands in every
//! kind of secret that a repository can read, and is led into what refuses it: well over a hundred forced failures.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]
#![allow(unreachable_pub, reason = "modules of a test binary")]

#[path = "support/agent.rs"]
mod agent;
#[path = "leaks/cases.rs"]
mod cases;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent::condition;
use cases::{BROKEN, CHART, FETCHED, RELEASES, SEALED, SUBSTITUTED, VALUE};
use scene::Scene;
use serde_json::{Value, json};
use testbed::run;

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to fail: the objects to apply, and their names by resource.
#[derive(Default)]
struct Forced {
    manifests: Vec<String>,
    names: BTreeMap<&'static str, Vec<String>>,
}

impl Forced {
    fn add(&mut self, resource: &'static str, name: &str, manifest: String) {
        self.manifests.push(manifest);
        self.names.entry(resource).or_default().push(name.into());
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_7_no_failure_tells_a_secret() {
    let scene = Scene::new("leaks");
    // One that stands in any YAML and is refused nearly everywhere, and one that encodings and quotes change. Who tells
    // only their beginning tells them.
    let canaries = [format!("canary!_{}!_", scene.agent.namespace), scene.canary("")];
    let [plain, harsh] = canaries.clone().map(|canary| canary + "and/a/tail/of/some/length");
    secrets(&scene, &[("plain", &plain), ("harsh", &harsh)]);
    let mut forced = Forced::default();
    for value in ["plain", "harsh"] {
        for (name, manifest) in SUBSTITUTED {
            substituted(&scene, &mut forced, &format!("{value}-{name}"), value, manifest);
        }
        for (name, values) in RELEASES {
            release(&scene, &mut forced, &format!("{value}-{name}"), value, values);
        }
    }
    for (name, manifest) in BROKEN {
        substituted(&scene, &mut forced, &format!("broken-{name}"), "harsh", manifest);
    }
    sealed(&scene, &mut forced, &harsh);
    fetched(&scene, &mut forced, &harsh);
    sources(&scene, &mut forced, &harsh);
    scene.git.write("charts/leak/Chart.yaml", "apiVersion: v2\nname: leak\nversion: 1.0.0\n");
    scene.git.write("charts/leak/templates/all.yaml", CHART);
    scene.push("everything that fails");
    scene.testbed.apply(&forced.manifests.join("---\n"));
    let told = all_failed(&scene, &forced);
    assert!(told.len() >= 100, "only {} failures", told.len());
    let masked = told.values().filter(|message| message.contains("***")).count();
    assert!(masked >= 20, "of {} messages only {masked} had anything to hide: {told:#?}", told.len());
    let Scene { testbed, mut agent, .. } = scene;
    secrecy::end_without_a_leak(testbed, &mut agent, &canaries.each_ref().map(String::as_str), &[]);
}

/// The live Secrets that variables and values come from.
fn secrets(scene: &Scene, values: &[(&str, &String)]) {
    for (name, value) in values {
        let values = json!({"secret": value}).to_string();
        let values = json!({"values.yaml": values, "broken.yaml": format!("secret: [{value}"), "VALUE": value});
        for (name, data) in [(name.to_string(), json!({"VALUE": value})), (format!("{name}-values"), values)] {
            let metadata = json!({"name": name, "namespace": scene.agent.namespace});
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
            scene.testbed.apply(&secret.to_string());
        }
    }
}

/// A Kustomization of one manifest, into which the value is substituted.
fn substituted(scene: &Scene, forced: &mut Forced, name: &str, value: &str, manifest: &str) {
    scene.git.write(&format!("{name}/app.yaml"), &manifest.replace(VALUE, "${VALUE}"));
    unit(scene, forced, name, &format!(", postBuild: {{substituteFrom: [{{kind: Secret, name: {value}}}]}}"));
}

fn unit(scene: &Scene, forced: &mut Forced, name: &str, more: &str) {
    let text =
        scene::kustomization(name, &scene.agent.namespace, more).replace("retryInterval: 5s", "retryInterval: 10m");
    forced.add("kustomizations", name, text);
}

/// A release of the chart whose templates do with the value what `values` ask for.
fn release(scene: &Scene, forced: &mut Forced, name: &str, value: &str, spec: &str) {
    let values = match spec {
        "broken" => format!("valuesFrom: [{{kind: Secret, name: {value}-values, valuesKey: broken.yaml}}]"),
        "target" => {
            format!("valuesFrom: [{{kind: Secret, name: {value}-values, valuesKey: VALUE, targetPath: 'a[99999]'}}]")
        }
        case => format!("valuesFrom: [{{kind: Secret, name: {value}-values}}], values: {{case: {case}}}"),
    };
    let text = format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: {name}, namespace: {}}}\n\
         spec: {{interval: 1h, timeout: 20s, chart: {{spec: {{chart: ./charts/leak, sourceRef: {{kind: GitRepository, name: repo}}}}}}, {values}}}\n",
        scene.agent.namespace
    );
    forced.add("helmreleases", name, text);
}

/// Files that sops has sealed, and what is wrong with them is seen only when they are open.
fn sealed(scene: &Scene, forced: &mut Forced, harsh: &str) {
    let folder = scene.testbed.data().join("keys").join(&scene.agent.namespace);
    std::fs::create_dir_all(&folder).expect("the data folder can be written");
    let key = folder.join("age");
    run(scene.testbed.tool("age-keygen").arg("-o").arg(&key));
    let recipient = run(scene.testbed.tool("age-keygen").arg("-y").arg(&key));
    let file = format!("--from-file=age.agekey={}", key.display());
    scene.testbed.kubectl(&["create", "secret", "generic", "sops-age", "-n", &scene.agent.namespace, &file]);
    let escaped = serde_json::to_string(harsh).expect("text");
    for (name, file, text, rest) in SEALED {
        let plain = folder.join(file);
        let text = text.replace("\"VALUE\"", &escaped).replace(VALUE, harsh);
        std::fs::write(&plain, text).expect("the data folder can be written");
        let mut sops = scene.testbed.tool("sops");
        sops.args(["encrypt", "--age", recipient.trim()]);
        if file.ends_with(".yaml") {
            sops.args(["--encrypted-regex", "^(data|stringData|spec|patch|metadata)$"]);
        }
        let mut encrypted = run(sops.arg(&plain));
        if *name == "tampered" {
            encrypted = encrypted.replacen("data:", "data:AAAA", 1);
        }
        scene.git.write(&format!("sealed-{name}/{file}"), &encrypted);
        if !rest.is_empty() {
            scene.git.write(&format!("sealed-{name}/kustomization.yaml"), rest);
        }
        unit(scene, forced, &format!("sealed-{name}"), ", decryption: {provider: sops, secretRef: {name: sops-age}}");
    }
}

/// ExternalSecrets of a key of the vault whose value their templates and properties cannot use.
fn fetched(scene: &Scene, forced: &mut Forced, harsh: &str) {
    scene.vault.put("canary", harsh);
    scene.vault.put("json", &json!({"password": harsh, "nested": {"password": harsh}}).to_string());
    for (name, spec) in FETCHED {
        let manifest = format!(
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: {name}}}\n\
             spec:\n  refreshInterval: 1h\n  secretStoreRef: {{name: vault}}\n{spec}"
        );
        scene.git.write(&format!("fetched-{name}/app.yaml"), &manifest);
        unit(scene, forced, &format!("fetched-{name}"), "");
    }
}

/// Sources whose credentials nobody accepts.
fn sources(scene: &Scene, forced: &mut Forced, harsh: &str) {
    let namespace = &scene.agent.namespace;
    let credentials = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials", "namespace": namespace},
        "stringData": {"username": "somebody", "password": harsh}});
    scene.testbed.apply(&credentials.to_string());
    let url = scene.git.github_url();
    let host = url.split("/fleet").next().unwrap_or(&url).to_owned();
    let kinds = [
        ("GitRepository", "gitrepositories", url.clone()),
        ("HelmRepository", "helmrepositories", format!("{host}/charts")),
    ];
    for (kind, resource, url) in kinds {
        let source = format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: {kind}\nmetadata: {{name: refused, namespace: {namespace}}}\n\
             spec: {{url: '{url}', interval: 1h, timeout: 20s, secretRef: {{name: credentials}}}}\n"
        );
        forced.add(resource, "refused", source);
    }
}

/// Waits until everything that was to fail says so, and what each says.
fn all_failed(scene: &Scene, forced: &Forced) -> BTreeMap<String, String> {
    let (began, mut told) = (Instant::now(), BTreeMap::new());
    for (resource, names) in &forced.names {
        for name in names {
            told.insert(format!("{resource}/{name}"), None);
        }
    }
    while told.values().any(Option::is_none) {
        for resource in forced.names.keys() {
            let list = scene.testbed.kubectl(&["get", resource, "-n", &scene.agent.namespace, "-o", "json"]);
            let list: Value = serde_json::from_str(&list).expect("JSON");
            for object in list["items"].as_array().into_iter().flatten() {
                let name = format!("{resource}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
                let ready = condition(object, "Ready");
                let message = (ready["status"] == "False").then(|| ready["message"].to_string());
                told.entry(name).and_modify(|known| *known = message);
            }
        }
        if began.elapsed() > PATIENCE {
            let late: Vec<&String> = told.iter().filter(|(_, said)| said.is_none()).map(|(name, _)| name).collect();
            panic!("these do not fail: {late:?}");
        }
    }
    told.into_iter().map(|(name, message)| (name, message.unwrap_or_default())).collect()
}
