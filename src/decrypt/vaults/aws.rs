//! AWS KMS: two calls, signed as Signature Version 4 says. The secret key never leaves; a signature does, to hosts of
//! Amazon's in the region that a key's ARN names, or to the endpoint that the environment names.

mod chain;
mod local;
mod profile;
mod sign;
mod sts;

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

use super::identity::{Account, Kept, Variables};
use super::network::{self, Network, ask, only};
use chain::Chain;
use sign::{Keys, Target};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Who we are towards AWS.
#[derive(Clone)]
pub struct AwsLogin {
    source: Source,
    variables: Variables,
    sessions: Arc<Kept<Keys>>,
    /// What trusts `AWS_CA_BUNDLE` alone; made when it is needed.
    client: Arc<OnceLock<Result<Option<reqwest::Client>, String>>>,
}

#[derive(Clone)]
enum Source {
    /// An access key.
    Given(Keys),
    /// As Amazon's SDKs find it; by hand, a key may name a profile.
    Environment { follows_profiles: bool },
    /// A ServiceAccount, by the role that its annotation names.
    Account(Account),
}

impl AwsLogin {
    /// As Amazon's SDKs find it: an access key, a web identity, the shared files with a profile, the container's
    /// credentials, the instance's. Looks there when it is needed. A key that names a profile is opened by that.
    pub fn of_environment(variables: &Variables) -> Self {
        Self::new(Source::Environment { follows_profiles: true }, variables)
    }

    /// Likewise for the agent, where the profile of a key says nothing.
    pub fn of_pod(variables: &Variables) -> Self {
        Self::new(Source::Environment { follows_profiles: false }, variables)
    }

    /// As a ServiceAccount: the role that its annotation names.
    pub fn of_account(account: &Account, variables: &Variables) -> Self {
        Self::new(Source::Account(account.clone()), variables)
    }

