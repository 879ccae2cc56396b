//! ExternalSecrets over stores of the `fake` provider: what becomes of them, and what is said when nothing can.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]

#[path = "support/corpus.rs"]
mod corpus;

use std::sync::{Arc, LazyLock, Mutex};

use apply::memory::{MemoryCluster, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockstep::api::Kind as _;
use lockstep::api::secret::ExternalSecret;
use lockstep::resolve::azure::PodIdentity;
use lockstep::resolve::{Outcome, Pass, ResolveError, Resolved, Resolver, Setup, Verdict};
use manifest::{Object, ObjectId};
use serde_json::{Value, json};

/// Never used: the fake provider asks nobody.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);

/// A cluster in memory, with objects that are about to land.
struct World {
    candidate: Vec<Object>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl World {
    fn new(objects: &[Value]) -> Self {
        let candidate = objects.iter().map(|object| Object::new(object.clone()).expect("an object")).collect();
        Self { candidate, seen: Arc::default() }
    }

    fn pass(&self) -> Pass {
        let seen = Arc::clone(&self.seen);
        let resolver = Resolver::new(Setup {
            cluster: Arc::new(MemoryCluster::new(Settings::default())),
            http: CLIENT.clone(),
            pod: PodIdentity::default(),
            class: "default".into(),
            witness: Arc::new(move |value| seen.lock().expect("not poisoned").push(value.to_vec())),
        });
        let objects = self.candidate.clone();
        let find = move |id: &ObjectId| objects.iter().find(|object| object.id() == *id).cloned();
        resolver.pass(Some(Arc::new(find)))
    }

    async fn resolve(&self, spec: Value) -> Result<Resolved, ResolveError> {
        let external = external(spec);
        let resolved = self.pass().resolve(&external, None).await;
        if matches!(&resolved, Ok(resolved) if matches!(resolved.outcome, Outcome::Secret(_))) {
            // The frame asks this first: what works must not be refused there.
            assert_eq!(ExternalSecret::unsupported(external.value()), Vec::<String>::new());
        }
        resolved
    }
}

fn store(kind: &str, spec: Value) -> Value {
    let mut store =
        json!({"apiVersion": "external-secrets.io/v1", "kind": kind, "metadata": {"name": "store"}, "spec": spec});
    if kind == "SecretStore" {
        store["metadata"]["namespace"] = "apps".into();
    }
    store
}

fn values(data: Value) -> World {
    World::new(&[store("SecretStore", json!({"provider": {"fake": {"data": data}}}))])
}

fn external(mut spec: Value) -> Object {
    if spec.get("secretStoreRef").is_none() {
        spec["secretStoreRef"] = json!({"name": "store"});
    }
    let value = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": {"name": "db", "namespace": "apps"}, "spec": spec,
    });
    Object::new(value).expect("an object")
}

/// The data of the Secret, as texts.
fn data(resolved: Result<Resolved, ResolveError>) -> Value {
    let Outcome::Secret(desired) = resolved.expect("a resolved ExternalSecret").outcome else { return Value::Null };
    let data = desired.object.value()["data"].as_object().expect("data");
    let text = |value: &Value| STANDARD.decode(value.as_str().expect("text")).expect("base64");
    data.iter().map(|(key, value)| (key.clone(), String::from_utf8_lossy(&text(value)).into_owned())).collect()
}

