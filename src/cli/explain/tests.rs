use apply::memory::Simulation;
use apply::{Base, Behaviour, Call, Candidate, Desired, Guest, Journal};
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

/// A cluster in which a unit with a Secret has landed, and says something of it.
async fn stage() -> Arc<dyn Cluster> {
    let cluster: Arc<dyn Cluster> = Arc::new(Local::open(None, Simulation::default()).unwrap());
    for schema in schema::ALL {
        apply(&cluster, yaml::from_str(schema.text).unwrap()).await;
    }
    for name in ["flux-system", "lockstep-system"] {
        apply(&cluster, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
    }
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
    let at = reference("app", "flux-system").unwrap();
    let patch = json!({"status": {"conditions": [condition], "lastAttemptedRevision": "main@sha1:2"}});
    let (kind, manager) = (apply::cluster::PatchKind::Merge, "test".to_owned());
    let subresource = Some(apply::cluster::Subresource::Status);
    cluster.write(Call::Patch { at, kind, patch, manager, dry_run: false, subresource }).await.unwrap();
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
    let unit = Unit::kustomization("flux-system", "app");
    let store = Arc::new(ClusterStore::new(cluster.clone(), "lockstep-system", keys.clone()));
    let mut journal = Journal::load(store, &unit.to_string(), 7).await.unwrap();
    let site = landing::Site {
        cluster: cluster.clone(),
        unit,
        judge: None,
        guests: Default::default(),
        superseded: landing::never(),
        lost: landing::unseen(),
        others: Arc::new(apply::Alone),
    };
    landing::land(prepared, &mut journal, &site).await.unwrap();
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
        "  parcels:\n    ConfigMap/flux-system/t\n    Secret/flux-system/s\n",
        "    Secret/flux-system/s created (proof: server)\n",
        "  restarted with it:\n    Deployment/flux-system/reader of Kustomization/flux-system/other, which reads s\n",
        "  next: it is tried again within 2m, or as soon as an input changes\n",
        "  what to do:\n    look at the pods of what failed",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains(CANARY) && !text.contains("word-of-an-address"), "{text}");
    let json = explain(&cluster, &app, "lockstep-system", Some(Document::Json)).await.unwrap();
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["journal"]["objects"][0]["proof"], "server");
    assert_eq!(value["journal"]["parcels"][1]["members"][0], "Secret/flux-system/s");
    assert_eq!(value["journal"]["inputs"][1]["now"], "changed");
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
