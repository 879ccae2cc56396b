//! The local cluster: what is kept, where, and for whom to read.

#![expect(clippy::unwrap_used, reason = "what fails here stops the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use apply::memory::Simulation;
use apply::{Answer, Call, Cluster, Reference};
use lockstep::cluster::local::{Local, LocalError};
use manifest::Object;
use serde_json::json;

async fn put(cluster: &dyn Cluster, name: &str) {
    let value = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": "default" }, "data": { "k": "dg==" } });
    let object = Object::new(value).unwrap();
    let call = Call::Apply { object, manager: "m".into(), force: true, dry_run: false, subresource: None };
    cluster.call(call).await.unwrap();
}

async fn has(cluster: &dyn Cluster, name: &str) -> bool {
    let call = Call::Get(Reference::new("v1", "Secret", "default", name));
    matches!(cluster.call(call).await.unwrap(), Answer::Object(Some(_)))
}

fn open(folder: &Path) -> Result<Local, LocalError> {
    Local::open(Some(folder), Simulation::default())
}

#[tokio::test]
async fn what_was_saved_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).unwrap();
    put(cluster.impersonate("system:serviceaccount:a:b").as_ref(), "a").await;
    cluster.save().unwrap();
    put(&cluster, "b").await;
    drop(cluster);
    let cluster = open(folder.path()).unwrap();
    assert!(has(&cluster, "a").await && !has(&cluster, "b").await);
}

#[tokio::test]
async fn a_running_cluster_keeps_itself() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).unwrap();
    put(&cluster, "a").await;
    let file = folder.path().join("cluster.json");
    let kept = async {
        while !file.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = cluster.run() => unreachable!("it runs until it is dropped"),
        () = kept => {}
    }
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600, "it holds Secrets");
}

#[tokio::test]
async fn one_process_has_a_folder_and_a_foreign_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(LocalError::InUse { .. })));
    drop(first);
    std::fs::write(folder.path().join("cluster.json"), "{}").unwrap();
    assert!(matches!(open(folder.path()), Err(LocalError::Foreign { .. })));
    assert_eq!(std::fs::read_to_string(folder.path().join("cluster.json")).unwrap(), "{}");
}

#[tokio::test]
async fn without_a_folder_nothing_is_kept() {
    let cluster = Local::open(None, Simulation::default()).unwrap();
    put(&cluster, "a").await;
    cluster.save().unwrap();
    assert!(has(&cluster, "a").await);
}
