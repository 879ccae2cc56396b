//! The promise on the testbed: secrets and what reads them land whole, roll once, are taken back whole, and wait.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "landing/apis.rs"]
mod apis;
#[path = "landing/explained.rs"]
mod explained;
#[path = "landing/guests.rs"]
mod guests;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "landing/served.rs"]
mod served;
#[path = "landing/tenants.rs"]
mod tenants;
#[path = "support/testbed.rs"]
mod testbed;
#[path = "landing/versions.rs"]
mod versions;
#[path = "landing/webhooks.rs"]
mod webhooks;

use std::time::Duration;

use agent::condition;
use scene::{Scene, deployment, external, generation};
use serde_json::json;
use testbed::azure::{Cut, Fault};

/// An ExternalSecret that lets its Secret go with what it reads, which is `from`; it is looked at when somebody asks.
fn deleting(name: &str, from: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: {name}}}\n\
         spec: {{refreshInterval: 1h, secretStoreRef: {{name: vault}}, target: {{deletionPolicy: Delete}}, {from}}}\n"
    )
}

/// Rounds and units of each: a hundred landings whose key comes late.
const ROUNDS: usize = 5;
const UNITS: usize = 20;

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_1_a_missing_key_holds_secret_and_deployment_and_both_land_when_it_comes() {
    let scene = Scene::new("missing");
    let history = scene.record(&["secrets", "deployments"]);
    for round in 0..ROUNDS {
        let units: Vec<String> = (0..UNITS).map(|unit| format!("r{round}u{unit}")).collect();
        for unit in &units {
            let manifests = [external(unit, "5s"), deployment(unit, unit, "")].join("---\n");
            scene.git.write(&format!("{unit}/app.yaml"), &manifests);
        }
        scene.push("units whose key is missing");
        units.iter().for_each(|unit| scene.kustomization(unit));
        for unit in &units {
            let held = scene.agent.ready(&format!("kustomization/{unit}"), "False", "ReconciliationFailed");
            let message = condition(&held, "Ready")["message"].as_str().expect("a message").to_owned();
            for part in [scene.vault.host.as_str(), unit, &format!("ExternalSecret/{}/{unit}", scene.agent.namespace)] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
            for kind in ["externalsecret", "deployment", "secret"] {
                assert_eq!(scene.agent.get(&format!("{kind}/{unit}")), None, "nothing of the unit is written");
            }
        }
        units.iter().for_each(|unit| drop(scene.vault.put(unit, &scene.canary(unit))));
        for unit in &units {
            scene.agent.ready(&format!("kustomization/{unit}"), "True", "ReconciliationSucceeded");
            scene.agent.ready(&format!("externalsecret/{unit}"), "True", "SecretSynced");
            assert_eq!(scene.secret(unit), scene.canary(unit));
        }
    }
    let history = history.end();
    for round in 0..ROUNDS {
        for unit in (0..UNITS).map(|unit| format!("r{round}u{unit}")) {
            let first = |kind: &str| history.first(kind, &unit).unwrap_or_else(|| panic!("{kind} {unit} was not seen"));
            assert!(first("Secret") < first("Deployment"), "the Deployment {unit} was there before its Secret");
        }
    }
    scene.finish();
}

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_2_a_rotation_is_one_rollout_and_a_bad_one_is_taken_back_to_a_commit_and_a_version() {
    let scene = Scene::new("rotation");
    scene.vault.put("db", &scene.canary("first"));
    scene.git.write("db/app.yaml", &[external("db", "2s"), deployment("db", "db", "")].join("---\n"));
    let commit = scene.push("an application");
    scene.kustomization("db");
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    let adopted = scene.agent.get("deployment/db").expect("it landed");

    let version = scene.vault.put("db", &scene.canary("second"));
    let rolled = scene.agent.until("deployment/db", |found| generation(found) > generation(&adopted));
    scene
        .agent
        .until("deployment/db", |found| found["status"]["updatedReplicas"] == 1 && found["status"]["replicas"] == 1);
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    std::thread::sleep(Duration::from_secs(5)); // more than two looks at the store: what would roll twice has done so
    let good = scene.agent.get("deployment/db").expect("it stands");
    assert_eq!(generation(&good), generation(&adopted) + 1, "one rotation is one rollout");
    assert_eq!(generation(&good), generation(&rolled));
    assert_eq!(scene.secret("db"), scene.canary("second"));

    scene.break_new_pods();
    scene.vault.put("db", &scene.canary("third"));
    let held = scene.agent.ready("kustomization/db", "False", "HealthCheckFailed");
    let message = condition(&held, "Ready")["message"].as_str().expect("a message").to_owned();
    let held = format!("held at main@sha1:{commit}, kv version {version}: ");
    assert!(message.starts_with(&held) && message.contains("CrashLoopBackOff"), "{held} {message}");
    assert_eq!(scene.secret("db"), scene.canary("second"), "the old bytes are back");
    let back = scene.agent.get("deployment/db").expect("it stands");
    assert_eq!(back["spec"]["template"], good["spec"]["template"], "the old pod template is back");
    std::thread::sleep(Duration::from_secs(6)); // three looks at the store: nothing is tried again
    let still = scene.agent.get("deployment/db").expect("it stands");
    assert_eq!(generation(&still), generation(&back), "what failed is not tried again before an input changes");

    scene.mend_new_pods();
    scene.vault.put("db", &scene.canary("fourth"));
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    assert_eq!(scene.secret("db"), scene.canary("fourth"));
    scene.finish();
}

