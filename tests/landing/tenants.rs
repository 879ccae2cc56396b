//! A tenant's unit is read, tried, written and taken back as the tenant's ServiceAccount, and no further.

use serde_json::Value;

use super::agent::condition;
use super::scene::Scene;
use super::testbed::{command, run};

/// What the tenant is granted: ConfigMaps, and no more.
const GRANT: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenant, namespace: NAMESPACE}
rules:
- {apiGroups: [''], resources: [configmaps], verbs: [get, list, watch, create, patch, update, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{kind: ServiceAccount, name: tenant, namespace: NAMESPACE}]
";
const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n";
/// More than the tenant has itself.
const ESCALATION: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: more}
rules:
- {apiGroups: [''], resources: [secrets], verbs: [get]}
";

fn unit(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  interval: 10m
  retryInterval: 2s
  timeout: 20s
  prune: true
  path: ./{name}
  targetNamespace: {namespace}
  sourceRef: {{kind: GitRepository, name: repo}}
{spec}"
    )
}

fn message(object: &Value) -> String {
    condition(object, "Ready")["message"].as_str().expect("a message").to_owned()
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_tenants_unit_does_what_its_service_account_may_and_no_more() {
    let mut scene = Scene::new("tenants");
    let namespace = scene.agent.namespace.clone();
    scene.testbed.service_account(&namespace, "tenant");
    scene.git.write("app/settings.yaml", SETTINGS);
    scene.git.write("other/settings.yaml", &SETTINGS.replace("settings", "others"));
    scene.push("an application of a tenant");
    scene.testbed.apply(&unit("app", &namespace, "  serviceAccountName: tenant\n"));
    let held = scene.agent.ready("kustomization/app", "False", "ReconciliationFailed");
    let told = message(&held);
    for part in [
        format!("User \"system:serviceaccount:{namespace}:tenant\" cannot get resource \"configmaps\""),
        format!("ConfigMap/{namespace}/settings"),
        "nothing was written".to_owned(),
    ] {
        assert!(told.contains(&part), "{part} is not in {told}");
    }
    assert_eq!(scene.agent.get("configmap/settings"), None);
    let explained = run(command(std::path::Path::new(env!("CARGO_BIN_EXE_lockstep"))).args([
        "explain",
        "app",
        "-n",
        &namespace,
        "--agent-namespace",
        &namespace,
        "--kubeconfig",
        scene.testbed.kubeconfig().to_str().expect("text"),
    ]));
    assert!(explained.contains("cannot get resource \"configmaps\""), "{explained}");
    assert!(explained.contains("landed: nothing yet"), "{explained}");

    scene.testbed.apply(&GRANT.replace("NAMESPACE", &namespace));
    scene.agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    let landed = scene.agent.get("configmap/settings").expect("it landed");
    scene.agent.request("kustomization/app");

    scene.git.write("app/settings.yaml", &SETTINGS.replace("a: b", "a: c"));
    scene.git.write("app/more.yaml", ESCALATION);
    scene.push("more than the tenant has");
    let told = message(&scene.agent.ready("kustomization/app", "False", "ReconciliationFailed"));
    assert!(told.contains("cannot get resource \"roles\""), "{told}");
    assert_eq!(scene.agent.get("role/more"), None);

    // What a spec does not say, the agent's flag does; and what is pruned is pruned as the tenant.
    scene.agent.restart_with("--default-service-account=tenant");
    scene.testbed.apply(&unit("other", &namespace, ""));
    scene.agent.ready("kustomization/other", "True", "ReconciliationSucceeded");
    let managed = scene.agent.get("configmap/others").expect("it landed");
    assert_eq!(managed["data"]["a"], landed["data"]["a"]);
    scene.testbed.kubectl(&["delete", "kustomization", "other", "-n", &namespace, "--timeout=60s"]);
    assert_eq!(scene.agent.get("configmap/others"), None);

    // As in Flux, a unit whose ServiceAccount is gone can be deleted; what it applied stays.
    scene.testbed.kubectl(&["delete", "serviceaccount", "tenant", "-n", &namespace]);
    scene.testbed.kubectl(&["delete", "kustomization", "app", "-n", &namespace, "--timeout=60s"]);
    assert!(scene.agent.get("configmap/settings").is_some());
    scene.finish();
}
