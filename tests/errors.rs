//! A commit with many errors: each unit tells all of its own in one pass, writes nothing of what they are in, and holds no
//! other unit.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;

use agent::condition;
use fleet::{Fleet, config_map, object};
use manifest::Object;
use scene::{Scene, deployment, external, kustomization};
use serde_json::json;
use testbed::run;

const BAD_YAML: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n data: {}\n";
const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {region: '${REGION}'}\n";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: sealed}\nstringData: {password: VALUE}\n";
const UNKNOWN: &str = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: gadget}\n";

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_13_seven_errors_in_three_units_are_told_at_once_and_hold_nobody_else() {
    let scene = Scene::new("errors");
    let namespace = scene.agent.namespace.clone();
    bad_build(&scene);
    bad_content(&scene);
    bad_references(&scene);
    scene.vault.put("good", &scene.canary("good"));
    scene.git.write("good/app.yaml", &[external("good", "1h"), deployment("good", "good", "")].join("---\n"));
    scene.push("seven errors and a good unit");
    let decryption = ", decryption: {provider: sops, secretRef: {name: sops-age}}, postBuild: {substitute: {OTHER: x}}";
    for (name, more) in [("build", ""), ("content", decryption), ("references", ""), ("good", "")] {
        // Who waits for all of a unit wants all of it or nothing: the one with parcels does not wait.
        let wait = if name == "references" { "wait: false" } else { "wait: true" };
        scene.testbed.apply(&kustomization(name, &namespace, more).replace("wait: true", wait));
    }
    let build = told(&scene, "build", "BuildFailed");
    expect(
        &build,
        &["build/one.yaml:5", "build/two.yaml:5", "build/nested/kustomization.yaml", "Deployment", "nobody"],
    );
    let content = told(&scene, "content", "BuildFailed");
    expect(&content, &["content/config.yaml:1", "ConfigMap", "REGION", "content/sealed.yaml:1", "sealed", "age"]);
    let references = told(&scene, "references", "ReconciliationFailed");
    expect(&references, &["references/external.yaml:1", &scene.vault.host, "absent"]);
    expect(&references, &["references/release.yaml:1", "HelmRelease", "replicas"]);
    expect(&references, &["references/gadget.yaml:1", "Gadget"]);
    expect(&references, &["landed without parcels ExternalSecret/", "Gadget/"]);
    assert!(scene.agent.get("configmap/fine").is_some(), "what nothing is wrong with lands");
    scene.agent.ready("kustomization/good", "True", "ReconciliationSucceeded");
    for absent in ["configmap/a", "configmap/config", "secret/sealed", "externalsecret/absent", "helmrelease/chart"] {
        assert_eq!(scene.agent.get(absent), None, "{absent} was written");
    }
    scene.finish();
}

/// Two files that are no YAML, and, in a folder of its own, a patch whose target is not there.
fn bad_build(scene: &Scene) {
    scene.git.write("build/one.yaml", BAD_YAML);
    scene.git.write("build/two.yaml", BAD_YAML);
    scene.git.write("build/kustomization.yaml", "resources: [one.yaml, two.yaml, nested]\n");
    scene.git.write("build/nested/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nested}\n");
    scene.git.write(
        "build/nested/kustomization.yaml",
        "resources: [map.yaml]\npatches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: nobody}\n    spec: {replicas: 2}\n",
    );
}

/// A variable that nobody sets, and a Secret for another age key than the cluster's.
fn bad_content(scene: &Scene) {
    scene.git.write("content/config.yaml", CONFIG);
    let folder = scene.testbed.data().join("keys").join(&scene.agent.namespace);
    std::fs::create_dir_all(&folder).expect("the data folder can be written");
    let key = |name: &str| {
        let file = folder.join(name);
        run(scene.testbed.tool("age-keygen").arg("-o").arg(&file));
        let recipient = run(scene.testbed.tool("age-keygen").arg("-y").arg(&file));
        (file, recipient)
    };
    let ((ours, _), (_, theirs)) = (key("ours"), key("theirs"));
    let plain = folder.join("sealed.yaml");
    std::fs::write(&plain, SECRET.replace("VALUE", &format!("'{}'", scene.canary("sealed")))).expect("a file");
    let mut sops = scene.testbed.tool("sops");
    sops.args(["encrypt", "--encrypted-regex", "^(data|stringData)$", "--age", &theirs]).arg(&plain);
    scene.git.write("content/sealed.yaml", &run(&mut sops));
    let file = format!("--from-file=age.agekey={}", ours.display());
    scene.testbed.kubectl(&["create", "secret", "generic", "sops-age", "-n", &scene.agent.namespace, &file]);
}

/// A key that the vault has not, values that the chart's schema refuses, a kind that nobody serves, and nothing wrong.
fn bad_references(scene: &Scene) {
    scene.git.write("references/external.yaml", &external("absent", "1h"));
    scene.git.write("references/gadget.yaml", UNKNOWN);
    scene.git.write("references/fine.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n");
    scene.git.write("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    scene.git.write("charts/web/values.yaml", "replicas: 1\n");
    scene.git.write(
        "charts/web/values.schema.json",
        "{\"type\": \"object\", \"properties\": {\"replicas\": {\"type\": \"integer\"}}}\n",
    );
    scene.git.write(
        "charts/web/templates/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {replicas: '{{ .Values.replicas }}'}\n",
    );
    scene.git.write(
        "references/release.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: chart}\n\
         spec: {interval: 1h, chart: {spec: {chart: ./charts/web, sourceRef: {kind: GitRepository, name: repo}}}, values: {replicas: many}}\n",
    );
}

fn told(scene: &Scene, unit: &str, reason: &str) -> String {
    let held = scene.agent.ready(&format!("kustomization/{unit}"), "False", reason);
    condition(&held, "Ready")["message"].as_str().expect("a message").to_owned()
}

fn expect(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part} is not in\n{message}");
    }
}

