//! Google Cloud KMS: two calls. A token goes to hosts of Google's, or of the universe that the environment names, or to
//! the endpoint that it names: never to where a file says.

mod credential;
mod metadata;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

use super::identity::{Account, Kept, Variables};
use super::network::{self, Network};
use credential::{Credential, Found, Origin};

/// What a token may do.
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloudkms"];
/// Google's own universe.
const UNIVERSE: &str = "googleapis.com";

/// Who we are towards Google.
#[derive(Clone)]
pub struct GcpLogin {
    source: Source,
    place: Place,
    tokens: Arc<Kept<Zeroizing<String>>>,
}

#[derive(Clone)]
enum Source {
    /// As sops and Google's libraries find it.
    Environment(Variables),
    /// A file of credentials.
    Given(Arc<Found>),
    /// A ServiceAccount, by workload identity.
    Account(Account, Variables),
}

/// Where Google stands.
#[derive(Clone)]
struct Place {
    /// Of KMS, ending with a slash.
    endpoint: String,
    universe: String,
}

impl Place {
    fn of(variables: &Variables) -> Self {
        let general = || variables.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN").unwrap_or_else(|| UNIVERSE.to_owned());
        let (endpoint, universe) = match variables.get("SOPS_GCP_KMS_ENDPOINT") {
            Some(endpoint) => (Some(endpoint), general()),
            None => (None, variables.get("SOPS_GCP_KMS_UNIVERSE_DOMAIN").unwrap_or_else(general)),
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("cloudkms.{universe}"));
        let endpoint = if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") };
        Self { endpoint: format!("{}/", endpoint.trim_end_matches('/')), universe }
    }

    /// Whether a token may go there: to a host of the universe.
    fn holds(&self, url: &reqwest::Url) -> bool {
        let host = url.host_str().and_then(|host| host.strip_suffix(self.universe.as_str()));
        let is_plain = url.port().is_none() && url.username().is_empty() && url.password().is_none();
        url.scheme() == "https" && is_plain && host.is_some_and(|host| host.ends_with('.') && host.len() > 1)
    }
}

impl GcpLogin {
    /// As sops and Google's libraries find it: `GOOGLE_CREDENTIALS` (a path or JSON), `GOOGLE_OAUTH_ACCESS_TOKEN`,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's own file, the metadata server. Looks there when it is needed.
    pub fn of_environment(variables: &Variables) -> Self {
        Self::new(Source::Environment(variables.clone()), variables)
    }

    /// Reads `sops.gcp-kms` as Flux does: the JSON of a service account, of a user, or of workload identity federation.
    ///
    /// # Errors
    /// What is missing, or of no use here.
    pub fn parse(text: &[u8], variables: &Variables) -> Result<Self, String> {
        let login = Self::new(Source::Environment(variables.clone()), variables);
        let found = Found::parse(text, Origin::Stranger, &login.place.universe)?;
        Ok(Self { source: Source::Given(Arc::new(found)), ..login })
    }

    /// As a ServiceAccount: its workload identity in GKE, or by the provider that its annotation names.
    pub fn of_account(account: &Account, variables: &Variables) -> Self {
        Self::new(Source::Account(account.clone(), variables.clone()), variables)
    }

    fn new(source: Source, variables: &Variables) -> Self {
        Self { source, place: Place::of(variables), tokens: Arc::default() }
    }

    pub(super) async fn decrypt(&self, network: &Network, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let wrapped = STANDARD.decode(key.wrapped()).map_err(|_| "the wrapped key is damaged")?;
        let body = json!({"ciphertext": STANDARD.encode(wrapped)});
        let plain = self.apply(network, key, "decrypt", "plaintext", body).await?;
        network::key(&plain, "KMS")
    }

    pub(super) async fn encrypt(&self, network: &Network, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        let body = json!({"plaintext": STANDARD.encode(part)});
        let wrapped = self.apply(network, key, "encrypt", "ciphertext", body).await?;
        Ok(Wrapped { text: wrapped.to_string(), version: None })
    }

    /// The field of KMS's answer.
    async fn apply(
        &self,
        network: &Network,
        key: &MasterKey,
        operation: &str,
        field: &str,
        body: Value,
    ) -> Result<Zeroizing<String>, String> {
        let resource = key.get("resource_id");
        if !is_resource(resource) {
            return Err(format!(
                "{resource} is no key of KMS: projects/…/locations/…/keyRings/…/cryptoKeys/… is expected"
            ));
        }
        let url = format!("{}v1/{resource}:{operation}", self.place.endpoint);
        let url = reqwest::Url::parse(&url).map_err(|_| format!("{} is no address of KMS", self.place.endpoint))?;
        let found = self.found(network).await.map_err(|error| format!("no credentials for Google: {error}"))?;
        let token = self.token(network, &found).await.map_err(|error| format!("no token of Google: {error}"))?;
        let mut request = network.http.post(url).bearer_auth(token.as_str());
        if let Some(project) = &found.quota_project {
            request = request.header("x-goog-user-project", project);
        }
        let answer = network::ask(request.json(&body), told, &[&token]).await;
        let mut answer = answer.map_err(|error| format!("KMS {error}"))?;
        network::text(&mut answer[field], "KMS", field)
    }

