//! A webhook whose workload lands with what it judges: asked over HTTPS by the real API server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::agent::condition;
use super::scene::Scene;
use super::served::serve;
use super::testbed::Testbed;

/// The operator of a version and an Ingress in the form that a version of it takes.
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
    /// Judges a review; who is not ready hangs up.
    fn judge(&self, review: &Value) -> Option<(u16, Value)> {
        let version = self.version()?;
        let form = &review["request"]["object"]["metadata"]["annotations"]["form"];
        let response = json!({"uid": review["request"]["uid"], "allowed": *form == version,
            "status": {"message": format!("version {version} does not take form {form}")}});
        Some((200, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})))
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

#[test]
#[ignore = "needs the testbed: make test"]
fn an_operator_lands_with_what_only_its_new_version_takes_and_goes_back_with_what_it_refuses() {
    let scene = Scene::new("webhooks");
    let namespace = scene.agent.namespace.clone();
    let operator = Operator { testbed: scene.testbed, namespace: namespace.clone() };
    let port = serve(scene.testbed, &namespace, move |request| operator.judge(&request.body)).to_string();
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
