//! The control plane, as its admin and as a ServiceAccount.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Testbed, attempt, run, unique};

/// Where requests of tests run, which are no async functions.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads can be started"));
/// How long the API server may be away when something is read.
const ABSENCE: Duration = Duration::from_secs(60);

impl Testbed {
    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("pki/admin.kubeconfig")
    }

    /// Runs kubectl as admin, and gives what it wrote, trimmed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run(self.tool("kubectl").args(arguments))
    }

    /// Runs kubectl as admin, where it may fail.
    ///
    /// # Errors
    /// What kubectl wrote to standard error.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        attempt(self.tool("kubectl").args(arguments))
    }

    /// What there is at a path of the API, such as `api/v1/namespaces/default`, as admin; nothing where it answers "not found".
    ///
    /// For what is read again and again: each `kubectl` takes a fifth of a second of a core.
    pub fn read_path(&self, path: &str) -> Option<Value> {
        let (client, url) = (self.client(), format!("{}/{path}", self.value("TESTBED_API")));
        let began = Instant::now();
        loop {
            let (sender, answer) = mpsc::channel();
            let request = client.get(&url).bearer_auth("admin-token").timeout(Duration::from_secs(20));
            RUNTIME.spawn(async move {
                let answer = async {
                    let response = request.send().await?;
                    if response.status() == reqwest::StatusCode::NOT_FOUND {
                        return Ok(None);
                    }
                    response.error_for_status()?.json().await.map(Some)
                };
                let answer: reqwest::Result<Option<Value>> = answer.await;
                drop(sender.send(answer));
            });
            match answer.recv().expect("the request ends") {
                Ok(found) => return found,
                Err(error) => assert!(began.elapsed() < ABSENCE, "{path} cannot be read: {error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn client(&self) -> &reqwest::Client {
        self.client.get_or_init(|| {
            let ca = std::fs::read(self.ca()).expect("the testbed has a CA");
            let ca = reqwest::Certificate::from_pem(&ca).expect("it is PEM");
            reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().expect("a client")
        })
    }

    /// Applies manifests (YAML documents) server-side, as admin with the field manager `test`.
    pub fn apply(&self, manifests: &str) {
        let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=test", "-f", "-"];
        let mut kubectl = self.tool("kubectl");
        let mut child =
            kubectl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it is built");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(manifests.as_bytes()).expect("kubectl reads");
        drop(stdin);
        assert!(child.wait().expect("it is our child").success(), "kubectl refused:\n{manifests}");
    }

    /// Creates a namespace of the test's own.
    pub fn namespace(&self, prefix: &str) -> String {
        let name = unique(prefix);
        self.kubectl(&["create", "namespace", &name]);
        name
    }

    /// Creates a ServiceAccount. Grant it what it may do with [`Testbed::apply`].
    pub fn service_account(&self, namespace: &str, name: &str) {
        self.kubectl(&["create", "serviceaccount", name, "-n", namespace]);
    }

    /// A token of a ServiceAccount by TokenRequest, for the API server or for another `audience`.
    pub fn token(&self, namespace: &str, name: &str, audience: Option<&str>) -> String {
        let mut kubectl = self.tool("kubectl");
        kubectl.args(["create", "token", name, "-n", namespace]);
        run(kubectl.args(audience.map(|a| format!("--audience={a}"))))
    }

    /// A kubeconfig by which a client is a ServiceAccount, for an hour.
    pub fn kubeconfig_for(&self, namespace: &str, name: &str) -> PathBuf {
        let folder = self.data.join("kubeconfigs");
        std::fs::create_dir_all(&folder).expect("the data folder can be written");
        let file = folder.join(format!("{namespace}.{name}"));
        let token = self.token(namespace, name, None);
        let (server, ca) = (self.value("TESTBED_API"), self.ca());
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: testbed\n\
             clusters: [{{name: testbed, cluster: {{server: '{server}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: '{name}', user: {{token: '{token}'}}}}]\n\
             contexts: [{{name: testbed, context: {{cluster: testbed, user: '{name}', namespace: '{namespace}'}}}}]\n",
            ca.display()
        );
        std::fs::write(&file, text).expect("the data folder can be written");
        file
    }
}