fn problems(resolved: Result<Resolved, ResolveError>) -> Vec<String> {
    resolved.err().expect("problems").problems.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn data_and_data_from_come_together_and_data_wins() {
    let world = values(json!([
        {"key": "plain", "value": "p"}, {"key": "json", "value": "{\"a\":\"1\",\"b\":{\"c\":2}}"}, {"key": "enc", "value": "aGk="},
    ]));
    let spec = json!({
        "dataFrom": [{"extract": {"key": "json"}}, {"find": {"name": {"regexp": "^pl"}}}],
        "data": [
            {"secretKey": "a", "remoteRef": {"key": "plain"}},
            {"secretKey": "c", "remoteRef": {"key": "json", "property": "b.c"}},
            {"secretKey": "d", "remoteRef": {"key": "enc", "decodingStrategy": "Base64"}},
        ],
    });
    let resolved = world.resolve(spec).await;
    assert_eq!(resolved.as_ref().ok().map(|resolved| resolved.read.len()), Some(6));
    assert_eq!(data(resolved), json!({"a": "p", "b": "{\"c\":2}", "c": "2", "d": "hi", "plain": "p"}));
    let seen = world.seen.lock().expect("not poisoned");
    assert!([&b"p"[..], b"hi", b"2"].iter().all(|value| seen.iter().any(|seen| seen == value)), "told of plaintext");
}

#[tokio::test]
async fn every_missing_key_is_named() {
    let world = values(json!([{"key": "json", "value": "{}"}]));
    let spec = json!({"data": [
        {"secretKey": "a", "remoteRef": {"key": "one"}},
        {"secretKey": "b", "remoteRef": {"key": "json", "property": "x.y"}},
        {"secretKey": "c", "remoteRef": {"key": "two"}},
    ]});
    let resolved = world.resolve(spec).await;
    assert_eq!(resolved.as_ref().err().map(|error| (error.is_gone(), error.is_transient())), Some((false, false)));
    assert_eq!(
        problems(resolved),
        [
            "spec.data[0]: one in SecretStore store does not exist in the store",
            "spec.data[1]: json in SecretStore store property x.y does not exist",
            "spec.data[2]: two in SecretStore store does not exist in the store",
        ]
    );
}

#[tokio::test]
async fn only_confirmed_absence_is_gone() {
    let world = values(json!([{"key": "there", "value": "{}"}]));
    let entry = |key: &str, property: Option<&str>| json!([{"secretKey": "k", "remoteRef": {"key": key, "property": property}}]);
    let gone = world.resolve(json!({"target": {"deletionPolicy": "Delete"}, "data": entry("none", None)})).await;
    let gone = gone.expect("an outcome");
    assert!(matches!(gone.outcome, Outcome::Gone) && gone.missing.len() == 1);
    let doubt =
        world.resolve(json!({"target": {"deletionPolicy": "Delete"}, "data": entry("there", Some("none"))})).await;
    assert!(doubt.is_err_and(|error| !error.is_gone()));
    let retain = world.resolve(json!({"data": entry("none", None)})).await;
    assert!(retain.is_err_and(|error| error.is_gone()));
    let empty =
        world.resolve(json!({"dataFrom": [{"find": {"name": {"regexp": "nothing"}}}]})).await.expect("an outcome");
    assert!(matches!(empty.outcome, Outcome::Retained) && empty.missing.len() == 1);
}

#[tokio::test]
async fn templates_make_data_labels_and_annotations() {
    let mut world = values(json!([{"key": "user", "value": "bob"}, {"key": "pass", "value": "p@ss"}]));
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tpl", "namespace": "apps"},
        "data": {"url": "https://{{ .user }}:{{ .pass }}@h", "many": "x: \"{{ .user }}\"\ny: 1.5\n"}});
    world.candidate.push(Object::new(map).expect("an object"));
    let spec = json!({
        "data": [{"secretKey": "user", "remoteRef": {"key": "user"}}, {"secretKey": "pass", "remoteRef": {"key": "pass"}}],
        "target": {"template": {
            "metadata": {"labels": {"who": "{{ .user }}"}},
            "data": {"url": "mine", "len": "{{ len .pass }}"},
            "templateFrom": [
                {"configMap": {"name": "tpl", "items": [{"key": "url"}, {"key": "many", "templateAs": "KeysAndValues"}]}},
                {"literal": "note: \"{{ .user }}!\"", "target": "annotations"},
            ],
        }},
    });
    let resolved = world.resolve(spec).await.expect("a Secret");
    let Outcome::Secret(desired) = &resolved.outcome else { panic!("no Secret") };
    assert_eq!(desired.object.label("who"), Some("bob"));
    assert_eq!(desired.object.annotation("note"), Some("bob!"));
    assert_eq!(data(Ok(resolved)), json!({"true": "1.5", "len": "4", "url": "mine", "x": "bob"}));
}

#[tokio::test]
async fn all_templates_that_fail_are_told_with_their_lines() {
    let world = values(json!([{"key": "user", "value": "bob"}]));
    let spec = json!({
        "data": [{"secretKey": "user", "remoteRef": {"key": "user"}}],
        "target": {"template": {"data": {"a": "\n{{ .none }}", "b": "{{ nope }}", "c": "{{ .user }}"}}},
    });
    let problems = problems(world.resolve(spec).await);
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with("spec.target.template: template a line 2: "), "{}", problems[0]);
    assert!(problems[1].contains("template b line 1: ") && problems[1].contains("function \"nope\" not defined"));
}

