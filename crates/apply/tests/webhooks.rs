//! Webhooks that a workload of the same landing serves: what they judge lands when that workload is ready, and goes back
//! when it is ready again.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/server.rs"]
mod server;
#[path = "support/stage.rs"]
mod stage;

use apply::fault::{self, Fault, Plan};
use apply::plan::Step;
use apply::{Behaviour, Call, Candidate, Cluster, ClusterError, LandingScope, Proof, Selection, Verdict};
use futures::FutureExt as _;
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use server::{candidate, server};
use stage::{Stage, differences};

/// An operator of a version, and an Ingress in the form that a version of it takes.
#[derive(Clone, Copy)]
struct Revision {
    operator: u64,
    form: u64,
    is_bad: bool,
}

impl Revision {
    fn new(operator: u64, form: u64) -> Self {
        Self { operator, form, is_bad: false }
    }

    fn values(self) -> Vec<Value> {
        let form = json!({"form": self.form.to_string()});
        let ingress = json!({"name": "shop", "namespace": "app", "labels": {"owner": "unit"}, "annotations": form});
        let mut values = server("operator", self.operator, self.is_bad);
        values.extend([
            configuration("Fail"),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": ingress,
                "spec": {"defaultBackend": {"service": {"name": "shop", "port": {"number": 80}}}}}),
        ]);
        values
    }

    fn candidate(self) -> Candidate {
        let number = format!("{}.{}.{}", self.operator, self.form, self.is_bad);
        candidate(&number, self.values())
    }
}

fn configuration(policy: &str) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "operator", "labels": {"owner": "unit"}},
        "webhooks": [{"name": "judge.example.com", "failurePolicy": policy, "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "operator", "namespace": "app", "path": "/judge"}},
            "rules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["ingresses"],
                "operations": ["CREATE", "UPDATE"]}]}]})
}

fn behaviour() -> Behaviour {
    Behaviour { prune: true, owner_labels: vec![("owner".into(), "unit".into())], ..Behaviour::default() }
}

/// The API server's side: an Ingress is judged once there is the configuration. The operator answers when its newest pods
/// were found healthy, and takes the form of its own version alone.
fn judged(stage: &Stage, crash: Plan) -> Plan {
    let (memory, healthy) = (stage.memory(), stage.healthy.clone());
    let one = move |version: &str, kind: &str| {
        let memory: &dyn Cluster = &memory;
        memory.list(&Selection::all(version, kind)).now_or_never()?.ok()?.into_iter().next()
    };
    Box::new(move |attempt| {
        let crash = crash(attempt);
        let object = match attempt.call {
            _ if crash.is_some() => return crash,
            Call::Apply { object, .. } | Call::Update { object, .. } | Call::Create { object, .. } => object,
            _ => return None,
        };
        if object.kind() != "Ingress" {
            return None;
        }
        one("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")?;
        let id = object.id();
        let operator = one("apps/v1", "Deployment");
        let serves = |live: &Object| healthy.lock().unwrap().get("operator") == Some(&live.generation());
        let Some(operator) = operator.filter(serves) else {
            let message = "failed calling webhook \"judge.example.com\": connection refused".to_owned();
            return Some(Fault::Before(ClusterError::Unavailable { id: Some(id), message, retry_after: None }));
        };
        let takes = operator.text("/spec/template/metadata/annotations/version").map(str::to_owned);
        let message = "admission webhook \"judge.example.com\" denied the request: form".to_owned();
        let refused = ClusterError::Refused { id: Some(id), message, fields: Vec::new() };
        (object.annotation("form") != takes.as_deref()).then_some(Fault::Before(refused))
    })
}

fn begin(landed: Option<Revision>) -> Stage {
    let stage = Stage::new(7);
    stage.cluster.restart(judged(&stage, fault::none()));
    if let Some(revision) = landed {
        assert_eq!(land(&stage, revision), Ok(Verdict::Landed));
    }
    stage
}

fn land(stage: &Stage, revision: Revision) -> Result<Verdict, String> {
    let outcome = block_on(stage.land_this(revision.candidate(), behaviour()))?;
    Ok(outcome.verdict)
}

