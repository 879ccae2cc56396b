//! GitRepository over HTTP, from Git's own server: what is asked, what is received, who learns the credentials.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/git_server.rs"]
mod git_server;
#[path = "support/repository.rs"]
mod repository;
#[path = "support/testbed.rs"]
mod testbed;

use std::path::Path;
use std::time::Duration;

use git_server::Server;
use lockstep::artifact::Artifact;
use lockstep::source::Error;
use lockstep::source::git::{self, Reference, Request, Selection};
use lockstep::source::http::{Credentials, Options, client};
use manifest::Purpose;
use repository::Repository;

fn request(url: &str, reference: Reference) -> Request {
    Request {
        url: url.to_owned(),
        reference,
        credentials: Credentials::Anonymous,
        selection: Selection::default(),
        timeout: Duration::from_secs(60),
        largest: git::LARGEST,
        observed: None,
    }
}

fn main_branch() -> Reference {
    Reference { branch: "main".into(), ..Default::default() }
}

async fn fetch(request: Request, folder: &Path) -> Result<Option<Artifact>, Error> {
    git::fetch(&client(&Options::default()).unwrap(), request, folder).await
}

fn said(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn read(artifact: &Artifact, path: &str) -> String {
    artifact.files.read(path, Purpose::Resource).unwrap().text().unwrap().to_owned()
}

fn basic() -> Credentials {
    Credentials::Basic { username: "flux".into(), password: "secret".to_owned().into() }
}

/// `flux:secret`
const BASIC: &str = "Basic Zmx1eDpzZWNyZXQ=";

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_commit_is_received_once_and_the_next_one_adds_to_it() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    let first = repository.commit("main", "first", &[("a", "1"), ("b", "same")]);
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    let url = server.url(repository.path().file_name().unwrap().to_str().unwrap());
    let one = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!(one.revision, format!("main@sha1:{first}"));
    assert_eq!(server.seen().len(), 3);
    fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!(server.seen().len(), 2, "nothing new: the references alone");
    let second = repository.commit("main", "second", &[("a", "2"), ("b", "same")]);
    let two = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!(two.revision, format!("main@sha1:{second}"));
    assert_eq!((read(&two, "a"), read(&two, "b"), read(&one, "a")), ("2".into(), "same".into(), "1".into()));
    let rewritten = repository.commit("other", "rewritten", &[("a", "3")]);
    repository.point("refs/heads/main", &rewritten);
    let three = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!((three.revision.clone(), read(&three, "a")), (format!("main@sha1:{rewritten}"), "3".into()));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn every_kind_of_reference_comes_from_a_server() {
    let repository = Repository::new();
    let first = repository.commit("main", "first", &[("a", "1")]);
    let second = repository.commit("main", "second", &[("a", "2")]);
    let third = repository.commit("side", "third", &[("a", "3")]);
    repository.annotate("v1.0.0", &first);
    repository.point("refs/tags/v1.1.0", &second);
    repository.point("refs/pull/1/head", &third);
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    let url = server.url(repository.path().file_name().unwrap().to_str().unwrap());
    let empty = Reference::default;
    let cases = [
        (Reference { tag: "v1.0.0".into(), ..empty() }, format!("v1.0.0@sha1:{first}"), "1"),
        (Reference { semver: ">=1.0.0".into(), ..empty() }, format!("v1.1.0@sha1:{second}"), "2"),
        (Reference { name: "refs/pull/1/head".into(), ..empty() }, format!("refs/pull/1/head@sha1:{third}"), "3"),
        (Reference { name: "refs/tags/v1.0.0".into(), ..empty() }, format!("refs/tags/v1.0.0@sha1:{first}"), "1"),
        (Reference { commit: first.clone(), ..empty() }, format!("sha1:{first}"), "1"),
        (Reference { commit: first.clone(), ..main_branch() }, format!("main@sha1:{first}"), "1"),
    ];
    for (reference, revision, content) in cases {
        let store = tempfile::tempdir().unwrap();
        let artifact = fetch(request(&url, reference), store.path()).await.unwrap().unwrap();
        assert_eq!((artifact.revision.clone(), read(&artifact, "a")), (revision, content.to_owned()));
    }
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_commit_that_the_server_does_not_offer_by_id_comes_with_its_branch() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    let first = repository.commit("main", "first", &[("a", "1")]);
    repository.commit("main", "second", &[("a", "2")]);
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    // Before protocol version 2 a server offers the tips of its references alone.
    let url = server.url(&format!("old/{}", repository.path().file_name().unwrap().to_str().unwrap()));
    let exact = Reference { commit: first.clone(), ..main_branch() };
    let artifact = fetch(request(&url, exact), store.path()).await.unwrap().unwrap();
    assert_eq!((artifact.revision.clone(), read(&artifact, "a")), (format!("main@sha1:{first}"), "1".to_owned()));
    let next = repository.commit("main", "third", &[("a", "3")]);
    let artifact = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!((artifact.revision.clone(), read(&artifact, "a")), (format!("main@sha1:{next}"), "3".to_owned()));
}

/// As Azure DevOps packs them, on which gix once failed (gitoxide #1025).
#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn deltas_may_name_their_base_by_its_id() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    let text = |end: &str| (0..2000).map(|line| format!("line {line}\n")).collect::<String>() + end;
    let texts = [text("a"), text("b"), text("c")];
    repository.commit("main", "first", &[("a", &texts[0]), ("b", &texts[1]), ("c", &texts[2])]);
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    let url = server.url(&format!("old/{}", repository.path().file_name().unwrap().to_str().unwrap()));
    let artifact = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!([read(&artifact, "a"), read(&artifact, "b"), read(&artifact, "c")], texts);
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn credentials_go_to_the_host_that_they_are_for_and_to_no_other() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    repository.commit("main", "first", &[("a", "1")]);
    let name = repository.path().file_name().unwrap().to_str().unwrap();
    let server = Server::start(repository.path().parent().unwrap(), Some(BASIC)).await;
    let with = |path: &str| Request { credentials: basic(), ..request(&server.url(path), main_branch()) };
    fetch(with(name), store.path()).await.unwrap().unwrap();
    assert!(server.seen().iter().all(|line| line.ends_with(BASIC)), "sent with the first request");
    let store = tempfile::tempdir().unwrap();
    fetch(with(&format!("moved/{name}")), store.path()).await.unwrap().unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 4, "one redirect, then straight to where it led: {seen:?}");
    let away = with(&format!("away/{name}"));
    let url = away.url.clone();
    let error = fetch(away, store.path()).await.err().unwrap();
    assert_eq!(
        said(&error),
        format!("failed to checkout and determine revision: unable to clone '{url}': authentication required")
    );
    let seen = server.seen();
    assert!(seen.iter().all(|line| !line.contains("localhost") || line.ends_with(" -")), "{seen:?}");
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_bearer_token_is_sent_as_it_is() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    repository.commit("main", "first", &[("a", "1")]);
    let name = repository.path().file_name().unwrap().to_str().unwrap();
    let server = Server::start(repository.path().parent().unwrap(), Some("Bearer token")).await;
    let credentials = Credentials::Bearer("token".to_owned().into());
    let request = Request { credentials, ..request(&server.url(name), main_branch()) };
    fetch(request, store.path()).await.unwrap().unwrap();
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn trouble_on_the_way_is_named_without_credentials() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    repository.commit("main", "first", &[("a", "1")]);
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    let name = repository.path().file_name().unwrap().to_str().unwrap();
    let secret_url = server.url("nowhere").replace("://", "://me:canary@");
    let error = fetch(request(&secret_url, main_branch()), store.path()).await.err().unwrap();
    assert_eq!(
        said(&error),
        format!(
            "failed to checkout and determine revision: unable to clone '{}': repository not found",
            server.url("nowhere")
        )
    );
    assert!(!format!("{error:?}").contains("canary"));
    let error = fetch(request(&server.url(name), Reference::default()), store.path()).await.err().unwrap();
    let missing = format!(
        "failed to checkout and determine revision: unable to clone '{}': couldn't find remote ref \"refs/heads/master\"",
        server.url(name)
    );
    assert_eq!(said(&error), missing);
    let late = Request { timeout: Duration::ZERO, ..request(&server.url(name), main_branch()) };
    let error = fetch(late, store.path()).await.err().unwrap();
    assert_eq!(
        said(&error),
        format!("failed to checkout and determine revision: unable to clone '{}': timed out", server.url(name))
    );
    let error = fetch(request("http://127.0.0.1:1/x", main_branch()), store.path()).await.err().unwrap();
    assert!(said(&error).contains("Connection refused"), "{}", said(&error));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_store_that_a_crash_left_behind_is_given_up() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    repository.commit("main", "first", &[("a", "1")]);
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    let url = server.url(repository.path().file_name().unwrap().to_str().unwrap());
    fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    let second = repository.commit("main", "second", &[("a", "2")]);
    // A lock that a killed process left, and a clone that it began.
    std::fs::create_dir_all(store.path().join("1/refs/heads")).unwrap();
    std::fs::write(store.path().join("1/refs/heads/main.lock"), "").unwrap();
    std::fs::create_dir_all(store.path().join("2.new")).unwrap();
    let artifact = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
    assert_eq!((artifact.revision.clone(), read(&artifact, "a")), (format!("main@sha1:{second}"), "2".to_owned()));
    assert!(!store.path().join("2.new").exists());
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_store_with_many_packs_is_cloned_anew_and_the_one_before_stays() {
    let (repository, store) = (Repository::new(), tempfile::tempdir().unwrap());
    let server = Server::start(repository.path().parent().unwrap(), None).await;
    let url = server.url(repository.path().file_name().unwrap().to_str().unwrap());
    let mut last = None;
    for number in 0..90 {
        repository.commit("main", "next", &[("a", &number.to_string())]);
        let artifact = fetch(request(&url, main_branch()), store.path()).await.unwrap().unwrap();
        if let Some((artifact, number)) = last {
            assert_eq!(read(&artifact, "a"), format!("{number}"), "the revision before can be read on");
        }
        last = Some((artifact, number));
    }
    let mut left: Vec<_> = std::fs::read_dir(store.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["2", "3"]);
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_private_authority_and_a_bad_password_are_told_apart() {
    let testbed = testbed::Testbed::shared();
    let repository = testbed.git("app");
    repository.write("a", "1");
    let commit = repository.push("first");
    let store = tempfile::tempdir().unwrap();
    let trusting = Options { authorities: Some(std::fs::read(testbed.ca()).unwrap()), ..Default::default() };
    let trusting = client(&trusting).unwrap();
    let with = |credentials| Request { credentials, ..request(&repository.url(), main_branch()) };
    let artifact = git::fetch(&trusting, with(basic()), store.path()).await.unwrap().unwrap();
    assert_eq!((artifact.revision.clone(), read(&artifact, "a")), (format!("main@sha1:{commit}"), "1".to_owned()));
    let bad = Credentials::Basic { username: "flux".into(), password: "wrong".to_owned().into() };
    let error = git::fetch(&trusting, with(bad), store.path()).await.err().unwrap();
    assert_eq!(
        said(&error),
        format!(
            "failed to checkout and determine revision: unable to clone '{}': authentication required",
            repository.url()
        )
    );
    let error = fetch(with(basic()), store.path()).await.err().unwrap();
    assert!(said(&error).contains("UnknownIssuer"), "{}", said(&error));
}
