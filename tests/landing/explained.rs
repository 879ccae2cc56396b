//! What `lockstep explain` says of a unit at each point of a landing, and when nobody is at work.

use std::path::Path;
use std::time::{Duration, Instant};

use super::scene::{Scene, deployment, external};
use super::testbed::{command, run};

fn explain(scene: &Scene) -> String {
    let (namespace, kubeconfig) = (scene.agent.namespace.as_str(), scene.testbed.kubeconfig());
    let mut explain = command(Path::new(env!("CARGO_BIN_EXE_lockstep")));
    run(explain
        .args(["explain", "app", "-n", namespace, "--agent-namespace", namespace, "--kubeconfig"])
        .arg(kubeconfig))
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

/// Asks until it says this.
fn until(scene: &Scene, part: &str) -> String {
    let began = Instant::now();
    loop {
        let text = explain(scene);
        if text.contains(part) {
            return text;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{part} is not in\n{text}");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_is_explained_is_what_is_so_at_each_point_of_a_landing() {
    let mut scene = Scene::new("explained");
    let namespace = scene.agent.namespace.clone();
    scene.vault.put("app", &scene.canary("first"));
    let manifests = [external("app", "1h"), deployment("app", "app", "")].join("---\n");
    scene.git.write("app/all.yaml", &manifests);
    let first = scene.push("an application");
    scene.kustomization("app");
    scene.agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    let text = explain(&scene);
    let landed = format!("  landed: main@sha1:{first}\n  inputs:\n");
    assert_says(&text, &[&landed, &format!("    secret/app of SecretStore {namespace}/vault at ")]);
    assert!(!text.contains("{\"") && !text.contains("agent: ") && !text.contains(&scene.canary("")), "{text}");

    // No node is right for its new pods.
    let nowhere = manifests.replace("spec: {containers", "spec: {nodeSelector: {is: nowhere}, containers");
    scene.git.write("app/all.yaml", &nowhere);
    let second = scene.push("an application that waits");
    let text = until(&scene, &format!("  open: main@sha1:{second}: written; it waits until all is healthy\n"));
    assert_says(&text, &[&format!("  waits for:\n    Deployment/{namespace}/app: InProgress: ")]);
    assert_says(&text, &[&format!("  landed: main@sha1:{first}\n")]);

    let crashing = deployment("app", "app", ", testbed/fail: 'true'");
    scene.git.write("app/all.yaml", &[external("app", "1h"), crashing].join("---\n"));
    let third = scene.push("an application that crashes");
    until(&scene, &format!("  failed: main@sha1:{third} in health, needs another input\n"));
    scene.agent.ready("kustomization/app", "False", "HealthCheckFailed");
    let text = explain(&scene);
    let events = format!("kubectl get events -n {namespace} --field-selector type=Warning");
    assert_says(&text, &["what failed was taken back, and its pods are gone", &events]);
    assert_says(&text, &[&format!("  landed: main@sha1:{first}\n  failed: ")]);

    assert!(scene.agent.stop(), "asked to end, it ends well");
    let nobody = format!("  agent: none holds the lease {namespace}/lockstep-leader (last renewed ");
    assert_says(&explain(&scene), &[&nobody, "s ago): nothing below moves until one runs\n"]);
    scene.agent.start();
    scene.git.write("app/all.yaml", &manifests);
    scene.push("the application again");
    scene.agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    assert!(!explain(&scene).contains("agent: "), "one is at work");
    scene.finish();
}
