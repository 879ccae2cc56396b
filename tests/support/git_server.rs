//! A Git server over plain HTTP on loopback that remembers who asked what. Included by path.
//!
//! `/moved/…` redirects to `/…` at the same address, `/away/…` to `/…` under another name of this machine; `/old/…` is
//! `/…` as of a server that speaks the first protocol and packs deltas by the id of their base. With a token it answers
//! 401 to everyone who does not send it.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;

/// A server that ends with its runtime.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    port: u16,
    root: PathBuf,
    authorization: Option<String>,
    seen: Mutex<Vec<String>>,
}

impl Server {
    /// Serves the repositories below `root`; `authorization` is the header that everyone must send.
    pub async fn start(root: &Path, authorization: Option<&str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let authorization = authorization.map(str::to_owned);
        let shared = Arc::new(Shared { port, root: root.to_owned(), authorization, seen: Mutex::default() });
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What was asked since the last call: `METHOD host path authorization`.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.seen.lock().expect("nobody panicked"))
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let (authorization, host) = (text(header::AUTHORIZATION), text(header::HOST));
    let name = host.split(':').next().unwrap_or_default().to_owned();
    let path = parts.uri.path().to_owned();
    let line = format!("{} {name} {path} {authorization}", parts.method);
    shared.seen.lock().expect("nobody panicked").push(line);
    let query = parts.uri.query().unwrap_or_default();
    for (prefix, host) in [("/moved/", "127.0.0.1"), ("/away/", "localhost")] {
        if let Some(rest) = path.strip_prefix(prefix) {
            let location = format!("http://{host}:{}/{rest}?{query}", shared.port);
            return plain(StatusCode::FOUND, &[(header::LOCATION, &location)], Bytes::new());
        }
    }
    if shared.authorization.as_ref().is_some_and(|wanted| *wanted != authorization) {
        return plain(StatusCode::UNAUTHORIZED, &[(header::WWW_AUTHENTICATE, "Basic realm=git")], Bytes::new());
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the body can be read");
    let (is_old, path) = path.strip_prefix("/old").map_or((false, path.clone()), |rest| (true, rest.to_owned()));
    let protocol = if is_old { "-".to_owned() } else { text("git-protocol".parse().expect("a name")) };
    let variables = [
        ("GIT_PROJECT_ROOT", shared.root.display().to_string()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("REQUEST_METHOD", parts.method.to_string()),
        ("PATH_INFO", path),
        ("QUERY_STRING", query.to_owned()),
        ("CONTENT_TYPE", text(header::CONTENT_TYPE)),
        ("HTTP_GIT_PROTOCOL", protocol),
    ];
    let output = tokio::task::spawn_blocking(move || backend(&variables, &body)).await.expect("git answers");
    // Of the same length, so that the lines around it keep theirs.
    let hide = |output: Vec<u8>| if is_old { replaced(output, b"ofs-delta", b"no-deltas") } else { output };
    from_cgi(&hide(output))
}

/// The first occurrence alone: capabilities come before everything else.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    if let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Runs Git's own CGI program.
#[expect(clippy::disallowed_methods, reason = "the product starts nothing; its tests start real tools")]
fn backend(variables: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut command = std::process::Command::new("git");
    command.arg("http-backend").envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("git is there");
    let mut input = child.stdin.take().expect("it is piped");
    let body = body.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().expect("git ends").stdout;
    writer.join().expect("nobody panicked").ok();
    output
}

/// Makes an answer of what a CGI program wrote.
fn from_cgi(output: &[u8]) -> Response {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut status = StatusCode::OK;
    let mut headers = Vec::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name {
            "Status" => status = value[..3].parse().expect("a status"),
            name => headers.push((name.parse().expect("a name"), value)),
        }
    }
    plain(status, &headers, Bytes::copy_from_slice(&output[end + 4..]))
}

fn plain(status: StatusCode, headers: &[(header::HeaderName, &str)], body: Bytes) -> Response {
    let response =
        headers.iter().fold(Response::builder().status(status), |made, (name, value)| made.header(name, *value));
    response.body(Body::from(body)).expect("a response")
}