/// Everything, with the Ingress and the configuration.
fn picture(stage: &Stage) -> Value {
    let mut picture = stage.picture();
    for (version, kind) in
        [("networking.k8s.io/v1", "Ingress"), ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")]
    {
        for object in stage.list(version, kind) {
            picture[object.id().to_string()] = apply::diff::content(&object);
        }
    }
    picture
}

#[test]
fn what_a_new_webhook_judges_lands_behind_its_workload_and_its_configuration() {
    let stage = begin(None);
    let prepared = block_on(stage.prepare(Revision::new(1, 1).candidate(), behaviour())).expect("is accepted");
    let steps = prepared.landing().steps.iter().map(|step| match step {
        Step::Apply(change) => change.desired.object.kind().to_owned(),
        Step::Await(targets, ..) => format!("await {}", targets[0].name),
        Step::Put(_) | Step::Hook(_) => "other".to_owned(),
    });
    let expected =
        ["Namespace", "Service", "Deployment", "await operator", "ValidatingWebhookConfiguration", "Ingress"];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
    let outcome = block_on(stage.commit(prepared)).expect("lands");
    assert_eq!((outcome.verdict, outcome.failures.len()), (Verdict::Landed, 0));
}

#[test]
fn an_operator_lands_together_with_what_only_its_new_version_takes() {
    let stage = begin(Some(Revision::new(1, 1)));
    let prepared = block_on(stage.prepare(Revision::new(2, 2).candidate(), behaviour())).expect("nobody can tell yet");
    let proof = |kind: &str| {
        let change = prepared.landing().changes().find(|change| change.desired.object.kind() == kind);
        change.unwrap().proof
    };
    assert_eq!((proof("Ingress"), proof("Deployment")), (Proof::None, Proof::Server));
    assert_eq!(block_on(stage.commit(prepared)).expect("lands").verdict, Verdict::Landed);
    assert_eq!(stage.list("networking.k8s.io/v1", "Ingress")[0].annotation("form"), Some("2"));
}

#[test]
fn what_an_operator_refuses_that_stays_as_it_is_is_refused_before_anything_is_written() {
    let stage = begin(Some(Revision::new(1, 1)));
    let refused = land(&stage, Revision::new(1, 2)).expect_err("is refused");
    assert!(refused.contains("Ingress/app/shop"), "{refused}");
}

#[test]
fn an_operator_that_has_died_is_mended_by_the_commit_that_changes_what_it_judges() {
    let stage = begin(Some(Revision::new(1, 1)));
    stage.healthy.lock().unwrap().clear();
    assert_eq!(land(&stage, Revision::new(2, 2)), Ok(Verdict::Landed));
}

/// What fails ends as it was, and what the webhook judges goes back through its old workload.
fn is_taken_back(revision: Revision) {
    let stage = begin(Some(Revision::new(1, 1)));
    let old = picture(&stage);
    assert_eq!(land(&stage, revision), Ok(Verdict::Undone));
    assert_eq!(differences(&picture(&stage), &old), "");
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[test]
fn an_operator_that_does_not_become_ready_takes_back_all() {
    is_taken_back(Revision { is_bad: true, ..Revision::new(2, 2) });
}

#[test]
fn what_the_new_operator_refuses_takes_it_back() {
    is_taken_back(Revision::new(2, 3));
}

#[test]
fn after_a_crash_anywhere_operator_and_what_it_judges_are_old_or_new() {
    for revision in [Revision::new(2, 2), Revision::new(2, 3)] {
        let calm = begin(Some(Revision::new(1, 1)));
        let old = picture(&calm);
        calm.cluster.restart(judged(&calm, fault::none()));
        let verdict = land(&calm, revision).expect("lands or is undone");
        let (calls, new) = (calm.cluster.calls(), picture(&calm));
        for number in 1..=calls {
            for crash in [Fault::CrashBefore, Fault::CrashAfter] {
                let stage = begin(Some(Revision::new(1, 1)));
                stage.cluster.restart(judged(&stage, fault::at_call(number, crash.clone())));
                block_on(stage.cluster.until_crash(stage.land_this(revision.candidate(), behaviour())));
                stage.cluster.restart(judged(&stage, fault::none()));
                let place = format!("{crash:?} at call {number} of {calls}");
                block_on(stage.resume()).expect("resumes");
                let now = picture(&stage);
                assert!(now == old || now == new, "{place}: a third state\n{}", differences(&now, &old));
                assert_eq!(land(&stage, revision), Ok(verdict), "{place}");
                assert_eq!(differences(&picture(&stage), &new), "", "{place}");
            }
        }
    }
}

/// Kinds of what waits behind a barrier.
fn gated(values: Vec<Value>, scope: LandingScope) -> Vec<String> {
    let stage = Stage::new(7);
    let behaviour = Behaviour { scope, ..behaviour() };
    let prepared = block_on(stage.prepare(candidate("1", values), behaviour)).expect("is accepted");
    let steps = &prepared.landing().steps;
    let is_barrier = |step: &Step| matches!(step, Step::Await(targets, ..) if targets[0].gvk.kind == "Deployment");
    let Some(barrier) = steps.iter().position(is_barrier) else { return Vec::new() };
    let behind = steps[barrier..].iter().filter_map(Step::change);
    behind.map(|change| change.desired.object.kind().to_owned()).collect()
}

#[test]
fn a_webhook_that_need_not_answer_holds_nobody_up() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut values = Revision::new(1, 1).values();
        change(&mut values[3]["webhooks"][0]);
        gated(values, LandingScope::Unit)
    };
    let behind = ["ValidatingWebhookConfiguration", "Ingress"];
    assert_eq!(with(&|_| {}), behind);
    assert_eq!(with(&|webhook| webhook["failurePolicy"] = "Ignore".into()), Vec::<String>::new());
    assert_eq!(with(&|webhook| webhook["rules"][0]["operations"] = json!(["DELETE"])), Vec::<String>::new());
    assert_eq!(with(&|webhook| webhook["rules"][0]["resources"] = json!(["pods"])), Vec::<String>::new());
    assert_eq!(
        with(&|webhook| webhook["rules"][0] = json!({"apiGroups": ["*"], "resources": ["*"], "operations": ["*"]})),
        behind
    );
    let selector = json!({"matchLabels": {"owner": "nobody"}});
    assert_eq!(with(&|webhook| webhook["objectSelector"] = selector.clone()), Vec::<String>::new());
    let other =
        json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["app"]}]});
    assert_eq!(with(&|webhook| webhook["namespaceSelector"] = other.clone()), Vec::<String>::new());
    assert_eq!(with(&|webhook| webhook["namespaceSelector"] = json!({"matchLabels": {"owner": "unit"}})), behind);
}

