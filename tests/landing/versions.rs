//! Secrets in versions that never change, with the real controllers of workloads.

use serde_json::Value;

use super::agent::condition;
use super::scene::{Scene, deployment, external, generation};

/// The Secret that pods of a template read.
fn read(workload: &Value) -> String {
    let name = &workload["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"];
    name.as_str().expect("it reads one").to_owned()
}

#[test]
#[ignore = "needs the testbed: make test"]
fn an_immutable_version_moves_its_reader_once_and_stays_until_no_replica_set_names_it() {
    let scene = Scene::new("versions");
    let asked =
        external("db", "2s").replacen("{name: db}", "{name: db, annotations: {lockstep.dev/versions: immutable}}", 1);
    let web = deployment("db", "db", "").replacen("spec:", "spec:\n  revisionHistoryLimit: 1", 1);
    scene.vault.put("db", &scene.canary("first"));
    scene.git.write("db/app.yaml", &[asked, web].join("---\n"));
    scene.push("an application");
    scene.kustomization("db");
    scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
    let mut standing = scene.agent.get("deployment/db").expect("it landed");
    let first = read(&standing);
    assert_eq!(scene.agent.get(&format!("secret/{first}")).expect("it landed")["immutable"], true);

    // Each rotation is one rollout to a Secret of its own.
    for round in ["second", "third", "fourth"] {
        let before = read(&standing);
        scene.vault.put("db", &scene.canary(round));
        let moved = scene.agent.until("deployment/db", |found| read(found) != before);
        scene.agent.ready("kustomization/db", "True", "ReconciliationSucceeded");
        assert_eq!(generation(&moved), generation(&standing) + 1, "one rollout");
        assert_eq!((scene.secret("db"), scene.secret(&read(&moved))), (scene.canary(round), scene.canary(round)));
        assert!(scene.agent.get(&format!("secret/{before}")).is_some(), "the ReplicaSet before can be gone back to");
        standing = scene.agent.until("deployment/db", |found| {
            let status = &found["status"];
            status["observedGeneration"] == found["metadata"]["generation"]
                && status["replicas"] == status["updatedReplicas"]
        });
    }
    let sets = scene.testbed.kubectl(&["get", "replicasets", "-n", &scene.agent.namespace, "-o", "yaml"]);
    assert!(!sets.contains(&first), "its ReplicaSet is beyond the history");
    assert_eq!(scene.agent.get(&format!("secret/{first}")), None, "nobody can go back to it");

    // One whose pods crash is taken back to the version before, which has stayed.
    scene.break_new_pods();
    scene.vault.put("db", &scene.canary("fifth"));
    let held = scene.agent.ready("kustomization/db", "False", "HealthCheckFailed");
    assert!(condition(&held, "Ready")["message"].as_str().is_some_and(|message| message.contains("held at")));
    let back = scene.agent.get("deployment/db").expect("it stands");
    assert_eq!(back["spec"]["template"], standing["spec"]["template"]);
    assert_eq!(scene.secret(&read(&back)), scene.canary("fourth"));
    scene.mend_new_pods();
    scene.finish();
}
