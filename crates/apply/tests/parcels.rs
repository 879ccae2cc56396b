//! Parcels: what belongs with what, and that one which fails is held alone.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use std::collections::BTreeSet;

use apply::cluster::Propagation;
use apply::fault::{self, Fault};
use apply::report::Step;
use apply::{
    Behaviour, Call, Candidate, ClusterError, Declarer, Desired, Failure, HealthScope, LandingScope, Parcels,
    Reference, Verdict,
};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

fn desired(value: Value) -> Desired {
    Desired::new(Object::new(value).unwrap(), "unit")
}

fn object(version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "n"}});
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    value
}

/// A workload whose containers have this, and whose pods have this besides.
fn workload(name: &str, container: Value, pod: Value) -> Value {
    let mut spec = json!({"containers": [container]});
    spec.as_object_mut().unwrap().extend(pod.as_object().unwrap().clone());
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": spec});
    object("apps/v1", "Deployment", name, json!({"spec": {"template": template}}))
}

/// `kind/name` of what each parcel holds, with the names of those that it needs.
fn parts(objects: &[Value]) -> BTreeSet<String> {
    let all: Vec<Desired> = objects.iter().cloned().map(desired).collect();
    shown(&Parcels::of(all.iter(), std::iter::empty(), LandingScope::Parcel))
}

fn shown(parcels: &Parcels) -> BTreeSet<String> {
    let show = |parcel: &apply::Parcel| {
        let members: Vec<String> = parcel.members.iter().map(|id| format!("{}/{}", id.kind, id.name)).collect();
        let needs = parcels.names(&parcel.needs);
        let needs = if needs.is_empty() { String::new() } else { format!(" needs {}", needs.join(", ")) };
        format!("{}{needs}", members.join(" "))
    };
    parcels.list().iter().map(show).collect()
}

#[track_caller]
fn check(objects: &[Value], expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(parts(objects), expected);
}

