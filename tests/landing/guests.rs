//! Guests, shared objects, drift, versions and pruning in a tenant's namespace, with the rights that Flux's guide to
//! multi-tenancy gives: a ServiceAccount that is bound in its namespace only. The agent itself may do everything, so that
//! whatever is refused here was asked for as the tenant.

use serde_json::Value;

use super::agent::condition;
use super::scene::{self, Scene, deployment, external, generation};

/// What `flux create tenant` binds.
const ALL: &str = "{apiGroups: ['*'], resources: ['*'], verbs: ['*']}";
const NO_DELETION: &str = "{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch, create, update, patch]}";
const NO_WRITE: &str = "{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch]}";

/// What the tenant's ServiceAccount may do in its namespace from now on.
fn grant(scene: &Scene, rule: &str) {
    let namespace = &scene.agent.namespace;
    scene.testbed.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: team, namespace: {namespace}}}\nrules: [{rule}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: team-reconciler, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: team}}\n\
         subjects: [{{kind: ServiceAccount, name: team, namespace: {namespace}}}]\n"
    ));
}

/// A Kustomization of the tenant, for the folder of the same name.
fn tenant(scene: &Scene, name: &str) {
    let unit = scene::kustomization(name, &scene.agent.namespace, ", serviceAccountName: team");
    scene.testbed.apply(&unit.replace("retryInterval: 5s", "retryInterval: 2s"));
}

fn config(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{data}}}\n")
}

/// Waits until a Kustomization says that the API server has refused something.
fn refused(scene: &Scene, unit: &str, words: &[&str]) {
    scene.agent.until(&format!("kustomization/{unit}"), |found| {
        let ready = condition(found, "Ready");
        let message = ready["message"].as_str().unwrap_or_default();
        let user = format!("User \"system:serviceaccount:{}:team\" cannot", scene.agent.namespace);
        ready["status"] == "False" && message.contains(&user) && words.iter().all(|words| message.contains(words))
    });
}

fn ready(scene: &Scene, unit: &str) {
    scene.agent.ready(&format!("kustomization/{unit}"), "True", "ReconciliationSucceeded");
}

