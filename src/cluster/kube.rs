//! A real API server, over the `kube` crate.
//!
//! # Flow
//! A [`Call`] becomes one HTTP request (`request`), its answer an [`Answer`] or a [`ClusterError`] (`failure`). Which
//! kinds the server serves is discovered in two requests and kept (`discovery`); a kind that is not among them makes one
//! more discovery before it counts as not served.
//!
//! # Guarantees
//! - Nothing is repeated here: what failed is told, and whether it may have been done ([`ClusterError::Unknown`]).
//! - Each request has a deadline, told to the server too.
//! - The bytes of a Secret stand in no error.
//!
//! # Caveats
//! Requests are not limited in rate. The client speaks HTTP/1.1 and opens as many connections as there are requests at
//! once.

mod discovery;
mod failure;
mod request;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::kube::client::{Body, Client, ClientBuilder};
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Config, Error};
use apply::cluster::{Capabilities, Subresource};
use apply::imprint::Imprint;
use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{HeaderValue, Request, StatusCode};
use manifest::Object;
use serde_json::{Value, json};
use tower::service_fn;

use discovery::{Catalogue, Resource};

use super::fenced::{Connections, Term};

/// Where a cluster is, and as whom to talk to it.
pub enum Access {
    /// As kubectl would: `KUBECONFIG`, `~/.kube/config`, else the pod's ServiceAccount.
    Inferred,
    /// A context of `KUBECONFIG` or `~/.kube/config`.
    Context(String),
    /// The pod's ServiceAccount.
    InCluster,
    /// A kubeconfig file of the user who runs the process.
    File {
        /// Its path.
        path: PathBuf,
        /// A context other than the current one.
        context: Option<String>,
    },
    /// The text of a kubeconfig that came from a Secret. It may name no file and start no process, and TLS is verified.
    Text(String),
}

/// How to talk to a cluster.
pub struct Settings {
    /// Where it is.
    pub access: Access,
    /// URL of an HTTP proxy; `None` leaves it to the kubeconfig.
    pub proxy: Option<String>,
    /// Deadline of each request; watches have none.
    pub timeout: Duration,
    /// When it is over, so are all connections.
    pub term: Option<Term>,
}

/// A real API server. Clones share connections and discovery.
#[derive(Clone)]
pub struct KubeCluster {
    client: Client,
    catalogue: Arc<Catalogue>,
    timeout: Duration,
    term: Option<Term>,
}

/// How long before the end of the term the server has given up the last write.
const MARGIN: Duration = Duration::from_secs(2);

