//! Watches of the cluster in memory with gaps, as those of a kube-apiserver 1.36 have them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here stops the test")]

use apply::memory::{Gap, MemoryCluster, Settings};
use apply::{Call, Cluster as _, ClusterError, Selection, WatchEvent};
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::SignedDuration;
use manifest::Object;
use serde_json::json;

type Events = BoxStream<'static, Result<WatchEvent, ClusterError>>;

/// A cluster with the ConfigMap `a`, and a watch that has listed it.
fn watched() -> (MemoryCluster, Events) {
    let memory = MemoryCluster::new(Settings::default());
    make(&memory, "ConfigMap", "a");
    let mut events = memory.watch(Selection::all("v1", "ConfigMap").within("default"));
    assert_eq!(told(&mut events), ["all: a"]);
    (memory, events)
}

fn make(memory: &MemoryCluster, kind: &str, name: &str) {
    let metadata = json!({"name": name, "namespace": "default"});
    let object = Object::new(json!({"apiVersion": "v1", "kind": kind, "metadata": metadata})).unwrap();
    let call = Call::Create { object, manager: "m".into(), dry_run: false, subresource: None };
    memory.call(call).now_or_never().unwrap().unwrap();
}

/// All that is told by now.
fn told(events: &mut Events) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        told.push(match event {
            Ok(WatchEvent::Reset(all)) => {
                format!("all: {}", all.iter().map(Object::name).collect::<Vec<_>>().join(" "))
            }
            Ok(WatchEvent::Applied(one)) => one.name().to_owned(),
            Ok(WatchEvent::Deleted(one)) => format!("-{}", one.name()),
            Err(ClusterError::Unavailable { .. }) => "broken".to_owned(),
            Err(other) => panic!("{other}"),
        });
    }
    told
}

#[test]
fn a_watch_that_breaks_goes_on_behind_what_it_was_told_last() {
    let (memory, mut events) = watched();
    memory.disturb(Gap::Cut);
    make(&memory, "ConfigMap", "b");
    assert_eq!(told(&mut events), ["broken", "b"]);
}

#[test]
fn a_watch_that_breaks_and_has_missed_what_is_forgotten_lists_anew() {
    let (memory, mut events) = watched();
    make(&memory, "ConfigMap", "b");
    memory.disturb(Gap::Lost);
    assert_eq!(told(&mut events), ["broken", "all: a b"]);
}

#[test]
fn a_bookmark_spares_a_watch_of_which_nothing_has_changed_the_new_list() {
    for (is_told, expected) in [(false, vec!["broken", "all: a"]), (true, vec!["broken"])] {
        let (memory, mut events) = watched();
        make(&memory, "Secret", "other");
        if is_told {
            memory.disturb(Gap::Bookmark);
        }
        assert!(told(&mut events).is_empty(), "a bookmark is no event");
        memory.disturb(Gap::Lost);
        assert_eq!(told(&mut events), expected);
    }
}

#[test]
fn a_silent_watch_tells_everything_later() {
    let (memory, mut events) = watched();
    memory.disturb(Gap::Silence(SignedDuration::from_secs(30)));
    make(&memory, "ConfigMap", "b");
    memory.advance(SignedDuration::from_secs(29));
    assert!(told(&mut events).is_empty());
    memory.advance(SignedDuration::from_secs(1));
    assert_eq!(told(&mut events), ["b"]);
}