#[tokio::test]
async fn what_a_webhook_would_refuse_is_refused() {
    let world = values(json!([]));
    let refused = |spec: Value| async { problems(world.resolve(spec).await) };
    assert_eq!(refused(json!({})).await, ["spec: either data or dataFrom should be specified"]);
    let both = json!({"dataFrom": [{"extract": {"key": "a"}, "find": {}}, {}], "target": {"template": {"type": "bootstrap.kubernetes.io/token"}}});
    assert_eq!(refused(both).await.len(), 3);
    let merge = json!({"data": [{"secretKey": "a", "remoteRef": {"key": "a"}}], "target": {"deletionPolicy": "Delete", "creationPolicy": "Merge"}});
    assert!(refused(merge).await[0].contains("deletionPolicy=Delete"));
    let generator = json!({"dataFrom": [{"sourceRef": {"generatorRef": {"kind": "Password", "name": "p"}}}]});
    assert_eq!(refused(generator).await, ["spec.dataFrom[0]: sourceRef.generatorRef is not supported"]);
}

#[tokio::test]
async fn a_cluster_store_serves_only_whom_it_admits() {
    let cluster_store = |conditions: Value| {
        let fake = json!({"data": [{"key": "a", "value": "v"}]});
        store("ClusterSecretStore", json!({"conditions": conditions, "provider": {"fake": fake}}))
    };
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps", "labels": {"team": "x"}}});
    let resolve = |conditions: Value| {
        let world = World::new(&[cluster_store(conditions), namespace.clone()]);
        async move {
            let entry = json!([{"secretKey": "a", "remoteRef": {"key": "a"}}]);
            let reference = json!({"name": "store", "kind": "ClusterSecretStore"});
            world.resolve(json!({"secretStoreRef": reference, "data": entry})).await.is_ok()
        }
    };
    assert!(resolve(json!([])).await);
    assert!(resolve(json!([{"namespaces": ["apps"]}])).await);
    assert!(resolve(json!([{"namespaces": ["other"]}, {"namespaceRegexes": ["^ap"]}])).await);
    assert!(
        resolve(
            json!([{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["x"]}]}}])
        )
        .await
    );
    assert!(!resolve(json!([{"namespaceSelector": {"matchLabels": {"team": "y"}}}])).await);
}

