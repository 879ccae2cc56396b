//! The control plane, as its admin and as a ServiceAccount.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use super::{Testbed, attempt, run, unique};

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
