//! Objects that somebody wrote with kubectl before, or since: what Flux undoes before it applies them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here stops the test")]

#[path = "support/stage.rs"]
mod stage;

use std::sync::atomic::{AtomicU64, Ordering};

use apply::cleanup::{Cleanup, Manager};
use apply::cluster::{PatchKind, Subresource};
use apply::desired::{Declarer, Policy};
use apply::fault::{self, Fault};
use apply::{Action, Behaviour, Call, Candidate, Desired, FieldChange, Prepared, Reference, Verdict};
use futures::executor::block_on;
use manifest::{Object, ObjectId};
use serde_json::{Value, json};
use stage::{Stage, differences};

const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MARK: &str = "fluxcd.io/sync-gc-mark";

fn behaviour() -> Behaviour {
    let manager = |prefix: &str, applies: bool| Manager { prefix: prefix.into(), applies };
    let managers = vec![
        manager("kubectl", true),
        manager("kubectl", false),
        manager("before-first-apply", false),
        manager("unit", false),
    ];
    let except = vec![("ssa".to_owned(), "merge".to_owned())];
    let cleanup = Cleanup {
        managers,
        annotations: vec![COPY.into()],
        labels: vec![MARK.into()],
        except,
        asked: vec![(String::new(), "Secret".into())],
    };
    Behaviour { cleanup, ..Behaviour::default() }
}

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}, "data": data})
}

fn at() -> Reference {
    Reference::new("v1", "ConfigMap", "default", "c")
}

fn wants(desired: Desired) -> Candidate {
    Candidate { revision: "r".into(), input: "i".into(), objects: vec![desired], ..Candidate::default() }
}

fn declared(data: Value) -> Desired {
    Desired::new(object(config(data)), "unit")
}

/// An object as `kubectl apply` leaves it: `a` and `b` are kubectl's.
fn by_kubectl() -> Value {
    let mut value = config(json!({"a": "1", "b": "1"}));
    value["metadata"]["annotations"] = json!({COPY: "{}"});
    value
}

struct Bench {
    stage: Stage,
}

impl Bench {
    /// A cluster with one object, created by `manager`.
    fn with(manager: &str, value: Value) -> Self {
        let bench = Self { stage: Stage::new(5) };
        bench.send(Call::Create { object: object(value), manager: manager.into(), dry_run: false, subresource: None });
        bench
    }

    fn send(&self, call: Call) -> Object {
        block_on(self.stage.shared().write(call)).unwrap()
    }

    fn apply(&self, manager: &str, value: Value) {
        let (object, manager) = (object(value), manager.to_owned());
        self.send(Call::Apply { object, manager, force: true, dry_run: false, subresource: None });
    }

    fn patch(&self, manager: &str, patch: Value) {
        let (at, manager) = (at(), manager.to_owned());
        self.send(Call::Patch { at, kind: PatchKind::Merge, patch, manager, dry_run: false, subresource: None });
    }

    fn live(&self) -> Value {
        block_on(self.stage.shared().get(&at())).unwrap().expect("it is there").into_value()
    }

    fn prepare(&self, desired: Desired) -> Prepared {
        block_on(self.stage.prepare(wants(desired), behaviour())).unwrap()
    }

    fn action(&self, desired: Desired) -> Action {
        self.prepare(desired).landing().changes().next().unwrap().action
    }

    fn land(&self, desired: Desired) -> Verdict {
        block_on(self.stage.land_this(wants(desired), behaviour())).unwrap().verdict
    }

    /// Who owns fields of the object: names and operations.
    fn managers(&self) -> Vec<String> {
        let live = self.live();
        let entries = live["metadata"]["managedFields"].as_array().unwrap().iter();
        entries
            .map(|entry| format!("{} {}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap()))
            .collect()
    }
}

#[test]
fn what_kubectl_applied_and_git_does_not_declare_goes() {
    let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
    assert_eq!(bench.action(declared(json!({"a": "1"}))), Action::Configure);
    assert_eq!(bench.land(declared(json!({"a": "1"}))), Verdict::Landed);
    let live = bench.live();
    assert_eq!(live["data"], json!({"a": "1"}));
    assert_eq!(live["metadata"].get("annotations"), None, "{live}");
    assert_eq!(bench.managers(), ["unit Apply"]);
    assert_eq!(bench.action(declared(json!({"a": "1"}))), Action::Unchanged, "it is done once");
}

#[test]
fn all_managers_of_the_list_are_undone_and_no_others() {
    let bench = Bench::with("before-first-apply", config(json!({"a": "1"})));
    bench.apply("kubectl", config(json!({"b": "1"})));
    bench.patch("kubectl-edit", json!({"data": {"c": "1"}}));
    bench.patch("unit", json!({"data": {"d": "1"}}));
    bench.patch("controller", json!({"data": {"e": "1"}}));
    bench.apply("before-first-apply", config(json!({"f": "1"})));
    bench.land(declared(json!({"z": "1"})));
    assert_eq!(bench.live()["data"], json!({"e": "1", "f": "1", "z": "1"}));
    let mut managers = bench.managers();
    managers.sort();
    assert_eq!(managers, ["before-first-apply Apply", "controller Update", "unit Apply"]);
}

#[test]
fn an_edit_since_the_last_landing_is_undone_though_nothing_else_differs() {
    let bench = Bench::with(
        "maker",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "default", "labels": {MARK: "x"}}}),
    );
    bench.land(declared(json!({"a": "1"})));
    assert_eq!(bench.live()["metadata"].get("labels"), None, "a label of the list goes, whoever wrote it");
    bench.patch("kubectl-edit", json!({"data": {"extra": "1"}}));
    assert_eq!(bench.action(declared(json!({"a": "1"}))), Action::Configure);
    bench.land(declared(json!({"a": "1"})));
    assert_eq!(bench.live()["data"], json!({"a": "1"}));
    assert_eq!(bench.action(declared(json!({"a": "1"}))), Action::Unchanged);
}

