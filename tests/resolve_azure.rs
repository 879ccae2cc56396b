//! Real ServiceAccount tokens, the Entra stand-in and the vault stand-in under their real names.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/testbed.rs"]
mod testbed;

use std::sync::Arc;
use std::time::Duration;

use apply::Cluster;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockstep::cluster::kube::{Access, KubeCluster, Settings};
use lockstep::resolve::azure::PodIdentity;
use lockstep::resolve::{Cause, Deletion, Outcome, Pass, ResolveError, Resolved, Resolver, Setup, Verdict};
use manifest::{Object, ObjectId};
use serde_json::{Value, json};
use testbed::Testbed;
use testbed::azure::{Cut, Fault, Identity, TENANT, TOKEN_AUDIENCE, Vault};

/// A namespace with a ServiceAccount that is federated with an identity of one vault.
struct Bed<'a> {
    testbed: &'a Testbed,
    namespace: String,
    vault: Vault<'a>,
    identity: Identity<'a>,
    cluster: Arc<dyn Cluster>,
}

impl<'a> Bed<'a> {
    async fn new() -> Self {
        let testbed = Testbed::shared();
        let namespace = testbed.namespace("resolve");
        let vault = testbed.vault();
        testbed.service_account(&namespace, "app");
        let identity = testbed.identity(&namespace, "app", &[&vault]);
        for (key, value) in identity.annotations() {
            testbed.kubectl(&["annotate", "serviceaccount", "app", "-n", &namespace, &format!("{key}={value}")]);
        }
        let access = Access::File { path: testbed.kubeconfig(), context: None };
        let cluster =
            KubeCluster::connect(Settings { access, proxy: None, timeout: Duration::from_secs(20), term: None })
                .await
                .expect("a good kubeconfig");
        Self { testbed, namespace, vault, identity, cluster: Arc::new(cluster) }
    }

    fn resolver(&self) -> Arc<Resolver> {
        self.resolver_as(PodIdentity::default())
    }

    fn resolver_as(&self, pod: PodIdentity) -> Arc<Resolver> {
        let ca = std::fs::read(self.testbed.ca()).expect("the testbed has a CA");
        let ca = reqwest::Certificate::from_pem(&ca).expect("it is PEM");
        let proxy = reqwest::Proxy::https(self.testbed.value("HTTPS_PROXY")).expect("a proxy");
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .proxy(proxy)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let cluster = Arc::clone(&self.cluster);
        Resolver::new(Setup { cluster, http, pod, class: "default".into(), witness: Arc::new(|_| {}) })
    }

    fn workload_identity(&self) -> Value {
        json!({"vaultUrl": self.vault.url(), "authType": "WorkloadIdentity", "serviceAccountRef": {"name": "app"}})
    }

    fn store(&self, spec: &Value) -> Object {
        let value = json!({"apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": {"name": "store", "namespace": self.namespace}, "spec": {"provider": {"azurekv": spec}}});
        Object::new(value).expect("an object")
    }

    fn pass(&self, resolver: &Arc<Resolver>, spec: &Value) -> Pass {
        let store = self.store(spec);
        resolver.pass(Some(Arc::new(move |id: &ObjectId| (store.id() == *id).then(|| store.clone()))))
    }

    fn external(&self, name: &str, spec: Value) -> Object {
        let mut value = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec});
        value["spec"]["secretStoreRef"] = json!({"name": "store"});
        Object::new(value).expect("an object")
    }

    async fn resolve(&self, resolver: &Arc<Resolver>, spec: Value) -> Result<Resolved, ResolveError> {
        self.pass(resolver, &self.workload_identity()).resolve(&self.external("db", spec), None).await
    }

    /// Why one key cannot be had.
    async fn cause(&self, resolver: &Arc<Resolver>, key: &str) -> Cause {
        let error = self.resolve(resolver, one(key)).await.err().expect("a problem");
        error.problems[0].cause.clone()
    }
}

fn one(key: &str) -> Value {
    json!({"data": [{"secretKey": "k", "remoteRef": {"key": key}}]})
}

