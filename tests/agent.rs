//! The agent as users run it: a real API server, a real Git server, a vault and its tokens under their real names.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/testbed.rs"]
mod testbed;

use agent::Agent;
use testbed::Testbed;
use testbed::sources::{Git, PASSWORD, USER};

/// A Git source and a Kustomization of its folder `app`, checked often.
fn source(git: &Git<'_>, namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: git, namespace: {namespace}}}\nstringData: {{username: {USER}, password: {PASSWORD}}}\n---\n\
         apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: repo, namespace: {namespace}}}\n\
         spec: {{url: '{}', interval: 1m, ref: {{branch: main}}, secretRef: {{name: git}}}}\n---\n\
         apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: app, namespace: {namespace}}}\n\
         spec: {{path: ./app, interval: 10m, prune: true, wait: true, timeout: 1m, targetNamespace: {namespace}, sourceRef: {{kind: GitRepository, name: repo}}}}\n",
        git.url()
    )
}

const APP: &str = "apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: store}
spec: {provider: {fake: {data: [{key: db, value: first-value}]}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: db}
spec: {refreshInterval: 1h, secretStoreRef: {name: store}, data: [{secretKey: password, remoteRef: {key: db}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1, envFrom: [{secretRef: {name: db}}]}]}
";

#[test]
#[ignore = "needs the testbed: make test"]
fn a_revision_lands_with_its_external_secret() {
    let testbed = Testbed::shared();
    let git = testbed.git("app");
    git.write("app/app.yaml", APP);
    git.push("first");
    let agent = Agent::of_namespace(testbed, "agent");
    testbed.apply(&source(&git, &agent.namespace));
    agent.ready("gitrepository/repo", "True", "Succeeded");
    agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    agent.ready("externalsecret/db", "True", "SecretSynced");
    let secret = agent.get("secret/db").expect("it landed");
    assert_eq!(secret["data"]["password"], "Zmlyc3QtdmFsdWU=");
    agent.until("deployment/web", |web| web["status"]["readyReplicas"] == 1);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_source_that_failed_is_tried_again_long_before_its_interval() {
    let testbed = Testbed::shared();
    let git = testbed.git("late");
    let agent = Agent::of_namespace(testbed, "late");
    testbed.apply(&source(&git, &agent.namespace).replace("interval: 1m", "interval: 24h"));
    agent.ready("gitrepository/repo", "False", "GitOperationFailed");
    git.write("app/app.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\n");
    git.push("at last");
    agent.ready("gitrepository/repo", "True", "Succeeded");
    agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn an_object_of_a_kind_that_is_not_reconciled_says_so_unless_another_controller_answers_it() {
    let testbed = Testbed::shared();
    let agent = Agent::of_namespace(testbed, "unserved");
    let namespace = &agent.namespace;
    let bucket = |name: &str| {
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{bucketName: b, endpoint: s3.example.com, interval: 1m}}\n"
        )
    };
    let push = format!(
        "apiVersion: external-secrets.io/v1alpha1\nkind: PushSecret\nmetadata: {{name: push, namespace: {namespace}}}\n\
         spec: {{secretStoreRefs: [{{name: store}}], selector: {{secret: {{name: s}}}}}}\n"
    );
    testbed.apply(&[bucket("mine"), bucket("theirs"), push].join("---\n"));
    let answer = "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"Succeeded\",\"message\":\"m\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}";
    testbed.kubectl(&[
        "patch",
        "bucket",
        "theirs",
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        answer,
    ]);
    let told = agent.ready("bucket/mine", "False", "Unsupported");
    assert_eq!(agent::condition(&told, "Stalled")["status"], "True");
    agent.ready("pushsecret/push", "False", "Unsupported");
    agent.ready("bucket/theirs", "True", "Succeeded");
}

/// Who owns fields of an object, with operations; status aside.
fn managers(agent: &Agent<'_>, testbed: &Testbed, what: &str) -> Vec<String> {
    let arguments = ["get", what, "-n", &agent.namespace, "--show-managed-fields", "-o", "json"];
    let object: serde_json::Value = serde_json::from_str(&testbed.kubectl(&arguments)).expect("kubectl writes JSON");
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let own = entries.iter().filter(|entry| entry.get("subresource").is_none());
    own.map(|entry| format!("{} {}", entry["manager"], entry["operation"]).replace('"', "")).collect()
}

fn settings(namespace: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {namespace}}}\ndata: {data}\n")
}