#[test]
fn a_dry_run_writes_nothing_and_tells_what_goes() {
    let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
    let before = bench.live();
    let prepared = bench.prepare(declared(json!({"a": "1", "b": "1"})));
    assert_eq!(bench.live(), before);
    let told = &prepared.diff(&at()).expect("it changes").fields;
    let paths: Vec<&str> = told.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, [&*format!("metadata.annotations.{COPY}"), "metadata.managedFields.kubectl-client-side-apply"]);
    assert!(told.iter().all(|(_, change)| matches!(change, FieldChange::Removed(_))), "{told:?}");
}

#[test]
fn what_was_written_to_a_subresource_stays() {
    let pod = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "c", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "c"}}, "template": {"metadata": {"labels": {"app": "c"}},
        "spec": {"containers": [{"name": "c", "image": "c"}]}}}});
    let bench = Bench { stage: Stage::new(5) };
    bench.land(Desired::new(object(pod.clone()), "unit"));
    let at = Reference::new("apps/v1", "Deployment", "default", "c");
    let (kind, manager, subresource) = (PatchKind::Merge, "kubectl-edit".to_owned(), Some(Subresource::Status));
    let patch = json!({"status": {"observedGeneration": 1}});
    bench.send(Call::Patch { at, kind, patch, manager, dry_run: false, subresource });
    assert_eq!(bench.action(Desired::new(object(pod), "unit")), Action::Unchanged);
}

#[test]
fn what_asks_to_be_left_alone_or_merged_is_not_cleaned() {
    for policy in [Policy::Ignore, Policy::IfNotPresent, Policy::Untouched, Policy::Merge] {
        let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
        bench.land(Desired { policy, ..declared(json!({"a": "1"})) });
        assert_eq!(bench.live()["data"], json!({"a": "1", "b": "1"}), "{policy:?}");
        assert!(bench.managers().contains(&"kubectl-client-side-apply Update".to_owned()), "{policy:?}");
        assert_eq!(bench.live()["metadata"]["annotations"][COPY], "{}", "{policy:?}");
    }
    let mut value = by_kubectl();
    value["metadata"]["annotations"]["ssa"] = "Merge".into();
    let bench = Bench::with("kubectl-client-side-apply", value);
    bench.land(declared(json!({"a": "1"})));
    assert_eq!(bench.live()["data"], json!({"a": "1", "b": "1"}), "the live object itself says so");
}

#[test]
fn a_live_object_that_people_took_out_of_our_hands_stays_as_it_is_until_they_give_it_back() {
    let bench = Bench::with("somebody", config(json!({"a": "by hand"})));
    for (key, value) in [("reconcile", "Disabled"), ("ssa", "ignore")] {
        let switch = format!("kustomize.toolkit.fluxcd.io/{key}");
        bench.patch("somebody", json!({"metadata": {"annotations": {switch.as_str(): value}}}));
        assert_eq!(bench.action(declared(json!({"a": "1"}))), Action::Skip, "{switch}");
        assert_eq!(bench.land(declared(json!({"a": "1"}))), Verdict::Landed);
        assert_eq!(bench.live()["data"], json!({"a": "by hand"}), "{switch}");
        bench.patch("somebody", json!({"metadata": {"annotations": {switch: null}}}));
    }
    bench.land(declared(json!({"a": "1"})));
    assert_eq!(bench.live()["data"], json!({"a": "1"}));
}

#[test]
fn what_a_release_or_an_external_secret_makes_is_not_cleaned() {
    let id = |kind: &str| ObjectId { namespace: "n".into(), name: "x".into(), group: "g".into(), kind: kind.into() };
    for declarer in [Declarer::Release(id("HelmRelease")), Declarer::ExternalSecret(id("ExternalSecret"))] {
        let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
        bench.land(Desired { declarer, ..declared(json!({"a": "1"})) });
        assert_eq!(bench.live()["data"], json!({"a": "1", "b": "1"}));
    }
}

