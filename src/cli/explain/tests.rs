use apply::memory::Simulation;
use apply::{Base, Behaviour, Call, Candidate, Desired, Failure, Guest, Journal, Prepared};
use jiff::{SignedDuration, Timestamp};
use manifest::Object;
use serde_json::{Value, json};

use super::*;
use crate::api::schema;
use crate::cluster::journal::{ClusterStore, Keys};
use crate::cluster::local::Local;
use crate::landing;
use crate::unit::{self, ReadSet, Thing, Unit};

const CANARY: &str = "canary-of-explain";

async fn apply(cluster: &Arc<dyn Cluster>, value: Value) {
    let object = Object::new(value).unwrap();
    let call = Call::Apply { object, manager: "test".into(), force: true, dry_run: false, subresource: None };
    cluster.write(call).await.unwrap();
}

async fn led(cluster: &Arc<dyn Cluster>, holder: &str, renewed: Timestamp) {
    let renewed = renewed.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    apply(
        cluster,
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "lockstep-leader", "namespace": "lockstep-system"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 35, "renewTime": renewed}}),
    )
    .await;
}

/// A cluster in which a unit with a Secret has landed, and says something of it.
async fn stage() -> Arc<dyn Cluster> {
    let cluster: Arc<dyn Cluster> = Arc::new(Local::open(None, Simulation::default()).unwrap());
    for schema in schema::ALL {
        apply(&cluster, yaml::from_str(schema.text).unwrap()).await;
    }
    for name in ["flux-system", "lockstep-system"] {
        apply(&cluster, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
    }
    led(&cluster, "somebody", Timestamp::now()).await;
    apply(
        &cluster,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": "vars", "namespace": "flux-system"}}),
    )
    .await;
    let pods = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    apply(&cluster, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reader", "namespace": "flux-system"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pods}})).await;
    let condition = json!({"type": "Ready", "status": "False", "reason": "HealthCheckFailed",
        "message": format!("it failed with {CANARY}"), "lastTransitionTime": "2024-01-01T00:00:00Z"});
    apply(&cluster, json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "app", "namespace": "flux-system"},
        "spec": {"interval": "10m", "retryInterval": "2m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "repo"},
            "dependsOn": [{"name": "infra"}]}})).await;
    patch_status(&cluster, json!({"conditions": [condition], "lastAttemptedRevision": "main@sha1:2"})).await;
    land(&cluster).await;
    cluster
}

async fn land(cluster: &Arc<dyn Cluster>) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "flux-system"},
        "stringData": {"password": CANARY}});
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "t", "namespace": "flux-system"}});
    let mut read_set = ReadSet::default();
    read_set.note(Thing::object(&Reference::new("v1", "ConfigMap", "flux-system", "vars")), "another version");
    let repository = "https://me:word-of-an-address@git.example.org/base?token=word-of-an-address".into();
    let store = "SecretStore/flux-system/vault".to_owned();
    let item = r#"{"item":{"kind":"Secret","name":"db","version":""}}"#.into();
    read_set.note(Thing::Remote { store: store.clone(), request: item }, "0f3a@2026-01-02T03:04:05Z");
    let find = r#"{"find":{"name":"^app-","tags":{"team":"a"}}}"#.into();
    read_set.note(Thing::Remote { store, request: find }, "d".repeat(56));
    read_set.note(Thing::object(&Reference::new("v1", "Secret", "flux-system", "keys")), "digest-of-a-secret");
    read_set.note(Thing::Base(unit::base::Base::Tree { repository, reference: "main".into() }), "0123456789abcdef");
    let candidate = Candidate {
        revision: "main@sha1:1".into(),
        read_set: read_set.to_value(),
        objects: [secret, config].map(|value| Desired::new(Object::new(value).unwrap(), "kustomize-controller")).into(),
        ..Candidate::default()
    };
    let base = Base::default();
    let behaviour = Behaviour { scope: apply::LandingScope::Parcel, ..Behaviour::default() };
    let keys = Arc::new(Keys::load(cluster, "lockstep-system").await.unwrap());
    let seal = |bytes: &[u8]| keys.seal(bytes);
    let mut prepared = apply::propose(candidate, behaviour, &base, cluster, &seal).await.ok().unwrap();
    let reader = Reference::new("apps/v1", "Deployment", "flux-system", "reader");
    let reader = cluster.get(&reader).await.unwrap().unwrap();
    let guest = Guest::new(&reader, "Kustomization/flux-system/other".into(), ["s".to_owned()].into(), "stamp".into());
    assert_eq!(prepared.invite(vec![guest], cluster).await.len(), 0);
    let (mut journal, site) = (journal(cluster, keys).await, site(cluster));
    landing::land(prepared, &mut journal, &site).await.unwrap();
}

async fn journal(cluster: &Arc<dyn Cluster>, keys: Arc<Keys>) -> Journal {
    let store = Arc::new(ClusterStore::new(cluster.clone(), "lockstep-system", keys));
    Journal::load(store, "Kustomization/flux-system/app", 7).await.unwrap()
}