fn value(resolved: &Resolved, key: &str) -> String {
    let Outcome::Secret(desired) = &resolved.outcome else { panic!("no Secret") };
    let encoded = desired.object.value()["data"][key].as_str().unwrap_or_else(|| panic!("no key {key}"));
    String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text")
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn many_external_secrets_over_one_key_ask_for_it_once() {
    let bed = Bed::new().await;
    bed.vault.put("db", "s3cret");
    let resolver = bed.resolver();
    let pass = bed.pass(&resolver, &bed.workload_identity());
    let externals: Vec<Object> = (0..50).map(|index| bed.external(&format!("e{index}"), one("db"))).collect();
    let all = futures::future::join_all(externals.iter().map(|external| pass.resolve(external, None))).await;
    for resolved in all {
        assert_eq!(value(&resolved.expect("a Secret"), "k"), "s3cret");
    }
    let asked: Vec<_> = bed.vault.requests().iter().map(|request| request.status.clone()).collect();
    assert_eq!(asked, [json!(401), json!(200)], "one question for a token, one for the secret");
    assert_eq!(bed.identity.requests().len(), 1);
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_rotation_is_seen_by_its_version_and_costs_one_request() {
    let bed = Bed::new().await;
    bed.vault.put("db", "old");
    let resolver = bed.resolver();
    let first = bed.resolve(&resolver, one("db")).await.expect("a Secret");
    let (thing, version) = first.read[0].clone();
    bed.vault.forget_requests();
    let pass = bed.pass(&resolver, &bed.workload_identity());
    assert_eq!(pass.version(&thing).await.expect("a version"), version);
    assert_eq!(bed.vault.requests().len(), 1);
    let rotated = bed.vault.put("db", "new");
    assert_eq!(pass.version(&thing).await.expect("a version"), version, "one pass is one look");
    let pass = bed.pass(&resolver, &bed.workload_identity());
    assert!(pass.version(&thing).await.expect("a version").starts_with(&rotated));
    let second = pass.resolve(&bed.external("db", one("db")), None).await.expect("a Secret");
    assert_eq!(value(&second, "k"), "new");
    assert_eq!((bed.vault.requests().len(), bed.identity.requests().len()), (2, 1));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn versions_tags_objects_lists_certificates_and_keys_are_read() {
    let bed = Bed::new().await;
    let old = bed.vault.put("db", "old");
    bed.vault.put_with("db", &json!({"value": "{\"user\":\"u\",\"port\":5432}", "tags": {"team": "x"}}));
    bed.vault.put_with("dc", &json!({"value": "other", "tags": {"team": "y"}}));
    let disabled = bed.vault.put_with("dd", &json!({"value": "off", "tags": {"team": "x"}}));
    bed.vault.enable("dd", &disabled, false);
    let spec = json!({
        "data": [
            {"secretKey": "old", "remoteRef": {"key": "db", "version": old}},
            {"secretKey": "user", "remoteRef": {"key": "secret/db", "property": "user"}},
            {"secretKey": "team", "remoteRef": {"key": "db", "metadataPolicy": "Fetch", "property": "team"}},
        ],
        "dataFrom": [{"extract": {"key": "db"}}, {"find": {"name": {"regexp": "^d"}, "tags": {"team": "y"}}}],
    });
    let resolved = bed.resolve(&bed.resolver(), spec).await.expect("a Secret");
    let read = ["old", "user", "team", "port", "dc"].map(|key| value(&resolved, key));
    assert_eq!(read, ["old", "u", "x", "5432", "other"]);
    let Outcome::Secret(desired) = &resolved.outcome else { panic!("no Secret") };
    assert!(desired.object.value()["data"].get("dd").is_none());
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn every_failure_of_the_vault_is_told_apart() {
    let bed = Bed::new().await;
    bed.vault.put("db", "v");
    let version = bed.vault.put("off", "v");
    bed.vault.enable("off", &version, false);
    let resolver = bed.resolver();
    assert!(matches!(bed.cause(&resolver, "none").await, Cause::NotFound));
    assert!(matches!(bed.cause(&resolver, "off").await, Cause::Disabled));
    let fault = |fault: Fault| bed.vault.set_faults(&[Fault { path: Some("secrets/db".into()), ..fault }]);
    fault(Fault { status: Some(429), retry_after: Some(7), ..Fault::default() });
    let wait = bed.resolve(&resolver, one("db")).await.err().expect("a problem").retry_after();
    assert_eq!(wait.map(|wait| wait.as_secs()), Some(7));
    // That one leaves the vault alone now.
    let resolver = bed.resolver();
    for status in [500, 503] {
        fault(Fault { status: Some(status), delay_ms: Some(100), ..Fault::default() });
        assert!(matches!(bed.cause(&resolver, "db").await, Cause::Unavailable { .. }));
    }
    for cut in [Cut::Before, Cut::Inside] {
        fault(Fault { cut: Some(cut), ..Fault::default() });
        let cause = bed.cause(&resolver, "db").await;
        assert!(matches!(cause, Cause::Unavailable { .. } | Cause::Unreachable { .. }), "{cut:?}: {cause}");
    }
    fault(Fault { status: Some(403), ..Fault::default() });
    assert!(matches!(bed.cause(&resolver, "db").await, Cause::Denied { .. }));
    fault(Fault { status: Some(401), ..Fault::default() });
    assert!(matches!(bed.cause(&resolver, "db").await, Cause::NoToken { .. }));
    bed.vault.set_faults(&[]);
    assert!(bed.resolve(&resolver, one("db")).await.is_ok(), "a new token and a new question for it");
    bed.vault.forget_requests();
    assert_eq!(value(&bed.resolve(&resolver, one("db")).await.expect("a Secret"), "k"), "v");
    assert_eq!(bed.vault.requests().len(), 1, "no retry is left over");
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn access_that_is_refused_is_told_and_costs_one_token() {
    let bed = Bed::new().await;
    bed.vault.put("db", "v");
    let other = bed.testbed.vault();
    other.put("db", "v");
    let resolver = bed.resolver();
    let mut spec = bed.workload_identity();
    spec["vaultUrl"] = other.url().into();
    let denied = bed.pass(&resolver, &spec).resolve(&bed.external("db", one("db")), None).await;
    let denied = denied.err().expect("a problem");
    assert!(matches!(denied.problems[0].cause, Cause::Denied { .. }), "{denied}");

    bed.testbed.service_account(&bed.namespace, "stranger");
    for (key, value) in bed.identity.annotations() {
        let annotation = format!("{key}={value}");
        bed.testbed.kubectl(&["annotate", "serviceaccount", "stranger", "-n", &bed.namespace, &annotation]);
    }
    let mut spec = bed.workload_identity();
    spec["serviceAccountRef"]["name"] = "stranger".into();
    let before = bed.identity.requests().len();
    let pass = bed.pass(&resolver, &spec);
    let keys = json!({"data": [{"secretKey": "a", "remoteRef": {"key": "db"}}, {"secretKey": "b", "remoteRef": {"key": "dc"}}]});
    let refused = pass.resolve(&bed.external("db", keys), None).await.err().expect("problems");
    let named = |cause: &Cause| matches!(cause, Cause::NoToken { message } if message.contains("AADSTS700213"));
    assert!(refused.problems.len() == 2 && refused.problems.iter().all(|p| named(&p.cause)), "{refused}");
    assert_eq!(bed.identity.requests().len() - before, 1);
    let Verdict::Invalid { message, .. } = pass.judge(&bed.store(&spec)).await else { panic!("judged valid") };
    assert_eq!(message, "unable to create client");
    assert!(matches!(pass.judge(&bed.store(&bed.workload_identity())).await, Verdict::Valid));
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_service_principal_and_the_pods_own_token_file_work_too() {
    let bed = Bed::new().await;
    bed.vault.put("db", "v");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: sp, namespace: {}}}\nstringData: {{id: {}, secret: {}}}\n",
        bed.namespace, bed.identity.client_id, bed.identity.secret
    );
    bed.testbed.apply(&secret);
    let key = |key: &str| json!({"name": "sp", "key": key});
    let principal = json!({"vaultUrl": bed.vault.url(), "tenantId": TENANT,
        "authSecretRef": {"clientId": key("id"), "clientSecret": key("secret")}});
    let external = bed.external("db", one("db"));
    let resolver = bed.resolver();
    assert_eq!(value(&bed.pass(&resolver, &principal).resolve(&external, None).await.expect("a Secret"), "k"), "v");
    let mut wrong = principal.clone();
    wrong["authSecretRef"]["clientSecret"] = key("id");
    let refused = bed.pass(&resolver, &wrong).resolve(&external, None).await.err().expect("a problem").to_string();
    assert!(refused.contains("AADSTS7000215") && !refused.contains(&bed.identity.secret), "{refused}");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let token = bed.testbed.token(&bed.namespace, "app", Some(TOKEN_AUDIENCE));
    std::fs::write(&file, format!("{token}\n")).expect("the folder can be written");
    let pod = PodIdentity {
        client_id: Some(bed.identity.client_id.clone()),
        tenant_id: Some(TENANT.into()),
        token_file: Some(file),
    };
    let own = json!({"vaultUrl": bed.vault.url(), "authType": "WorkloadIdentity"});
    let resolved = bed.pass(&bed.resolver_as(pod), &own).resolve(&external, None).await.expect("a Secret");
    assert_eq!(value(&resolved, "k"), "v");
}

#[tokio::test]
#[ignore = "needs the testbed: make test"]
async fn a_deleted_secret_has_a_record_and_a_recovered_one_is_back() {
    let bed = Bed::new().await;
    bed.vault.put("db", "v");
    bed.vault.delete("db");
    let resolver = bed.resolver();
    let mut spec = one("db");
    spec["target"] = json!({"deletionPolicy": "Delete"});
    let pass = bed.pass(&resolver, &bed.workload_identity());
    let gone = pass.resolve(&bed.external("db", spec.clone()), None).await.expect("an outcome");
    assert!(matches!(gone.outcome, Outcome::Gone));
    assert_eq!(pass.deletion(&gone.missing[0]).await, Deletion::Recorded);
    bed.vault.recover("db");
    assert_eq!(value(&bed.resolve(&resolver, spec).await.expect("a Secret"), "k"), "v");
}
