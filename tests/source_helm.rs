//! HelmRepository: reading indexes and choosing versions as Flux does, downloading charts.

#[path = "support/testbed.rs"]
mod testbed;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use lockstep::source::access::{Access, Secret};
use lockstep::source::helm::{self, ChartVersion, Index, Repository};
use lockstep::source::http::{Credentials, Options, client};

#[derive(serde::Deserialize)]
struct Case {
    index: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(serde::Deserialize)]
struct Choice {
    chart: String,
    range: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    error: String,
}

/// `error` of the original is a part of ours where it is Helm's own text.
fn differs(index: &Index, choice: &Choice) -> Option<String> {
    let shown = |chosen: &ChartVersion| (chosen.version.clone(), chosen.urls.first().cloned().unwrap_or_default());
    match index.choose(&choice.chart, &choice.range) {
        Ok(chosen) if shown(chosen) == (choice.version.clone(), choice.url.clone()) && choice.error.is_empty() => None,
        Err(error) if !choice.error.is_empty() && error.to_string().ends_with(&choice.error) => None,
        Ok(chosen) => Some(format!("{:?}: {}, not {}{}", choice.range, chosen.version, choice.version, choice.error)),
        Err(error) => Some(format!("{:?}: {error}, not {}{}", choice.range, choice.version, choice.error)),
    }
}

#[test]
fn versions_are_chosen_as_flux_chooses_them() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for line in include_str!("cases/source/helm-index.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        ran += 1 + case.choices.len();
        match Index::parse(case.index.as_bytes()) {
            Ok(index) if case.error.is_empty() => wrong.extend(case.choices.iter().filter_map(|c| differs(&index, c))),
            Err(_) if !case.error.is_empty() => {}
            Ok(_) => wrong.push(format!("read, not {}: {}", case.error, case.index)),
            Err(error) => wrong.push(format!("{error}: {}", case.index)),
        }
    }
    assert!(wrong.is_empty(), "{} of {ran} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_revision_is_the_digest_of_the_index_as_served() {
    let index = Index::parse(b"apiVersion: v1\nentries: {}\n").unwrap();
    assert_eq!(index.revision, "sha256:b0ffa5d88041aebe0397263f77ab4f2a095f32e7cdeda476eb9194226213d4fc");
}

