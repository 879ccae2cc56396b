//! What watches tell of random writes: the first list, every change in order, and what leaves a selection by its labels.

use apply::cluster::{PatchKind, Propagation};
use apply::{Answer, Call, Cluster, Reference, Selection, WatchEvent};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use manifest::Object;
use serde_json::{Value, json};

use super::compare::differences;
use super::random::Dice;
use super::{Step, run};

/// Objects that are written to; what else is in a namespace is not looked at.
const NAMES: [&str; 4] = ["w-0", "w-1", "w-2", "w-3"];
/// The object of which the last change ends every stream: every selection has it then.
const LAST: &str = NAMES[0];
const MANAGER: &str = "test";

/// What is followed: all, one object, what has a label, what has one of two values, what lacks a label.
fn selections(namespace: &str, kind: &str) -> Vec<Selection> {
    let all = Selection::all("v1", kind).within(namespace);
    let labelled = ["team=a", "team in (a,b),!hidden", "team", "!hidden"].map(|labels| all.clone().labelled(labels));
    let one = Selection::one(&Reference::new("v1", kind, namespace, LAST));
    [all, one].into_iter().chain(labelled).collect()
}

/// A story of a few objects: before watches begin, and after.
pub(crate) struct Story {
    kind: &'static str,
    before: Vec<Step>,
    after: Vec<Step>,
}

pub(crate) fn story(namespace: &str, seed: u64) -> Story {
    let mut dice = Dice(seed);
    let kind = ["ConfigMap", "Secret", "PodTemplate"][dice.roll(3) as usize];
    let before = (0..6).map(|_| step(&mut dice, kind, namespace)).collect();
    let mut after: Vec<Step> = (0..24).map(|_| step(&mut dice, kind, namespace)).collect();
    let last = json!({ "labels": { "team": "a", "hidden": null }, "annotations": { "last": "yes" } });
    let made = object(kind, namespace, LAST, &json!({ "team": "b" }), "0");
    let made = Call::Create { object: made, manager: MANAGER.into(), dry_run: false, subresource: None };
    after.push(Step::Send("made unless it is there", made));
    after.push(Step::Send("the last", merge(kind, namespace, LAST, &json!({ "metadata": last }))));
    Story { kind, before, after }
}

fn step(dice: &mut Dice, kind: &str, namespace: &str) -> Step {
    let name = dice.pick(&NAMES);
    let mut labels = json!({});
    for (label, values) in [("team", ["a", "b"]), ("hidden", ["1", "1"])] {
        if dice.chance(50) {
            labels[label] = json!(dice.pick(&values));
        }
    }
    let content = dice.pick(&["1", "2"]);
    let mut wanted = object(kind, namespace, name, &labels, content);
    let manager = MANAGER.to_owned();
    match dice.roll(100) {
        0..50 => {
            // The last one has nothing that keeps it, so that it can be made in the end.
            if name != LAST && dice.chance(25) {
                wanted.metadata().insert("finalizers".into(), json!(["example.com/kept"]));
            }
            let call =
                Call::Apply { object: wanted, manager, force: true, dry_run: dice.chance(10), subresource: None };
            Step::Send("apply", call)
        }
        50..62 => Step::Send("update", Call::Update { object: wanted, manager, dry_run: false, subresource: None }),
        62..75 => Step::Send(
            "labels",
            merge(kind, namespace, name, &json!({ "metadata": { "labels": { "team": null, "hidden": "1" } } })),
        ),
        75..85 => Step::Send("let go", merge(kind, namespace, name, &json!({ "metadata": { "finalizers": null } }))),
        _ => {
            let at = Reference::new("v1", kind, namespace, name);
            let propagation = Propagation::Background;
            Step::Send("delete", Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false })
        }
    }
}

fn object(kind: &str, namespace: &str, name: &str, labels: &Value, content: &str) -> Object {
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
    let mut value = json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata });
    match kind {
        "Secret" => value["data"] = json!({ "a": format!("{content}A==") }),
        "PodTemplate" => value["template"] = json!({ "spec": { "containers": [{ "name": "c", "image": content }] } }),
        _ => value["data"] = json!({ "a": content }),
    }
    Object::new(value).expect("made here")
}

fn merge(kind: &str, namespace: &str, name: &str, patch: &Value) -> Call {
    let at = Reference::new("v1", kind, namespace, name);
    let (patch, manager) = (patch.clone(), MANAGER.into());
    Call::Patch { at, kind: PatchKind::Merge, patch, manager, dry_run: false, subresource: None }
}

/// What one watch has told: what was done, and the object.
type Told = Vec<(String, Object)>;

/// Plays a story, and what each watch tells of it.
pub(crate) async fn told(cluster: &dyn Cluster, namespace: &str, story: &Story) -> Vec<Told> {
    run(cluster, &story.before).await;
    let mut watches = Vec::new();
    for selection in selections(namespace, story.kind) {
        let mut events = cluster.watch(selection);
        let mut list = listed(&mut events).await;
        list.sort_by_key(|(_, object)| object.name().to_owned());
        watches.push((events, list));
    }
    run(cluster, &story.after).await;
    let mut all = Vec::new();
    for (mut events, mut told) in watches {
        loop {
            let (what, object) = match events.next().await.expect("a watch does not end").expect("it does not fail") {
                WatchEvent::Applied(object) => ("applied", object),
                WatchEvent::Deleted(object) => ("deleted", object),
                WatchEvent::Reset(_) => panic!("it starts anew, though its connection was not broken"),
            };
            let is_last = object.annotation("last").is_some();
            if is_known(&object) {
                told.push((what.to_owned(), object));
            }
            if is_last {
                break;
            }
        }
        all.push(told);
    }
    all
}

async fn listed(events: &mut BoxStream<'static, Result<WatchEvent, apply::ClusterError>>) -> Told {
    match events.next().await {
        Some(Ok(WatchEvent::Reset(list))) => {
            list.into_iter().filter(is_known).map(|object| ("listed".to_owned(), object)).collect()
        }
        other => panic!("a watch begins with a list, not with {other:?}"),
    }
}

fn is_known(object: &Object) -> bool {
    NAMES.contains(&object.name())
}

/// What is read of a real server's watches is kept without its managers.
fn unowned(mut object: Object) -> Object {
    object.metadata().remove("managedFields");
    object
}

/// The first difference of each watch.
pub(crate) fn compare(memory: Vec<Told>, real: Vec<Told>) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, (memory, real)) in memory.into_iter().zip(real).enumerate() {
        let story = |told: &Told| -> Vec<String> {
            told.iter().map(|(what, object)| format!("{what} {}", object.name())).collect()
        };
        let (found, expected) = (story(&memory), story(&real));
        if found != expected {
            lines.push(format!("watch {number}:\n  memory: {}\n  real:   {}", found.join(", "), expected.join(", ")));
            continue;
        }
        let pairs = memory.into_iter().zip(real);
        let differing = pairs.enumerate().find_map(|(index, ((_, memory), (_, real)))| {
            let [memory, real] = [memory, real].map(|object| Ok(Answer::Object(Some(unowned(object)))));
            differences(&memory, &real).into_iter().next().map(|line| format!("{} {line}", expected[index]))
        });
        lines.extend(differing.map(|line| format!("watch {number}: {line}")));
    }
    lines
}
