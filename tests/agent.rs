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