    /// Reads `sops.aws-kms` as Flux does.
    ///
    /// # Errors
    /// Which field is missing.
    pub fn parse(text: &[u8], variables: &Variables) -> Result<Self, String> {
        let value = super::yaml(text)?;
        let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(id), Some(secret)) = (field("aws_access_key_id"), field("aws_secret_access_key")) else {
            return Err("it must hold aws_access_key_id and aws_secret_access_key".to_owned());
        };
        Ok(Self::new(Source::Given(Keys::new(id, secret, field("aws_session_token"))), variables))
    }

    fn new(source: Source, variables: &Variables) -> Self {
        Self { source, variables: variables.clone(), sessions: Arc::default(), client: Arc::default() }
    }

    pub(super) async fn decrypt(&self, network: &Network, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let body = json!({"CiphertextBlob": key.wrapped(), "KeyId": key.get("arn"), "EncryptionContext": context(key)});
        let plain = self.apply(network, key, "Decrypt", "Plaintext", &body).await?;
        network::key(&plain, "KMS")
    }

    pub(super) async fn encrypt(&self, network: &Network, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        let part = STANDARD.encode(part);
        let body = json!({"Plaintext": part, "KeyId": key.get("arn"), "EncryptionContext": context(key)});
        let wrapped = self.apply(network, key, "Encrypt", "CiphertextBlob", &body).await?;
        Ok(Wrapped { text: wrapped.to_string(), version: None })
    }

    /// The field of KMS's answer.
    async fn apply(
        &self,
        network: &Network,
        key: &MasterKey,
        operation: &str,
        field: &str,
        body: &Value,
    ) -> Result<Zeroizing<String>, String> {
        let region = region(key.get("arn")).ok_or_else(|| format!("{} is no ARN of a KMS key", key.name()))?;
        let client = self.client.get_or_init(|| client(&self.variables)).as_ref().map_err(Clone::clone)?;
        let http = client.as_ref().unwrap_or(&network.http);
        let chain = Chain { http, network, variables: &self.variables, region };
        let keys = self.keys(&chain, key).await.map_err(|error| format!("no credentials for AWS: {error}"))?;
        let target = format!("TrentService.{operation}");
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", target.as_str())];
        let profile = if self.follows_profiles() { key.get("aws_profile") } else { "" };
        let url = chain.endpoint("kms", profile)?;
        let request = sign::post(http, &keys, &Target { service: "kms", region, url }, &headers, body.to_string());
        let told = |body: &Value| {
            let text = |name: &str| body[name].as_str().unwrap_or_default();
            Some(format!("{}: {}{}", text("__type"), text("message"), text("Message")))
        };
        let answer = ask(request, told, &keys.secrets()).await;
        let mut answer = answer.map_err(|error| format!("KMS {error}"))?;
        network::text(&mut answer[field], "KMS", field)
    }

    fn follows_profiles(&self) -> bool {
        matches!(self.source, Source::Environment { follows_profiles: true })
    }

    /// What a key is asked with: what we have, or the role that it names.
    async fn keys(&self, chain: &Chain<'_>, key: &MasterKey) -> Result<Keys, String> {
        let (region, role) = (chain.region, key.get("role"));
        let profile = if self.follows_profiles() { key.get("aws_profile") } else { "" };
        let as_role = format!("{region} {profile} {role}");
        if let Some(keys) = self.sessions.get(&as_role) {
            return Ok(keys);
        }
        let own = format!("{region} {profile} ");
        let mut keys = match self.sessions.get(&own) {
            Some(keys) => keys,
            None => {
                let (keys, lifetime) = match &self.source {
                    Source::Given(keys) => sign::lasting(keys.clone()),
                    Source::Environment { .. } => chain.keys(profile).await?,
                    Source::Account(account) => sts::as_account(chain, account).await?,
                };
                self.sessions.keep(&own, lifetime, keys.clone());
                keys
            }
        };
        if !role.is_empty() {
            let wanted = sts::Role { arn: role, session: sts::host_session(), ..sts::Role::default() };
            let (assumed, lifetime) = sts::assume(chain, profile, &keys, &wanted).await?;
            self.sessions.keep(&as_role, lifetime, assumed.clone());
            keys = assumed;
        }
        Ok(keys)
    }
}

fn client(variables: &Variables) -> Result<Option<reqwest::Client>, String> {
    let Some(file) = variables.get("AWS_CA_BUNDLE") else { return Ok(None) };
    let told = |problem: &dyn std::fmt::Display| format!("AWS_CA_BUNDLE: {file}: {problem}");
    let pem = std::fs::read(&file).map_err(|error| told(&error))?;
    let builder = only(&pem).map_err(|problem| told(&problem))?;
    builder.build().map(Some).map_err(|_| told(&"no client can be made of it"))
}

fn context(key: &MasterKey) -> Map<String, Value> {
    key.context().iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

/// The region of `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
fn region(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(partition), Some("kms"), Some(region)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let is_account = parts.next().is_some_and(|account| account.bytes().all(|byte| byte.is_ascii_digit()));
    let is_key = parts.next().is_some_and(|key| key.starts_with("key/") || key.starts_with("alias/"));
    let is_good = partition.starts_with("aws") && is_name(partition) && is_name(region);
    (is_good && is_account && is_key).then_some(region)
}

/// Whether a text can stand in a host's name, and nowhere else.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_where_its_key_is() {
        assert_eq!(region("arn:aws:kms:eu-west-1:123456789012:key/k"), Some("eu-west-1"));
        assert_eq!(region("arn:aws-cn:kms:cn-north-1:1:alias/k"), Some("cn-north-1"));
        for wrong in ["arn:aws:s3:eu-west-1:1:key/k", "arn:aws:kms:evil.example/:1:key/k", "arn:aws:kms:e:x:key/k", ""]
        {
            assert!(region(wrong).is_none(), "{wrong}");
        }
    }
}