/// A list without it is doubt; a record of the deletion is none.
fn only_what_is_recorded_goes(scene: &Scene, found: &serde_json::Value) {
    scene.agent.ready("externalsecret/found", "False", "SecretSyncedError");
    let began = std::time::Instant::now();
    while scene.agent.get("secret/kept").is_some() {
        assert!(began.elapsed() < Duration::from_secs(60), "what the vault says that it has deleted stays");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(scene.agent.get("secret/found").as_ref(), Some(found), "an empty list was seen once");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_8_a_vault_that_fails_changes_nothing_and_says_why() {
    let scene = Scene::new("faults");
    const ALL: [&str; 3] = ["db", "kept", "found"];
    ALL.iter().for_each(|name| drop(scene.vault.put(name, &scene.canary("value"))));
    let kept = deleting("kept", "data: [{secretKey: password, remoteRef: {key: kept}}]");
    let found = deleting("found", "dataFrom: [{find: {name: {regexp: '^found$'}}}]");
    scene.git.write("db/app.yaml", &[external("db", "1s"), deployment("db", "db", ""), kept, found].join("---\n"));
    scene.push("an application");
    scene.kustomization("db");
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    let look = |when: &str| {
        for name in ["kept", "found"] {
            let (external, when) = (format!("externalsecret/{name}"), format!("force-sync={when}"));
            scene.testbed.kubectl(&["annotate", "--overwrite", "-n", &scene.agent.namespace, &external, &when]);
        }
    };
    ALL.iter().for_each(|name| drop(scene.agent.ready(&format!("externalsecret/{name}"), "True", "SecretSynced")));
    let secrets = || ALL.map(|name| scene.agent.get(&format!("secret/{name}")).expect("it stays"));
    let before = secrets();
    let status = |status| Fault { status: Some(status), ..Fault::default() };
    let faults = [
        ("401", status(401)),
        ("403", status(403)),
        ("404", status(404)),
        ("429", Fault { retry_after: Some(3), ..status(429) }),
        ("500", status(500)),
        ("503", status(503)),
        ("cut", Fault { cut: Some(Cut::Before), ..Fault::default() }),
        ("cut inside", Fault { cut: Some(Cut::Inside), ..Fault::default() }),
        ("slow", Fault { delay_ms: Some(60_000), ..Fault::default() }),
    ];
    for (name, fault) in faults {
        scene.vault.set_faults(&[fault]);
        scene.vault.forget_requests();
        look(name);
        let told = scene.agent.ready("externalsecret/db", "False", "SecretSyncedError");
        let message = condition(&told, "Ready")["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(&scene.vault.host), "{name}: {message}");
        for external in ["externalsecret/kept", "externalsecret/found"] {
            scene.agent.ready(external, "False", "SecretSyncedError");
        }
        assert_eq!(secrets(), before, "{name}");
        if name == "429" {
            let requests = scene.vault.requests();
            let refused = requests.iter().filter(|r| r.status == json!(429) && r.path.contains("/db"));
            let asked: Vec<u64> = refused.map(|request| request.at).collect();
            let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(pauses.iter().all(|pause| *pause >= 3000), "Retry-After is honoured: {pauses:?}");
        }
        scene.vault.set_faults(&[]);
        scene.agent.request("kustomization/db");
        look(&format!("after-{name}"));
        ALL.iter().for_each(|name| drop(scene.agent.ready(&format!("externalsecret/{name}"), "True", "SecretSynced")));
    }
    assert_eq!(secrets(), before, "they were never written");
    ["kept", "found"].iter().for_each(|name| scene.vault.delete(name));
    look("deleted");
    only_what_is_recorded_goes(&scene, &before[2]);
    scene.finish();
}

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_18_while_the_vault_is_down_the_agent_restarts_and_what_changes_no_secret_lands() {
    let mut scene = Scene::new("outage");
    scene.vault.put("db", &scene.canary("value"));
    let write = |scene: &Scene, labels: &str| {
        scene.git.write("db/app.yaml", &[external("db", "1h"), deployment("db", "db", labels)].join("---\n"));
        scene.push("an application")
    };
    write(&scene, "");
    scene.kustomization("db");
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    let before = scene.agent.get("secret/db").expect("it landed");
    scene.vault.set_faults(&[Fault { status: Some(503), ..Fault::default() }]);
    scene.agent.kill();
    scene.agent.start();
    let commit = write(&scene, ", tier: web");
    let landed = |found: &serde_json::Value| found["status"]["lastAppliedRevision"] == format!("main@sha1:{commit}");
    scene.agent.until("kustomization/db", landed);
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    assert_eq!(scene.agent.get("secret/db").expect("it stays"), before);
    let rolled = scene.agent.get("deployment/db").expect("it stands");
    assert_eq!(rolled["spec"]["template"]["metadata"]["labels"]["tier"], "web");
    scene.finish();
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_kubectl_scales_edits_or_deletes_is_put_back_at_once() {
    let scene = Scene::new("drift");
    scene.vault.put("db", &scene.canary("only"));
    scene.git.write(
        "db/app.yaml",
        &[external("db", "1h"), deployment("db", "db", "").replacen("spec:", "spec:\n  replicas: 1", 1)].join("---\n"),
    );
    scene.push("an application");
    scene.kustomization("db");
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    let (namespace, testbed) = (&scene.agent.namespace, scene.testbed);
    testbed.kubectl(&["scale", "deployment", "db", "-n", namespace, "--replicas=3"]);
    scene.agent.until("deployment/db", |found| found["spec"]["replicas"] != 3);
    let edit = "{\"data\":{\"password\":\"eA==\"}}";
    testbed.kubectl(&["patch", "secret", "db", "-n", namespace, "--type=merge", "-p", edit]);
    let is_back = |found: &serde_json::Value| found["data"]["password"] != "eA==";
    scene.agent.until("secret/db", is_back);
    assert_eq!(scene.secret("db"), scene.canary("only"));
    for what in ["secret", "deployment"] {
        testbed.kubectl(&["delete", what, "db", "-n", namespace]);
        scene.agent.until(&format!("{what}/db"), |_| true);
    }
    for words in ["Secret/NS/db configured", "Secret/NS/db created", "Deployment/NS/db created"] {
        scene.told("db", &words.replace("NS", namespace));
    }
    let looks = scene.agent.log().matches("somebody may have changed it").count();
    assert_eq!(looks, 4, "what nobody else has changed is not looked at");
    scene.finish();
}

/// The pod that a failed revision has broken stands in the way of its StatefulSet's old template, too.
#[test]
#[ignore = "needs the testbed: make test"]
fn a_statefulset_that_is_taken_back_runs_again() {
    let scene = Scene::new("set");
    scene.vault.put("db", &scene.canary("first"));
    let set = |labels: &str| {
        let set = deployment("db", "db", labels).replacen("Deployment", "StatefulSet", 1);
        let set = set.replacen("spec:", "spec:\n  serviceName: db\n  replicas: 2", 1);
        [external("db", "1h"), set].join("---\n")
    };
    scene.git.write("db/app.yaml", &set(""));
    scene.push("an application");
    scene.kustomization("db");
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    let good = scene.agent.get("statefulset/db").expect("it landed");

    scene.git.write("db/app.yaml", &set(", testbed/fail: 'true'"));
    scene.push("a revision that crashes");
    let held = scene.agent.ready("kustomization/db", "False", "HealthCheckFailed");
    let message = condition(&held, "Ready")["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("held at"), "{message}");
    let back = scene.agent.until("statefulset/db", |found| {
        let is_old = found["status"]["updateRevision"] == good["status"]["updateRevision"];
        is_old && found["status"]["readyReplicas"] == 2 && found["status"]["updatedReplicas"] == 2
    });
    assert_eq!(back["spec"]["template"], good["spec"]["template"], "the old pod template is back");
    scene.finish();
}