/// Units of a commit: in the first five are seven errors; the next ones, more than the agent has workers, have pods that
/// never start.
const UNITS: usize = 50;
const WRONG: [usize; 5] = [2, 2, 1, 1, 1];
const STUCK: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_13_of_fifty_units_neither_those_with_errors_nor_those_whose_pods_do_not_start_delay_another() {
    let fleet = Fleet::new().await;
    let name = |unit: usize| format!("unit-{unit}");
    let gadget = |unit, number| object("example.com/v1", "Gadget", &format!("gadget-{unit}-{number}"), json!({}));
    for unit in 0..UNITS {
        let mut objects = vec![config_map(&name(unit), json!({"a": "1"}))];
        objects.extend((0..WRONG.get(unit).copied().unwrap_or_default()).map(|number| gadget(unit, number)));
        if (WRONG.len()..WRONG.len() + STUCK).contains(&unit) {
            objects.push(fleet::deployment(&name(unit), 1, &["nowhere"]));
        }
        fleet.write(&name(unit), &objects);
    }
    let commit = fleet.commit();
    for unit in 0..UNITS {
        fleet.kustomization(&name(unit), json!({}), json!({"timeout": "10m", "retryInterval": "10m"})).await;
    }
    for unit in WRONG.len() + STUCK..UNITS {
        fleet.answered(&name(unit), &commit, "True").await;
    }
    for (unit, count) in WRONG.into_iter().enumerate() {
        let told = fleet.answered(&name(unit), &commit, "False").await;
        let message = fleet::condition(&told, "Ready")["message"].to_string();
        for number in 0..count {
            expect(&message, &[&format!("unit-{unit}/all.yaml:"), &format!("gadget-{unit}-{number}")]);
        }
        assert!(fleet.get("v1", "ConfigMap", &name(unit)).await.is_none(), "a unit that waits lands whole");
    }
    for unit in WRONG.len()..WRONG.len() + STUCK {
        let at = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", &*name(unit));
        let is_waiting = |found: &Object| fleet::condition(found, "Ready")["status"] == "Unknown";
        fleet.until(at, "waiting for its pods", |found| found.is_some_and(is_waiting)).await;
    }
    fleet.end().await;
}

/// unmet.md 13: one status lists all seven errors of a unit, each with file, line and object: of two stores, a chart, a kind
/// that nobody serves, and three objects that the server refuses.
#[tokio::test]
async fn requirement_13_one_status_lists_all_seven_errors_of_a_unit() {
    let fleet = Fleet::new().await;
    let external = |name: &str, store: &str| {
        let data = json!([{"secretKey": "value", "remoteRef": {"key": name}}]);
        let spec = json!({"secretStoreRef": {"name": store}, "data": data});
        object("external-secrets.io/v1", "ExternalSecret", name, json!({ "spec": spec }))
    };
    let provider = json!({"fake": {"data": [{"key": "other", "value": "v"}]}});
    fleet
        .apply(object("external-secrets.io/v1", "SecretStore", "store", json!({"spec": {"provider": provider}})))
        .await;
    let chart = json!({"chart": "./charts/nowhere", "sourceRef": {"kind": "GitRepository", "name": "repo"}});
    let release = json!({"spec": {"interval": "10m", "chart": {"spec": chart}}});
    let mut elsewhere = config_map("elsewhere", json!({}));
    elsewhere["metadata"]["namespace"] = "nowhere".into();
    let wrong = [
        ("no-key", external("no-key", "store")),
        ("no-store", external("no-store", "absent")),
        ("no-chart", object("helm.toolkit.fluxcd.io/v2", "HelmRelease", "no-chart", release)),
        ("no-kind", object("example.com/v1", "Gadget", "no-kind", json!({}))),
        ("no-ports", object("v1", "Service", "no-ports", json!({"spec": {"ports": "none"}}))),
        ("no-map", config_map("no-map", json!("none"))),
        ("elsewhere", elsewhere),
    ];
    for wait in [true, false] {
        let unit = if wait { "whole" } else { "parts" };
        for (name, value) in &wrong {
            fleet.put(&format!("{unit}/{name}.yaml"), &yaml::emit::to_yaml(value));
        }
        fleet.put(&format!("{unit}/fine.yaml"), &yaml::emit::to_yaml(&config_map(&format!("fine-{unit}"), json!({}))));
    }
    let commit = fleet.commit();
    for (unit, wait) in [("whole", true), ("parts", false)] {
        fleet.kustomization(unit, json!({}), json!({"wait": wait})).await;
        let told = fleet.answered(unit, &commit, "False").await;
        let message = fleet::condition(&told, "Ready")["message"].as_str().unwrap_or_default().to_owned();
        for (name, value) in &wrong {
            let (kind, namespace) =
                (value["kind"].as_str().unwrap_or_default(), value["metadata"]["namespace"].as_str());
            let id = format!("{kind}/{}/{name}", namespace.unwrap_or_default());
            let line = message.lines().find(|line| line.contains(&format!("{unit}/{name}.yaml:1")));
            assert!(line.is_some_and(|line| line.contains(&id)), "{id} is not told:\n{message}");
        }
        assert_eq!(fleet.get("v1", "ConfigMap", &format!("fine-{unit}")).await.is_some(), !wait, "{message}");
    }
    fleet.end().await;
}
