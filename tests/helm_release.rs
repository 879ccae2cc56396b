//! HelmReleases on the cluster in memory: installed, upgraded, taken back, uninstalled, alone and in a Kustomization.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/chart.rs"]
mod chart;
#[path = "support/repository.rs"]
mod repository;
#[path = "helm_release/requests.rs"]
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apply::memory::Simulation;
use apply::{Call, Cluster, Reference, Selection};
use flate2::Compression;
use flate2::write::GzEncoder;
use helm::record;
use lockstep::agent::Agent;
use lockstep::api::schema;
use lockstep::cluster::journal::Keys;
use lockstep::cluster::local::Local;
use lockstep::pipeline::{Parts, Settings, World};
use lockstep::redact::Redactor;
use lockstep::resolve::azure::PodIdentity;
use manifest::Object;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

const NAMESPACE: &str = "apps";
const CHARTS: &str = "https://charts.example.com";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn packed(files: &BTreeMap<String, String>) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("web/{name}"), text.as_bytes()).expect("an archive");
    }
    archive.into_inner().expect("an archive").finish().expect("an archive")
}

struct Stage {
    cluster: Arc<dyn Cluster>,
    folder: tempfile::TempDir,
    git: repository::Repository,
    versions: std::cell::RefCell<Vec<(String, String)>>,
    running: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    time: tokio::task::JoinHandle<()>,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let git = repository::Repository::new();
        let local = Local::open(None, Simulation { steps: 1 }).expect("a cluster");
        let cluster: Arc<dyn Cluster> = Arc::new(local.clone());
        let time = tokio::spawn(async move { drop(local.run().await) });
        let versions = Default::default();
        let mut stage = Self { cluster, folder, git, versions, running: None, time };
        for schema in schema::ALL {
            stage.apply(yaml::from_str(schema.text).expect("a schema")).await;
        }
        for name in ["system", NAMESPACE] {
            stage.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
        }
        stage.start();
        stage
    }

    fn start(&mut self) {
        let charts = format!("{CHARTS}=file://{}", self.folder.path().join("charts").display());
        let git = format!("https://git.example.com/app={}", self.git.url());
        let settings = Settings {
            namespace: "system".into(),
            cache: self.folder.path().join("cache"),
            mirrors: [charts, git].iter().map(|rule| rule.parse().expect("a rule")).collect(),
            requeue_dependency: Duration::from_secs(1),
            ..Settings::default()
        };
        let (cluster, keys) = (self.cluster.clone(), Keys::generate().expect("keys"));
        let (redactor, pod) = (Redactor::default(), PodIdentity::default());
        let world = World::new(Parts { cluster, keys, epoch: 0, redactor, pod, settings }).expect("a world");
        let agent = Agent::new(world, 4);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move { agent.run(async { drop(stopped.await) }).await });
        self.running = Some((stop, running));
    }

    async fn apply(&self, value: Value) {
        let object = Object::new(value).expect("an object");
        let call = Call::Apply { object, manager: "kubectl".into(), force: true, dry_run: false, subresource: None };
        self.cluster.write(call).await.expect("it is accepted");
    }

    async fn get(&self, version: &str, kind: &str, name: &str) -> Option<Object> {
        let namespace = if kind == "CustomResourceDefinition" { "" } else { NAMESPACE };
        self.cluster.get(&Reference::new(version, kind, namespace, name)).await.expect("it is served")
    }

    /// Puts a version of the chart into the repository.
    fn publish(&self, version: &str, extra: &[(&str, &str)]) {
        let folder = self.folder.path().join("charts");
        std::fs::create_dir_all(&folder).expect("a folder");
        let bytes = packed(&chart::chart(version, extra));
        let digest = format!("{:x}", Sha256::digest(&bytes));
        std::fs::write(folder.join(format!("web-{version}.tgz")), bytes).expect("a file");
        self.versions.borrow_mut().push((version.to_owned(), digest));
        let entries = self
            .versions
            .borrow()
            .iter()
            .map(|(version, digest)| {
                format!("    - {{name: web, version: {version}, urls: [web-{version}.tgz], digest: {digest}}}\n")
            })
            .collect::<String>();
        std::fs::write(folder.join("index.yaml"), format!("apiVersion: v1\nentries:\n  web:\n{entries}"))
            .expect("a file");
    }

    fn repository() -> Value {
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
            "metadata": {"name": "charts", "namespace": NAMESPACE}, "spec": {"url": CHARTS, "interval": "1s"}})
    }

    fn release(spec: Value) -> Value {
        let mut value = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {
                "interval": "1m", "timeout": "5s",
                "chart": {"spec": {"chart": "web", "version": "*", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}}});
        for (key, part) in spec.as_object().expect("a map") {
            value["spec"][key] = part.clone();
        }
        value
    }

    async fn until(&self, at: &Reference, what: &str, is_so: impl Fn(Option<&Object>) -> bool) -> Option<Object> {
        let began = std::time::Instant::now();
        loop {
            let found = self.cluster.get(at).await.expect("it is served");
            if is_so(found.as_ref()) {
                return found;
            }
            if began.elapsed() > PATIENCE {
                let status = found.as_ref().map(|found| found.value()["status"].to_string());
                panic!("{} never became {what}: {status:?}", at.id());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until Ready says this, for the present generation.
    async fn ready(&self, kind: &str, name: &str, status: &str, reason: &str) -> Object {
        let version = match kind {
            "Kustomization" => "kustomize.toolkit.fluxcd.io/v1",
            "HelmRelease" => "helm.toolkit.fluxcd.io/v2",
            _ => "source.toolkit.fluxcd.io/v1",
        };
        let at = Reference::new(version, kind, NAMESPACE, name);
        let is_so = |found: Option<&Object>| {
            found.is_some_and(|found| {
                let ready = condition(found, "Ready");
                ready["status"] == status
                    && ready["reason"] == reason
                    && ready["observedGeneration"] == found.generation()
            })
        };
        self.until(&at, &format!("{status} {reason}"), is_so).await.expect("it is there")
    }

    async fn history(&self) -> Vec<(i64, String, String)> {
        let selection = Selection::all("v1", "Secret").within(NAMESPACE).labelled(&record::selector("web"));
        let secrets = self.cluster.list(&selection).await.expect("a list");
        let mut history: Vec<_> = secrets.iter().map(|secret| record::decode(secret).expect("a record")).collect();
        history.sort_by_key(|release| release.version);
        history.into_iter().map(|r| (r.version, r.status.name().to_owned(), r.description)).collect()
    }

    async fn statuses(&self) -> Vec<(i64, String)> {
        self.history().await.into_iter().map(|(version, status, _)| (version, status)).collect()
    }

    async fn image(&self) -> String {
        let web = self.get("apps/v1", "Deployment", "web").await.expect("it is there");
        web.text("/spec/template/spec/containers/0/image").expect("an image").to_owned()
    }

    /// Makes a Kustomization of the Git repository.
    async fn kustomization(&self) {
        self.apply(json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "app", "namespace": NAMESPACE},
            "spec": {"url": "https://git.example.com/app", "interval": "1s", "ref": {"branch": "main"}}}))
            .await;
        self.apply(json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "app", "namespace": NAMESPACE, "annotations": {"lockstep.dev/prune-guard": "off"}},
            "spec": {"path": "./", "interval": "1m", "retryInterval": "1s", "timeout": "10s", "prune": true, "wait": true,
                "sourceRef": {"kind": "GitRepository", "name": "app"}}}))
            .await;
    }

    /// Commits objects, one file each.
    fn commit(&self, objects: &[Value]) -> String {
        let texts: Vec<(String, String)> =
            objects.iter().enumerate().map(|(n, object)| (format!("{n}.yaml"), yaml::emit::to_yaml(object))).collect();
        let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        self.git.commit("main", "a revision", &files)
    }

    /// Waits until the Kustomization has answered to a commit.
    async fn answered(&self, commit: &str, status: &str) -> Object {
        let at = Reference::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization", NAMESPACE, "app");
        let is_so = |found: Option<&Object>| {
            found.is_some_and(|found| {
                let attempted = found.text("/status/lastAttemptedRevision").is_some_and(|r| r.ends_with(commit));
                attempted && condition(found, "Ready")["status"] == status
            })
        };
        self.until(&at, &format!("{status} at {commit}"), is_so).await.expect("it is there")
    }

    async fn end(mut self) {
        if let Some((stop, running)) = self.running.take() {
            drop(stop);
            running.await.expect("the agent ends");
        }
        self.time.abort();
    }
}

