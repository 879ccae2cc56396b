//! Workloads of others that read what a landing rotates: they land with it, or it goes back with them.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::fault::{self, Fault};
use apply::{Behaviour, Call, Candidate, Desired, Guest, Outcome, Reference, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

/// The unit: a Secret, and a ConfigMap that nobody reads.
fn candidate(version: &str) -> Candidate {
    let meta = |name: &str| json!({"name": name, "namespace": "n", "labels": {"owner": "unit"}});
    let values = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"owner": "unit"}}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("db"), "data": {"key": STANDARD.encode(version)}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("other"), "data": {"version": version}}),
    ];
    let objects = values.into_iter().map(|value| Desired::new(Object::new(value).unwrap(), "unit")).collect();
    Candidate { revision: version.into(), input: version.into(), objects, ..Candidate::default() }
}

fn behaviour() -> Behaviour {
    Behaviour { owner_labels: vec![("owner".into(), "unit".into())], ..Behaviour::default() }
}

fn at() -> Reference {
    Reference::new("apps/v1", "Deployment", "n", "web")
}

/// A workload that another has applied.
async fn host(stage: &Stage, is_bad: bool) {
    let mut labels = json!({"app": "web"});
    if is_bad {
        labels["testbed/fail"] = "true".into();
    }
    let containers = json!([{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "db"}}]}]);
    let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "n"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}}});
    let object = Object::new(value).unwrap();
    let call = Call::Apply { object, manager: "host".into(), force: true, dry_run: false, subresource: None };
    stage.shared().write(call).await.expect("is applied");
}

fn begin(is_bad: bool) -> Stage {
    let stage = Stage::new(11);
    block_on(stage.land_this(candidate("1"), behaviour())).expect("lands");
    block_on(host(&stage, is_bad));
    stage
}

/// Rotates the Secret, with the workload as a guest.
async fn rotate(stage: &Stage, version: &str) -> Result<Outcome, String> {
    stage.resume().await?;
    let mut prepared = stage.prepare(candidate(version), behaviour()).await?;
    let live = stage.shared().get(&at()).await.map_err(|e| e.to_string())?;
    let guests = live.filter(|_| !prepared.rotated().is_empty()).map(|live| {
        let secrets = ["db".to_owned()].into();
        Guest::new(&live, "Kustomization/n/web".into(), secrets, format!("stamp-{version}"))
    });
    let refused = prepared.invite(guests.into_iter().collect(), &stage.shared()).await;
    assert!(refused.iter().all(|(_, error)| error.is_transient()), "{refused:?}");
    stage.commit(prepared).await
}

/// The Secret's bytes and the workload's stamp.
fn standing(stage: &Stage) -> (String, Option<String>) {
    let get = |at: &Reference| block_on(stage.shared().get(at)).unwrap();
    let secret = get(&Reference::new("v1", "Secret", "n", "db")).expect("is there");
    let bytes = STANDARD.decode(secret.text("/data/key").unwrap()).unwrap();
    (String::from_utf8(bytes).unwrap(), get(&at()).and_then(|workload| apply::stamp::current(&workload)))
}

fn is(bytes: &str, stamp: Option<&str>) -> (String, Option<String>) {
    (bytes.to_owned(), stamp.map(str::to_owned))
}

#[test]
fn a_guest_is_stamped_with_the_secret_and_nothing_else_of_it_is_written() {
    let stage = begin(false);
    let before = block_on(stage.shared().get(&at())).unwrap().unwrap();
    let outcome = block_on(rotate(&stage, "2")).expect("lands");
    assert_eq!(outcome.verdict, Verdict::Landed);
    assert_eq!(standing(&stage), is("2", Some("stamp-2")));
    let mut after = block_on(stage.shared().get(&at())).unwrap().unwrap();
    let managers = after.value()["metadata"]["managedFields"].as_array().unwrap();
    let ours = managers.iter().find(|entry| entry["manager"] == apply::guest::MANAGER).expect("a manager of its own");
    let field = format!("f:{}", apply::stamp::ANNOTATION);
    let expected = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {field: {}}}}}});
    assert_eq!(ours["fieldsV1"], expected);
    after.value_mut()["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(after.value()["spec"], before.value()["spec"]);
    assert!(!outcome.landing.changes().any(|change| change.desired.object.name() == "web"), "it stays another's");
}