impl KubeCluster {
    /// Prepares to talk to a cluster; the first request connects.
    ///
    /// # Errors
    /// When the configuration is not to be had, or contradicts itself.
    pub async fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let mut config = match settings.access {
            Access::Inferred => Config::infer().await.map_err(|error| ConnectError::config(&error))?,
            Access::Context(name) => {
                let kubeconfig = Kubeconfig::read().map_err(|error| ConnectError::config(&error))?;
                load(kubeconfig, Some(name)).await?
            }
            Access::InCluster => Config::incluster().map_err(|error| ConnectError::config(&error))?,
            Access::File { path, context } => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| ConnectError::config(&error))?;
                load(kubeconfig, context).await?
            }
            Access::Text(text) => load(confined(&text)?, None).await?,
        };
        // A repetition is the caller's to decide: it may have to read first.
        config.default_retry = false;
        match settings.proxy {
            Some(proxy) => config.proxy_url = Some(proxy.parse().map_err(|_| ConnectError::Proxy)?),
            None if is_this_machine(config.cluster_url.host()) => config.proxy_url = None,
            None => {}
        }
        let builder = ClientBuilder::try_from((config, Connections(settings.term.clone())));
        let client = builder.map_err(|error| ConnectError::config(&error))?.build();
        let catalogue = Arc::new(Catalogue::new(client.clone(), settings.timeout));
        Ok(Self { client, catalogue, timeout: settings.timeout, term: settings.term })
    }

    /// Deadline of a request, on both sides. A write that has reached the server ends there, done or given up, while the term
    /// lasts: whoever follows begins with what then is.
    fn deadline(&self, is_write: bool) -> Duration {
        let left = self.term.as_ref().filter(|_| is_write).map(|term| term.left().saturating_sub(MARGIN));
        left.unwrap_or(self.timeout).min(self.timeout)
    }

    async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        match &call {
            Call::Scope(gvk) => {
                let known = self.catalogue.known().await?;
                Ok(Answer::Scope(known.get(gvk).map(|resource| resource.scope)))
            }
            Call::Capabilities => self.capabilities().await.map(Answer::Capabilities),
            Call::Discover => self.catalogue.refresh().await.map(|_| Answer::Done),
            Call::List(selection) => self.list(selection).await.map(Answer::Objects),
            Call::Create { object, subresource: Some(Subresource::Token), .. } => self.token(object).await,
            _ => self.single(&call).await,
        }
    }

    async fn capabilities(&self) -> Result<Capabilities, ClusterError> {
        let version = self.catalogue.fetch("/version").await?;
        let mut kinds: Vec<_> = self.catalogue.known().await?.keys().cloned().collect();
        kinds.sort();
        let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Capabilities { version, kinds })
    }

    /// A request about one object.
    async fn single(&self, call: &Call) -> Result<Answer, ClusterError> {
        let Some(at) = call.reference() else { return Ok(Answer::Done) };
        let resource = self.catalogue.resolve(&at.gvk).await?;
        let timeout = self.deadline(call.is_write());
        let request = request::build(call, &at, &resource, timeout).map_err(|why| unsendable(&at, &why))?;
        let (status, body) = match exchange(&self.client, request, timeout).await {
            Ok(answered) => answered,
            Err(error) => return Err(failure::unanswered(call, &error)),
        };
        if status.is_success() {
            let value = failure::parse(&body).ok_or_else(|| failure::unreadable(call))?;
            return Ok(answer(call, value));
        }
        let status = failure::Status::read(status, &body);
        if matches!(call, Call::Get(_)) && status.is_missing_object() {
            return Ok(Answer::Object(None));
        }
        let served = !status.is_missing_endpoint() || self.catalogue.refresh().await?.contains_key(&at.gvk);
        Err(failure::refused(call, &status, served))
    }

    /// Reads a list page by page; a continuation that is too old starts the list anew, unpaged.
    async fn list(&self, selection: &Selection) -> Result<Vec<Object>, ClusterError> {
        let resource = self.catalogue.resolve(&selection.gvk).await?;
        let call = Call::List(selection.clone());
        let (mut objects, mut next, mut paged) = (Vec::new(), String::new(), true);
        loop {
            let request = request::list(selection, &resource, paged, &next, self.timeout)
                .map_err(|message| ClusterError::Refused { id: None, message, fields: Vec::new() })?;
            let (status, body) = self.exchange(request).await.map_err(|error| failure::unanswered(&call, &error))?;
            if status == StatusCode::GONE && paged {
                objects.clear();
                next.clear();
                paged = false;
                continue;
            }
            if !status.is_success() {
                return Err(failure::refused(&call, &failure::Status::read(status, &body), false));
            }
            let mut page = failure::parse(&body).ok_or_else(|| failure::unreadable(&call))?;
            objects.extend(items(&mut page, &resource));
            next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(objects);
            }
        }
    }

    async fn token(&self, object: &Object) -> Result<Answer, ClusterError> {
        let at = Reference::new("v1", "ServiceAccount", object.namespace(), object.name());
        let call = Call::Get(at.clone());
        let request = request::token(&at, object, self.timeout).map_err(|why| unsendable(&at, &why))?;
        let (status, body) = self.exchange(request).await.map_err(|error| failure::unanswered(&call, &error))?;
        if !status.is_success() {
            return Err(failure::refused(&call, &failure::Status::read(status, &body), false));
        }
        let value = failure::parse(&body).ok_or_else(|| failure::unreadable(&call))?;
        Ok(Answer::Object(Object::new(value).ok()))
    }

    async fn exchange(&self, request: Request<Body>) -> Result<(StatusCode, bytes::Bytes), failure::NoAnswer> {
        exchange(&self.client, request, self.timeout).await
    }
}

/// Sends a request and reads the whole answer, within `timeout`.
async fn exchange(
    client: &Client,
    request: Request<Body>,
    timeout: Duration,
) -> Result<(StatusCode, bytes::Bytes), failure::NoAnswer> {
    let work = async {
        let response = client.send(request).await?;
        let status = response.status();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = response.into_body().collect_bytes().await?;
        Ok::<_, Error>((status, failure::with_retry_after(status, bytes, retry_after)))
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(error)) => Err(failure::NoAnswer::of(&error)),
        Err(_) => Err(failure::NoAnswer::timeout(timeout)),
    }
}

fn unsendable(at: &Reference, why: &str) -> ClusterError {
    ClusterError::Refused { id: Some(at.id()), message: why.into(), fields: Vec::new() }
}

/// What a successful answer says. A deletion answers with the object while something holds it.
fn answer(call: &Call, value: Value) -> Answer {
    let gone = value["kind"] == "Status" || value.pointer("/metadata/deletionTimestamp").is_none();
    if matches!(call, Call::Delete { .. }) && gone {
        return Answer::Done;
    }
    Answer::Object(Object::new(value).ok())
}