fn workload(namespace: &str, labels: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  selector: \
         {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web{labels}}}}}\n    spec: {{containers: \
         [{{name: web, image: web:1{container}}}]}}\n"
    )
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_kubectl_left_is_undone_and_a_landing_that_is_taken_back_does_not_bring_it_back() {
    let testbed = Testbed::shared();
    let (git, agent) = (testbed.git("app"), Agent::of_namespace(testbed, "kubectl"));
    let namespace = &agent.namespace;
    let by_hand = [settings(namespace, "{a: '1', b: '1'}"), workload(namespace, "", ", env: [{name: X, value: x}]")]
        .join("---\n");
    let file = testbed.data().join(format!("{namespace}.yaml"));
    std::fs::write(&file, by_hand).expect("the data folder can be written");
    testbed.kubectl(&["apply", "-f", file.to_str().expect("text")]);
    testbed.kubectl(&["label", "configmap", "settings", "-n", namespace, "fluxcd.io/sync-gc-mark=x"]);
    let git_has = |data: &str, labels: &str| {
        git.write("app/app.yaml", &[settings(namespace, data), workload(namespace, labels, "")].join("---\n"));
        git.push("a revision");
    };
    git_has("{a: '2'}", ", testbed/fail: 'true'");
    testbed.apply(&source(&git, namespace).replace("timeout: 1m", "timeout: 20s"));
    agent.ready("kustomization/app", "False", "HealthCheckFailed");
    let found = agent.get("configmap/settings").expect("it stays");
    assert_eq!(found["data"], serde_json::json!({"a": "1", "b": "1"}), "it is as it was found");
    let web = agent.get("deployment/web").expect("it stays");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"], "X");
    for what in ["configmap/settings", "deployment/web"] {
        let managers = managers(&agent, testbed, what);
        assert!(!managers.iter().any(|manager| manager.starts_with("kubectl")), "{what}: {managers:?}");
    }

    git_has("{a: '3'}", "");
    agent.request("gitrepository/repo");
    agent.ready("kustomization/app", "True", "ReconciliationSucceeded");
    let landed = || {
        for what in ["configmap/settings", "deployment/web"] {
            assert_eq!(managers(&agent, testbed, what), ["kustomize-controller Apply"], "{what}");
        }
        let found = agent.get("configmap/settings").expect("it landed");
        assert_eq!(found["data"], serde_json::json!({"a": "3"}));
        let metadata = &found["metadata"];
        assert_eq!((metadata.get("annotations"), metadata["labels"].get("fluxcd.io/sync-gc-mark")), (None, None));
        let web = agent.get("deployment/web").expect("it landed");
        assert_eq!(web["spec"]["template"]["spec"]["containers"][0].get("env"), None);
    };
    landed();

    let edit = "{\"data\":{\"c\":\"1\"}}";
    testbed.kubectl(&["patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", edit]);
    agent.request("kustomization/app");
    let cleaned = agent.until("configmap/settings", |found| found["data"].get("c").is_none());
    landed();
    agent.request("kustomization/app");
    let asked = |found: &serde_json::Value| {
        found["status"]["lastHandledReconcileAt"] == found["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
    };
    agent.until("kustomization/app", asked);
    let rests = agent.get("configmap/settings").expect("it stays");
    assert_eq!(
        rests["metadata"]["resourceVersion"], cleaned["metadata"]["resourceVersion"],
        "at rest nothing is written"
    );
}