fn said(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Answers with the same body everywhere, and remembers who asked with which credentials.
#[derive(Clone, Default)]
struct Server {
    index: String,
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

async fn answer(State(server): State<Server>, request: Request) -> (StatusCode, String) {
    let known = request.headers().contains_key(header::AUTHORIZATION);
    let host = request.headers()[header::HOST].to_str().unwrap_or_default().split(':').next().unwrap_or_default();
    let line = format!("{host} {} {}", request.uri(), if known { "known" } else { "unknown" });
    server.seen.lock().unwrap_or_else(|error| error.into_inner()).push(line);
    match request.uri().path() {
        path if path.ends_with("/index.yaml") => (StatusCode::OK, server.index),
        path if path.ends_with(".tgz") => (StatusCode::OK, "chart".into()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    }
}

#[expect(clippy::unwrap_used, reason = "what fails here stops the test")]
async fn serve(index: &str) -> (u16, Server) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server { index: index.replace("PORT", &port.to_string()), ..Default::default() };
    let router = axum::Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, server)
}

fn repository(url: &str) -> Repository {
    Repository {
        url: url.to_owned(),
        credentials: Credentials::Basic { username: "flux".into(), password: "secret".to_owned().into() },
        pass_credentials: false,
        mirrors: Vec::new(),
        timeout: Duration::from_secs(60),
    }
}

/// SHA-256 of `chart`.
const DIGEST: &str = "cc57fc1903e444cf6a726490b43b27ee9f87facc037f86872201847c565b45fb";

fn index(url: &str, digest: &str) -> String {
    format!(
        "apiVersion: v1\nentries:\n  app:\n  - name: app\n    version: 1.0.0\n    urls: ['{url}']\n    digest: '{digest}'\n"
    )
}

#[tokio::test]
async fn credentials_stay_with_the_repository_unless_they_are_passed() {
    let client = client(&Options::default()).unwrap();
    let cases = [
        ("app.tgz", false, "127.0.0.1 /charts/app.tgz?a=b known"),
        ("../other/app.tgz?x=y", false, "127.0.0.1 /other/app.tgz?a=b known"),
        ("http://127.0.0.1:PORT/else/app.tgz?x=y", false, "127.0.0.1 /else/app.tgz?x=y known"),
        ("http://localhost:PORT/app.tgz", false, "localhost /app.tgz unknown"),
        ("//localhost:PORT/app.tgz", false, "localhost /app.tgz unknown"),
        ("http://localhost:PORT/app.tgz", true, "localhost /app.tgz known"),
    ];
    for (url, pass_credentials, seen) in cases {
        let (port, server) = serve(&index(url, "")).await;
        let repository = Repository { pass_credentials, ..repository(&format!("http://127.0.0.1:{port}/charts?a=b")) };
        let index = helm::index(&client, &repository).await.unwrap();
        let chart = helm::chart(&client, &repository, index.choose("app", "*").unwrap()).await.unwrap();
        assert_eq!((&chart.bytes[..], &*chart.version), (&b"chart"[..], "1.0.0"));
        assert_eq!(*server.seen.lock().unwrap(), ["127.0.0.1 /charts/index.yaml?a=b known", seen]);
    }
}

#[tokio::test]
async fn a_chart_that_is_not_what_the_index_says_is_refused() {
    let client = client(&Options::default()).unwrap();
    for digest in [DIGEST.to_owned(), format!("sha256:{DIGEST}")] {
        let (port, _) = serve(&index("app.tgz", &digest)).await;
        let repository = repository(&format!("http://127.0.0.1:{port}"));
        let index = helm::index(&client, &repository).await.unwrap();
        let chart = helm::chart(&client, &repository, index.choose("app", "").unwrap()).await.unwrap();
        assert_eq!(chart.digest, format!("sha256:{DIGEST}"));
    }
    let (port, _) = serve(&index("app.tgz", "00")).await;
    let repository = repository(&format!("http://127.0.0.1:{port}"));
    let index = helm::index(&client, &repository).await.unwrap();
    let error = helm::chart(&client, &repository, index.choose("app", "").unwrap()).await.err().unwrap();
    let told = format!("chart pull error: chart 'app' version '1.0.0' has digest {DIGEST}, but the index says 00");
    assert_eq!(said(&error), told);
}

#[tokio::test]
async fn trouble_is_named_as_flux_names_it() {
    let client = client(&Options::default()).unwrap();
    let (port, _) = serve(&index("app.zip", "")).await;
    let known = repository(&format!("http://127.0.0.1:{port}"));
    let index = helm::index(&client, &known).await.unwrap();
    let error = helm::chart(&client, &known, index.choose("app", "").unwrap()).await.err().unwrap();
    let place = format!("http://127.0.0.1:{port}");
    let told =
        format!("failed to download chart for remote reference: failed to fetch {place}/app.zip : 404 Not Found");
    assert_eq!(said(&error), format!("chart pull error: {told}"));
    let error = helm::index(&client, &repository("http://me:canary@127.0.0.1:1/?token=canary")).await.err().unwrap();
    assert!(said(&error).contains("failed to fetch http://127.0.0.1:1/index.yaml: "), "{}", said(&error));
    assert!(!format!("{} {error:?}", said(&error)).contains("canary"));
}

#[tokio::test]
async fn a_mirror_on_this_machine_gives_charts_below_its_folder_only() {
    let client = client(&Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.tgz"), "chart").unwrap();
    let path = folder.path().display();
    let mirrors = vec![format!("https://charts.example.com=file://{path}").parse().unwrap()];
    let local = Repository { mirrors, ..repository("https://charts.example.com/") };
    let cases = [
        ("app.tgz", true),
        ("https://charts.example.com/app.tgz", true),
        ("../app.tgz", false),
        (&*format!("file://{path}/app.tgz"), false),
    ];
    for (url, is_there) in cases {
        std::fs::write(folder.path().join("index.yaml"), index(url, "")).unwrap();
        let index = helm::index(&client, &local).await.unwrap();
        let chart = helm::chart(&client, &local, index.choose("app", "").unwrap()).await;
        assert_eq!(chart.is_ok(), is_there, "{url}");
    }
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_chart_comes_from_a_repository_that_helm_indexed() {
    let testbed = testbed::Testbed::shared();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.2.3\n").unwrap();
    let archive = testbed.package(folder.path());
    let charts = testbed.charts();
    charts.publish(&archive);
    let (ca, secrets) = (std::fs::read(testbed.ca()).unwrap(), [("username", "flux"), ("password", "secret")]);
    let account = |key: &str| secrets.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_bytes());
    let certificates = |key: &str| (key == "ca.crt").then_some(&*ca);
    let secret = |value| Secret { name: "apps/charts", value };
    let access = Access::helm(Some(secret(&account)), Some(secret(&certificates))).unwrap();
    let client = client(&access.options).unwrap();
    let private = Repository { credentials: access.credentials, ..repository(&charts.private_url()) };
    let index = helm::index(&client, &private).await.unwrap();
    let chart = helm::chart(&client, &private, index.choose("app", "1.x").unwrap()).await.unwrap();
    assert_eq!(chart.bytes, std::fs::read(archive).unwrap());
    let anonymous = Repository { credentials: Credentials::Anonymous, ..repository(&charts.private_url()) };
    let error = helm::index(&client, &anonymous).await.err().unwrap();
    assert!(said(&error).ends_with("index.yaml : 401 Unauthorized"), "{}", said(&error));
}
