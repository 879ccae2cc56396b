//! Remote bases, files and charts, from servers of this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use gix::objs::tree::EntryKind::{Blob, Link};

use super::git_server::Server;
use super::repository::Repository;
use super::testbed::Testbed;
use super::{Lockstep, Ran, here};

const BASE: &str = "resources: [map.yaml]\nconfigMapGenerator:\n- name: made\n  files: [picture.png, link.txt]\n";

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
}

/// A repository with a base in it: `main` and the tag `v1` alike, `dev` with another name. Answers the commit of `v1`.
fn repository() -> (Repository, String) {
    let repository = Repository::new();
    let commit = |branch: &str, name: &str| {
        let map = map(name);
        let files = [
            (".sourceignore", Blob, &b"*.yaml\n"[..]),
            ("base/kustomization.yaml", Blob, BASE.as_bytes()),
            ("base/map.yaml", Blob, map.as_bytes()),
            ("base/picture.png", Blob, b"png"),
            ("base/inner/real.txt", Blob, b"linked"),
            ("base/link.txt", Link, b"inner/real.txt"),
            ("out/kustomization.yaml", Blob, b"configMapGenerator:\n- name: made\n  files: [link.txt]\n"),
            ("out/link.txt", Link, b"../base/picture.png"),
            ("alias", Link, b"base"),
        ];
        repository.commit_entries(branch, name, &files)
    };
    let first = commit("main", "of-main");
    repository.annotate("v1", &first);
    commit("dev", "of-dev");
    (repository, first)
}

fn kustomization(folder: &Path, resource: &str) {
    let text = format!("resources: ['{resource}']\nbuildMetadata: [originAnnotations]\n");
    std::fs::write(folder.join("kustomization.yaml"), text).expect("can be written");
}

fn built(folder: &Path, resource: &str) -> Ran {
    kustomization(folder, resource);
    Lockstep::new(folder).run(&["kustomize", "build"])
}

/// What the original prints, and how it ends.
fn original(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command: Command = Testbed::shared().tool("kustomize");
    let output = command.current_dir(folder).args(["build"]).args(arguments).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_base_of_a_repository_is_as_it_was_committed() {
    let ((repository, commit), folder) = (repository(), tempfile::tempdir().unwrap());
    let base = |query: &str| built(folder.path(), &format!("{}//base{query}", repository.url()));
    let main = base("").succeeds();
    for part in ["name: of-main", "link.txt: linked", "picture.png: png", "repo: file:///", "path: base/map.yaml"] {
        assert!(main.contains(part), "{part} in {main}");
    }
    for query in ["?ref=main", "?ref=v1", "?ref=refs/heads/main", &format!("?ref={commit}")] {
        assert!(base(query).succeeds().contains("name: of-main"), "{query}");
    }
    assert!(base("?ref=dev").succeeds().contains("name: of-dev"));
    let missing = base("?ref=nope").fails(1);
    assert!(missing.contains("couldn't find remote ref nope"), "{missing}");
    let aliased = built(folder.path(), &format!("{}//alias", repository.url())).succeeds();
    assert!(aliased.contains("name: of-main"), "{aliased}");
    let outside = built(folder.path(), &format!("{}//out", repository.url())).fails(1);
    assert!(outside.contains("security; file"), "{outside}");
    let refused = Lockstep::new(folder.path()).run(&["kustomize", "build", "--no-remote-bases"]).fails(1);
    assert!(refused.contains("remote bases are not allowed here"), "{refused}");
}

#[test]
fn the_folder_that_is_built_may_be_of_a_repository() {
    let ((repository, _), folder) = (repository(), tempfile::tempdir().unwrap());
    let address = format!("{}//base?ref=dev", repository.url());
    let printed = Lockstep::new(folder.path()).run(&["kustomize", "build", &address]).succeeds();
    assert!(printed.contains("name: of-dev"), "{printed}");
}

#[test]
fn a_server_gets_the_credentials_of_an_address_and_nobody_sees_them() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ((repository, _), folder) = (repository(), tempfile::tempdir().unwrap());
    let root = repository.path().parent().unwrap().to_owned();
    let name = repository.path().file_name().unwrap().to_str().unwrap().to_owned();
    // me:p/word
    let server = runtime.block_on(Server::start(&root, Some("Basic bWU6cC93b3Jk")));
    let address = |user: &str| server.url(&format!("{name}//base")).replacen("://", &format!("://{user}"), 1);
    assert!(built(folder.path(), &address("me:p%2Fword@")).succeeds().contains("name: of-main"));
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".netrc"), "machine 127.0.0.1 login me password p/word\n").unwrap();
    kustomization(folder.path(), &address(""));
    let at_home = || Lockstep::new(folder.path()).env("HOME", home.path());
    assert!(at_home().run(&["kustomize", "build"]).succeeds().contains("name: of-main"));
    let refused = built(folder.path(), &address("me:other@")).fails(1);
    assert!(refused.contains("authentication required") && !refused.contains("other"), "{refused}");
}

