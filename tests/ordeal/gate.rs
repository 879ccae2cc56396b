//! A proxy before the API server, for one agent: it counts what the agent asks, stops at the request at which something
//! is to happen, and makes the way slow or unreliable.
//!
//! It speaks plain HTTP on loopback to the agent and TLS to the server; what the agent sends as its token is passed on.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, Response, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::dice::Dice;
use crate::testbed::Testbed;

/// A proxy that ends when it is dropped.
pub struct Gate {
    /// What the agent is to use.
    pub kubeconfig: PathBuf,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

/// How the way to the server is.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// How much later each request is sent.
    pub delay: Duration,
    /// How many of a hundred requests are cut, half of them before they are sent and half after they were answered.
    pub cut: u64,
}

/// On which side of the server's work something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server has not seen the request.
    Before,
    /// It has answered; the agent has not seen the answer.
    After,
}

/// Where to stop: at the `nth` request from now on, of all or of the writes alone.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// From 1.
    pub nth: u64,
    pub writes_only: bool,
    pub side: Side,
}

/// A request that waits; dropped, its connection is cut.
pub struct Stopped {
    /// Method and path.
    pub what: String,
    go_on: oneshot::Sender<()>,
}

impl Stopped {
    /// Lets it go its way.
    pub fn go_on(self) {
        self.go_on.send(()).ok();
    }
}

/// What the agent has asked so far, without watches and leases.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub requests: u64,
    /// Those that may change something: neither reviews, nor tokens, nor dry runs.
    pub writes: u64,
    /// Writes that the server has accepted.
    pub accepted: u64,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: Count,
    last_write: Option<(Instant, String)>,
    weather: Weather,
    dice: Dice,
    trap: Option<(Trap, mpsc::Sender<Stopped>)>,
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl Gate {
    pub fn new(testbed: &Testbed, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let ca = reqwest::Certificate::from_pem(&std::fs::read(testbed.ca()).expect("a CA")).expect("a certificate");
        let client = reqwest::Client::builder().no_proxy().no_gzip().http1_only().tls_certs_only([ca]).build();
        let client = client.expect("a client");
        let upstream = testbed.value("TESTBED_API").to_owned();
        let shared = Arc::new(Shared { upstream, client, state: Mutex::default() });
        runtime.spawn(serve(listener, shared.clone()));
        let kubeconfig = testbed.data().join("work").join(format!("{name}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: gate\n\
             clusters: [{{name: gate, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
             users: [{{name: admin, user: {{token: admin-token}}}}]\n\
             contexts: [{{name: gate, context: {{cluster: gate, user: admin}}}}]\n"
        );
        std::fs::create_dir_all(testbed.data().join("work")).expect("the data folder can be written");
        std::fs::write(&kubeconfig, text).expect("the data folder can be written");
        Self { kubeconfig, shared, _runtime: runtime }
    }

    /// From now on the way is like this.
    pub fn weather(&self, weather: Weather, seed: u64) {
        let mut state = self.shared.lock();
        (state.weather, state.dice) = (weather, Dice(seed));
    }

    /// Stops one request; what waits there comes out of the channel.
    pub fn arm(&self, trap: Trap) -> mpsc::Receiver<Stopped> {
        let (sender, receiver) = mpsc::channel();
        self.shared.lock().trap = Some((trap, sender));
        receiver
    }

    /// Forgets the trap.
    pub fn disarm(&self) {
        self.shared.lock().trap = None;
    }

    pub fn count(&self) -> Count {
        self.shared.lock().count
    }

    /// How long ago the last write was sent, and which it was.
    pub fn last_write(&self) -> Option<(Duration, String)> {
        self.shared.lock().last_write.as_ref().map(|(at, what)| (at.elapsed(), what.clone()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Counts a request, and says what happens to it.
    fn admit(&self, request: &Request<Incoming>) -> Fate {
        let (is_counted, is_write) = class(request);
        let mut state = self.lock();
        if !is_counted {
            return Fate { delay: state.weather.delay, ..Fate::default() };
        }
        state.count.requests += 1;
        if is_write {
            state.count.writes += 1;
            state.last_write = Some((Instant::now(), name(request)));
        }
        let (weather, roll) = (state.weather, state.dice.below(200));
        let cut = (roll < 2 * weather.cut).then_some(if roll.is_multiple_of(2) { Side::Before } else { Side::After });
        let mut fate = Fate { is_write, delay: weather.delay, cut, stop: None };
        if let Some((trap, _)) = state.trap.as_mut().filter(|(trap, _)| is_write || !trap.writes_only) {
            trap.nth -= 1;
            let side = trap.side;
            if trap.nth == 0 {
                fate.stop = state.trap.take().map(|(_, sender)| (side, sender));
            }
        }
        fate
    }
}

#[derive(Default)]
struct Fate {
    is_write: bool,
    delay: Duration,
    cut: Option<Side>,
    stop: Option<(Side, mpsc::Sender<Stopped>)>,
}

impl Fate {
    /// What happens on one side of the server's work.
    async fn befall(&self, side: Side, what: &str) -> Result<(), Cut> {
        if self.cut == Some(side) {
            return Err(Cut);
        }
        let Some((_, sender)) = self.stop.as_ref().filter(|(at, _)| *at == side) else { return Ok(()) };
        let (go_on, goes_on) = oneshot::channel();
        let stopped = Stopped { what: format!("{side:?} {what}"), go_on };
        sender.send(stopped).map_err(|_| Cut)?;
        goes_on.await.map_err(|_| Cut)
    }
}

fn name(request: &Request<Incoming>) -> String {
    format!("{} {}", request.method(), request.uri())
}

/// Whether a request is counted, and whether it may change something.
fn class(request: &Request<Incoming>) -> (bool, bool) {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if query.contains("watch=true") || path.contains("/leases") {
        return (false, false);
    }
    let asks = ["/token", "reviews"].iter().any(|end| path.ends_with(end));
    (true, request.method() != Method::GET && !query.contains("dryRun") && !asks)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let service = hyper::service::service_fn(move |request| pass(shared.clone(), request));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (fate, what) = (shared.admit(&request), name(&request));
    tokio::time::sleep(fate.delay).await;
    fate.befall(Side::Before, &what).await?;
    let response = forward(&shared, request).await.map_err(|_| Cut)?;
    shared.lock().count.accepted += u64::from(fate.is_write && response.status().is_success());
    fate.befall(Side::After, &what).await?;
    Ok(response)
}

async fn forward(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap_or_default();
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let url = format!("{}{}", shared.upstream, parts.uri);
    let sent = shared.client.request(parts.method, url).headers(headers).body(body).send().await?;
    let (status, mut headers) = (sent.status(), sent.headers().clone());
    headers.remove(header::TRANSFER_ENCODING);
    let mut response = Response::new(Body::from_stream(sent.bytes_stream()));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}
