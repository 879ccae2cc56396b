//! Remote bases and files of kustomizations, as the agent has them: when they are looked at, and what counts meanwhile.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/git_server.rs"]
mod git_server;
#[path = "support/repository.rs"]
mod repository;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use fleet::{Fleet, NAMESPACE, condition, object};
use futures::future::join_all;
use lockstep::source::base::{Bases, Setup};
use lockstep::source::http;
use lockstep::source::netrc::Netrc;
use lockstep::unit::base::Base;
use manifest::Object;
use repository::Repository;
use serde_json::{Value, json};
use tokio::time::Instant;

const BASE: &str = "https://git.example.com/base//web?ref=main";

fn map(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map\n  namespace: {NAMESPACE}\ndata:\n  a: \"{value}\"\n"
    )
}

/// Commits a base with this value.
fn commit_base(repository: &Repository, value: &str) -> String {
    let files = [("web/kustomization.yaml", "resources: [map.yaml]\n"), ("web/map.yaml", &map(value))];
    repository.commit("main", value, &files)
}

/// A unit that is nothing but what it names, with a prefix to its names.
async fn declare(fleet: &Fleet, resource: &str, prefix: &str) -> String {
    fleet.put("web/kustomization.yaml", &format!("resources: ['{resource}']\nnamePrefix: {prefix}-\n"));
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"interval": "1s"})).await;
    commit
}

async fn becomes(fleet: &Fleet, name: &str, value: &str) {
    let is_so = |found: Option<&Object>| found.is_some_and(|found| found.text("/data/a") == Some(value));
    fleet.until(("v1", "ConfigMap", name), value, is_so).await;
}

/// Waits until the unit says that it is ready, or why not.
async fn says(fleet: &Fleet, status: &str, words: &str) -> Value {
    let at = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web");
    let is_so = |found: Option<&Object>| {
        let ready = found.map(|found| condition(found, "Ready")).unwrap_or_default();
        ready["status"] == status && ready["message"].as_str().is_some_and(|message| message.contains(words))
    };
    condition(&fleet.until(at, words, is_so).await.expect("it is there"), "Ready")
}

/// Dry runs and writes of the unit's objects since this was asked last.
fn applied(fleet: &Fleet) -> usize {
    fleet.requests("ConfigMap").into_iter().filter(|(verb, ..)| *verb == "apply").count()
}

async fn some_intervals() {
    tokio::time::sleep(Duration::from_millis(2500)).await;
}

#[tokio::test]
async fn a_branch_is_looked_at_once_in_an_interval_and_nothing_is_built_before_it_moves() {
    let mut fleet = Fleet::new().await;
    commit_base(&fleet.base, "1");
    let commit = declare(&fleet, BASE, "my").await;
    fleet.answered("web", &commit, "True").await;
    becomes(&fleet, "my-map", "1").await;
    fleet.requests("");
    some_intervals().await;
    assert_eq!(applied(&fleet), 0, "nothing has changed");
    commit_base(&fleet.base, "2");
    becomes(&fleet, "my-map", "2").await;
    says(&fleet, "True", "").await;
    fleet.stop().await;
    fleet.requests("");
    fleet.start().await;
    some_intervals().await;
    assert_eq!(applied(&fleet), 0, "what was read is in the journal");
    commit_base(&fleet.base, "3");
    becomes(&fleet, "my-map", "3").await;
    fleet.end().await;
}

#[tokio::test]
async fn a_commit_that_is_named_by_its_id_is_looked_at_once() {
    let fleet = Fleet::new().await;
    let id = commit_base(&fleet.base, "1");
    let resource = format!("https://git.example.com/base//web?ref={id}");
    let commit = declare(&fleet, &resource, "my").await;
    fleet.answered("web", &commit, "True").await;
    fleet.base.hide();
    let commit = declare(&fleet, &resource, "other").await;
    fleet.answered("web", &commit, "True").await;
    becomes(&fleet, "other-map", "1").await;
    some_intervals().await;
    says(&fleet, "True", "").await;
    fleet.end().await;
}

#[tokio::test]
async fn what_a_server_denies_holds_the_unit_where_it_stands_until_it_is_there() {
    let fleet = Fleet::new().await;
    let commit = declare(&fleet, BASE, "my").await;
    fleet.answered("web", &commit, "False").await;
    let ready = says(&fleet, "False", "couldn't find remote ref main").await;
    assert_eq!(ready["reason"], "BuildFailed", "{ready}");
    commit_base(&fleet.base, "1");
    becomes(&fleet, "my-map", "1").await;
    says(&fleet, "True", "").await;
    fleet.base.hide();
    says(&fleet, "False", "repository not found").await;
    becomes(&fleet, "my-map", "1").await;
    fleet.base.unhide();
    says(&fleet, "True", "").await;
    fleet.end().await;
}

