//! A vault and a token issuer behind the HTTP client: what is asked of them, how often, and what their answers mean.

use std::sync::atomic::{AtomicUsize, Ordering};

use apply::memory::{MemoryCluster, Settings};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, StatusCode};
use manifest::{Object, ObjectId};
use serde_json::json;

use super::*;
use crate::resolve::{Missing, Outcome, Pass, ResolveError, Resolved, Resolver};

/// One answer: status, headers, body.
type Reply = (u16, Vec<(&'static str, &'static str)>, Value);

/// What the vault answers to a path, given how many requests came before; `None` cuts the connection.
type Vaults = Box<dyn Fn(&str, usize) -> Option<Reply> + Send + Sync>;

/// Stands for the network.
struct Network {
    log: Mutex<Vec<String>>,
    vault: Vaults,
    tokens: AtomicUsize,
    issuer: fn(usize) -> Reply,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

fn token(count: usize) -> Reply {
    (200, Vec::new(), json!({"token_type": "Bearer", "expires_in": 3600, "access_token": format!("token-{count}")}))
}

impl Network {
    fn new(vault: impl Fn(&str, usize) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self { log: Mutex::default(), vault: Box::new(vault), tokens: AtomicUsize::new(0), issuer: token }
    }

    fn answer(&self, request: &Request) -> Option<Reply> {
        let (host, path) = (request.url().host_str().unwrap_or_default(), request.url().path().to_owned());
        if host.starts_with("login.") {
            return Some((self.issuer)(self.tokens.fetch_add(1, Ordering::SeqCst)));
        }
        let authorization = request.headers().get_optional_str(&HeaderName::from_static("authorization"));
        if authorization.is_none() {
            let challenge =
                "Bearer authorization=\"https://login.microsoftonline.com/t\", resource=\"https://vault.azure.net\"";
            return Some((401, vec![("www-authenticate", challenge)], json!({})));
        }
        let authorized = self.log().iter().filter(|line| line.contains(" with ")).count() - 1;
        (self.vault)(&path, authorized)
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("not poisoned").clone()
    }
}

#[async_trait::async_trait]
impl HttpClient for Network {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let who = request.headers().get_optional_str(&HeaderName::from_static("authorization"));
        let who = who.map(|who| format!(" with {who}")).unwrap_or_default();
        let url = request.url();
        self.log.lock().expect("not poisoned").push(format!("{}{}{who}", url.host_str().expect("a host"), url.path()));
        // Lets other requests come in between.
        tokio::task::yield_now().await;
        let Some((status, headers, body)) = self.answer(request) else {
            return Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Connection,
                "connection refused",
            ));
        };
        let mut all = Headers::new();
        headers.into_iter().for_each(|(name, value)| all.insert(HeaderName::from_static(name), value));
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), all, body.to_string()))
    }
}

fn secret(name: &str, value: &str) -> Option<Reply> {
    let id = format!("https://kv.vault.azure.net/secrets/{name}/v1");
    Some((
        200,
        Vec::new(),
        json!({"id": id, "value": value, "attributes": {"enabled": true, "updated": 1_767_225_600}}),
    ))
}

fn refusal(status: u16, code: &str, inner: Option<&str>) -> Option<Reply> {
    let inner = inner.map(|code| json!({"code": code}));
    Some((status, Vec::new(), json!({"error": {"code": code, "message": format!("said {code}"), "innererror": inner}})))
}

fn resolver(network: &Arc<Network>) -> Arc<Resolver> {
    let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
    let azure = Azure::new(Arc::clone(network) as Arc<dyn HttpClient>, PodIdentity::default(), Arc::clone(&cluster));
    Arc::new(Resolver {
        objects: crate::resolve::lookup::Objects::new(cluster),
        azure,
        class: "default".into(),
        witness: Arc::new(|_| {}),
        requests: tokio::sync::Semaphore::new(8),
        recent: super::super::recent::Recent::default(),
    })
}

fn vault() -> Value {
    let key = |key: &str| json!({"name": "app", "key": key});
    json!({"azurekv": {
        "vaultUrl": "https://kv.vault.azure.net", "tenantId": "t", "authType": "ServicePrincipal",
        "authSecretRef": {"clientId": key("id"), "clientSecret": key("secret")},
    }})
}

/// A pass over a cluster in which the store and its credentials are about to land.
fn pass(resolver: &Arc<Resolver>, provider: Value) -> Pass {
    let objects = [
        json!({"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": "store", "namespace": "apps"},
            "spec": {"provider": provider}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": "apps"},
            "stringData": {"id": "client", "secret": "client-secret"}}),
    ]
    .map(|object| Object::new(object).expect("an object"));
    let find = move |id: &ObjectId| objects.iter().find(|object| object.id() == *id).cloned();
    resolver.pass(Some(Arc::new(find)))
}