#[test]
fn a_guest_that_fails_takes_the_secret_back_with_it() {
    let stage = begin(true);
    let spec = |stage: &Stage| block_on(stage.shared().get(&at())).unwrap().unwrap().value()["spec"].clone();
    let before = spec(&stage);
    let outcome = block_on(rotate(&stage, "2")).expect("is taken back");
    assert_eq!(outcome.verdict, Verdict::Undone);
    assert_eq!(standing(&stage), is("1", None));
    assert_eq!(spec(&stage), before, "the very same template");
    let told = outcome.failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert_eq!(told, "Secret/n/db: Deployment/n/web of Kustomization/n/web reads it: crash loop");
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[test]
fn a_guest_goes_back_to_the_stamp_that_its_own_unit_gave_it() {
    let stage = begin(false);
    assert_eq!(block_on(rotate(&stage, "2")).expect("lands").verdict, Verdict::Landed);
    block_on(host(&stage, true));
    assert_eq!(block_on(rotate(&stage, "3")).expect("is taken back").verdict, Verdict::Undone);
    assert_eq!(standing(&stage), is("2", Some("stamp-2")));
}

#[test]
fn a_guest_that_its_unit_deletes_holds_nobody() {
    let stage = begin(false);
    let mut prepared = block_on(stage.prepare(candidate("2"), behaviour())).expect("is accepted");
    let live = block_on(stage.shared().get(&at())).unwrap().unwrap();
    let guest = Guest::new(&live, "web".into(), ["db".to_owned()].into(), "stamp-2".into());
    block_on(prepared.invite(vec![guest], &stage.shared()));
    let propagation = apply::cluster::Propagation::Background;
    let delete = Call::Delete { at: at(), uid: None, resource_version: None, propagation, dry_run: false };
    block_on(stage.shared().call(delete)).expect("is deleted");
    assert_eq!(block_on(stage.commit(prepared)).expect("lands").verdict, Verdict::Landed);
    assert_eq!(standing(&stage), is("2", None));
}

/// A crash at every call, before and after it is done: the Secret and the stamp go together.
fn check_crashes(is_bad: bool, end: &(String, Option<String>)) {
    let calm = begin(is_bad);
    calm.cluster.restart(fault::none());
    block_on(rotate(&calm, "2")).expect("ends");
    assert_eq!(standing(&calm), *end);
    let (calls, picture) = (calm.cluster.calls(), calm.picture());
    assert!(calls > 20, "{calls} calls prove little");
    for number in 1..=calls {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            let stage = begin(is_bad);
            stage.cluster.restart(fault::at_call(number, crash.clone()));
            block_on(stage.cluster.until_crash(rotate(&stage, "2")));
            stage.cluster.restart(fault::none());
            let place = format!("{crash:?} at call {number} of {calls}");
            block_on(stage.resume()).unwrap_or_else(|e| panic!("{place}: {e}"));
            let now = standing(&stage);
            assert!([is("1", None), is("2", Some("stamp-2"))].contains(&now), "{place}: {now:?}");
            block_on(rotate(&stage, "2")).unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_eq!(standing(&stage), *end, "{place}");
            let same = |picture: &Value| picture["Deployment web"]["spec"].clone();
            assert_eq!(same(&stage.picture()), same(&picture), "{place}");
            assert_eq!(stage.leftovers(), Vec::<String>::new(), "{place}");
        }
    }
}

#[test]
fn after_a_crash_anywhere_the_guest_has_the_new_stamp_and_the_new_secret_or_neither() {
    check_crashes(false, &is("2", Some("stamp-2")));
}

#[test]
fn after_a_crash_anywhere_a_guest_that_fails_ends_with_the_old_secret() {
    check_crashes(true, &is("1", None));
}
