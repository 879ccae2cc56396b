//! The agent as a process of its own, `lockstep run`, in a namespace of a testbed. Included by path, beside `testbed`.
//!
//! # Panics
//! Every function here: what fails stops the test, and its message says what was found.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::print_stdout, reason = "what an agent has said last is for whoever reads why a test failed")]

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::testbed::{Testbed, command, run};

/// How long anything may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running agent, which ends when it is dropped.
pub struct Agent<'a> {
    testbed: &'a Testbed,
    /// Its namespace.
    pub namespace: String,
    folder: PathBuf,
    kubeconfig: PathBuf,
    metrics: SocketAddr,
    /// What comes before the program, such as a shell that prepares its world and becomes it.
    pub wrapper: Vec<String>,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl<'a> Agent<'a> {
    /// An agent for the objects of one namespace, which it makes.
    pub fn of_namespace(testbed: &'a Testbed, prefix: &str) -> Self {
        let namespace = testbed.namespace(prefix);
        let mut agent = Self::new(testbed, namespace);
        agent.arguments.push("--watch-all-namespaces=false".into());
        agent.start();
        agent
    }

    /// The agent that `deploy/` has installed, for all objects of a testbed that is the test's own, with further arguments.
    pub fn installed(testbed: &'a Testbed, arguments: &[String]) -> Self {
        let mut agent = Self::new(testbed, "lockstep-system".into());
        agent.kubeconfig = testbed.kubeconfig_for("lockstep-system", "lockstep");
        agent.arguments.extend_from_slice(arguments);
        agent.start();
        agent
    }

    fn new(testbed: &'a Testbed, namespace: String) -> Self {
        install_crds(testbed);
        let folder = testbed.data().join("agents").join(&namespace);
        std::fs::create_dir_all(&folder).expect("the data folder can be written");
        let metrics = free_port();
        let cache = format!("--cache={}", folder.join("cache").display());
        let arguments =
            ["run".to_owned(), format!("--namespace={namespace}"), cache, format!("--metrics-addr={metrics}")];
        let more = ["--health-addr=127.0.0.1:0", "--log-level=debug"];
        let arguments = arguments.into_iter().chain(more.map(str::to_owned)).collect();
        let kubeconfig = testbed.kubeconfig();
        Self { testbed, namespace, folder, kubeconfig, metrics, wrapper: Vec::new(), arguments, process: None }
    }

    /// Another replica of it with a kubeconfig of its own, not started yet.
    pub fn replica(&self, kubeconfig: &Path) -> Self {
        let mut twin = Self::new(self.testbed, self.namespace.clone());
        twin.folder = self.folder.with_extension("twin");
        std::fs::create_dir_all(&twin.folder).expect("the data folder can be written");
        twin.kubeconfig = kubeconfig.to_owned();
        let kept = self
            .arguments
            .iter()
            .filter(|flag| !["--cache=", "--metrics-addr="].iter().any(|own| flag.starts_with(own)));
        let own = [format!("--cache={}", twin.cache().display()), format!("--metrics-addr={}", twin.metrics)];
        twin.arguments = kept.cloned().chain(own).collect();
        twin
    }

    /// Ends it in good order, and starts it with another kubeconfig and further arguments.
    pub fn restart_through(&mut self, kubeconfig: &Path, arguments: &[&str]) {
        assert!(self.stop(), "asked to end, the agent ends well");
        self.kubeconfig = kubeconfig.to_owned();
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self.start();
    }

    /// Its process, while it was not killed.
    pub fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.process().expect("it runs").to_string();
        run(command(Path::new("kill")).args(["-s", name, &id]));
    }

    /// Starts it again if it has ended by itself, as a kubelet does; whether that was so.
    pub fn revive(&mut self) -> bool {
        let has_ended = self.process.as_mut().is_some_and(|process| process.try_wait().is_ok_and(|end| end.is_some()));
        if has_ended {
            self.start();
        }
        has_ended
    }

    /// Starts it, as it was started before.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("the folder can be written");
        let binary = env!("CARGO_BIN_EXE_lockstep");
        let mut words = self.wrapper.iter().map(String::as_str).chain([binary]);
        let mut lockstep = command(Path::new(words.next().unwrap_or(binary)));
        lockstep.args(words).envs(self.testbed.environment()).env("KUBECONFIG", &self.kubeconfig);
        lockstep.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(lockstep.spawn().expect("it is built"));
    }

    /// Ends it with no chance to clean up (`kill -9`).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }

    /// Asks it to end, and tells whether it did so with exit code 0.
    pub fn stop(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        let asked = command(Path::new("kill")).arg(process.id().to_string()).status().expect("kill is there");
        let ended = process.wait().expect("it is our child");
        if !ended.success() {
            println!("the agent has ended with {ended}; its last words: {:#?}", self.last_words());
        }
        asked.success() && ended.success()
    }

    /// Ends it in good order, and starts it with one more argument.
    pub fn restart_with(&mut self, argument: &str) {
        assert!(self.stop(), "asked to end, the agent ends well");
        self.arguments.push(argument.into());
        self.start();
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).expect("it was started")
    }

    fn last_words(&self) -> Vec<String> {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].iter().map(ToString::to_string).collect()
    }

    /// What it tells Prometheus.
    pub fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.metrics);
        run(command(Path::new("curl")).args(["-sS", "--fail-with-body", "--noproxy", "*", &url]))
    }

    /// Where it keeps what it fetches.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Waits until an object of its namespace has a condition `Ready` with this status and, if not empty, this reason.
    pub fn ready(&self, what: &str, status: &str, reason: &str) -> Value {
        self.until(what, |object| {
            let ready = condition(object, "Ready");
            ready["status"] == status && (reason.is_empty() || ready["reason"] == reason)
        })
    }

    /// Waits until an object of its namespace is as wanted: `kind/name`.
    pub fn until(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        let mut last = Value::Null;
        while began.elapsed() < PATIENCE {
            if let Some(object) = self.get(what) {
                if is_wanted(&object) {
                    return object;
                }
                last = object;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(25).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        panic!("{what} did not become what was wanted; its status is\n{:#}\nthe agent said\n{tail}", last["status"])
    }

    /// An object of its namespace, `kind/name`; `kind/namespace/name` for another.
    pub fn get(&self, what: &str) -> Option<Value> {
        let parts: Vec<&str> = what.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, name] => (kind, self.namespace.as_str(), name),
            [kind, namespace, name] => (kind, *namespace, name),
            _ => panic!("{what} is no kind/name"),
        };
        let (api, plural) = resource(kind);
        let mut found = self.testbed.read_path(&format!("{api}/namespaces/{namespace}/{plural}/{name}"))?;
        found["metadata"].as_object_mut().expect("it has metadata").remove("managedFields");
        Some(found)
    }

    /// Asks for a reconciliation of an object, as `flux reconcile` does.
    pub fn request(&self, what: &str) {
        let now = format!("reconcile.fluxcd.io/requestedAt={}", jiff::Timestamp::now());
        self.testbed.kubectl(&["annotate", "--overwrite", what, "-n", &self.namespace, &now]);
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the API has a kind that tests read.
fn resource(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "configmap" => ("api/v1", "configmaps"),
        "secret" => ("api/v1", "secrets"),
        "service" => ("api/v1", "services"),
        "serviceaccount" => ("api/v1", "serviceaccounts"),
        "deployment" => ("apis/apps/v1", "deployments"),
        "statefulset" => ("apis/apps/v1", "statefulsets"),
        "job" => ("apis/batch/v1", "jobs"),
        "ingress" => ("apis/networking.k8s.io/v1", "ingresses"),
        "role" => ("apis/rbac.authorization.k8s.io/v1", "roles"),
        "kustomization" => ("apis/kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
        "helmrelease" => ("apis/helm.toolkit.fluxcd.io/v2", "helmreleases"),
        "bucket" => ("apis/source.toolkit.fluxcd.io/v1", "buckets"),
        "gitrepository" => ("apis/source.toolkit.fluxcd.io/v1", "gitrepositories"),
        "helmrepository" => ("apis/source.toolkit.fluxcd.io/v1", "helmrepositories"),
        "externalsecret" => ("apis/external-secrets.io/v1", "externalsecrets"),
        "pushsecret" => ("apis/external-secrets.io/v1alpha1", "pushsecrets"),
        _ => panic!("where is {kind}? Say it here"),
    }
}

/// A condition of an object; null when it has none of the kind.
pub fn condition<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let list = object["status"]["conditions"].as_array();
    list.and_then(|list| list.iter().find(|condition| condition["type"] == kind)).unwrap_or(&Value::Null)
}

/// One that nobody listens at now.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

fn install_crds(testbed: &Testbed) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let folder = folder.to_str().expect("the checkout's path is text");
    testbed.kubectl(&["apply", "--server-side", "--force-conflicts", "--field-manager=test", "-f", folder]);
    testbed.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
}
