//! What the proofs share: an agent with a repository, a vault by workload identity, a history of what was written, and
//! the canary that must not be found anywhere. Included by path, beside `agent`, `secrecy` and `testbed`.
//!
//! # Panics
//! Every function here: what fails stops the test, and its message says what was found.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use lockstep::cluster::kube::{Access, KubeCluster, Settings};
use serde_json::Value;

use super::agent::Agent;
use super::secrecy::{CANARY, end_without_a_leak};
use super::testbed::Testbed;
use super::testbed::azure::{Identity, Vault};
use super::testbed::sources::{Git, PASSWORD, USER};

/// A namespace with an agent of its own, the SecretStore `vault` and the GitRepository `repo`.
pub struct Scene {
    pub testbed: &'static Testbed,
    pub agent: Agent<'static>,
    pub git: Git<'static>,
    pub vault: Vault<'static>,
    pub identity: Identity<'static>,
}

impl Scene {
    pub fn new(name: &str) -> Self {
        Self::on(Testbed::shared(), name)
    }

    /// One on a testbed of the test's own.
    pub fn on(testbed: &'static Testbed, name: &str) -> Self {
        let (agent, git, vault) = (Agent::of_namespace(testbed, name), testbed.git("fleet"), testbed.vault());
        let namespace = &agent.namespace;
        testbed.service_account(namespace, "app");
        let identity = testbed.identity(namespace, "app", &[&vault]);
        for (key, value) in identity.annotations() {
            testbed.kubectl(&["annotate", "serviceaccount", "app", "-n", namespace, &format!("{key}={value}")]);
        }
        git.write("README.md", "A fleet.\n");
        git.push("the beginning");
        let (store, source) = (store(namespace, &vault.url()), source(namespace, &git.github_url()));
        testbed.apply(&format!("{store}---\n{source}"));
        Self { testbed, agent, git, vault, identity }
    }

    /// Commits and pushes, and has the agent look.
    pub fn push(&self, message: &str) -> String {
        let commit = self.git.push(message);
        self.agent.request("gitrepository/repo");
        let is_there = |found: &Value| found["status"]["artifact"]["revision"] == format!("main@sha1:{commit}");
        self.agent.until("gitrepository/repo", is_there);
        commit
    }

    /// A Kustomization for the folder of the same name.
    pub fn kustomization(&self, name: &str) {
        self.testbed.apply(&kustomization(name, &self.agent.namespace, ""));
    }

    /// A secret value that only this scene has.
    pub fn canary(&self, name: &str) -> String {
        format!("{CANARY}{}/{name}", self.agent.namespace)
    }