#[test]
fn a_workload_belongs_with_every_secret_and_configmap_that_it_reads() {
    let container = json!({
        "env": [{"valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}}, {"valueFrom": {"configMapKeyRef": {"name": "two"}}}],
        "envFrom": [{"secretRef": {"name": "three"}}, {"configMapRef": {"name": "four"}}],
    });
    let pod = json!({
        "imagePullSecrets": [{"name": "five"}],
        "volumes": [{"secret": {"secretName": "six"}}, {"configMap": {"name": "seven"}},
            {"projected": {"sources": [{"secret": {"name": "eight"}}, {"configMap": {"name": "nine"}}]}}],
    });
    let secret = |name| object("v1", "Secret", name, json!({}));
    let config = |name| object("v1", "ConfigMap", name, json!({}));
    let read = [
        secret("one"),
        config("two"),
        secret("three"),
        config("four"),
        secret("five"),
        secret("six"),
        config("seven"),
        secret("eight"),
        config("nine"),
    ];
    let all: Vec<Value> = [workload("w", container, pod), secret("other")].into_iter().chain(read).collect();
    let parts = parts(&all);
    assert_eq!(parts.len(), 2, "{parts:?}");
    assert!(parts.contains("Secret/other"));
}

#[test]
fn secrets_that_nobody_of_the_unit_declares_join_nothing() {
    let reads = json!({"envFrom": [{"secretRef": {"name": "elsewhere"}}]});
    check(
        &[workload("a", reads.clone(), json!({})), workload("b", reads, json!({}))],
        &["Deployment/a", "Deployment/b"],
    );
}

#[test]
fn the_secret_of_an_external_secret_is_known_before_it_is_there() {
    let external = object(
        "external-secrets.io/v1",
        "ExternalSecret",
        "e",
        json!({
        "spec": {"secretStoreRef": {"name": "s", "kind": "ClusterSecretStore"}, "target": {"name": "db"}}}),
    );
    let mut store = object("external-secrets.io/v1", "ClusterSecretStore", "s", json!({}));
    store["metadata"].as_object_mut().unwrap().remove("namespace");
    let reads = json!({"envFrom": [{"secretRef": {"name": "db"}}]});
    check(
        &[workload("w", reads, json!({})), external, store],
        &["ClusterSecretStore/s", "Secret/db ExternalSecret/e Deployment/w needs ClusterSecretStore/s"],
    );
}

#[test]
fn services_budgets_scalers_and_routes_belong_with_what_they_lead_to() {
    let named = |kind: &str, spec: Value| {
        object(
            match kind {
                "PodDisruptionBudget" => "policy/v1",
                "HorizontalPodAutoscaler" => "autoscaling/v2",
                "Ingress" => "networking.k8s.io/v1",
                "ServiceMonitor" => "monitoring.coreos.com/v1",
                _ => "gateway.networking.k8s.io/v1",
            },
            kind,
            "x",
            json!({"spec": spec}),
        )
    };
    let mut service = object("v1", "Service", "web", json!({"spec": {"selector": {"app": "w"}}}));
    service["metadata"]["labels"] = json!({"for": "metrics"});
    let expressions = json!([{"key": "app", "operator": "In", "values": ["w", "v"]}]);
    let all = [
        workload("w", json!({}), json!({})),
        service,
        object("v1", "Service", "other", json!({"spec": {"selector": {"app": "z"}}})),
        named("PodDisruptionBudget", json!({"selector": {"matchExpressions": expressions}})),
        named(
            "HorizontalPodAutoscaler",
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}}),
        ),
        named("Ingress", json!({"rules": [{"http": {"paths": [{"backend": {"service": {"name": "web"}}}]}}]})),
        named("HTTPRoute", json!({"rules": [{"backendRefs": [{"name": "web"}]}]})),
        named("ServiceMonitor", json!({"selector": {"matchLabels": {"for": "metrics"}}})),
    ];
    let parts = parts(&all);
    assert_eq!(parts.len(), 2, "{parts:?}");
    assert!(parts.contains("Service/other"));
}

#[test]
fn a_gateway_belongs_with_the_certificates_of_its_own_listeners() {
    let listeners = json!([{"tls": {"certificateRefs": [{"name": "cert"}, {"name": "far", "namespace": "other"}]}}]);
    let gateway = object("gateway.networking.k8s.io/v1", "Gateway", "g", json!({"spec": {"listeners": listeners}}));
    let all = [gateway, object("v1", "Secret", "cert", json!({})), object("v1", "Secret", "far", json!({}))];
    check(&all, &["Secret/cert Gateway/g", "Secret/far"]);
}

#[test]
fn a_policy_for_every_pod_joins_nothing() {
    let policy = object("networking.k8s.io/v1", "NetworkPolicy", "deny", json!({"spec": {"podSelector": {}}}));
    let all = [workload("a", json!({}), json!({})), workload("b", json!({}), json!({})), policy];
    check(&all, &["Deployment/a", "Deployment/b", "NetworkPolicy/deny"]);
}

#[test]
fn everything_depends_on_its_namespace_kind_account_and_role() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"}, "spec": {"group": "example.org", "names": {"kind": "Thing"}}});
    let rbac = "rbac.authorization.k8s.io";
    let all = [
        namespace,
        definition,
        object("example.org/v1", "Thing", "t", json!({"spec": {"tlsSecretName": "cert"}})),
        object("v1", "Secret", "cert", json!({})),
        object("v1", "ServiceAccount", "sa", json!({})),
        workload("w", json!({}), json!({"serviceAccountName": "sa"})),
        object(&format!("{rbac}/v1"), "Role", "r", json!({})),
        object(
            &format!("{rbac}/v1"),
            "RoleBinding",
            "b",
            json!({"roleRef": {"apiGroup": rbac, "kind": "Role", "name": "r"}}),
        ),
    ];
    check(
        &all,
        &[
            "Namespace/n",
            "CustomResourceDefinition/things.example.org",
            "Secret/cert Thing/t needs CustomResourceDefinition//things.example.org, Namespace//n",
            "ServiceAccount/sa needs Namespace//n",
            "Deployment/w needs Namespace//n, ServiceAccount/n/sa",
            "Role/r needs Namespace//n",
            "RoleBinding/b needs Namespace//n, Role/n/r",
        ]
        .map(|text| text.replace("//", "/"))
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
}

