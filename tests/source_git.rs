//! GitRepository: references, ignore rules and files, from repositories of this machine and from a real server.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/repository.rs"]
mod repository;

use std::time::Duration;

use gix::objs::tree::EntryKind as Mode;
use lockstep::artifact::Artifact;
use lockstep::source::git::{self, Reference, Request, Selection};
use lockstep::source::http::{Credentials, Options, client};
use lockstep::source::{Error, mirrored};
use manifest::{EntryKind, Purpose};
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

async fn fetch(request: Request) -> Result<Option<Artifact>, Error> {
    let client = client(&Options::default()).unwrap();
    git::fetch(&client, request, "/nowhere".as_ref()).await
}

async fn revision(repository: &Repository, reference: Reference) -> String {
    match fetch(request(&repository.url(), reference)).await {
        Ok(artifact) => artifact.unwrap().revision,
        Err(error) => said(&error),
    }
}

/// An error with its causes.
fn said(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn paths(repository: &Repository, selection: Selection) -> Vec<String> {
    let main = Reference { branch: "main".into(), ..Default::default() };
    let request = Request { selection, ..request(&repository.url(), main) };
    let artifact = fetch(request).await.unwrap().unwrap();
    let mut found = Vec::new();
    walk(&artifact, "", &mut found);
    found
}

fn walk(artifact: &Artifact, folder: &str, found: &mut Vec<String>) {
    for entry in artifact.files.list(folder).unwrap() {
        let path = manifest::normalize(folder, &entry.name).unwrap();
        assert_eq!(artifact.files.kind(&path).unwrap(), Some(entry.kind), "{path}");
        match entry.kind {
            EntryKind::File => found.push(path),
            EntryKind::Folder => {
                found.push(format!("{path}/"));
                walk(artifact, &path, found);
            }
        }
    }
}

#[tokio::test]
async fn a_reference_is_found_by_the_strongest_field_that_is_set() {
    let repository = Repository::new();
    let first = repository.commit("master", "first", &[("a", "1")]);
    let second = repository.commit("master", "second", &[("a", "2")]);
    let third = repository.commit("main", "third", &[("a", "3")]);
    repository.point("refs/tags/v1.0.0", &first);
    repository.annotate("v1.1.0", &second);
    repository.point("refs/tags/v1.1", &third);
    repository.point("refs/pull/1/head", &third);
    let at = |name: &str, commit: &str| format!("{name}@sha1:{commit}");
    let empty = Reference::default;
    let branch = Reference { branch: "main".into(), ..empty() };
    let semver = Reference { semver: ">=1.0.0".into(), ..branch.clone() };
    let tag = Reference { tag: "v1.0.0".into(), ..semver.clone() };
    let name = Reference { name: "refs/tags/v1.1.0".into(), ..tag.clone() };
    let commit = Reference { commit: first.clone(), ..empty() };
    assert_eq!(revision(&repository, empty()).await, at("master", &second));
    assert_eq!(revision(&repository, branch.clone()).await, at("main", &third));
    assert_eq!(revision(&repository, semver).await, at("v1.1.0", &second));
    assert_eq!(revision(&repository, tag).await, at("v1.0.0", &first));
    assert_eq!(revision(&repository, name.clone()).await, at("refs/tags/v1.1.0", &second));
    assert_eq!(revision(&repository, commit.clone()).await, format!("sha1:{first}"));
    assert_eq!(revision(&repository, Reference { branch: "x".into(), ..commit.clone() }).await, at("x", &first));
    assert_eq!(
        revision(&repository, Reference { commit: first.clone(), ..name }).await,
        at("refs/tags/v1.1.0", &first)
    );
    let pull = Reference { name: "refs/pull/1/head".into(), ..empty() };
    assert_eq!(revision(&repository, pull).await, at("refs/pull/1/head", &third));
    let peeled = Reference { name: "refs/tags/v1.1.0^{}".into(), ..empty() };
    assert_eq!(revision(&repository, peeled).await, at("refs/tags/v1.1.0^{}", &second));
}

#[tokio::test]
async fn what_is_missing_is_named_as_flux_names_it() {
    let repository = Repository::new();
    let url = repository.url();
    assert_eq!(revision(&repository, Reference::default()).await, "git repository is empty");
    let commit = repository.commit("main", "first", &[("a", "1")]);
    repository.point("refs/tags/v1.0.0", &commit);
    let branch = revision(&repository, Reference::default()).await;
    assert_eq!(
        branch,
        format!(
            "failed to checkout and determine revision: unable to clone '{url}': couldn't find remote ref \"refs/heads/master\""
        )
    );
    let tag = revision(&repository, Reference { tag: "v2".into(), ..Default::default() }).await;
    assert_eq!(
        tag,
        format!(
            "failed to checkout and determine revision: unable to clone '{url}': couldn't find remote ref \"refs/tags/v2\""
        )
    );
    let range = revision(&repository, Reference { semver: ">=2.0.0".into(), ..Default::default() }).await;
    assert_eq!(range, "no match found for semver: >=2.0.0");
    let range = revision(&repository, Reference { semver: "x y z".into(), ..Default::default() }).await;
    assert_eq!(range, "semver parse error: improper constraint: \"x y z\"");
    let name = revision(&repository, Reference { name: "refs/heads/x".into(), ..Default::default() }).await;
    assert_eq!(name, "unable to resolve ref 'refs/heads/x' to a specific commit");
    let slash = revision(&repository, Reference { name: "/x".into(), ..Default::default() }).await;
    assert_eq!(slash, "ref /x is invalid; Git refs cannot begin or end with a slash '/'");
    let space = revision(&repository, Reference { name: "a b".into(), ..Default::default() }).await;
    assert_eq!(space, "unable to resolve ref 'a b' to a specific commit");
    let absent = "0123456789012345678901234567890123456789";
    let commit = revision(&repository, Reference { commit: absent.into(), ..Default::default() }).await;
    assert_eq!(commit, format!("unable to resolve commit object for '{absent}'"));
    let nowhere = fetch(request("file:///nowhere", Reference::default())).await;
    assert_eq!(
        said(&nowhere.err().unwrap()),
        "failed to checkout and determine revision: unable to clone 'file:///nowhere': repository not found"
    );
    for (url, shown) in [("ssh://git@host/x", "ssh://host/x"), ("git@host:x", "git@host:x")] {
        let ssh = fetch(request(url, Reference::default())).await;
        assert_eq!(
            said(&ssh.err().unwrap()),
            format!("failed to checkout and determine revision: unable to clone '{shown}': unsupported scheme \"ssh\"")
        );
    }
}

#[tokio::test]
async fn a_revision_that_is_known_is_not_fetched_again() {
    let repository = Repository::new();
    let commit = repository.commit("main", "first", &[("a", "1")]);
    let main = || Reference { branch: "main".into(), ..Default::default() };
    let again = Request { observed: Some(format!("main@sha1:{commit}")), ..request(&repository.url(), main()) };
    assert!(fetch(again).await.unwrap().is_none());
    let other = Request { observed: Some("main@sha1:0".into()), ..request(&repository.url(), main()) };
    assert_eq!(fetch(other).await.unwrap().unwrap().revision, format!("main@sha1:{commit}"));
}

#[tokio::test]
async fn of_versions_that_differ_in_build_metadata_the_youngest_commit_counts() {
    let repository = Repository::new();
    let old = repository.commit("main", "old", &[("a", "1")]);
    let young = repository.commit("main", "young", &[("a", "2")]);
    repository.point("refs/tags/1.0.0+b", &old);
    repository.point("refs/tags/1.0.0+a", &young);
    repository.point("refs/tags/1.0.0-rc.1", &young);
    let range = Reference { semver: ">=1.0.0".into(), ..Default::default() };
    assert_eq!(revision(&repository, range).await, format!("1.0.0+a@sha1:{young}"));
}

#[tokio::test]
async fn files_are_as_committed_and_links_do_not_exist() {
    let repository = Repository::new();
    let text = "line\r\n";
    let other = "0123456789012345678901234567890123456789";
    let entries = [
        (".gitattributes", Mode::Blob, "* text=auto\n"),
        ("apps/a.yaml", Mode::Blob, text),
        ("apps/link.yaml", Mode::Link, "a.yaml"),
        ("apps/out.yaml", Mode::Link, "../../etc/passwd"),
        ("apps.yaml", Mode::Blob, "x"),
        ("links/only", Mode::Link, "a.yaml"),
        ("run.sh", Mode::BlobExecutable, "#!"),
        ("vendor", Mode::Commit, other),
    ];
    repository.commit_entries(
        "main",
        &format!("a subject that is {} long\n\nbody", "very ".repeat(9)),
        &entries.map(|(path, mode, text)| (path, mode, text.as_bytes())),
    );
    let main = Reference { branch: "main".into(), ..Default::default() };
    let artifact = fetch(request(&repository.url(), main)).await.unwrap().unwrap();
    let subject = artifact.subject.clone().unwrap();
    assert_eq!(subject, "a subject that is very very very very very very ve...");
    assert_eq!(artifact.files.read("apps/a.yaml", Purpose::Resource).unwrap().text(), Some(text));
    assert_eq!(artifact.files.kind("apps/link.yaml").unwrap(), None);
    assert!(artifact.files.read("apps", Purpose::Resource).is_err());
    let found = paths(&repository, Selection::default()).await;
    assert_eq!(found, ["apps/", "apps/a.yaml", "apps.yaml", "links/", "run.sh", "vendor/"]);
}

#[tokio::test]
async fn ignored_paths_do_not_exist() {
    let repository = Repository::new();
    let files = [("a.png", "x"), ("b/c.yaml", "x"), ("b/d.yaml", "x"), (".github/x.yaml", "x"), ("e/f/g.yaml", "x")];
    repository.commit("main", "first", &files);
    let ignore = |text: &str| Selection { ignore: Some(text.into()), ..Default::default() };
    let found = paths(&repository, Selection::default()).await;
    assert_eq!(found, ["b/", "b/c.yaml", "b/d.yaml", "e/", "e/f/", "e/f/g.yaml"]);
    let found = paths(&repository, ignore("/*\n!/e/f\n")).await;
    assert_eq!(found, ["e/", "e/f/", "e/f/g.yaml"]);
    repository.commit("main", "second", &[("b/.sourceignore", "c.yaml\n"), ("b/c.yaml", "x"), ("c.yaml", "x")]);
    assert_eq!(paths(&repository, Selection::default()).await, ["b/", "b/.sourceignore", "c.yaml"]);
    assert_eq!(paths(&repository, ignore("!b/c.yaml")).await, ["b/", "b/.sourceignore", "b/c.yaml", "c.yaml"]);
}

#[tokio::test]
async fn a_sparse_checkout_has_the_files_below_its_prefixes() {
    let repository = Repository::new();
    repository.commit("main", "first", &[("a/x", "1"), ("ab/y", "1"), ("b/z", "1"), ("b/.sourceignore", "*")]);
    let sparse = |folder: &str| Selection { sparse: vec![folder.into()], ..Default::default() };
    assert_eq!(paths(&repository, sparse("./a")).await, ["a/", "a/x", "ab/", "ab/y"]);
    let main = Reference { branch: "main".into(), ..Default::default() };
    let request = Request { selection: sparse("c"), ..request(&repository.url(), main) };
    let error = fetch(request).await.err().unwrap().to_string();
    assert!(error.ends_with("sparse checkout dir 'c' does not exist in repository"), "{error}");
}

#[tokio::test]
async fn a_tree_with_names_that_no_file_may_have_is_refused() {
    for name in ["..", ".git", ".GIT"] {
        let repository = Repository::new();
        repository.commit("main", "first", &[(&*format!("a/{name}"), "x")]);
        let main = Reference { branch: "main".into(), ..Default::default() };
        assert_eq!(revision(&repository, main).await, "a: an entry has a name that no file may have");
    }
}

#[tokio::test]
async fn a_mirror_takes_the_place_of_a_server() {
    let repository = Repository::new();
    let commit = repository.commit("main", "first", &[("a", "1")]);
    let mirror = format!("https://github.com/org/app={}", repository.url()).parse().unwrap();
    let url = mirrored("https://github.com/org/app.git", &[mirror]);
    let main = Reference { branch: "main".into(), ..Default::default() };
    assert_eq!(fetch(request(&url, main)).await.unwrap().unwrap().revision, format!("main@sha1:{commit}"));
}