fn external(name: &str, keys: &[&str], policy: &str) -> Object {
    let data: Vec<Value> =
        keys.iter().map(|key| json!({"secretKey": key.replace('/', "."), "remoteRef": {"key": key}})).collect();
    let value = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": name, "namespace": "apps"},
        "spec": {"secretStoreRef": {"name": "store"}, "target": {"deletionPolicy": policy}, "data": data},
    });
    Object::new(value).expect("an object")
}

async fn resolve(network: &Arc<Network>, keys: &[&str]) -> Result<Resolved, ResolveError> {
    pass(&resolver(network), vault()).resolve(&external("db", keys, "Retain"), None).await
}

/// Why the only key of an ExternalSecret cannot be had.
async fn cause(vault: impl Fn(&str, usize) -> Option<Reply> + Send + Sync + 'static) -> Cause {
    let mut problems = resolve(&Arc::new(Network::new(vault)), &["a"]).await.err().expect("a problem").problems;
    problems.remove(0).cause
}

#[tokio::test]
async fn what_many_read_is_asked_once() {
    let network = Arc::new(Network::new(|path, _| secret("a", path)));
    let resolver = resolver(&network);
    let pass_ = pass(&resolver, vault());
    let names = ["one", "two", "three", "four"];
    let externals: Vec<Object> = names.iter().map(|name| external(name, &["a", "b"], "Retain")).collect();
    let all = futures::future::join_all(externals.iter().map(|external| pass_.resolve(external, None))).await;
    assert!(all.iter().all(Result::is_ok));
    let mut log = network.log();
    log.sort();
    assert_eq!(
        log,
        [
            "kv.vault.azure.net/secrets/a/",
            "kv.vault.azure.net/secrets/a/ with Bearer token-0",
            "kv.vault.azure.net/secrets/b/ with Bearer token-0",
            "login.microsoftonline.com/t/oauth2/v2.0/token",
        ]
    );
    let again = pass(&resolver, vault()).resolve(&externals[0], None).await;
    assert!(again.is_ok() && network.log().len() == 6, "a second pass asks for the two items, and for nothing else");
}

#[tokio::test]
async fn answers_mean_what_they_say() {
    assert!(matches!(cause(|_, _| refusal(404, "SecretNotFound", None)).await, Cause::NotFound));
    assert!(matches!(cause(|_, _| Some((404, Vec::new(), json!("no such page")))).await, Cause::Unavailable { .. }));
    assert!(matches!(cause(|_, _| refusal(403, "Forbidden", Some("SecretDisabled"))).await, Cause::Disabled));
    assert!(matches!(cause(|_, _| refusal(403, "Forbidden", Some("ForbiddenByPolicy"))).await, Cause::Denied { .. }));
    assert!(matches!(cause(|_, _| refusal(503, "Busy", None)).await, Cause::Unavailable { .. }));
    assert!(matches!(cause(|_, _| refusal(400, "BadParameter", None)).await, Cause::Spec { .. }));
    assert!(matches!(cause(|_, _| None).await, Cause::Unreachable { .. }));
    let throttled = cause(|_, _| Some((429, vec![("retry-after", "17")], json!({})))).await;
    assert!(matches!(throttled, Cause::Throttled { retry_after: Some(wait) } if wait.as_secs() == 17));
}

