//! A webhook whose workload lands with what it judges: asked over HTTPS by the real API server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::agent::condition;
use super::scene::Scene;
use super::testbed::{Testbed, command, run};

/// The operator of a version and an Ingress in the form that a version of it takes. Nobody routes to Services on the
/// testbed, so this one leads to the test.
const MANIFESTS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  replicas: 1
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}, annotations: {version: 'VERSION'}}
    spec: {containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: operator}
spec: {type: ExternalName, externalName: localhost, selector: {app: operator}, ports: [{port: PORT}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: operator-NAMESPACE}
webhooks:
- name: judge.example.com
  sideEffects: None
  admissionReviewVersions: [v1]
  timeoutSeconds: 5
  clientConfig: {caBundle: CA, service: {name: operator, namespace: NAMESPACE, path: /judge, port: PORT}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
  rules: [{apiGroups: [networking.k8s.io], apiVersions: [v1], resources: [ingresses], operations: [CREATE, UPDATE]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {form: 'FORM'}}
spec: {defaultBackend: {service: {name: shop, port: {number: 80}}}}
";

/// What answers for the operator: only while its newest pods run, and as their version would.
struct Operator {
    testbed: &'static Testbed,
    namespace: String,
}

impl Operator {
    /// Serves from now on, and tells the port.
    fn serve(testbed: &'static Testbed, namespace: &str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let config = Arc::new(certified(testbed, namespace));
        let operator = Self { testbed, namespace: namespace.into() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(config.clone()).expect("a good configuration");
                // Who is not ready hangs up.
                operator.answer(StreamOwned::new(connection, stream)).ok();
            }
        });
        port
    }

    fn answer(&self, stream: StreamOwned<ServerConnection, TcpStream>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim().to_ascii_lowercase().split_once(':') {
                Some(("content-length", number)) => length = number.trim().parse().expect("a number"),
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let review: Value = serde_json::from_slice(&body)?;
        let Some(version) = self.version() else { return Ok(()) };
        let form = &review["request"]["object"]["metadata"]["annotations"]["form"];
        let response = json!({"uid": review["request"]["uid"], "allowed": *form == version,
            "status": {"message": format!("version {version} does not take form {form}")}});
        let text =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
            text.len()
        );
        let stream = reader.get_mut();
        stream.write_all((head + &text).as_bytes())?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    /// The version whose pods run; none while they are being replaced.
    fn version(&self) -> Option<String> {
        let found = self.testbed.try_kubectl(&["get", "deployment", "operator", "-n", &self.namespace, "-o", "json"]);
        let found: Value = serde_json::from_str(&found.ok()?).ok()?;
        let (status, spec) = (&found["status"], &found["spec"]);
        let is_ready = status["observedGeneration"] == found["metadata"]["generation"]
            && ["updatedReplicas", "availableReplicas", "replicas"]
                .iter()
                .all(|count| status[*count] == spec["replicas"]);
        is_ready.then(|| spec["template"]["metadata"]["annotations"]["version"].as_str().map(str::to_owned))?
    }
}

/// A certificate of the testbed's CA for the Service's name.
fn certified(testbed: &Testbed, namespace: &str) -> ServerConfig {
    let [key, certificate] = ["key", "crt"].map(|end| testbed.data().join(format!("webhook-{namespace}.{end}")));
    let pki = testbed.ca().parent().expect("a folder").to_owned();
    let script = format!(
        "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out {key:?}
openssl req -new -key {key:?} -subj /CN=operator | openssl x509 -req -CA ca.crt -CAkey ca.key -days 2 \
-set_serial 0x$(openssl rand -hex 8) -extfile <(printf subjectAltName=DNS:operator.{namespace}.svc) -out {certificate:?}"
    );
    run(command(Path::new("bash")).current_dir(pki).args(["-c", &script]));
    let chain = vec![CertificateDer::from_pem_file(&certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.expect("protocols").with_no_client_auth().with_single_cert(chain, key).expect("they fit")
}

#[test]
#[ignore = "needs the testbed: make test"]
fn an_operator_lands_with_what_only_its_new_version_takes_and_goes_back_with_what_it_refuses() {
    let scene = Scene::new("webhooks");
    let namespace = scene.agent.namespace.clone();
    let port = Operator::serve(scene.testbed, &namespace).to_string();
    let ca = STANDARD.encode(std::fs::read(scene.testbed.ca()).expect("the CA"));
    let push = |version: &str, form: &str| {
        let parts =
            [("NAMESPACE", namespace.as_str()), ("PORT", &port), ("CA", &ca), ("VERSION", version), ("FORM", form)];
        let manifests = parts.iter().fold(MANIFESTS.to_owned(), |text, (from, to)| text.replace(from, to));
        scene.git.write("shop/app.yaml", &manifests);
        scene.push("an operator and what it judges")
    };
    let stands = || {
        let text = |reference: &str, at: &str| {
            scene.agent.get(reference).and_then(|found| found.pointer(at)?.as_str().map(str::to_owned))
        };
        let version = text("deployment/operator", "/spec/template/metadata/annotations/version");
        (version.unwrap_or_default(), text("ingress/shop", "/metadata/annotations/form").unwrap_or_default())
    };
    let landed = |commit: &str| {
        let revision = format!("main@sha1:{commit}");
        scene.agent.until("kustomization/shop", |found| found["status"]["lastAppliedRevision"] == revision);
    };
    let first = push("1", "1");
    scene.kustomization("shop");
    landed(&first);
    assert_eq!(stands(), ("1".into(), "1".into()));
    // The old version would refuse what the new one takes.
    landed(&push("2", "2"));
    assert_eq!(stands(), ("2".into(), "2".into()));
    // The new version refuses: nobody knew before it ran.
    push("3", "9");
    let is_held = |found: &Value| {
        let ready = condition(found, "Ready");
        let message = ready["message"].as_str().unwrap_or_default();
        ready["status"] == "False" && message.contains("version 3 does not take form")
    };
    scene.agent.until("kustomization/shop", is_held);
    assert_eq!(stands(), ("2".into(), "2".into()), "operator and Ingress are taken back");
    landed(&push("4", "4"));
    assert_eq!(stands(), ("4".into(), "4".into()));
    scene.testbed.kubectl(&["delete", "validatingwebhookconfiguration", &format!("operator-{namespace}")]);
    scene.finish();
}