#[tokio::test]
async fn a_store_of_another_class_is_left_alone() {
    let foreign = store("SecretStore", json!({"controller": "other", "provider": {"fake": {"data": []}}}));
    let world = World::new(std::slice::from_ref(&foreign));
    let resolved = world.resolve(json!({"data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]})).await;
    assert!(resolved.is_ok_and(|resolved| matches!(resolved.outcome, Outcome::Foreign)));
    assert!(matches!(world.pass().judge(&Object::new(foreign).expect("an object")).await, Verdict::Foreign));
}

#[tokio::test]
async fn a_store_is_judged_as_external_secrets_does() {
    let world = World::new(&[]);
    let judge = |provider: Value| {
        let object = Object::new(store("SecretStore", json!({"provider": provider}))).expect("an object");
        let pass = world.pass();
        async move { pass.judge(&object).await }
    };
    assert!(matches!(judge(json!({"fake": {"data": []}})).await, Verdict::Valid));
    assert!(matches!(judge(json!({"fake": {"data": [], "validationResult": 1}})).await, Verdict::Unknown));
    let invalid = judge(json!({"fake": {"data": [], "validationResult": 2}})).await;
    assert!(matches!(invalid, Verdict::Invalid { message: "unable to validate store", .. }));
    let vault = json!({"azurekv": {"vaultUrl": "https://kv.vault.azure.net", "authType": "ServicePrincipal"}});
    let Verdict::Invalid { message, cause } = judge(vault).await else { panic!("valid") };
    assert_eq!((message, cause.to_string().as_str()), ("unable to create client", "missing tenantID in store config"));
    assert!(matches!(judge(json!({"vault": {"server": "https://v"}})).await, Verdict::Invalid { .. }));
}

#[tokio::test]
async fn a_read_set_tells_versions_again() {
    let spec = json!({"data": [{"secretKey": "a", "remoteRef": {"key": "a"}}], "dataFrom": [{"find": {"name": {"regexp": "b"}}}]});
    let before = values(json!([{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]));
    let after = values(json!([{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]));
    let read = before.resolve(spec).await.expect("a Secret").read;
    let (same, changed) = (before.pass(), after.pass());
    let (mut unchanged, mut rotated) = (0, 0);
    for (thing, version) in &read {
        unchanged += usize::from(same.version(thing).await.expect("a version") == *version);
        rotated += usize::from(changed.version(thing).await.expect("a version") != *version);
    }
    assert_eq!((read.len(), unchanged, rotated), (3, 3, 2), "the list and the item in it changed");
}

/// What a template gives of some variables.
async fn made(vars: &[(&str, String)], template: &str) -> Result<String, String> {
    let vars: serde_json::Map<String, Value> =
        vars.iter().map(|(key, value)| ((*key).into(), value.clone().into())).collect();
    let made = rendered(&json!({"vars": vars, "tpl": template})).await?;
    let bytes = STANDARD.decode(made.as_str().expect("text")).expect("base64");
    Ok(String::from_utf8(bytes).expect("text"))
}

fn case(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/pkcs12").join(name))
        .expect("a case")
}

#[tokio::test]
async fn every_generation_of_pkcs12_opens() {
    let text = |name: &str| String::from_utf8(case(name)).expect("PEM");
    for (file, password) in [("legacy.p12", ""), ("des.p12", "p\u{e4}"), ("rc2.p12", "x"), ("aes.p12", "x")] {
        let vars = [("p", STANDARD.encode(case(file)))];
        let key = made(&vars, &format!("{{{{ .p | b64dec | pkcs12keyPass {password:?} }}}}")).await;
        assert_eq!(key, Ok(text("key.pem")), "{file}");
        let certificate = made(&vars, &format!("{{{{ .p | b64dec | pkcs12certPass {password:?} }}}}")).await;
        assert_eq!(certificate, Ok(text("certificate.pem")), "{file}");
        let wrong = made(&vars, "{{ .p | b64dec | pkcs12keyPass \"wrong\" }}").await;
        assert!(wrong.is_err_and(|error| error.contains("decryption password incorrect")), "{file}");
    }
}

#[tokio::test]
async fn a_broken_pkcs12_is_an_error() {
    let whole = case("aes.p12");
    for end in (0..whole.len()).step_by(7) {
        let opened = made(&[("p", STANDARD.encode(&whole[..end]))], "{{ .p | b64dec | pkcs12keyPass \"x\" }}").await;
        assert!(opened.is_err(), "{end} bytes");
    }
}

#[tokio::test]
async fn what_is_written_opens_again_and_is_the_same_every_time() {
    let text = |name: &str| String::from_utf8(case(name)).expect("PEM");
    let vars = [("c", text("certificate.pem")), ("k", text("sec1.pem"))];
    let write = "pemToPkcs12Pass .c .k \"pw\"";
    // OpenSSL and the original's own library read both files; see `origin`.
    let written = |name: &str| Ok(STANDARD.encode(case(name)));
    assert_eq!(made(&vars, &format!("{{{{ {write} }}}}")).await, written("written.p12"));
    assert_eq!(made(&vars, "{{ pemTruststoreToPKCS12Pass .c \"pw\" }}").await, written("trust.p12"));
    assert_eq!(made(&vars, &format!("{{{{ {write} | b64dec | pkcs12keyPass \"pw\" }}}}")).await, Ok(text("key.pem")));
    assert_eq!(
        made(&vars, "{{ certSANs .c | join \" \" }}").await.as_deref(),
        Ok("a.example 10.0.0.1 x@a.example spiffe://a/b")
    );
}

/// What a template of the table gives, through a whole ExternalSecret.
async fn rendered(case: &Value) -> Result<Value, String> {
    let vars = case["vars"].as_object().expect("variables");
    let stored: Vec<Value> = vars.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let entries: Vec<Value> = vars.keys().map(|key| json!({"secretKey": key, "remoteRef": {"key": key}})).collect();
    let template = if case["scope"] == "KeysAndValues" {
        json!({"templateFrom": [{"literal": case["tpl"]}]})
    } else {
        json!({"data": {"key": case["tpl"]}})
    };
    let resolved = values(stored.into()).resolve(json!({"data": entries, "target": {"template": template}})).await;
    let resolved = resolved.map_err(|error| error.to_string())?;
    let Outcome::Secret(desired) = resolved.outcome else { return Err("no Secret".into()) };
    let data = desired.object.value()["data"].clone();
    if case["scope"] != "KeysAndValues" {
        return Ok(data["key"].clone());
    }
    Ok(data)
}

/// What a case expects, as base64 like the Secret's data; an error by the engine's own words.
fn expected(case: &Value) -> Result<Value, String> {
    let encoded = |text: &Value| Value::from(STANDARD.encode(text.as_str().expect("text")));
    match (&case["error"], &case["out_b64"], &case["out"]) {
        (Value::String(error), _, _) => {
            let words = error.rsplit_once("template: ").map_or("", |(_, words)| words);
            // Go's DER reader has words of its own, and a nil pointer is no answer.
            let words = words.split("asn1: ").next().and_then(|words| words.split("runtime error").next());
            Err(words.unwrap_or_default().to_owned())
        }
        (_, bytes @ Value::String(_), _) => Ok(bytes.clone()),
        (_, _, Value::Object(members)) => {
            Ok(members.iter().map(|(key, value)| (key.clone(), encoded(value))).collect())
        }
        (_, _, text) => Ok(encoded(text)),
    }
}

#[tokio::test]
async fn templates_render_as_the_original_renders() {
    let Some(path) = corpus::corpus("tables/eso-template.jsonl") else { return };
    let table = std::fs::read_to_string(path).expect("the table can be read");
    let cases: Vec<Value> = table
        .split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect();
    let mut failed = Vec::new();
    let (others, same): (Vec<_>, Vec<_>) = cases.iter().partition(|case| is_other(case["tpl"].as_str().expect("text")));
    for case in same {
        let (rendered, expected) = (rendered(case).await, expected(case));
        let same = match (&rendered, &expected) {
            (Ok(rendered), Ok(expected)) => rendered == expected,
            // Words of the YAML reader, which are ours, have no place of a template.
            (Err(said), Err(words)) => said.contains(words.as_str()) || case["scope"] == "KeysAndValues",
            _ => false,
        };
        if !same {
            failed.push(format!("{}: {}: {rendered:?} instead of {expected:?}", case["id"], case["tpl"]));
        }
    }
    corpus::report_besides("resolve/eso-template", cases.len(), &failed, others.len());
    assert_eq!((cases.len(), others.len()), (149, 5), "as many cases are equal to the original's");
}

/// Cases in which we are known to differ from the table's version.
fn is_other(template: &str) -> bool {
    // External Secrets 2.9 knows hexdec and certSANs, and no getHostByName.
    let newer = ["hexdec", "certSANs", "getHostByName"];
    // The YAML reader's words have a column as well.
    newer.iter().any(|name| template.contains(name)) || template.contains("bad: [")
}

/// Without a single certificate authority to trust, and with nobody to talk to.
#[tokio::test]
async fn a_vault_without_trust_or_network_is_an_error_and_no_panic() {
    let proxy = reqwest::Proxy::https("http://127.0.0.1:1").expect("a proxy");
    let http = reqwest::Client::builder().tls_certs_only([]).proxy(proxy).build().expect("a client");
    let key = |key: &str| json!({"name": "app", "key": key});
    let vault = json!({"azurekv": {"vaultUrl": "https://kv.vault.azure.net", "tenantId": "t",
        "authSecretRef": {"clientId": key("id"), "clientSecret": key("secret")}}});
    let objects = [
        store("SecretStore", json!({"provider": vault})),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": "apps"},
            "stringData": {"id": "client", "secret": "client-secret"}}),
    ]
    .map(|object| Object::new(object).expect("an object"));
    let resolver = Resolver::new(Setup {
        cluster: Arc::new(MemoryCluster::new(Settings::default())),
        http,
        pod: PodIdentity::default(),
        class: "default".into(),
        witness: Arc::new(|_| {}),
    });
    let find = move |id: &ObjectId| objects.iter().find(|object| object.id() == *id).cloned();
    let entry = json!({"data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    let resolved = resolver.pass(Some(Arc::new(find))).resolve(&external(entry), None).await;
    let error = resolved.err().expect("a problem");
    assert!(error.is_transient() && error.to_string().contains("cannot be reached"), "{error}");
}