#[test]
fn a_name_joins_what_nothing_else_does_and_a_release_all_that_its_chart_makes() {
    let joined = |name: &str| {
        let mut value = object("v1", "ConfigMap", name, json!({}));
        value["metadata"]["annotations"] = json!({"lockstep.dev/parcel": "mine"});
        desired(value)
    };
    let release = object(
        "helm.toolkit.fluxcd.io/v2",
        "HelmRelease",
        "r",
        json!({
        "spec": {"valuesFrom": [{"kind": "Secret", "name": "v"}]}}),
    );
    let release = desired(release);
    let of_chart = |name: &str| Desired {
        declarer: Declarer::Release(release.object.id()),
        ..desired(object("v1", "ConfigMap", name, json!({})))
    };
    let all = [
        joined("a"),
        joined("b"),
        of_chart("c"),
        of_chart("d"),
        desired(object("v1", "Secret", "v", json!({}))),
        release.clone(),
    ];
    let parcels = Parcels::of(all.iter(), std::iter::empty(), LandingScope::Parcel);
    assert_eq!(parcels.names(&parcels.numbers()), ["HelmRelease/n/r", "mine"]);
    let whole = Parcels::of(all.iter(), std::iter::empty(), LandingScope::Unit);
    assert_eq!((whole.count(), whole.number_of(&release.object.id())), (1, Some(0)));
}

#[test]
fn what_landed_last_counts_too() {
    let reads = |name: &str| workload("w", json!({"envFrom": [{"secretRef": {"name": name}}]}), json!({}));
    let secret = |name| desired(object("v1", "Secret", name, json!({})));
    let wanted = [desired(reads("new")), secret("new")];
    let landed = [desired(reads("old")), secret("old")];
    let parcels = Parcels::of(wanted.iter(), landed.iter(), LandingScope::Parcel);
    assert_eq!(shown(&parcels), BTreeSet::from(["Secret/new Secret/old Deployment/w".to_owned()]));
}

/// One of two programs of a unit.
#[derive(Clone, Copy, Default)]
struct App {
    number: u64,
    /// It never becomes healthy.
    is_bad: bool,
    /// The server refuses it.
    is_invalid: bool,
}

impl App {
    fn at(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// A workload, its Secret, and a ConfigMap that only this revision has.
    fn objects(self, name: &str) -> Vec<Value> {
        let number = self.number.to_string();
        let own = |name: &str| json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}});
        let config = format!("{name}-{number}");
        let mut labels = json!({"app": name});
        if self.is_bad {
            labels["testbed/fail"] = "true".into();
        }
        let container = json!({"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": name}}, {"configMapRef": {"name": config}}]});
        let containers = if self.is_invalid { json!("none") } else { json!([container]) };
        let volumes =
            json!([{"name": "v", "secret": {"secretName": name}}, {"name": "w", "configMap": {"name": config}}]);
        let template = json!({"metadata": {"labels": labels, "annotations": {"revision": number}}, "spec": {"containers": containers, "volumes": volumes}});
        let data = json!({"version": "eA=="});
        vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": own(name), "data": data}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": own(&config), "data": {"revision": number}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own(name),
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}}),
        ]
    }
}

fn candidate(a: App, b: App) -> Candidate {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}});
    let values = std::iter::once(namespace).chain(a.objects("a")).chain(b.objects("b"));
    let revision = format!("{}-{}", a.number, b.number);
    Candidate {
        revision: revision.clone(),
        input: revision,
        objects: values.map(desired).collect(),
        ..Candidate::default()
    }
}