/// Serves files by name on loopback.
fn serve(runtime: &tokio::runtime::Runtime, files: Vec<(String, Vec<u8>)>) -> String {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = files.into_iter().fold(Router::new(), |routes, (name, bytes)| {
        routes.route(&format!("/{name}"), get(move || async move { bytes.clone() }))
    });
    runtime.spawn(async move { axum::serve(listener, routes).await });
    address
}

#[test]
fn a_manifest_of_a_server_is_a_resource() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&runtime, vec![("map.yaml".into(), map("served").into_bytes())]);
    let printed = built(folder.path(), &format!("{server}/map.yaml")).succeeds();
    assert!(printed.contains("name: served"), "{printed}");
    let missing = built(folder.path(), &format!("{server}/nope.yaml?token=word")).fails(1);
    assert!(missing.contains("404") && !missing.contains("word"), "{missing}");
}

/// The archive of a chart that tells its values.
fn archive(version: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let chart = format!("apiVersion: v2\nname: web\nversion: {version}\n");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n\
                    data: {{ .Values | toYaml | nindent 2 }}\n  version: {{ .Chart.Version }}\n";
    for (name, text) in [
        ("web/Chart.yaml", &*chart),
        ("web/values.yaml", "a: chart\nb: chart\n"),
        ("web/more/other.yaml", "a: other\n"),
        ("web/templates/map.yaml", template),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A repository of charts with one chart in two versions.
fn index(runtime: &tokio::runtime::Runtime) -> String {
    let entry =
        |version: &str| format!("  - {{name: web, version: {version}, apiVersion: v2, urls: [web-{version}.tgz]}}\n");
    let index = format!("apiVersion: v1\nentries:\n  web:\n{}{}", entry("1.0.0"), entry("1.1.0"));
    let files = vec![
        ("index.yaml".into(), index.into_bytes()),
        ("web-1.0.0.tgz".into(), archive("1.0.0")),
        ("web-1.1.0.tgz".into(), archive("1.1.0")),
    ];
    serve(runtime, files)
}

/// A registry with the same chart, that wants to see a token which it gives to everyone.
fn registry(runtime: &tokio::runtime::Runtime) -> String {
    let mut files = BTreeMap::from([("/token".to_owned(), br#"{"token":"word"}"#.to_vec())]);
    let base = "/v2/charts/web";
    files.insert(format!("{base}/tags/list"), br#"{"tags":["1.0.0","latest"]}"#.to_vec());
    files.insert(format!("{base}/tags/list?page=2"), br#"{"tags":["1.1.0"]}"#.to_vec());
    for version in ["1.0.0", "1.1.0"] {
        let chart = archive(version);
        let digest = format!("sha256:{}", lockstep::unit::digest(&chart));
        let layer =
            format!(r#"{{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"{digest}"}}"#);
        files.insert(format!("{base}/manifests/{version}"), format!(r#"{{"layers":[{layer}]}}"#).into_bytes());
        files.insert(format!("{base}/blobs/{digest}"), chart);
    }
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let realm =
        format!("Bearer realm=\"http://{address}/token\",service=\"here\",scope=\"repository:charts/web:pull\"");
    let answer = move |request: Request| async move {
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let is_known = request.headers().get("authorization").is_some_and(|value| value == "Bearer word");
        if !path.starts_with("/token") && !is_known {
            return (StatusCode::UNAUTHORIZED, [("www-authenticate", realm)], Vec::new());
        }
        let path = if path.starts_with("/token?service=here&scope=") { "/token" } else { path };
        let next = format!("<{path}?page=2>; rel=\"next\"");
        let next = if path.ends_with("/tags/list") { next } else { String::new() };
        match files.get(path) {
            Some(bytes) => (StatusCode::OK, [("link", next)], bytes.clone()),
            None => (StatusCode::NOT_FOUND, [("link", next)], Vec::new()),
        }
    };
    runtime.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("oci://{address}/charts")
}

/// Writes a kustomization with a chart of a repository.
fn charted(folder: &Path, repository: &str, chart: &str) {
    let text = format!("helmCharts:\n- name: web\n  repo: {repository}\n{chart}");
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
}

const CHARTS: [(&str, &[&str]); 6] = [
    ("  releaseName: shop\n", &["name: shop", "version: 1.1.0", "a: chart"]),
    ("  releaseName: shop\n  version: 1.0.0\n  valuesInline: {a: mine}\n", &["version: 1.0.0", "a: mine", "b: chart"]),
    (
        "  releaseName: shop\n  version: 1.0.0\n  valuesMerge: merge\n  valuesInline: {a: mine, c: mine}\n",
        &["a: chart", "c: mine"],
    ),
    // Where `helm pull` would have put it.
    (
        "  releaseName: shop\n  version: 1.0.0\n  valuesFile: charts/web-1.0.0/web/more/other.yaml\n",
        &["a: other", "b: chart"],
    ),
    (
        "  releaseName: shop\n  valuesFile: ./charts/web/more/other.yaml\n  valuesInline: {b: mine}\n",
        &["a: other", "b: mine"],
    ),
    ("  releaseName: shop\n  version: ^1.0.0\n  valuesMerge: replace\n  valuesInline: {a: mine}\n", &["a: mine"]),
];

#[test]
fn a_chart_that_does_not_lie_beside_its_kustomization_is_fetched() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for repository in [index(&runtime), registry(&runtime)] {
        let folder = tempfile::tempdir().unwrap();
        let build = |chart: &str| {
            charted(folder.path(), &repository, chart);
            Lockstep::new(folder.path()).run(&["kustomize", "build", "--enable-helm"])
        };
        for (chart, parts) in CHARTS {
            let printed = build(chart).succeeds();
            assert!(parts.iter().all(|part| printed.contains(part)), "{chart}: {printed}");
        }
        let named = build("  nameTemplate: '{{ \"SHOP\" | lower }}-{{ add 1 2 }}'\n").succeeds();
        assert!(named.contains("name: shop-3"), "{named}");
        let missing = build("  valuesFile: charts/web/none.yaml\n").fails(1);
        assert!(missing.contains("charts/web/none.yaml") && missing.contains("no such file"), "{missing}");
        let missing = build("  version: '>9'\n").fails(1);
        assert!(missing.contains("version matching"), "{missing}");
        let missing = build("  version: 9.9.9\n").fails(1);
        assert!(missing.contains("the chart cannot be fetched"), "{missing}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn the_original_builds_the_same_from_the_same_servers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ((repository, commit), folder) = (repository(), tempfile::tempdir().unwrap());
    let url = repository.url();
    for query in ["//base", "//base?ref=dev", "//base?ref=v1", &format!("//base?ref={commit}"), "//alias"] {
        let ours = built(folder.path(), &format!("{url}{query}")).succeeds();
        assert_eq!(original(folder.path(), &[]), (Some(0), ours), "{query}");
    }
    for query in ["//base?ref=nope", "//nope", "//out", "/nope//base"] {
        built(folder.path(), &format!("{url}{query}")).fails(1);
        assert_eq!(original(folder.path(), &[]), (Some(1), String::new()), "{query}");
    }
    let address = format!("{url}//base?ref=dev");
    let ours = Lockstep::new(&here()).run(&["kustomize", "build", &address]).succeeds();
    assert_eq!(original(&here(), &[&address]), (Some(0), ours));
    let helm = Testbed::shared().tool("helm").get_program().to_str().unwrap().to_owned();
    for (chart, _) in CHARTS {
        let folder = tempfile::tempdir().unwrap();
        charted(folder.path(), &index(&runtime), chart);
        let ours = Lockstep::new(folder.path()).run(&["kustomize", "build", "--enable-helm"]).succeeds();
        let theirs = original(folder.path(), &["--enable-helm", "--helm-command", &helm]);
        assert_eq!(theirs, (Some(0), ours), "{chart}");
    }
}