fn site(cluster: &Arc<dyn Cluster>) -> landing::Site {
    landing::Site::alone(cluster.clone(), Unit::kustomization("flux-system", "app"))
}

/// What a second revision would be: a Deployment that nobody makes healthy, and what has failed before.
async fn second(cluster: &Arc<dyn Cluster>, behaviour: Behaviour, failures: Vec<Failure>) -> (Prepared, Journal) {
    let pods = json!({"metadata": {"labels": {"n": "n"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let new = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "new", "namespace": "flux-system"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"n": "n"}}, "template": pods}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "metadata": {"name": "t", "namespace": "flux-system"}});
    let keys = Arc::new(Keys::load(cluster, "lockstep-system").await.unwrap());
    let journal = journal(cluster, keys.clone()).await;
    let base = Base { landed: journal.landed().map(|landed| (**landed).clone()), ..Base::default() };
    let objects = [new, config].map(|value| Desired::new(Object::new(value).unwrap(), "kustomize-controller")).into();
    let candidate = Candidate { revision: "main@sha1:2".into(), objects, failures, ..Candidate::default() };
    let seal = |bytes: &[u8]| keys.seal(bytes);
    (apply::propose(candidate, behaviour, &base, cluster, &seal).await.ok().unwrap(), journal)
}

async fn patch_status(cluster: &Arc<dyn Cluster>, patch: Value) {
    let at = reference("app", "flux-system").unwrap();
    let (kind, manager) = (apply::cluster::PatchKind::Merge, "test".to_owned());
    let subresource = Some(apply::cluster::Subresource::Status);
    let patch = json!({"status": patch});
    cluster.write(Call::Patch { at, kind, patch, manager, dry_run: false, subresource }).await.unwrap();
}

async fn told(cluster: &Arc<dyn Cluster>) -> String {
    explain(cluster, &reference("app", "flux-system").unwrap(), "lockstep-system", None).await.unwrap()
}

#[tokio::test]
async fn a_unit_is_explained_with_its_inputs_objects_and_what_to_do_and_without_a_secret() {
    let cluster = stage().await;
    let app = reference("app", "flux-system").unwrap();
    let text = explain(&cluster, &app, "lockstep-system", None).await.unwrap();
    for part in [
        "Kustomization/flux-system/app\n  ready: False HealthCheckFailed, for ",
        "  source: GitRepository flux-system/repo, ready: False, has nothing yet\n    it is not there\n",
        "  last attempted: main@sha1:2\n",
        "  depends on:\n    flux-system/infra, ready: False: it is not there\n",
        "  landed: main@sha1:1\n",
        "    main of https://git.example.org/base at 0123456789ab: not asked\n",
        "    ConfigMap flux-system/vars at another vers: changed\n",
        "    secret/db of SecretStore flux-system/vault at 0f3a: not asked\n",
        "    all items named like ^app- tagged team=a of SecretStore flux-system/vault: not asked\n",
        "    Secret flux-system/keys: changed\n",
        "  parcels:\n    ConfigMap/flux-system/t\n    Secret/flux-system/s\n",
        "    Secret/flux-system/s created (proof: server)\n",
        "  restarted with it:\n    Deployment/flux-system/reader of Kustomization/flux-system/other, which reads s\n",
        "  next: it is tried again within 2m, or as soon as an input changes\n",
        "  what to do:\n    look at the pods of what is not healthy, and at kubectl get events -A",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains(CANARY) && !text.contains("word-of-an-address"), "{text}");
    assert!(!text.contains("ddddd") && !text.contains("digest-of"), "a digest gives a weak secret away\n{text}");
    let json = explain(&cluster, &app, "lockstep-system", Some(Document::Json)).await.unwrap();
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["journal"]["objects"][0]["proof"], "server");
    assert_eq!(value["journal"]["parcels"][1]["members"][0], "Secret/flux-system/s");
    assert_eq!(value["journal"]["inputs"][1]["now"], "changed");
    assert_eq!(value["agent"], Value::Null);
    assert!(!json.contains(CANARY), "{json}");
    let yaml = explain(&cluster, &app, "lockstep-system", Some(Document::Yaml)).await.unwrap();
    assert!(yaml.contains("lastAttempted: main@sha1:2"), "{yaml}");
}

#[tokio::test]
async fn without_the_agents_keys_the_status_is_told_and_the_rest_is_said_to_be_missing() {
    let cluster = stage().await;
    let text = explain(&cluster, &reference("ks/app", "flux-system").unwrap(), "elsewhere", None).await.unwrap();
    let missing = "  journal: cannot be read, so that inputs and attempts are not told: no agent has its keys in the namespace elsewhere\n";
    assert!(text.contains(missing), "{text}");
    assert!(text.contains("ready: False HealthCheckFailed"), "{text}");
    let error = explain(&cluster, &reference("nothing", "flux-system").unwrap(), "elsewhere", None).await.unwrap_err();
    assert!(error.to_string().contains("Kustomization/flux-system/nothing not found"), "{error}");
    assert!(reference("deployment/app", "flux-system").is_err());
}