    /// Waits until an event about an object of this name has these words.
    pub fn told(&self, name: &str, words: &str) {
        let field = format!("--field-selector=involvedObject.name={name}");
        let began = std::time::Instant::now();
        loop {
            let events = self.testbed.kubectl(&["get", "events", "-n", &self.agent.namespace, &field]);
            if events.contains(words) {
                return;
            }
            assert!(began.elapsed().as_secs() < 30, "{words} is not in: {events}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// The value of the key `password` of a Secret.
    pub fn secret(&self, name: &str) -> String {
        let secret = self.agent.get(&format!("secret/{name}")).unwrap_or_else(|| panic!("no Secret {name}"));
        let value = secret["data"]["password"].as_str().unwrap_or_else(|| panic!("no key in {name}"));
        String::from_utf8(STANDARD.decode(value).expect("base64")).expect("text")
    }

    /// From now on every new pod of the namespace crashes.
    pub fn break_new_pods(&self) {
        let namespace = &self.agent.namespace;
        self.testbed.apply(&BREAK.replace("NAMESPACE", namespace));
        // A policy counts once the API server has seen it.
        let probe = || {
            let pod = format!(
                "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"probe\",\"namespace\":\"{namespace}\"}},\"spec\":{{\"containers\":[{{\"name\":\"c\",\"image\":\"i\"}}]}}}}"
            );
            let file = self.testbed.data().join(format!("probe-{namespace}.json"));
            std::fs::write(&file, pod).expect("the data folder can be written");
            let file = file.to_str().expect("text");
            let made = self.testbed.kubectl(&["create", "--dry-run=server", "-o", "json", "-f", file]);
            made.contains("testbed/fail")
        };
        while !probe() {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// Undoes [`Scene::break_new_pods`].
    pub fn mend_new_pods(&self) {
        let name = format!("break-{}", self.agent.namespace);
        self.testbed.kubectl(&["delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", &name]);
        std::thread::sleep(std::time::Duration::from_secs(2)); // until the API server has seen it
    }

    /// Keeps what happens to the objects of some resources (plural names) from now on.
    pub fn record(&self, resources: &[&str]) -> Recording {
        Recording::start(self.testbed, &self.agent.namespace, resources)
    }

    /// Ends the agent, and looks for the canary in everything that it left behind.
    pub fn finish(mut self) {
        let canary = self.canary("");
        end_without_a_leak(self.testbed, &mut self.agent, &[&canary], &[]);
    }
}

/// A history of objects: every state that the API server told of.
pub struct Recording {
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<History>,
}

/// What was seen, in order: resource version and object, by kind and name.
#[derive(Default)]
pub struct History(BTreeMap<(String, String), Vec<(u64, Value)>>);

impl Recording {
    /// Begins one of a namespace.
    pub fn start(testbed: &Testbed, namespace: &str, resources: &[&str]) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let (path, namespace) = (testbed.kubeconfig(), namespace.to_owned());
        let kinds: Vec<(String, String)> = resources.iter().map(|resource| kind_of(resource)).collect();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(record(path, &namespace, &kinds, stopped))
        });
        Self { stop, thread }
    }

    /// Ends it.
    pub fn end(self) -> History {
        self.stop.send(()).expect("it runs");
        self.thread.join().expect("it ended well")
    }
}

impl History {
    /// The resource version at which an object was first there.
    pub fn first(&self, kind: &str, name: &str) -> Option<u64> {
        self.states(kind, name).first().map(|(version, _)| *version)
    }

    /// Every state of an object, with its resource version.
    pub fn states(&self, kind: &str, name: &str) -> &[(u64, Value)] {
        self.0.get(&(kind.into(), name.into())).map_or(&[], Vec::as_slice)
    }
}

fn kind_of(resource: &str) -> (String, String) {
    let (api_version, kind) = match resource {
        "secrets" => ("v1", "Secret"),
        "deployments" => ("apps/v1", "Deployment"),
        other => panic!("{other} is not recorded"),
    };
    (api_version.into(), kind.into())
}

async fn record(
    path: std::path::PathBuf,
    namespace: &str,
    kinds: &[(String, String)],
    stopped: mpsc::Receiver<()>,
) -> History {
    let access = Access::File { path, context: None };
    let settings = Settings { access, proxy: None, timeout: std::time::Duration::from_secs(20), term: None };
    let cluster: std::sync::Arc<dyn apply::Cluster> =
        std::sync::Arc::new(KubeCluster::connect(settings).await.expect("a good kubeconfig"));
    let selections = kinds.iter().map(|(version, kind)| apply::Selection::all(version, kind).within(namespace));
    let mut events = futures::stream::select_all(selections.map(|selection| cluster.watch(selection)));
    let mut history = History::default();
    while stopped.try_recv().is_err() {
        let event = tokio::time::timeout(std::time::Duration::from_millis(200), events.next()).await;
        let objects = match event {
            Ok(Some(Ok(apply::WatchEvent::Reset(objects)))) => objects,
            Ok(Some(Ok(apply::WatchEvent::Applied(object)))) => vec![object],
            _ => continue,
        };
        for object in objects {
            let version = object.resource_version().parse().expect("a number");
            let states = history.0.entry((object.kind().into(), object.name().into())).or_default();
            states.push((version, object.value().clone()));
        }
    }
    history
}

/// `metadata.generation`.
pub fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().expect("a generation")
}

/// An ExternalSecret of the key of the same name.
pub fn external(name: &str, interval: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: {name}}}\n\
         spec: {{refreshInterval: {interval}, secretStoreRef: {{name: vault}}, data: [{{secretKey: password, remoteRef: {{key: {name}}}}}]}}\n"
    )
}

/// A Deployment that reads a Secret as environment; `labels` (`, key: value`) are its pods'.
pub fn deployment(name: &str, secret: &str, labels: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n\
         spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}{labels}}}}}\n    \
         spec: {{containers: [{{name: app, image: 'app:1', envFrom: [{{secretRef: {{name: {secret}}}}}]}}]}}\n"
    )
}

/// A Kustomization of `./NAME`; `more` is further spec.
pub fn kustomization(name: &str, namespace: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{path: ./{name}, interval: 10m, retryInterval: 5s, prune: true, wait: true, timeout: 30s, targetNamespace: {namespace}, \
         sourceRef: {{kind: GitRepository, name: repo}}{more}}}\n"
    )
}

fn store(namespace: &str, url: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {{name: vault, namespace: {namespace}}}\n\
         spec: {{provider: {{azurekv: {{vaultUrl: '{url}', authType: WorkloadIdentity, serviceAccountRef: {{name: app}}}}}}}}\n"
    )
}

fn source(namespace: &str, url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: git, namespace: {namespace}}}\nstringData: {{username: {USER}, password: {PASSWORD}}}\n---\n\
         apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: repo, namespace: {namespace}}}\n\
         spec: {{url: '{url}', interval: 1m, ref: {{branch: main}}, secretRef: {{name: git}}}}\n"
    )
}

const BREAK: &str = r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: break-NAMESPACE}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: {"testbed/fail": "true"}}}'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: break-NAMESPACE}
spec: {policyName: break-NAMESPACE}
"#;