/// Answers to every request as it is told, and counts what it had to send.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    text: Option<String>,
    asked: usize,
    sent: usize,
}

impl Files {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/map.yaml", listener.local_addr().expect("an address"));
        let files = self.clone();
        let answer = move |headers: HeaderMap| async move { files.answer(&headers) };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        address
    }

    fn answer(&self, headers: &HeaderMap) -> (StatusCode, [(&'static str, String); 1], String) {
        let mut state = self.0.lock().expect("nobody panicked");
        state.asked += 1;
        let Some(text) = state.text.clone() else {
            return (StatusCode::SERVICE_UNAVAILABLE, [("x-none", String::new())], String::new());
        };
        let tag = format!("\"{}\"", lockstep::unit::digest(text.as_bytes()));
        if headers.get("if-none-match").is_some_and(|known| known == tag.as_str()) {
            return (StatusCode::NOT_MODIFIED, [("etag", tag)], String::new());
        }
        state.sent += 1;
        (StatusCode::OK, [("etag", tag)], text)
    }

    fn serve(&self, text: Option<String>) {
        self.0.lock().expect("nobody panicked").text = text;
    }

    fn sent(&self) -> usize {
        self.0.lock().expect("nobody panicked").sent
    }

    fn asked(&self) -> usize {
        self.0.lock().expect("nobody panicked").asked
    }
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_share_a_look_and_after_a_failure_there_is_a_pause() {
    let (files, folder) = (Files::default(), tempfile::tempdir().expect("a folder"));
    let base = Base::File { url: files.start().await };
    let client = http::client(&http::Options::default()).expect("a client");
    let (mirrors, accounts, kept) = (Vec::new(), Netrc::default(), folder.path().join("kept"));
    let bases = Bases::new(Setup { client, mirrors, accounts, folder: kept.clone(), reads_this_machine: false });
    let looks = |since: Instant| join_all((0..5).map(|_| bases.look(&base, since)).collect::<Vec<_>>());
    let failed = looks(Instant::now()).await;
    assert!(failed.iter().all(|looked| looked.as_ref().is_err_and(|trouble| trouble.is_transient)));
    assert_eq!(files.asked(), 1, "one look for all of them");
    looks(Instant::now()).await;
    assert_eq!(files.asked(), 1, "the pause is not over");
    files.serve(Some("text".into()));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let since = Instant::now();
    let version = lockstep::unit::digest(b"text");
    for _ in 0..2 {
        let seen = looks(since).await;
        assert!(seen.into_iter().all(|looked| looked.is_ok_and(|look| look.version == version)));
    }
    assert_eq!((files.asked(), files.sent()), (2, 1));
    looks(Instant::now()).await;
    assert_eq!((files.asked(), files.sent()), (3, 1), "asked anew, and nothing is sent");
    std::fs::remove_dir_all(kept).expect("it is there");
    looks(Instant::now()).await;
    assert_eq!((files.asked(), files.sent()), (4, 2), "what was kept is gone");
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_what_was_seen_last() {
    let (fleet, files) = (Fleet::new().await, Files::default());
    let url = files.start().await;
    let commit = declare(&fleet, &format!("{url}?token=canary"), "my").await;
    fleet.answered("web", &commit, "False").await;
    let ready = says(&fleet, "False", "unexpected status code: 503").await;
    assert!(ready["message"].as_str().is_some_and(|message| message.contains(&url)), "{ready}");
    files.serve(Some(map("1")));
    becomes(&fleet, "my-map", "1").await;
    says(&fleet, "True", "").await;
    some_intervals().await;
    assert_eq!(files.sent(), 1, "a server that names its content is not asked for it again");
    files.serve(None);
    some_intervals().await;
    says(&fleet, "True", "").await;
    let told = |events: &[(String, String)]| {
        events
            .iter()
            .any(|(reason, message)| reason == "ArtifactFailed" && message.contains("counts as it was seen last"))
    };
    assert!(told(&fleet.events("web").await), "{:?}", fleet.events("web").await);
    let commit = declare(&fleet, &format!("{url}?token=canary"), "other").await;
    fleet.answered("web", &commit, "True").await;
    becomes(&fleet, "other-map", "1").await;
    files.serve(Some(map("2")));
    becomes(&fleet, "other-map", "2").await;
    let events = fleet.events("web").await;
    assert!(!format!("{events:?}").contains("canary"), "{events:?}");
    fleet.end().await;
}

/// A store with this value, which the unit reads by an ExternalSecret beside its base.
async fn store(fleet: &Fleet, value: &str) {
    let provider = json!({"fake": {"data": [{"key": "a", "value": value}]}});
    let version = "external-secrets.io/v1";
    fleet.apply(object(version, "SecretStore", "store", json!({"spec": {"provider": provider}}))).await;
}

#[tokio::test]
async fn a_secret_rotates_although_a_base_cannot_be_had_for_a_new_commit() {
    let (mut fleet, files) = (Fleet::new().await, Files::default());
    let url = files.start().await;
    files.serve(Some(map("1")));
    store(&fleet, "first").await;
    let data = json!([{"secretKey": "value", "remoteRef": {"key": "a"}}]);
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "store"}, "data": data});
    fleet.write("web", &[object("external-secrets.io/v1", "ExternalSecret", "db", json!({ "spec": spec }))]);
    let resources = format!("resources: [all.yaml, '{url}']\n");
    fleet.put("web/kustomization.yaml", &resources);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"interval": "1s"})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.stop().await;
    files.serve(None);
    fleet.put("web/kustomization.yaml", &(resources + "commonAnnotations: {note: second}\n"));
    fleet.commit();
    fleet.start().await;
    says(&fleet, "False", "503").await;
    store(&fleet, "second").await;
    // base64 of "second"
    let is_new = |found: Option<&Object>| found.is_some_and(|found| found.text("/data/value") == Some("c2Vjb25k"));
    fleet.until(("v1", "Secret", "db"), "rotated", is_new).await;
    becomes(&fleet, "map", "1").await;
    files.serve(Some(map("2")));
    becomes(&fleet, "map", "2").await;
    says(&fleet, "True", "").await;
    fleet.end().await;
}

