//! The real components that integration tests run against: control plane, Key Vault and Entra stand-ins, Git, Helm
//! repository, OCI registry. Included by path:
//! ```ignore
//! #[path = "support/testbed.rs"]
//! mod testbed;
//!
//! #[test]
//! #[ignore = "needs the testbed: make test"]
//! fn a_namespace_is_there() {
//!     let testbed = testbed::Testbed::shared();
//!     let namespace = testbed.namespace("example");
//!     testbed.kubectl(&["get", "namespace", &namespace]);
//! }
//! ```
//! **Shared or own.** A testbed costs 5 s and 1 GiB, so there is one for a whole run: `make test` (and `make testbed`, by
//! hand) starts it and names it in `LOCKSTEP_TESTBED`; without that, a test binary starts one when its first test asks.
//! Tests share it, in namespaces, vaults, identities and repositories of their own. A test that kills parts takes
//! [`Testbed::own`].
//!
//! **Nothing is left behind.** A testbed ends when the pipe to its standard input closes, which the kernel does however
//! this process ends.
//!
//! # Panics
//! Every function here: what fails stops the test, and its message says what the command said.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

#[path = "testbed/azure.rs"]
pub mod azure;
#[path = "testbed/cluster.rs"]
pub mod cluster;
#[path = "testbed/sources.rs"]
pub mod sources;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// One running testbed.
pub struct Testbed {
    values: BTreeMap<String, String>,
    data: PathBuf,
    supervisor: Option<Child>,
    client: OnceLock<reqwest::Client>,
}

/// A process of the testbed that a test may kill and start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The database; keeps its data.
    Etcd,
    /// Kubernetes' API server.
    ApiServer,
    /// Garbage collection, Jobs, Deployments, ...
    ControllerManager,
    /// What binds pods to nodes.
    Scheduler,
    /// What makes pods and nodes ready.
    Kwok,
    /// The vault as clients reach it. Its secrets outlive it; its faults and its request log do not.
    Vault,
    /// The token endpoint. Its key and applications outlive it.
    Entra,
    /// The proxy for real host names.
    Names,
    /// Git and Helm repositories over https.
    Git,
    /// Git over ssh.
    Ssh,
    /// The OCI registry. It forgets what was pushed.
    Registry,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Vault => "vault-proxy",
            Self::Entra => "entra",
            Self::Names => "names",
            Self::Git => "git",
            Self::Ssh => "ssh",
            Self::Registry => "registry",
        }
    }
}

impl Testbed {
    /// The testbed of this run: the one that `LOCKSTEP_TESTBED` names, or one for this test binary.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Testbed> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os("LOCKSTEP_TESTBED") {
            Some(data) => Self::read(Path::new(&data).join("env"), None),
            None => Self::own(),
        })
    }

    /// A testbed for the caller alone, which ends when it is dropped.
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    /// One with variables for `up.sh`.
    pub fn own_with(variables: &[(&str, &str)]) -> Self {
        let mut supervisor = command(&scripts().join("up.sh"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash is there");
        let out = supervisor.stdout.take().expect("it is piped");
        let ready =
            BufReader::new(out).lines().map_while(Result::ok).find_map(|l| l.strip_prefix("ready ").map(PathBuf::from));
        Self::read(ready.expect("the testbed did not start; it said why above"), Some(supervisor))
    }

    fn read(file: PathBuf, supervisor: Option<Child>) -> Self {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("no testbed at {}: {e}", file.display()));
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let values: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let data = PathBuf::from(&values["LOCKSTEP_TESTBED"]);
        Self { values, data, supervisor, client: OnceLock::new() }
    }

    /// A value of its environment file, such as `TESTBED_GIT`; `up.sh` lists them.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("the testbed has no {name}"))
    }

    /// Folder with its data and logs (`log/<part>.log`).
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// File with the CA that signed every certificate of the testbed.
    pub fn ca(&self) -> PathBuf {
        self.data.join("pki/ca.crt")
    }

    /// What a program needs in its environment to reach the stand-ins by their real names: `HTTPS_PROXY`, `NO_PROXY` and
    /// the CA for Go, OpenSSL, Rust, Node, git, curl and Amazon's SDKs.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let bundles = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"];
        ["HTTPS_PROXY", "NO_PROXY"].into_iter().chain(bundles).map(|name| (name, self.value(name)))
    }

    /// A command with that environment, and the admin's `KUBECONFIG`: a tool of the testbed (`helm`, `sops`, `flux`, ...),
    /// or any on the path.
    pub fn tool(&self, name: &str) -> Command {
        let built = self.data.join("bin").join(name);
        let mut command = command(if built.exists() { &built } else { Path::new(name) });
        command.envs(self.environment()).env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Kills a part and its children (`kill -9`), and waits until they are gone.
    pub fn kill(&self, part: Part) {
        self.part("kill", part);
    }

    /// Starts a killed part again, and waits until it answers.
    pub fn start(&self, part: Part) {
        self.part("start", part);
    }

    /// Starts a killed part this once with further flags.
    pub fn start_with(&self, part: Part, flags: &str) {
        let file = self.data.join("parts").join(part.name());
        let line = std::fs::read_to_string(&file).expect("every part has one");
        std::fs::write(&file, format!("{} {flags}\n", line.trim_end())).expect("the data folder can be written");
        self.start(part);
        std::fs::write(&file, line).expect("the data folder can be written");
    }

    fn part(&self, verb: &str, part: Part) {
        assert!(self.supervisor.is_some(), "only a test that owns its testbed may kill parts of it: Testbed::own()");
        run(command(&scripts().join("part.sh")).arg(&self.data).args([verb, part.name()]));
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            supervisor.wait().expect("it is our child");
        }
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed")
}

/// A command.
#[expect(clippy::disallowed_methods, reason = "the product starts nothing; its tests start real tools")]
pub fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Runs a command that must succeed, and gives what it wrote, trimmed.
pub fn run(command: &mut Command) -> String {
    attempt(command).unwrap_or_else(|said| panic!("{} failed:\n{said}", shown(command)))
}

/// Runs a command: what it wrote, trimmed, or what it complained when it failed.
///
/// # Errors
/// What it wrote to standard error, if its exit status is not 0.
pub fn attempt(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{}: {e}", shown(command)));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

/// A command as a person would type it, without its environment.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:012x}", number())
}

/// A number below 2^48 that no other test has: the time, and a count within it.
fn number() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = std::time::UNIX_EPOCH.elapsed().expect("the clock is after 1970");
    (since.as_micros() as u64 & 0xff_ffff_ffff) << 8 | COUNT.fetch_add(1, Ordering::Relaxed) & 0xff
}