fn template(workload: &Value) -> &Value {
    &workload["spec"]["template"]
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_guest_is_stamped_with_its_tenants_rights_and_with_no_others() {
    let scene = Scene::new("guests");
    let (namespace, testbed) = (&scene.agent.namespace, scene.testbed);
    testbed.service_account(namespace, "team");
    grant(&scene, ALL);
    scene.vault.put("db", &scene.canary("first"));
    scene.git.write("keys/db.yaml", &external("db", "2s"));
    scene.git.write("web/web.yaml", &deployment("web", "db", ""));
    scene.push("the platform's secret, and a tenant who reads it");
    scene.kustomization("keys");
    tenant(&scene, "web");
    ["keys", "web"].iter().for_each(|unit| ready(&scene, unit));
    let adopted = scene.agent.get("deployment/web").expect("it landed");

    scene.vault.put("db", &scene.canary("second"));
    let rolled = scene.agent.until("deployment/web", |found| generation(found) > generation(&adopted));
    let managed =
        testbed.kubectl(&["get", "deployment", "web", "-n", namespace, "-o", "yaml", "--show-managed-fields"]);
    assert!(managed.contains("manager: lockstep-stamp"), "it landed with the secret: {managed}");
    ["keys", "web"].iter().for_each(|unit| ready(&scene, unit));

    // Without the right it is left to its own unit, which is refused in the API server's words.
    grant(&scene, NO_WRITE);
    scene.vault.put("db", &scene.canary("third"));
    scene.agent.until("secret/db", |_| scene.secret("db") == scene.canary("third"));
    refused(&scene, "web", &["cannot patch resource \"deployments\""]);
    ready(&scene, "keys");
    let still = scene.agent.get("deployment/web").expect("it stands");
    assert_eq!(template(&still), template(&rolled), "nobody else writes it for the tenant");

    grant(&scene, ALL);
    let anew = scene.agent.until("deployment/web", |found| generation(found) > generation(&still));
    ready(&scene, "web");
    assert_ne!(template(&anew), template(&rolled));
    scene.finish();
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_a_tenant_shares_rotates_has_put_back_and_prunes_is_done_with_its_rights() {
    let scene = Scene::new("shared");
    let (namespace, testbed) = (&scene.agent.namespace, scene.testbed);
    testbed.service_account(namespace, "team");
    grant(&scene, ALL);
    scene.vault.put("db", &scene.canary("first"));
    scene.git.write("base/shared.yaml", &config("shared", "a: platform"));
    scene.git.write("team/shared.yaml", &config("shared", "b: team"));
    scene.git.write("team/own.yaml", &config("own", "a: b"));
    let asked = "{name: db, annotations: {lockstep.dev/versions: immutable}}";
    let versioned = external("db", "2s").replacen("{name: db}", asked, 1);
    let web = deployment("db", "db", "").replacen("spec:", "spec:\n  revisionHistoryLimit: 0", 1);
    scene.git.write("team/db.yaml", &[versioned, web].join("---\n"));
    let beyond = [("IngressClass", "networking.k8s.io/v1"), ("ClusterRole", "rbac.authorization.k8s.io/v1")];
    let beyond = beyond
        .map(|(kind, version)| format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {namespace}-more}}\n"));
    scene.git.write("team/beyond.yaml", &beyond.join("---\n"));
    scene.push("a tenant who reaches beyond its namespace");
    scene.kustomization("base");
    ready(&scene, "base");
    tenant(&scene, "team");
    refused(&scene, "team", &["resource \"ingressclasses\"", "resource \"clusterroles\"", "nothing was written"]);
    for absent in ["configmap/own", "secret/db", "deployment/db", "externalsecret/db"] {
        assert_eq!(scene.agent.get(absent), None, "{absent}");
    }
    let data = |name: &str| scene.agent.get(&format!("configmap/{name}")).map(|found| found["data"].clone());
    assert_eq!(data("shared"), Some(serde_json::json!({"a": "platform"})));

    scene.git.git(&["rm", "-q", "team/beyond.yaml"]);
    scene.push("a tenant who stays in it");
    ready(&scene, "team");
    assert_eq!(data("shared"), Some(serde_json::json!({"a": "platform", "b": "team"})));
    let read = |workload: &Value| {
        let name = &template(workload)["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"];
        name.as_str().expect("it reads one").to_owned()
    };
    let first = scene.agent.get("deployment/db").expect("it landed");

    // Who may only read puts nothing back and rotates nothing.
    grant(&scene, NO_WRITE);
    testbed.kubectl(&["patch", "configmap", "own", "-n", namespace, "--type=merge", "-p", "{\"data\":{\"a\":\"x\"}}"]);
    refused(&scene, "team", &["cannot patch resource \"configmaps\""]);
    scene.vault.put("db", &scene.canary("second"));
    refused(&scene, "team", &["cannot", "resource \"secrets\""]);
    assert_eq!(data("own"), Some(serde_json::json!({"a": "x"})));
    assert_eq!(scene.secret("db"), scene.canary("first"));
    assert_eq!(template(&scene.agent.get("deployment/db").expect("it stands")), template(&first));

    // Who may not delete rotates, but prunes nothing: neither what has left the repository nor the version before.
    grant(&scene, NO_DELETION);
    scene.agent.until("deployment/db", |found| read(found) != read(&first));
    scene.agent.until("configmap/own", |found| found["data"]["a"] == "b");
    scene.git.git(&["rm", "-q", "team/own.yaml"]);
    scene.git.git(&["rm", "-q", "team/shared.yaml"]);
    scene.push("a tenant who gives up what it shares");
    refused(&scene, "team", &["cannot delete resource \"configmaps\""]);
    assert_eq!(data("own"), Some(serde_json::json!({"a": "b"})));
    assert_eq!(data("shared"), Some(serde_json::json!({"a": "platform"})), "its own field needs no deletion");
    assert!(scene.agent.get(&format!("secret/{}", read(&first))).is_some());

    grant(&scene, ALL);
    ready(&scene, "team");
    assert_eq!(data("own"), None);
    assert_eq!(data("shared"), Some(serde_json::json!({"a": "platform"})));
    ready(&scene, "base");
    scene.finish();
}