#[test]
fn an_annotation_that_git_declares_is_not_removed_again_and_again() {
    let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
    let desired = || Desired::new(object(by_kubectl()), "unit");
    bench.land(desired());
    assert_eq!(bench.live()["metadata"]["annotations"][COPY], "{}");
    assert_eq!(bench.action(desired()), Action::Unchanged);
}

#[test]
fn a_failed_landing_restores_the_content_and_not_kubectl() {
    let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
    let failing = || {
        let pod = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "c"}}, "template": {
            "metadata": {"labels": {"app": "c", "testbed/fail": "true"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}}});
        let mut candidate = wants(declared(json!({"a": "2"})));
        candidate.objects.push(Desired::new(object(pod), "unit"));
        candidate
    };
    let behaviour = Behaviour { health: apply::HealthScope::All, ..behaviour() };
    let outcome = block_on(bench.stage.land_this(failing(), behaviour)).unwrap();
    assert!(!matches!(outcome.verdict, Verdict::Landed), "{:?}", outcome.verdict);
    let live = bench.live();
    assert_eq!(live["data"], json!({"a": "1", "b": "1"}), "as it was found");
    assert_eq!(live["metadata"].get("annotations"), None);
    assert!(bench.managers().iter().all(|manager| manager.starts_with("unit")), "{:?}", bench.managers());
    bench.land(declared(json!({"a": "3"})));
    assert_eq!(bench.live()["data"], json!({"a": "3"}), "what nobody declares does not stay for good");
    assert_eq!(bench.managers(), ["unit Apply"]);
}

#[test]
fn a_crash_at_any_call_ends_cleaned_or_as_found() {
    let begin = || Bench::with("kubectl-client-side-apply", by_kubectl());
    let calm = begin();
    let old = calm.stage.picture();
    calm.stage.cluster.restart(fault::none());
    calm.land(declared(json!({"a": "2"})));
    let (new, calls) = (calm.stage.picture(), calm.stage.cluster.calls());
    for number in 1..=calls {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            let bench = begin();
            bench.stage.cluster.restart(fault::at_call(number, crash.clone()));
            let land = bench.stage.land_this(wants(declared(json!({"a": "2"}))), behaviour());
            block_on(bench.stage.cluster.until_crash(land));
            bench.stage.cluster.restart(fault::none());
            let place = format!("{crash:?} at call {number} of {calls}");
            block_on(bench.stage.resume()).expect("resumes");
            let now = bench.stage.picture();
            assert!(now == old || now == new, "{place}: a third state\n{}", differences(&now, &new));
            bench.land(declared(json!({"a": "2"})));
            assert_eq!(bench.stage.picture(), new, "{place}");
            assert_eq!(bench.managers(), ["unit Apply"], "{place}");
        }
    }
}

#[test]
fn a_write_between_the_look_and_the_clean_up_is_not_lost() {
    let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
    let prepared = bench.prepare(declared(json!({"a": "1"})));
    bench.patch("controller", json!({"data": {"late": "1"}}));
    block_on(bench.stage.commit(prepared)).unwrap();
    assert_eq!(bench.live()["data"], json!({"a": "1", "late": "1"}));
}

#[test]
fn a_clean_up_that_meets_another_writer_looks_again() {
    let bench = Bench::with("kubectl-client-side-apply", by_kubectl());
    let prepared = bench.prepare(declared(json!({"a": "1"})));
    let patches = AtomicU64::new(0);
    bench.stage.cluster.restart(Box::new(move |attempt| {
        let is_patch = matches!(attempt.call, Call::Patch { .. });
        (is_patch && patches.fetch_add(1, Ordering::Relaxed) < 2).then_some(Fault::Conflict)
    }));
    assert_eq!(block_on(bench.stage.commit(prepared)).unwrap().verdict, Verdict::Landed);
    assert_eq!(bench.managers(), ["unit Apply"]);
}

#[test]
fn a_question_by_annotation_stays_on_the_kinds_that_are_asked_so() {
    let question = json!({"metadata": {"annotations": {"force-sync": "now"}}});
    for (kind, stays) in [("Secret", true), ("ConfigMap", false)] {
        let value = || {
            object(
                json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "c", "namespace": "default"}, "data": {}}),
            )
        };
        let bench = Bench { stage: Stage::new(5) };
        bench.land(Desired::new(value(), "unit"));
        let (at, manager) = (Reference::of(&value()), "kubectl-annotate".to_owned());
        let patch = question.clone();
        bench.send(Call::Patch { at, kind: PatchKind::Merge, patch, manager, dry_run: false, subresource: None });
        let action = bench.action(Desired::new(value(), "unit"));
        assert_eq!(action == Action::Unchanged, stays, "{kind}: {action:?}");
    }
}
