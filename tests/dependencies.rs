//! What units wait for: health as CEL tells it, each other as `dependsOn` says, and what others of them make.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "dependencies/apis.rs"]
mod apis;
#[path = "support/repository.rs"]
mod repository;
#[path = "dependencies/stage.rs"]
mod stage;

use apply::Reference;
use apply::cluster::Subresource;
use serde_json::json;

use stage::{FLUX, Stage, ready, unit};

const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Database, plural: databases}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
const DATABASE: &str =
    "apiVersion: example.com/v1\nkind: Database\nmetadata: {name: db, namespace: default}\nspec: {size: 1}\n";

fn database() -> Reference {
    Reference::new("example.com/v1", "Database", "default", "db")
}

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{a: b}}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_resource_is_healthy_when_its_expressions_say_so() {
    let stage = Stage::new().await;
    let checks = json!([{"apiVersion": "example.com/v1", "kind": "Database", "current": "status.phase == 'Running'",
        "failed": "has(status.phase) && status.phase == 'Broken'", "inProgress": "!has(status.phase)"}]);
    stage.push(&[("crd/crd.yaml", DEFINITION), ("db/db.yaml", DATABASE)]).await;
    stage.kustomization("crd", json!({"wait": true})).await;
    stage.landed("crd").await;
    stage.kustomization("db", json!({"wait": true, "healthCheckExprs": checks})).await;
    stage.until(&database(), |_| true).await;
    stage.patch(&database(), json!({"status": {"phase": "Starting"}}), Some(Subresource::Status)).await;
    let status = stage.get(&unit("db")).await.expect("it is there");
    assert_ne!(ready(&status)["status"], "True", "it waits");
    stage.patch(&database(), json!({"status": {"phase": "Running"}}), Some(Subresource::Status)).await;
    stage.landed("db").await;
    // The same where only some are named; a failed one is told at once, and the change is taken back.
    let named = json!([{"apiVersion": "example.com/v1", "kind": "Database", "name": "db", "namespace": "default"}]);
    stage.kustomization("db", json!({"wait": false, "healthChecks": named, "healthCheckExprs": checks})).await;
    stage.landed("db").await;
    stage.patch(&database(), json!({"status": {"phase": "Broken"}}), Some(Subresource::Status)).await;
    stage.push(&[("crd/crd.yaml", DEFINITION), ("db/db.yaml", &DATABASE.replace("size: 1", "size: 2"))]).await;
    let message = stage.told("db", "HealthCheckFailed").await;
    assert!(message.contains("default/db") && message.contains("Failed"), "{message}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_that_is_wrong_stalls_its_unit_in_the_words_of_flux() {
    let stage = Stage::new().await;
    stage.push(&[("a/a.yaml", &config("a")), ("b/b.yaml", &config("b"))]).await;
    let checks = json!([{"apiVersion": "example.com/v1", "kind": "Database", "current": "status.phase ="}]);
    stage.kustomization("a", json!({"healthCheckExprs": checks})).await;
    let message = stage.told("a", "InvalidCELExpression").await;
    let head = "Reconciliation failed terminally due to configuration error: failed to create custom status evaluator for \
                healthchecks[0]: failed to parse the expression Current: failed to parse the CEL expression 'status.phase ='";
    assert!(message.starts_with(head), "{message}");
    stage.kustomization("a", json!({})).await;
    stage.landed("a").await;
    stage.kustomization("b", json!({"dependsOn": [{"name": "a", "readyExpr": "dep.metadata.name"}]})).await;
    let message = stage.told("b", "InvalidCELExpression").await;
    let words = "Reconciliation failed terminally due to configuration error: terminal error: failed to evaluate dependency a: \
                 CEL expression output type mismatch: expected bool, got dyn";
    assert_eq!(message, words);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_is_ready_when_its_expression_says_so_and_its_dependents_go_on_at_once() {
    let stage = Stage::new().await;
    stage.push(&[("a/a.yaml", &config("a")), ("b/b.yaml", &config("b"))]).await;
    stage.kustomization("a", json!({})).await;
    stage.landed("a").await;
    let expression = "dep.metadata.labels.stage == 'go' && dep.spec.interval == '1h0m0s' && self.spec.prune";
    stage.kustomization("b", json!({"dependsOn": [{"name": "a", "readyExpr": expression}]})).await;
    let message = stage.told("b", "DependencyNotReady").await;
    assert_eq!(message, format!("failed to evaluate the CEL expression '{expression}': no such key: labels"));
    stage.patch(&unit("a"), json!({"metadata": {"labels": {"stage": "wait"}}}), None).await;
    let told = "dependency 'flux-system/a' is not ready according to readyExpr eval";
    stage.until(&unit("b"), |found| ready(found)["message"] == told).await;
    stage.patch(&unit("a"), json!({"metadata": {"labels": {"stage": "go"}}}), None).await;
    stage.landed("b").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_depend_on_each_other_in_a_circle_name_it() {
    let stage = Stage::new().await;
    stage.push(&[("a/a.yaml", &config("a")), ("b/b.yaml", &config("b")), ("c/c.yaml", &config("c"))]).await;
    stage.kustomization("a", json!({"dependsOn": [{"name": "b"}]})).await;
    stage.kustomization("b", json!({"dependsOn": [{"name": "c", "namespace": FLUX}]})).await;
    stage.kustomization("c", json!({"dependsOn": [{"name": "a"}]})).await;
    let circle = "dependsOn goes round in a circle: flux-system/a -> flux-system/b -> flux-system/c -> flux-system/a";
    stage.until(&unit("a"), |found| ready(found)["message"] == circle).await;
    stage.until(&unit("c"), |found| ready(found)["message"].as_str().is_some_and(|told| told.contains("circle"))).await;
    stage.kustomization("c", json!({"dependsOn": []})).await;
    for name in ["a", "b", "c"] {
        stage.landed(name).await;
    }
    stage.end().await;
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
const STORE: &str = "apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: store, namespace: shop}
spec: {provider: {fake: {data: [{key: db, value: hunter2}]}}}
";
const EXTERNAL: &str = "apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: db, namespace: shop}
spec: {refreshInterval: 1h, secretStoreRef: {name: store}, data: [{secretKey: password, remoteRef: {key: db}}]}
";
const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:1', envFrom: [{secretRef: {name: db}}]}]}
";
const VARIABLES: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars, namespace: flux-system}\ndata: {colour: blue}\n";
const COLOURED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: coloured, namespace: shop}\ndata: {colour: '${colour}'}\n";

fn in_shop(text: &str) -> String {
    text.replace("namespace: default", "namespace: shop")
}

/// Reasons for which Kustomizations were not ready, as far as anybody watched.
async fn reasons(stage: &Stage, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let history = stage.get(&unit(name)).await.expect("it is there");
        let entries = history.value()["status"]["history"].as_array().cloned().unwrap_or_default();
        found.extend(entries.iter().filter_map(|entry| entry["lastReconciledStatus"].as_str().map(str::to_owned)));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_4_definition_custom_resource_external_secret_and_app_in_units_of_their_own_land_without_depends_on()
 {
    let stage = Stage::new().await;
    let database = in_shop(DATABASE);
    let names = ["web", "external", "db", "store", "crd", "vars", "namespace"];
    // Whoever needs comes before whoever makes.
    let variables = json!({"postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": "vars"}]}});
    let coloured = [stage::kustomization("coloured", variables)];
    let units = coloured.into_iter().chain(names.map(|name| stage::kustomization(name, json!({}))));
    let fleet = units.map(|unit| format!("{unit:#}\n")).collect::<Vec<_>>().join("---\n");
    stage
        .push(&[
            ("fleet/units.yaml", &fleet),
            ("namespace/n.yaml", NAMESPACE),
            ("crd/crd.yaml", DEFINITION),
            ("db/db.yaml", &database),
            ("store/store.yaml", STORE),
            ("external/external.yaml", EXTERNAL),
            ("web/web.yaml", DEPLOYMENT),
            ("vars/vars.yaml", VARIABLES),
            ("coloured/coloured.yaml", COLOURED),
        ])
        .await;
    stage.kustomization("fleet", json!({})).await;
    for name in names {
        stage.landed(name).await;
    }
    stage.landed("coloured").await;
    let coloured = Reference::new("v1", "ConfigMap", "shop", "coloured");
    assert_eq!(stage.get(&coloured).await.expect("it landed").value()["data"]["colour"], "blue");
    let told = reasons(&stage, &names).await;
    let is_expected = |reason: &String| matches!(reason.as_str(), "ReconciliationSucceeded" | "DependencyNotReady");
    assert!(told.iter().all(is_expected), "{told:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_4_all_of_it_in_one_directory_lands_in_one_pass() {
    let stage = Stage::new().await;
    let all = [&in_shop(DATABASE), DEPLOYMENT, EXTERNAL, STORE, DEFINITION, NAMESPACE].join("---\n");
    stage.push(&[("all/all.yaml", &all)]).await;
    stage.kustomization("all", json!({})).await;
    stage.landed("all").await;
    assert_eq!(reasons(&stage, &["all"]).await, ["ReconciliationSucceeded"]);
    stage.end().await;
}

const OPERATOR: &str = "apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: operator, namespace: shop}
spec:
  interval: 1h
  chart: {spec: {chart: ./charts/operator, sourceRef: {kind: GitRepository, name: repo, namespace: flux-system}}}
";
const TEMPLATE: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}}
    spec: {containers: [{name: operator, image: 'operator:1'}]}