    async fn found(&self, network: &Network) -> Result<Arc<Found>, String> {
        match &self.source {
            Source::Given(found) => Ok(Arc::clone(found)),
            Source::Environment(variables) => Found::of_environment(variables, &self.place.universe).map(Arc::new),
            Source::Account(account, variables) => {
                let credential = Credential::of_account(account, variables, network, &self.place.universe).await?;
                Ok(Arc::new(Found { credential, quota_project: None }))
            }
        }
    }

    async fn token(&self, network: &Network, found: &Found) -> Result<Zeroizing<String>, String> {
        if let Some(token) = self.tokens.get("") {
            return Ok(token);
        }
        let (token, lifetime): (_, Duration) = found.credential.token(network, &self.place, &SCOPES).await?;
        self.tokens.keep("", lifetime, token.clone());
        Ok(token)
    }
}

/// What Google's services say about a refusal.
fn told(body: &Value) -> Option<String> {
    body.pointer("/error/message")?.as_str().map(ToOwned::to_owned)
}

/// `projects/P/locations/L/keyRings/R/cryptoKeys/K`, of characters that lead nowhere else.
fn is_resource(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let [a, project, b, location, c, ring, d, key] = parts.as_slice() else { return false };
    let is_name = |name: &&&str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        !name.is_empty() && **name != "." && **name != ".." && name.bytes().all(is_plain)
    };
    [*a, *b, *c, *d] == ["projects", "locations", "keyRings", "cryptoKeys"]
        && [project, location, ring, key].iter().all(is_name)
        && [location, ring, key].iter().all(|name| !name.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pairs: &[(&str, &str)]) -> Place {
        Place::of(&pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect())
    }

    #[test]
    fn the_environment_says_where_kms_stands() {
        for (pairs, endpoint, universe) in [
            (&[][..], "https://cloudkms.googleapis.com/", "googleapis.com"),
            (&[("SOPS_GCP_KMS_UNIVERSE_DOMAIN", "s3nsapis.fr")], "https://cloudkms.s3nsapis.fr/", "s3nsapis.fr"),
            (&[("SOPS_GCP_KMS_ENDPOINT", "kms.example:8443")], "https://kms.example:8443/", "googleapis.com"),
            (&[("SOPS_GCP_KMS_ENDPOINT", "http://127.0.0.1:1/")], "http://127.0.0.1:1/", "googleapis.com"),
            (
                &[("SOPS_GCP_KMS_ENDPOINT", "kms.x"), ("SOPS_GCP_KMS_UNIVERSE_DOMAIN", "y.z")],
                "https://kms.x/",
                "googleapis.com",
            ),
            (&[("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "y.z")], "https://cloudkms.y.z/", "y.z"),
        ] {
            let place = place(pairs);
            assert_eq!((place.endpoint.as_str(), place.universe.as_str()), (endpoint, universe), "{pairs:?}");
        }
    }

    #[test]
    fn a_token_goes_to_hosts_of_the_universe_alone() {
        let google = place(&[]);
        for (url, is_held) in [
            ("https://sts.googleapis.com/v1/token", true),
            ("https://iamcredentials.eu.rep.googleapis.com/", true),
            ("https://googleapis.com/", false),
            ("https://evilgoogleapis.com/", false),
            ("https://googleapis.com.evil/", false),
            ("http://sts.googleapis.com/", false),
            ("https://sts.googleapis.com:8443/", false),
            ("https://user@sts.googleapis.com/", false),
            ("https://sts.s3nsapis.fr/", false),
        ] {
            assert_eq!(google.holds(&reqwest::Url::parse(url).unwrap()), is_held, "{url}");
        }
    }

    #[test]
    fn a_resource_leads_nowhere_else() {
        let good = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
        assert!(is_resource(good) && is_resource(&good.replace("/p/", "/example.com:p/")));
        for (from, to) in [
            ("/k", "/"),
            ("/k", "/k?x"),
            ("/k", "/k:encrypt"),
            ("/r/", "/../"),
            ("/p/", "/p#/"),
            ("/p/", "/%2e/"),
            ("keyRings", "rings"),
        ] {
            assert!(!is_resource(&good.replace(from, to)), "{to}");
        }
        assert!(!is_resource(&format!("{good}/cryptoKeyVersions/1")));
    }
}