fn behaviour() -> Behaviour {
    let owner_labels = vec![("owner".to_owned(), "unit".to_owned())];
    let (health, scope) = (HealthScope::All, LandingScope::Parcel);
    Behaviour { prune: true, health, scope, owner_labels, ..Behaviour::default() }
}

/// Which revision of each program is whole in the cluster: its ConfigMaps, and what its workload says.
fn standing(stage: &Stage) -> Vec<String> {
    let picture = stage.picture();
    let of = |name: &str| {
        let prefix = format!("ConfigMap {name}-");
        let configs =
            picture.as_object().unwrap().keys().filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned));
        let template = &picture[format!("Deployment {name}")]["spec"]["template"];
        let revision = template["metadata"]["annotations"]["revision"].as_str().unwrap_or("none").to_owned();
        format!("{name} {revision} with {}", configs.collect::<Vec<_>>().join("+"))
    };
    vec![of("a"), of("b")]
}

fn landed(a: App, b: App) -> Stage {
    let stage = Stage::new(5);
    block_on(stage.land_this(candidate(a, b), behaviour())).expect("lands");
    stage
}

#[test]
fn a_parcel_that_the_server_refuses_is_held_alone_and_lands_when_mended() {
    let stage = landed(App::at(1), App::at(1));
    let refused = App { is_invalid: true, ..App::at(2) };
    let outcome = block_on(stage.land_this(candidate(App::at(2), refused), behaviour())).expect("lands in part");
    assert_eq!(outcome.verdict, Verdict::Partly);
    assert_eq!(outcome.landing.parcels.names(&outcome.landing.held), ["Deployment/app/b"]);
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!(standing(&stage), ["a 2 with 2", "b 1 with 1"], "what the held one still reads is not pruned");
    let versions = stage.versions();
    let again = block_on(stage.land_this(candidate(App::at(2), refused), behaviour())).expect("lands in part");
    assert_eq!((again.verdict, again.changed().count()), (Verdict::Partly, 0));
    assert_eq!(stage.versions(), versions);
    let mended = block_on(stage.land_this(candidate(App::at(2), App::at(3)), behaviour())).expect("lands");
    assert_eq!(mended.verdict, Verdict::Landed);
    assert_eq!(standing(&stage), ["a 2 with 2", "b 3 with 3"]);
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[test]
fn a_parcel_that_does_not_become_healthy_is_taken_back_alone() {
    let stage = landed(App::at(1), App::at(1));
    let bad = App { is_bad: true, ..App::at(2) };
    let outcome = block_on(stage.land_this(candidate(App::at(2), bad), behaviour())).expect("lands in part");
    assert_eq!(outcome.verdict, Verdict::Partly);
    assert_eq!(standing(&stage), ["a 2 with 2", "b 1 with 1"]);
    let pruned: Vec<String> = outcome.pruned.iter().map(|id| id.name.clone()).collect();
    assert_eq!(pruned, ["a-1"]);
    let mended = block_on(stage.land_this(candidate(App::at(2), App::at(3)), behaviour())).expect("lands");
    assert_eq!(mended.verdict, Verdict::Landed);
    assert_eq!(standing(&stage), ["a 2 with 2", "b 3 with 3"]);
}

#[test]
fn what_a_parcel_that_is_taken_back_had_dropped_counts_as_landed() {
    let config = Reference::new("v1", "ConfigMap", "app", "b-1");
    let external = Reference::new("v1", "ConfigMap", "app", "a-external");
    // It goes with its ExternalSecret, or stays where nothing is pruned.
    for is_external in [true, false] {
        let behaviour = || Behaviour { prune: is_external, ..behaviour() };
        let stage = Stage::new(5);
        let mut first = candidate(App::at(1), App::at(1));
        if is_external {
            let made = first.objects.iter_mut().find(|desired| desired.reference() == config).expect("is wanted");
            (made.owner, made.declarer) = (Some(external.clone()), Declarer::ExternalSecret(external.id()));
            first.objects.push(desired(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": external.name, "namespace": "app", "labels": {"owner": "unit"}}})));
        }
        block_on(stage.land_this(first, behaviour())).expect("lands");
        let bad = App { is_bad: true, ..App::at(2) };
        let outcome = block_on(stage.land_this(candidate(App::at(2), bad), behaviour())).expect("lands in part");
        assert_eq!(outcome.verdict, Verdict::Partly);
        let delete = Call::Delete {
            at: config.clone(),
            uid: None,
            resource_version: None,
            propagation: Propagation::Background,
            dry_run: false,
        };
        block_on(stage.shared().call(delete)).expect("somebody deletes it");
        let landed = block_on(stage.journal_of(1)).expect("is read").landed().expect("has landed").clone();
        let objects = landed.changes().map(|change| change.desired.clone()).collect();
        let drift = Candidate { objects, is_landed: true, ..Candidate::default() };
        block_on(stage.land_this(drift, behaviour())).expect("puts it right");
        let back = block_on(stage.shared().get(&config)).expect("is read").expect("is there again");
        assert_eq!(back.value().pointer("/metadata/ownerReferences").is_some(), is_external);
    }
}

#[test]
fn a_parcel_that_failed_is_not_tried_again_as_it_was_when_others_have_news() {
    let stage = landed(App::at(1), App::at(1));
    let bad = App { is_bad: true, ..App::at(2) };
    let generation = || {
        let at = apply::Reference::new("apps/v1", "Deployment", "app", "b");
        block_on(stage.shared().get(&at)).unwrap().unwrap().generation()
    };
    let first = block_on(stage.land_this(candidate(App::at(2), bad), behaviour())).expect("lands in part");
    let rolled = generation();
    let second = block_on(stage.land_this(candidate(App::at(3), bad), behaviour())).expect("lands in part");
    assert_eq!((first.verdict, second.verdict), (Verdict::Partly, Verdict::Partly));
    assert_eq!(generation(), rolled, "it was not written again");
    assert_eq!(standing(&stage), ["a 3 with 3", "b 1 with 1"]);
    assert!(second.failures[0].to_string().contains("crash loop"), "{:?}", second.failures);
    let third = block_on(stage.land_this(candidate(App::at(3), App::at(3)), behaviour())).expect("lands");
    assert_eq!(third.verdict, Verdict::Landed);
}

#[test]
fn what_could_not_be_deleted_goes_with_a_later_landing_although_another_parcel_is_held() {
    let mut stage = landed(App::at(1), App::at(1));
    let refused = App { is_invalid: true, ..App::at(2) };
    stage.cluster.restart(Box::new(|attempt| match attempt.call {
        Call::Delete { at, .. } if at.name == "a-1" => {
            Some(Fault::Before(ClusterError::Forbidden { id: Some(at.id()), message: "no role allows it".into() }))
        }
        _ => None,
    }));
    let first = block_on(stage.land_this(candidate(App::at(2), refused), behaviour())).expect("lands in part");
    assert_eq!(first.verdict, Verdict::Partly);
    assert_eq!(standing(&stage), ["a 2 with 1+2", "b 1 with 1"]);
    assert!(is_tried_again(&stage), "as where nothing is held");
    // Which parcel it is of is known for as long as it is listed.
    stage.inventory = vec![Reference::new("v1", "ConfigMap", "app", "a-1")];
    block_on(stage.land_this(candidate(App::at(3), refused), behaviour())).expect("lands in part");
    assert_eq!(standing(&stage), ["a 3 with 1+3", "b 1 with 1"]);
    stage.cluster.restart(fault::none());
    let last = block_on(stage.land_this(candidate(App::at(4), refused), behaviour())).expect("lands in part");
    assert_eq!(last.verdict, Verdict::Partly);
    assert_eq!(standing(&stage), ["a 4 with 4", "b 1 with 1"]);
    assert!(!is_tried_again(&stage), "what is refused waits for an input");
}

/// Whether what has landed in part is landed again although no input changes.
fn is_tried_again(stage: &Stage) -> bool {
    let journal = block_on(stage.journal_of(1)).expect("is read");
    journal.attempt().is_some_and(|attempt| attempt.transient)
}

#[test]
fn a_first_landing_in_part_leaves_nothing_of_the_parcel_that_failed() {
    let stage = Stage::new(5);
    let bad = App { is_bad: true, ..App::at(1) };
    let outcome = block_on(stage.land_this(candidate(App::at(1), bad), behaviour())).expect("lands in part");
    assert_eq!(outcome.verdict, Verdict::Partly);
    assert_eq!(standing(&stage), ["a 1 with 1", "b none with "]);
}

#[test]
fn what_depends_on_a_held_parcel_is_held() {
    let stage = Stage::new(5);
    let mut wanted = candidate(App::at(1), App::at(1));
    let failure = Failure::about(Step::Expand, &wanted.objects[0].object, "no");
    wanted.failures.push(failure);
    let refused = block_on(stage.land_this(wanted, behaviour())).expect_err("nothing is left to land");
    assert!(refused.contains("Namespace/app"), "{refused}");
    assert_eq!(standing(&stage), ["a none with ", "b none with "]);
}

#[test]
fn what_could_not_be_compiled_holds_its_parcel_and_keeps_what_landed() {
    let stage = landed(App::at(1), App::at(1));
    let mut wanted = candidate(App::at(2), App::at(2));
    let secret = wanted.objects.iter().position(|d| d.object.is_secret() && d.object.name() == "b").unwrap();
    let secret = wanted.objects.remove(secret).object;
    wanted.failures.push(Failure::about(Step::Expand, &secret, "the store has none of it"));
    let outcome = block_on(stage.land_this(wanted, behaviour())).expect("lands in part");
    assert_eq!(outcome.verdict, Verdict::Partly);
    assert_eq!(standing(&stage), ["a 2 with 2", "b 1 with 1"]);
    assert!(stage.picture().get("Secret b").is_some(), "it is not declared, and not pruned");
}

#[test]
fn after_a_crash_anywhere_each_parcel_is_old_or_new_and_the_landing_ends_as_it_would_have() {
    let bad = App { is_bad: true, ..App::at(2) };
    let begin = || landed(App::at(1), App::at(1));
    let land = |stage: &Stage| block_on(stage.land_this(candidate(App::at(2), bad), behaviour())).map(|o| o.verdict);
    let calm = begin();
    calm.cluster.restart(fault::none());
    assert_eq!(land(&calm), Ok(Verdict::Partly));
    let calls = calm.cluster.calls();
    assert!(calls > 30, "{calls} calls prove little");
    for number in 1..=calls {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            let stage = begin();
            stage.cluster.restart(fault::at_call(number, crash.clone()));
            block_on(stage.cluster.until_crash(stage.land_this(candidate(App::at(2), bad), behaviour())));
            stage.cluster.restart(fault::none());
            let place = format!("{crash:?} at call {number} of {calls}");
            block_on(stage.resume()).unwrap_or_else(|e| panic!("{place}: {e}"));
            let now = standing(&stage);
            assert!(["a 1 with 1", "a 2 with 2"].contains(&now[0].as_str()), "{place}: {now:?}");
            assert_eq!(now[1], "b 1 with 1", "{place}");
            assert_eq!(land(&stage), Ok(Verdict::Partly), "{place}");
            assert_eq!(standing(&stage), ["a 2 with 2", "b 1 with 1"], "{place}");
            assert_eq!(stage.leftovers(), Vec::<String>::new(), "{place}");
        }
    }
}