";

/// unmet.md 4 in its own words: the definition comes with the operator's chart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_4_operator_chart_custom_resource_external_secret_and_app_in_one_directory_land_in_one_pass() {
    for wait in [false, true] {
        let stage = Stage::new().await;
        let all = [&in_shop(DATABASE), DEPLOYMENT, EXTERNAL, STORE, OPERATOR, NAMESPACE].join("---\n");
        stage
            .push(&[
                ("all/all.yaml", &all),
                ("charts/operator/Chart.yaml", "apiVersion: v2\nname: operator\nversion: 1.0.0\n"),
                ("charts/operator/crds/databases.yaml", DEFINITION),
                ("charts/operator/templates/operator.yaml", TEMPLATE),
            ])
            .await;
        stage.kustomization("all", json!({ "wait": wait })).await;
        stage.landed("all").await;
        assert_eq!(reasons(&stage, &["all"]).await, ["ReconciliationSucceeded"], "wait: {wait}");
        for (version, kind, name) in
            [("example.com/v1", "Database", "db"), ("apps/v1", "Deployment", "operator"), ("v1", "Secret", "db")]
        {
            let at = Reference::new(version, kind, "shop", name);
            assert!(stage.get(&at).await.is_some(), "{kind} {name}, wait: {wait}");
        }
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_makes_fails_as_before_and_goes_on_once_somebody_does() {
    let stage = Stage::new().await;
    // Not every group below k8s.io is Kubernetes' own.
    let [other, definition] = [DATABASE, DEFINITION].map(|text| text.replace("example.com", "example.storage.k8s.io"));
    stage
        .push(&[
            ("db/db.yaml", DATABASE),
            ("crd/crd.yaml", DEFINITION),
            ("other/db.yaml", &other),
            ("definition/crd.yaml", &definition),
        ])
        .await;
    for (needs, makes) in [("db", "crd"), ("other", "definition")] {
        stage.kustomization(needs, json!({})).await;
        let message = stage.told(needs, "ReconciliationFailed").await;
        assert!(message.contains("no matches for kind \"Database\""), "{message}");
        stage.kustomization(makes, json!({})).await;
        stage.landed(needs).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_need_each_other_land_in_parts_and_name_the_circle_when_each_must_land_whole() {
    let stage = Stage::new().await;
    let namespace = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n");
    let config =
        |namespace: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, namespace: {namespace}}}\n");
    let (a, b) = (namespace("na") + &config("nb"), namespace("nb") + &config("na"));
    let (c, d) = (namespace("nc") + &config("nd"), namespace("nd") + &config("nc"));
    stage.push(&[("a/a.yaml", &a), ("b/b.yaml", &b), ("c/c.yaml", &c), ("d/d.yaml", &d)]).await;
    for name in ["a", "b"] {
        stage.kustomization(name, json!({})).await;
    }
    for name in ["a", "b"] {
        stage.landed(name).await;
    }
    for name in ["c", "d"] {
        let mut whole = stage::kustomization(name, json!({}));
        whole["metadata"]["annotations"] = json!({"lockstep.dev/scope": "unit"});
        stage.apply(whole).await;
    }
    let circle = "units wait for each other in a circle: Kustomization/flux-system/";
    for name in ["c", "d"] {
        let is_told = |found: &manifest::Object| {
            let ready = ready(found);
            ready["reason"] == "DependencyNotReady"
                && ready["message"].as_str().is_some_and(|told| told.contains(circle))
        };
        stage.until(&unit(name), is_told).await;
    }
    stage.end().await;
}
