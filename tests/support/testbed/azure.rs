//! The Key Vault and Entra stand-ins: vaults and identities of a test's own, their secrets, faults and request logs.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Testbed, command, number, run, unique};

/// The audience that workload identity asks ServiceAccount tokens for.
pub const TOKEN_AUDIENCE: &str = "api://AzureADTokenExchange";
/// The tenant of every identity.
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";

/// A vault of the test's own. It exists once it is named.
pub struct Vault<'a> {
    testbed: &'a Testbed,
    /// Its real host name, which resolves through the proxy of [`Testbed::environment`].
    pub host: String,
}

/// An application in Entra that a ServiceAccount is federated with.
pub struct Identity<'a> {
    testbed: &'a Testbed,
    /// Its client id, for the annotation `azure.workload.identity/client-id`.
    pub client_id: String,
    /// Its secret, for a service principal.
    pub secret: String,
}

/// What happens to requests instead of the answer; the first rule that matches counts.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Only requests with this method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// Only requests whose path and query match this regular expression (JavaScript's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only so many requests. The Azure SDKs' first request, without a token, counts too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Milliseconds to wait before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u32>,
    /// Status to answer with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Value of `Retry-After` that goes with the status, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Where to cut the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// Before the answer.
    Before,
    /// After half of the answer's body.
    Inside,
}

/// A request as its stand-in saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// Milliseconds since 1970.
    pub at: u64,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Status of the answer; `"cut"` for a fault that cut it.
    pub status: serde_json::Value,
}

impl Testbed {
    /// A vault of the test's own, empty.
    pub fn vault(&self) -> Vault<'_> {
        Vault { testbed: self, host: format!("{}.vault.azure.net", unique("kv")) }
    }

    /// An identity for a ServiceAccount, which may use `vaults`.
    pub fn identity(&self, namespace: &str, service_account: &str, vaults: &[&Vault<'_>]) -> Identity<'_> {
        let client_id = format!("22222222-0000-0000-0000-{:012x}", number());
        let identity = Identity { testbed: self, client_id, secret: unique("secret") };
        let application = json!({
            "objectId": identity.client_id.replace("22222222", "33333333"),
            "secret": identity.secret,
            "vaults": vaults.iter().map(|v| &v.host).collect::<Vec<_>>(),
            "federated": [{
                "issuer": self.value("TESTBED_API"),
                "subject": format!("system:serviceaccount:{namespace}:{service_account}"),
                "audience": TOKEN_AUDIENCE,
            }],
        });
        let file = self.data.join("applications").join(format!("{}.json", identity.client_id));
        std::fs::write(file, application.to_string()).expect("the data folder can be written");
        identity
    }

    /// One request of ours to a stand-in, past proxies, tokens, faults and logs.
    fn call<T: DeserializeOwned>(&self, method: &str, url: &str, host: Option<&str>, body: Option<String>) -> T {
        let mut curl = command("curl".as_ref());
        curl.args(["-sS", "--fail-with-body", "--noproxy", "*", "-X", method, "-H", "Content-Type: application/json"]);
        curl.args(host.map(|host| format!("-HHost: {host}"))).args(body.iter().flat_map(|body| ["--data-raw", body]));
        let answer = run(curl.arg(url));
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{method} {url} answered {answer}: {e}"))
    }
}

impl Vault<'_> {
    /// Its URL, as an Azure SecretStore names it.
    pub fn url(&self) -> String {
        format!("https://{}", self.host)
    }

    /// Sets a secret to a new value, as a rotation does, and gives the id of the new version.
    pub fn put(&self, name: &str, value: &str) -> String {
        self.put_with(name, &json!({ "value": value }))
    }

    /// Sets a secret as the given body of Key Vault's `Set Secret` says: `value`, `tags`, `contentType`, `attributes`.
    pub fn put_with(&self, name: &str, body: &serde_json::Value) -> String {
        let answer: serde_json::Value = self.request("PUT", &format!("secrets/{name}"), Some(body));
        let id = answer["id"].as_str().expect("a secret has an id");
        id.rsplit('/').next().expect("an id has a version").to_owned()
    }

    /// Deletes a secret; it stays recoverable.
    pub fn delete(&self, name: &str) {
        let _: serde_json::Value = self.request("DELETE", &format!("secrets/{name}"), None);
    }

    /// Brings a deleted secret back.
    pub fn recover(&self, name: &str) {
        let _: serde_json::Value = self.request("POST", &format!("deletedsecrets/{name}/recover"), Some(&json!({})));
    }

    /// Enables or disables one version of a secret.
    pub fn enable(&self, name: &str, version: &str, enabled: bool) {
        let body = json!({ "attributes": { "enabled": enabled } });
        let _: serde_json::Value = self.request("PATCH", &format!("secrets/{name}/{version}"), Some(&body));
    }

    /// Any request of Key Vault's REST API, past the token check, the faults and the log.
    pub fn request<T: DeserializeOwned>(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> T {
        let url = format!("{}/{path}?api-version=7.6", self.testbed.value("TESTBED_VAULT"));
        self.testbed.call(method, &url, Some(&self.host), body.map(ToString::to_string))
    }

    /// Replaces the faults of this vault.
    pub fn set_faults(&self, faults: &[Fault]) {
        set_faults(self.testbed, "TESTBED_VAULT_CONTROL", &self.host, faults);
    }

    /// Requests that clients made to this vault, since [`Vault::forget_requests`].
    pub fn requests(&self) -> Vec<Request> {
        self.testbed.call(
            "GET",
            &format!("{}/log/{}", self.testbed.value("TESTBED_VAULT_CONTROL"), self.host),
            None,
            None,
        )
    }

    /// Empties the request log.
    pub fn forget_requests(&self) {
        let url = format!("{}/log/{}", self.testbed.value("TESTBED_VAULT_CONTROL"), self.host);
        let _: Vec<serde_json::Value> = self.testbed.call("DELETE", &url, None, None);
    }
}

impl Identity<'_> {
    /// The annotations by which External Secrets and Lockstep find the identity of a ServiceAccount.
    pub fn annotations(&self) -> [(&'static str, &str); 2] {
        [("azure.workload.identity/client-id", self.client_id.as_str()), ("azure.workload.identity/tenant-id", TENANT)]
    }

    /// Replaces the faults of this identity's token requests.
    pub fn set_faults(&self, faults: &[Fault]) {
        set_faults(self.testbed, "TESTBED_ENTRA_CONTROL", &self.client_id, faults);
    }

    /// Token requests that were made for this identity.
    pub fn requests(&self) -> Vec<Request> {
        let url = format!("{}/log/{}", self.testbed.value("TESTBED_ENTRA_CONTROL"), self.client_id);
        self.testbed.call("GET", &url, None, None)
    }
}

fn set_faults(testbed: &Testbed, control: &str, key: &str, faults: &[Fault]) {
    let body = serde_json::to_string(faults).expect("they are plain values");
    let url = format!("{}/faults/{key}", testbed.value(control));
    let _: Vec<serde_json::Value> = testbed.call("PUT", &url, None, Some(body));
}
