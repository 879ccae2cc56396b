//! The cluster in memory answers as a real API server does: the same calls are sent to both, and the answers compared.
//!
//! What varies by nature (UIDs, times, resource versions) is masked. What a real server adds (defaults of built-in kinds)
//! is listed in `compare`, and everything else must be equal: objects, owners of fields, errors and their words.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "what fails here stops the test")]

#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/custom.rs"]
mod custom;
#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/lives.rs"]
mod lives;
#[path = "conformance/random.rs"]
mod random;
#[path = "conformance/scripts.rs"]
mod scripts;
#[path = "support/testbed.rs"]
mod testbed;
#[path = "conformance/watches.rs"]
mod watches;

use std::time::Duration;

use apply::memory::{MemoryCluster, Settings as MemorySettings};
use apply::{Answer, Call, Cluster, ClusterError, Reference};
use lockstep::cluster::kube::{Access, KubeCluster, Settings};
use manifest::Object;
use serde_json::{Value, json};

use futures::{StreamExt as _, future, stream};

use compare::{Outcome, differences};
use testbed::Testbed;

/// One step of a script.
pub(crate) enum Step {
    /// Sends a call, and compares the answer.
    Send(&'static str, Call),
    /// Waits until an object is gone: a real control plane collects garbage a moment later.
    Gone(Reference),
    /// Waits until a field has a value.
    Has(Reference, &'static str, Value),
}

async fn run(cluster: &dyn Cluster, steps: &[Step]) -> Vec<(String, Outcome)> {
    let mut outcomes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Send(name, call) => {
                outcomes.push((format!("{index} {name}"), cluster.call(call.clone()).await));
            }
            Step::Gone(at) => until(cluster, at, |object| object.is_none(), &outcomes).await,
            Step::Has(at, pointer, value) => {
                let has = |object: Option<&Object>| object.is_some_and(|o| o.value().pointer(pointer) == Some(value));
                until(cluster, at, has, &outcomes).await;
            }
        }
    }
    outcomes
}

async fn until(
    cluster: &dyn Cluster,
    at: &Reference,
    done: impl Fn(Option<&Object>) -> bool,
    before: &[(String, Outcome)],
) {
    for _ in 0..300 {
        let found = cluster.call(Call::Get(at.clone())).await;
        let found = if let Ok(Answer::Object(Some(object))) = &found { Some(object) } else { None };
        if done(found) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} did not come to be as awaited after {before:?}", at.id());
}

async fn real(testbed: &Testbed) -> KubeCluster {
    let access = Access::File { path: testbed.kubeconfig(), context: None };
    let settings = Settings { access, proxy: None, timeout: Duration::from_secs(20), term: None };
    KubeCluster::connect(settings).await.expect("the testbed's kubeconfig is good")
}

async fn memory(namespace: &str) -> MemoryCluster {
    let memory = MemoryCluster::new(MemorySettings { simulation: None, ..MemorySettings::default() });
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    let object = Object::new(object).unwrap();
    let call = Call::Create { object, manager: "test".into(), dry_run: false, subresource: None };
    let made: Result<Answer, ClusterError> = memory.call(call).await;
    made.expect("an empty cluster takes a namespace");
    memory
}

/// Runs steps against both, and lists where they differ.
async fn both(title: &str, namespace: &str, cluster: &KubeCluster, steps: &[Step]) -> Vec<String> {
    let expected = run(cluster, steps).await;
    let found = run(&memory(namespace).await, steps).await;
    let mut lines = Vec::new();
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        lines.extend(differences(found, expected).into_iter().map(|line| format!("{title}: {name}: {line}")));
    }
    lines
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn memory_answers_scripts_as_the_real_server_does() {
    let testbed = Testbed::shared();
    let cluster = real(testbed).await;
    let mut lines = Vec::new();
    let mut steps = 0;
    for (title, script) in scripts::all() {
        let namespace = testbed.namespace("conformance");
        let script = script(&namespace);
        steps += script.len();
        lines.extend(both(title, &namespace, &cluster, &script).await);
    }
    println!("conformance/scripts: {steps} steps, {} differences", lines.len());
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn memory_merges_random_writes_as_the_real_server_does() {
    let testbed = Testbed::shared();
    let cluster = real(testbed).await;
    let namespace = testbed.namespace("conformance");
    let seeds = std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut failed = Vec::new();
    let mut steps = 0;
    for seed in 0..seeds {
        let script = random::script(&namespace, seed);
        steps += script.len();
        let lines = both(&format!("seed {seed}"), &namespace, &cluster, &script).await;
        failed.extend(lines.into_iter().next());
    }
    println!("conformance/random: {seeds} sequences, {steps} writes, {} sequences differ", failed.len());
    assert!(failed.is_empty(), "{} sequences differ, the first step of each:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn memory_lets_objects_go_as_the_real_control_plane_does() {
    let cluster = real(Testbed::shared()).await;
    let seeds = std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let play = |seed: u64| {
        let cluster = &cluster;
        async move {
            let namespace = testbed::unique("life");
            let told = lives::told(&memory("other").await, &namespace, &lives::life(seed)).await;
            let differs = lives::lived(cluster, &namespace, &told).await;
            differs.map(|line| format!("seed {seed}:\n  {line}"))
        }
    };
    let failed: Vec<String> = stream::iter(0..seeds).map(play).buffered(8).filter_map(future::ready).collect().await;
    println!("conformance/lives: {seeds} lives, {} differ", failed.len());
    assert!(failed.is_empty(), "{} lives differ, the first deed of each:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn memory_tells_watches_what_the_real_server_does() {
    let testbed = Testbed::shared();
    let cluster = real(testbed).await;
    let seeds = std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let (mut events, mut failed) = (0, Vec::new());
    for seed in 0..seeds {
        let namespace = testbed.namespace("conformance");
        let story = watches::story(&namespace, seed);
        let expected = watches::told(&cluster, &namespace, &story).await;
        let found = watches::told(&memory(&namespace).await, &namespace, &story).await;
        events += expected.iter().map(Vec::len).sum::<usize>();
        failed.extend(watches::compare(found, expected).into_iter().next().map(|line| format!("seed {seed}: {line}")));
    }
    println!("conformance/watches: {seeds} stories, {events} events, {} stories differ", failed.len());
    assert!(failed.is_empty(), "{} stories differ, the first difference of each:\n{}", failed.len(), failed.join("\n"));
}