#[tokio::test]
async fn what_has_landed_but_for_a_parcel_is_no_revision_that_is_live() {
    let cluster = stage().await;
    patch_status(&cluster, json!({"lastAppliedRevision": "main@sha1:1"})).await;
    let scope = apply::LandingScope::Parcel;
    let (new, id) = ("image is missing", Reference::new("apps/v1", "Deployment", "flux-system", "new").id());
    let failure = Failure { id: Some(id), ..Failure::general(apply::report::Step::Prepare, new, false) };
    let (prepared, mut journal) = second(&cluster, Behaviour { scope, ..Behaviour::default() }, vec![failure]).await;
    landing::land(prepared, &mut journal, &site(&cluster)).await.unwrap();
    let text = told(&cluster).await;
    let part = "  landed: main@sha1:1\n    and main@sha1:2 but for Deployment/flux-system/new\n  failed: main@sha1:2 in prepare";
    assert!(text.contains(part), "{part} is not in\n{text}");
}

#[tokio::test]
async fn a_landing_that_waits_for_health_is_told_from_one_that_is_being_written() {
    let cluster = stage().await;
    let awaited = ["new", "other"].map(|name| Reference::new("apps/v1", "Deployment", "flux-system", name));
    let behaviour = Behaviour { health: apply::HealthScope::These(awaited.into()), ..Behaviour::default() };
    let (prepared, mut journal) = second(&cluster, behaviour, Vec::new()).await;
    let landing = journal.begin(prepared.landing().clone(), apply::Phase::Commit).await.unwrap();
    let text = told(&cluster).await;
    assert!(text.contains("  open: main@sha1:2: its objects are being written\n  "), "{text}");
    for change in landing.changes().filter(|change| change.is_written()) {
        let (object, manager) = (change.desired.object.clone(), change.desired.manager.clone());
        let call = Call::Apply { object, manager, force: true, dry_run: false, subresource: None };
        cluster.write(call).await.unwrap();
    }
    let text = told(&cluster).await;
    let part = "  open: main@sha1:2: written; it waits until all is healthy\n  waits for:\n    Deployment/flux-system/other: NotFound: Resource not found\n";
    assert!(text.contains(part), "{part} is not in\n{text}");
    assert!(text.contains("    look at the pods of what is not healthy"), "{text}");
    // It is taken back: its pods are gone.
    let id = Reference::new("apps/v1", "Deployment", "flux-system", "new").id();
    let failure = Failure { id: Some(id), ..Failure::general(apply::report::Step::Health, "it crashes", false) };
    journal.turn_back(&landing.parcels.numbers(), &[failure]).await.unwrap();
    assert!(told(&cluster).await.contains("  open: main@sha1:2: being taken back\n"));
    journal.abandon().await.unwrap();
    let text = told(&cluster).await;
    let part = "  what to do:\n    commit a fix, or mend the secret that it reads: what failed was taken back, and its pods are gone; \
                what they said: kubectl get events -n flux-system --field-selector type=Warning\n";
    assert!(text.contains(part) && !text.contains("look at the pods"), "{part} is not in\n{text}");
    assert!(text.contains("  landed: main@sha1:1\n  failed: main@sha1:2 in health"), "{text}");
}

#[tokio::test]
async fn that_no_agent_is_alive_is_said_first_and_only_where_it_is_known() {
    let cluster = stage().await;
    let first = async |holder: &str, ago: i64| {
        led(&cluster, holder, Timestamp::now() - SignedDuration::from_mins(ago)).await;
        told(&cluster).await.lines().nth(1).unwrap().to_owned()
    };
    let none = "  agent: none holds the lease lockstep-system/lockstep-leader (last renewed 12m ago): nothing below moves until one runs";
    assert_eq!(first("somebody", 12).await, none, "it has run out");
    assert_eq!(first("", 12).await, none, "it was given away");
    assert!(first("somebody", 0).await.starts_with("  ready: "), "it is held");
    assert!(first("somebody", 1).await.starts_with("  ready: "), "clocks differ");
    let absent = explain(&cluster, &reference("app", "flux-system").unwrap(), "elsewhere", None).await.unwrap();
    let absent = absent.lines().nth(1).unwrap().to_owned();
    assert_eq!(
        absent,
        "  agent: there is no lease elsewhere/lockstep-leader: unless an agent runs without leader election, none has ever run there"
    );
    // Without leader election, a lease of former times says nothing.
    apply(
        &cluster,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "namespace": "lockstep-system"},
        "spec": {"containers": [{"name": "c", "image": "i", "args": ["run", "--enable-leader-election=false"]}]}}),
    )
    .await;
    assert!(first("somebody", 12).await.starts_with("  ready: "));
}