fn condition(object: &Object, kind: &str) -> Value {
    let conditions = object.value().pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.cloned().unwrap_or_default()
}

fn pairs(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(version, status)| (*version, (*status).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_stands_alone_is_installed_upgraded_taken_back_and_uninstalled() {
    let stage = Stage::new().await;
    stage.publish("1.0.0", &[]);
    stage.apply(Stage::repository()).await;
    stage.ready("HelmRepository", "charts", "True", "Succeeded").await;
    stage.apply(Stage::release(json!({}))).await;
    let installed = stage.ready("HelmRelease", "web", "True", "InstallSucceeded").await;
    assert_eq!(
        condition(&installed, "Released")["message"],
        "Helm install succeeded for release apps/web.v1 with chart web@1.0.0"
    );
    assert_eq!(stage.history().await, [(1, "deployed".into(), "Install complete".into())]);
    let web = stage.get("apps/v1", "Deployment", "web").await.expect("it is there");
    assert_eq!(web.label("app.kubernetes.io/managed-by"), Some("Helm"));
    assert_eq!(web.label("helm.toolkit.fluxcd.io/name"), Some("web"));
    assert_eq!(web.annotation("meta.helm.sh/release-namespace"), Some(NAMESPACE));
    assert!(stage.get("v1", "ServiceAccount", "migrate").await.is_none(), "the hook's account is cleared up");
    assert!(stage.get("batch/v1", "Job", "before").await.is_some(), "a hook without policy stays until the next run");
    assert!(
        stage.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "gadgets.charts.example.com").await.is_some()
    );

    // A newer version in the repository is found by itself.
    stage.publish("1.1.0", &[]);
    stage.ready("HelmRelease", "web", "True", "UpgradeSucceeded").await;
    assert_eq!(stage.statuses().await, pairs(&[(1, "superseded"), (2, "deployed")]));

    // Values that fail health: everything is as it was, and nothing is tried again.
    stage.apply(Stage::release(json!({"values": {"tag": "two", "fail": "true"}}))).await;
    let back = stage.ready("HelmRelease", "web", "False", "RollbackSucceeded").await;
    assert_eq!(
        condition(&back, "Remediated")["message"],
        "Helm rollback to previous release apps/web.v2 with chart web@1.1.0 succeeded"
    );
    let failed = condition(&back, "Released")["message"].as_str().expect("a message").to_owned();
    assert!(failed.starts_with("Helm upgrade failed for release apps/web with chart web@1.1.0: "), "{failed}");
    assert_eq!(stage.statuses().await, pairs(&[(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")]));
    assert_eq!(stage.image().await, "web:one");

    // A value against the schema: nothing is written.
    stage.apply(Stage::release(json!({"values": {"tag": 1}}))).await;
    let refused = stage.ready("HelmRelease", "web", "False", "UpgradeFailed").await;
    let message = condition(&refused, "Ready")["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("values don't meet the specifications of the schema"), "{message}");
    assert_eq!(stage.statuses().await.len(), 4);

    stage.apply(Stage::release(json!({"values": {"tag": "three"}}))).await;
    stage.ready("HelmRelease", "web", "True", "UpgradeSucceeded").await;
    assert_eq!(stage.image().await, "web:three");
    assert_eq!(stage.statuses().await.last(), Some(&(5, "deployed".to_owned())));

    let at = Reference::new("helm.toolkit.fluxcd.io/v2", "HelmRelease", NAMESPACE, "web");
    let call = Call::Delete {
        at: at.clone(),
        uid: None,
        resource_version: None,
        propagation: apply::cluster::Propagation::Background,
        dry_run: false,
    };
    stage.cluster.call(call).await.expect("it is accepted");
    stage.until(&at, "gone", |found| found.is_none()).await;
    assert!(stage.get("apps/v1", "Deployment", "web").await.is_none());
    assert!(stage.get("batch/v1", "Job", "farewell").await.is_some(), "the hook before the end ran");
    assert_eq!(stage.statuses().await, []);
    stage.end().await;
}

/// unmet.md 8: whoever deletes Flux's definitions has not asked for what releases installed to be deleted with them. Flux
/// uninstalls then; this is a deliberate difference.
#[tokio::test]
async fn requirement_8_a_release_that_goes_with_its_definition_uninstalls_nothing() {
    let stage = Stage::new().await;
    stage.publish("1.0.0", &[]);
    stage.apply(Stage::repository()).await;
    stage.apply(Stage::release(json!({}))).await;
    stage.ready("HelmRelease", "web", "True", "InstallSucceeded").await;
    let name = "helmreleases.helm.toolkit.fluxcd.io";
    let at = Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name);
    let propagation = apply::cluster::Propagation::Background;
    let call = Call::Delete { at: at.clone(), uid: None, resource_version: None, propagation, dry_run: false };
    stage.cluster.call(call).await.expect("it is deleted");
    // It goes when the release is gone, and that only when its finalizer is done.
    stage.until(&at, "gone", |found| found.is_none()).await;
    assert_eq!(stage.statuses().await, pairs(&[(1, "deployed")]));
    assert!(stage.get("apps/v1", "Deployment", "web").await.is_some(), "nobody asked for it to be deleted");
    stage.end().await;
}

/// A store of another unit: `db` is what is in it now.
fn store(db: &str) -> Value {
    let data = ["first", "second", "third"].map(|key| json!({"key": key, "value": format!("{key}-password")}));
    let data: Vec<Value> = data.into_iter().chain([json!({"key": "db", "value": db})]).collect();
    json!({"apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
        "metadata": {"name": "store", "namespace": NAMESPACE}, "spec": {"provider": {"fake": {"data": data}}}})
}

/// An ExternalSecret of one password, and a release whose values come from it.
fn application(key: &str, spec: Value) -> Vec<Value> {
    let mut spec = spec;
    spec["valuesFrom"] = json!([{"kind": "Secret", "name": "db", "valuesKey": "password", "targetPath": "password"}]);
    vec![
        json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": "db", "namespace": NAMESPACE},
            "spec": {"refreshInterval": "1h", "secretStoreRef": {"name": "store"},
                "data": [{"secretKey": "password", "remoteRef": {"key": key}}]}}),
        Stage::repository(),
        Stage::release(spec),
    ]
}

async fn password(stage: &Stage) -> String {
    let secret = stage.get("v1", "Secret", "web").await.expect("it is there");
    let values = lockstep::pipeline::compile::values_of(&secret);
    String::from_utf8_lossy(&values.first().expect("a value").1).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lands_with_its_kustomization_and_what_its_values_come_from() {
    let stage = Stage::new().await;
    stage.publish("1.0.0", &[]);
    stage.apply(store("")).await;
    let first = stage.commit(&application("first", json!({})));
    stage.kustomization().await;
    stage.answered(&first, "True").await;
    stage.ready("HelmRelease", "web", "True", "InstallSucceeded").await;
    assert_eq!(password(&stage).await, "first-password");

    // At rest nothing moves.
    let before = stage.get("apps/v1", "Deployment", "web").await.expect("it is there");
    let release = stage.get("helm.toolkit.fluxcd.io/v2", "HelmRelease", "web").await.expect("it is there");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = stage.get("apps/v1", "Deployment", "web").await.expect("it is there");
    assert_eq!(before.resource_version(), after.resource_version());
    let after = stage.get("helm.toolkit.fluxcd.io/v2", "HelmRelease", "web").await.expect("it is there");
    assert_eq!(release.resource_version(), after.resource_version());

    // Another password in the store: the release is upgraded, and its workload restarted once.
    let second = stage.commit(&application("second", json!({})));
    stage.answered(&second, "True").await;
    stage.ready("HelmRelease", "web", "True", "UpgradeSucceeded").await;
    assert_eq!(password(&stage).await, "second-password");
    let restarted = stage.get("apps/v1", "Deployment", "web").await.expect("it is there");
    assert_eq!(restarted.generation(), before.generation() + 1);

    // A bad release takes the whole revision back, the store's new password included.
    let third = stage.commit(&application("third", json!({"values": {"fail": "true"}})));
    let held = stage.answered(&third, "False").await;
    let message = condition(&held, "Ready")["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("held at") && message.contains("Deployment/apps/web"), "{message}");
    stage.ready("HelmRelease", "web", "True", "UpgradeSucceeded").await;
    assert_eq!(password(&stage).await, "second-password");
    assert_eq!(stage.statuses().await, pairs(&[(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")]));

    // Gone from the repository: uninstalled.
    let fourth = stage.commit(&application("second", json!({}))[..2]);
    stage.answered(&fourth, "True").await;
    let at = Reference::new("helm.toolkit.fluxcd.io/v2", "HelmRelease", NAMESPACE, "web");
    stage.until(&at, "gone", |found| found.is_none()).await;
    assert_eq!(stage.statuses().await, []);
    assert!(stage.get("apps/v1", "Deployment", "web").await.is_none());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_release_that_cannot_be_rendered_is_named_in_one_pass_and_nothing_is_written() {
    let stage = Stage::new().await;
    stage.publish("1.0.0", &[]);
    let mut other = Stage::release(json!({"valuesFrom": [{"kind": "ConfigMap", "name": "nowhere"}]}));
    other["metadata"]["name"] = "other".into();
    let mut third = Stage::release(json!({"postRenderers": [{"kustomize": {"images": [{"name": "a"}]}}]}));
    third["metadata"]["name"] = "third".into();
    let commit = stage.commit(&[Stage::repository(), Stage::release(json!({"values": {"tag": 1}})), other, third]);
    stage.kustomization().await;
    let held = stage.answered(&commit, "False").await;
    let message = condition(&held, "Ready")["message"].as_str().expect("a message").to_owned();
    for part in [
        "3 problems",
        "1.yaml:1: HelmRelease/apps/web: Helm install failed for release apps/web with chart web@1.0.0: values don't meet",
        "could not resolve ConfigMap chart values reference 'apps/nowhere' with key 'values.yaml': configmaps \"nowhere\" not found",
        "not supported yet: spec.postRenderers",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    assert!(stage.get("source.toolkit.fluxcd.io/v1", "HelmRepository", "charts").await.is_none());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_that_depend_on_each_other_in_a_circle_are_named() {
    let stage = Stage::new().await;
    stage.publish("1.0.0", &[]);
    let release = |name: &str, needs: &str| {
        let mut release = Stage::release(json!({"dependsOn": [{"name": needs}]}));
        release["metadata"]["name"] = name.into();
        release
    };
    let mut free = Stage::release(json!({}));
    free["metadata"]["name"] = "free".into();
    let commit = stage.commit(&[Stage::repository(), release("one", "two"), release("two", "one"), free]);
    stage.kustomization().await;
    let held = stage.answered(&commit, "False").await;
    let message = condition(&held, "Ready")["message"].as_str().expect("a message").to_owned();
    let circle = "dependsOn goes round in a circle: HelmRelease/apps/one, HelmRelease/apps/two";
    assert!(message.contains(circle) && !message.contains("apps/free"), "{message}");
    assert_eq!(stage.statuses().await, [], "nothing of it is installed");
    let commit = stage.commit(&[Stage::repository(), Stage::release(json!({}))]);
    stage.answered(&commit, "True").await;
    stage.end().await;
}

/// A chart with an ExternalSecret of its own, and a workload that reads its Secret.
const EXTERNAL: &str = "apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: inner}
spec: {refreshInterval: 1s, secretStoreRef: {name: store}, data: [{secretKey: token, remoteRef: {key: db}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reader}
spec:
  selector: {matchLabels: {app: reader}}
  template:
    metadata: {labels: {app: reader}}
    spec: {containers: [{name: a, image: a, envFrom: [{secretRef: {name: inner}}]}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_external_secret_of_a_chart_lands_with_it_and_its_rotation_restarts_the_charts_workload() {
    let stage = Stage::new().await;
    stage.publish("1.0.0", &[("templates/external.yaml", EXTERNAL)]);
    stage.apply(store("one-password")).await;
    let commit = stage.commit(&application("first", json!({})));
    stage.kustomization().await;
    stage.answered(&commit, "True").await;
    stage.ready("HelmRelease", "web", "True", "InstallSucceeded").await;
    let inner = stage.get("v1", "Secret", "inner").await.expect("it is there");
    assert_eq!(inner.text("/metadata/ownerReferences/0/kind"), Some("ExternalSecret"));
    let before = stage.get("apps/v1", "Deployment", "reader").await.expect("it is there");

    // The store changes by itself; the release does not: its workload restarts all the same.
    stage.apply(store("another-password")).await;
    let at = Reference::new("apps/v1", "Deployment", NAMESPACE, "reader");
    let is_so = |found: Option<&Object>| found.is_some_and(|found| found.generation() > before.generation());
    let after = stage.until(&at, "restarted", is_so).await.expect("it is there");
    assert!(after.text("/spec/template/metadata/annotations/lockstep.dev~1secrets").is_some());
    assert_eq!(after.generation(), before.generation() + 1);
    stage.end().await;
}