#[tokio::test]
async fn no_remote_bases_refuses_them_and_what_has_landed_stays() {
    let mut fleet = Fleet::new().await;
    commit_base(&fleet.base, "1");
    let commit = declare(&fleet, BASE, "my").await;
    fleet.answered("web", &commit, "True").await;
    fleet.stop().await;
    fleet.no_remote_bases = true;
    fleet.start().await;
    says(&fleet, "False", "remote bases are not allowed here").await;
    becomes(&fleet, "my-map", "1").await;
    fleet.end().await;
}

#[tokio::test]
async fn a_repository_of_the_agents_machine_is_not_read() {
    let fleet = Fleet::new().await;
    commit_base(&fleet.base, "1");
    let commit = declare(&fleet, &format!("{}//web", fleet.base.url()), "my").await;
    fleet.answered("web", &commit, "False").await;
    says(&fleet, "False", "a repository of this machine is not read").await;
    fleet.end().await;
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_base_of_a_real_server_lands_with_the_credentials_of_its_address_alone() {
    let fleet = Fleet::new().await;
    commit_base(&fleet.base, "1");
    let root = fleet.base.path().parent().expect("a folder").to_owned();
    let name = fleet.base.path().file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    // me:canary
    let server = git_server::Server::start(&root, Some("Basic bWU6Y2FuYXJ5")).await;
    let address = |user: &str| server.url(&format!("{name}//web?ref=main")).replacen("://", &format!("://{user}"), 1);
    let commit = declare(&fleet, &address(""), "my").await;
    fleet.answered("web", &commit, "False").await;
    says(&fleet, "False", "authentication required").await;
    let commit = declare(&fleet, &address("me:canary@"), "my").await;
    fleet.answered("web", &commit, "True").await;
    becomes(&fleet, "my-map", "1").await;
    server.seen();
    some_intervals().await;
    let seen = server.seen();
    assert!(!seen.is_empty() && seen.len() < 20, "references alone, once in an interval: {seen:?}");
    commit_base(&fleet.base, "2");
    becomes(&fleet, "my-map", "2").await;
    let found = fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web").await.expect("it is there");
    assert!(!found.value().to_string().contains("canary"));
    assert!(!format!("{:?}", fleet.events("web").await).contains("canary"));
    fleet.end().await;
}