#[tokio::test]
async fn a_vault_that_throttles_is_left_alone_for_the_pass() {
    let network = Arc::new(Network::new(|_, _| Some((429, vec![("retry-after", "5")], json!({})))));
    let keys: Vec<String> = (0..20).map(|index| format!("k{index}")).collect();
    let error = resolve(&network, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await.err().expect("problems");
    assert_eq!((error.problems.len(), error.retry_after().map(|wait| wait.as_secs())), (20, Some(5)));
    let asked = network.log().iter().filter(|line| line.contains(" with ")).count();
    assert_eq!(asked, 1, "the first answer closes the vault");
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_throttles_is_left_alone_by_all_until_its_time_is_over() {
    let network = Arc::new(Network::new(|_, count| match count {
        0 => Some((429, vec![("retry-after", "5")], json!({}))),
        _ => secret("a", "v"),
    }));
    let resolver = resolver(&network);
    let look = async |name: &str| pass(&resolver, vault()).resolve(&external(name, &[name], "Retain"), None).await;
    let pause = |resolved: Result<Resolved, ResolveError>| resolved.err().and_then(|error| error.retry_after());
    assert_eq!(pause(look("a").await).map(|wait| wait.as_secs()), Some(5));
    let asked = network.log().len();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(pause(look("b").await), Some(Duration::from_secs(2)), "another one has to wait, too");
    assert_eq!(network.log().len(), asked, "nobody asks");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(look("b").await.is_ok());
}

#[tokio::test]
async fn a_refused_identity_asks_for_one_token() {
    let refused = |_| {
        (
            401,
            Vec::new(),
            json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret", "error_codes": [7000215]}),
        )
    };
    let mut network = Network::new(|_, _| secret("a", "v"));
    network.issuer = refused;
    let network = Arc::new(network);
    let error = resolve(&network, &["a", "b", "c"]).await.err().expect("problems");
    let said = |cause: &Cause| matches!(cause, Cause::NoToken { message } if message.contains("AADSTS7000215"));
    assert!(error.problems.iter().all(|problem| said(&problem.cause)), "{error}");
    assert_eq!(network.tokens.load(Ordering::SeqCst), 1);
    assert!(!error.to_string().contains("client-secret"));
}

#[tokio::test]
async fn a_token_that_a_vault_refuses_is_not_used_again() {
    let network = Arc::new(Network::new(|path, count| {
        if count == 0 {
            Some((401, Vec::new(), json!({"error": {"code": "Unauthorized", "message": "revoked"}})))
        } else {
            secret("a", path)
        }
    }));
    let resolver = resolver(&network);
    let external = external("db", &["a"], "Retain");
    let first = pass(&resolver, vault()).resolve(&external, None).await.err().expect("a problem");
    assert!(matches!(first.problems[0].cause, Cause::NoToken { .. }), "{first}");
    assert!(pass(&resolver, vault()).resolve(&external, None).await.is_ok());
    assert_eq!(network.tokens.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn certificates_and_keys_are_read_with_the_same_token() {
    let network = Arc::new(Network::new(|path, _| match path {
        "/certificates/tls/" => {
            Some((200, Vec::new(), json!({"id": "https://kv.vault.azure.net/certificates/tls/c1", "cer": "aGk="})))
        }
        "/keys/sign/" => Some((
            200,
            Vec::new(),
            json!({"key": {"e": "AQAB", "n": "nn", "kty": "RSA", "kid": "https://kv.vault.azure.net/keys/sign/k1"}}),
        )),
        path => secret("a", path),
    }));
    let resolved = resolve(&network, &["cert/tls", "key/sign", "a"]).await.expect("a Secret");
    let Outcome::Secret(desired) = resolved.outcome else { panic!("no Secret") };
    let value =
        |key: &str| STANDARD.decode(desired.object.value()["data"][key].as_str().expect("text")).expect("base64");
    assert_eq!(value("cert.tls"), b"hi");
    assert_eq!(
        value("key.sign"),
        br#"{"kid":"https://kv.vault.azure.net/keys/sign/k1","kty":"RSA","n":"nn","e":"AQAB"}"#
    );
    assert_eq!(network.tokens.load(Ordering::SeqCst), 1);
    let versions: Vec<&str> = resolved.read.iter().map(|(_, version)| version.as_str()).collect();
    assert_eq!(versions, ["c1", "k1", "v1@2026-01-01T00:00:00Z"]);
}

#[tokio::test]
async fn names_that_no_vault_holds_never_become_urls() {
    let network = Arc::new(Network::new(|path, _| secret("a", path)));
    let error = resolve(&network, &["..", "a?b", "secret/", "é"]).await.err().expect("problems");
    assert_eq!((error.problems.len(), network.log().len()), (4, 0));
}

#[tokio::test]
async fn a_deletion_is_known_by_its_record() {
    let network = Arc::new(Network::new(|path, _| match path {
        "/deletedsecrets/a" => {
            Some((200, Vec::new(), json!({"recoveryId": "https://kv.vault.azure.net/deletedsecrets/a"})))
        }
        _ => refusal(404, "SecretNotFound", None),
    }));
    let pass = pass(&resolver(&network), vault());
    let resolved = pass.resolve(&external("db", &["a", "b"], "Delete"), None).await.expect("an outcome");
    assert!(matches!(resolved.outcome, Outcome::Gone));
    let known =
        futures::future::join_all(resolved.missing.iter().map(|missing: &Missing| pass.deletion(missing))).await;
    assert_eq!(known, [Deletion::Recorded, Deletion::Unknown]);
}

#[tokio::test]
async fn a_token_is_not_sent_to_a_host_that_is_no_vault() {
    let network = Arc::new(Network::new(|path, _| secret("a", path)));
    let mut provider = vault();
    provider["azurekv"]["vaultUrl"] = "https://vault.example.com".into();
    let resolved = pass(&resolver(&network), provider).resolve(&external("db", &["a"], "Retain"), None).await;
    assert!(matches!(resolved.err().expect("a problem").problems[0].cause, Cause::Denied { .. }));
    assert_eq!(network.tokens.load(Ordering::SeqCst), 0);
}