#[test]
fn what_a_webhook_judges_is_held_with_it() {
    let stage = begin(None);
    let by_parcel = || Behaviour { scope: LandingScope::Parcel, ..behaviour() };
    let first = Revision::new(1, 1).candidate();
    assert_eq!(block_on(stage.land_this(first, by_parcel())).expect("lands").verdict, Verdict::Landed);
    let old = picture(&stage);
    let bad = Revision { is_bad: true, ..Revision::new(2, 2) };
    let mut values = bad.values();
    values.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {},
        "metadata": {"name": "alone", "namespace": "app", "labels": {"owner": "unit"}}}));
    let outcome = block_on(stage.land_this(candidate("2", values), by_parcel())).expect("lands in part");
    assert_eq!(outcome.verdict, Verdict::Partly);
    let mut now = picture(&stage);
    assert!(now.as_object_mut().unwrap().remove("ConfigMap alone").is_some(), "nothing holds it");
    assert_eq!(differences(&now, &old), "");
}

/// A definition, and an object of it that says nothing.
fn widget(conversion: Value, mut schema: Value) -> [Value; 2] {
    schema["type"] = "object".into();
    let schema = json!({"openAPIV3Schema": schema});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com", "labels": {"owner": "unit"}},
        "spec": {"group": "example.com", "scope": "Namespaced", "conversion": conversion,
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
    let object =
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "app"}});
    [definition, object]
}

/// The API server has webhooks change an object before it holds it to the schema.
#[test]
fn what_a_webhook_of_the_landing_fills_in_is_not_missed_before() {
    let needs_more = json!({"required": ["spec"], "properties": {"spec": {"type": "object"}}});
    let proof = |is_judged: bool| {
        let mut values = Revision::new(1, 1).values();
        values.truncate(4);
        if is_judged {
            values[3]["kind"] = "MutatingWebhookConfiguration".into();
            values[3]["webhooks"][0]["rules"][0]["apiGroups"] = json!(["example.com"]);
            values[3]["webhooks"][0]["rules"][0]["resources"] = json!(["widgets"]);
        }
        values.extend(widget(json!({"strategy": "None"}), needs_more.clone()));
        let prepared = block_on(Stage::new(7).prepare(candidate("1", values), behaviour()))?;
        let found =
            prepared.landing().changes().find(|change| change.desired.object.kind() == "Widget").map(|c| c.proof);
        found.ok_or_else(|| "there is no widget".to_owned())
    };
    assert_eq!(proof(true), Ok(Proof::None));
    assert!(proof(false).is_err_and(|why| why.contains("spec: Required value")));
}

#[test]
fn custom_resources_wait_for_the_workload_that_converts_them() {
    let mut values = Revision::new(1, 1).values();
    values.truncate(3);
    let service = json!({"name": "operator", "namespace": "app", "path": "/convert"});
    let conversion = json!({"strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": service}}});
    values.extend(widget(conversion, json!({"x-kubernetes-preserve-unknown-fields": true})));
    assert_eq!(gated(values.clone(), LandingScope::Unit), ["Widget"]);
    assert_eq!(gated(values, LandingScope::Parcel), ["Widget"]);
}