/// The objects of a list's page. They carry no kind of their own.
fn items(page: &mut Value, resource: &Resource) -> Vec<Object> {
    let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else { return Vec::new() };
    let named = items.into_iter().map(|mut item| {
        item["apiVersion"] = json!(resource.gvk.api_version());
        item["kind"] = json!(resource.gvk.kind);
        item
    });
    named.filter_map(|item| Object::new(item).ok()).collect()
}

impl Cluster for KubeCluster {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        Box::pin(self.send(call))
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        watch::follow(self.client.clone(), self.catalogue.clone(), selection)
    }

    fn watch_imprints(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent<Imprint>, ClusterError>> {
        watch::follow_imprints(self.client.clone(), self.catalogue.clone(), selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        let header = HeaderValue::from_str(user).ok();
        let (inner, namespace) = (self.client.clone(), self.client.default_namespace().to_owned());
        let service = service_fn(move |mut request: Request<Body>| {
            // A name that is no header would act as somebody else: it acts as nobody.
            let header = header.clone().unwrap_or(HeaderValue::from_static("system:anonymous"));
            request.headers_mut().insert("impersonate-user", header);
            let inner = inner.clone();
            async move { inner.send(request).await }
        });
        Arc::new(Self { client: Client::new(service, namespace), ..self.clone() })
    }
}

async fn load(kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| ConnectError::config(&error))
}

/// A kubeconfig that somebody else wrote: it must not read this process's files or start programs.
fn confined(text: &str) -> Result<Kubeconfig, ConnectError> {
    let mut kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| ConnectError::Unreadable)?;
    for user in kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref()) {
        let named = [
            ("tokenFile", user.token_file.is_some()),
            ("client-certificate", user.client_certificate.is_some()),
            ("client-key", user.client_key.is_some()),
            ("exec", user.exec.is_some()),
            ("auth-provider", user.auth_provider.is_some()),
        ];
        if let Some((field, _)) = named.into_iter().find(|(_, set)| *set) {
            return Err(ConnectError::Reaches { field });
        }
    }
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        if cluster.certificate_authority.is_some() {
            return Err(ConnectError::Reaches { field: "certificate-authority" });
        }
        cluster.insecure_skip_tls_verify = None;
    }
    Ok(kubeconfig)
}

/// Go's rule, so kubectl's: what runs on this machine is reached directly, whatever proxies the environment names.
fn is_this_machine(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why there is no way to a cluster. Names no content of a kubeconfig.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No configuration, or one that cannot be used.
    #[error("no usable kubeconfig: {message}")]
    Config {
        /// What the client says.
        message: String,
    },
    /// A kubeconfig from a Secret is no kubeconfig.
    #[error("the kubeconfig cannot be read")]
    Unreadable,
    /// A kubeconfig from a Secret wants a file or a program of this machine.
    #[error("the kubeconfig may not use {field}: only embedded data is accepted")]
    Reaches {
        /// The field.
        field: &'static str,
    },
    /// The proxy is no URL.
    #[error("the proxy for the API server is not a URL")]
    Proxy,
}

impl ConnectError {
    fn config(error: &dyn std::error::Error) -> Self {
        Self::Config { message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::response::Json;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn what_is_still_to_be_sent_when_the_term_is_over_is_not_sent() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let server = Router::new().fallback(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Json(json!({"gitVersion": "v1.36.0", "items": []})) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, server).await });
        let text = format!(
            "{{clusters: [{{name: a, cluster: {{server: 'http://{address}'}}}}], users: [{{name: a, user: {{}}}}], \
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}], current-context: a}}"
        );
        let term = Term::until(Instant::now() + Duration::from_secs(3600));
        let (access, timeout) = (Access::Text(text), Duration::from_secs(20));
        let settings = Settings { access, proxy: None, timeout, term: Some(term.clone()) };
        let cluster = KubeCluster::connect(settings).await.unwrap();
        cluster.call(Call::Capabilities).await.expect("the term lasts");
        let before = seen.load(Ordering::Relaxed);
        assert_ne!(before, 0);
        assert_eq!((cluster.deadline(true), cluster.deadline(false)), (timeout, timeout));
        term.extend(Instant::now() + Duration::from_secs(10));
        assert!(cluster.deadline(true) <= Duration::from_secs(8), "the server gives it up before the term ends");
        assert_eq!(cluster.deadline(false), timeout);
        // The connection is there and free; whoever was frozen here wakes up when the term is over.
        term.extend(Instant::now());
        cluster.call(Call::Discover).await.expect_err("no connection is left");
        assert_eq!(seen.load(Ordering::Relaxed), before);
    }
}
