//! AWS KMS: two calls, signed as Signature Version 4 says. The secret key never leaves; a signature does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const NO_LOGIN: &str = "no credentials for AWS were given: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for \
    the agent sops.aws-kms in the decryption Secret";

/// An access key of AWS.
#[derive(Clone)]
pub struct AwsLogin {
    /// Its id.
    pub id: String,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// The token of a session that ends.
    pub session: Option<Zeroizing<String>>,
    /// Where KMS stands: `AWS_ENDPOINT_URL_KMS`; the region of a key tells it otherwise.
    pub endpoint: Option<String>,
}

impl AwsLogin {
    /// Reads `sops.aws-kms` as Flux does.
    ///
    /// # Errors
    /// Which field is missing.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value = super::yaml(text)?;
        let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(id), Some(secret)) = (field("aws_access_key_id"), field("aws_secret_access_key")) else {
            return Err("it must hold aws_access_key_id and aws_secret_access_key".to_owned());
        };
        let session = field("aws_session_token").map(|token| Zeroizing::new(token.to_owned()));
        Ok(AwsLogin { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()), session, endpoint: None })
    }

    pub(super) async fn decrypt(&self, http: &reqwest::Client, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let body = json!({"CiphertextBlob": key.wrapped(), "KeyId": key.get("arn"), "EncryptionContext": context(key)});
        let plain = self.apply(http, key, "Decrypt", "Plaintext", &body).await?;
        STANDARD.decode(plain.as_bytes()).map(Zeroizing::new).map_err(|_| "KMS answered no key".to_owned())
    }

    pub(super) async fn encrypt(
        &self,
        http: &reqwest::Client,
        key: &MasterKey,
        part: &[u8],
    ) -> Result<Wrapped, String> {
        let part = STANDARD.encode(part);
        let body = json!({"Plaintext": part, "KeyId": key.get("arn"), "EncryptionContext": context(key)});
        let wrapped = self.apply(http, key, "Encrypt", "CiphertextBlob", &body).await?;
        Ok(Wrapped { text: wrapped.to_string(), version: None })
    }

    /// The field of KMS's answer.
    async fn apply(
        &self,
        http: &reqwest::Client,
        key: &MasterKey,
        operation: &str,
        field: &str,
        body: &Value,
    ) -> Result<Zeroizing<String>, String> {
        for refused in ["role", "aws_profile"] {
            if !key.get(refused).is_empty() {
                return Err(format!("keys with a {refused} are not supported: give credentials that can use the key"));
            }
        }
        let place = Place::of(key.get("arn")).ok_or_else(|| format!("{} is no ARN of a KMS key", key.name()))?;
        let url = self.endpoint.clone().unwrap_or_else(|| place.address());
        let url = reqwest::Url::parse(&url).map_err(|_| format!("{url} is no address of KMS"))?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let target = format!("TrentService.{operation}");
        let body = body.to_string();
        let mut headers = vec![
            ("content-type", CONTENT_TYPE),
            ("host", url.authority()),
            ("x-amz-date", now.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        if let Some(session) = &self.session {
            headers.insert(3, ("x-amz-security-token", session));
        }
        let signature = self.sign(url.path(), &headers, body.as_bytes(), &now, place.region);
        let mut request = http.post(url.clone()).header("authorization", signature);
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        let told = |body: &Value| {
            let text = |name: &str| body[name].as_str().unwrap_or_default();
            Some(format!("{}: {}{}", text("__type"), text("message"), text("Message")))
        };
        let answer = super::ask(request.body(body), told).await;
        let mut answer = answer.map_err(|error| format!("KMS {error}"))?;
        match answer[field].take() {
            Value::String(text) if !text.is_empty() => Ok(Zeroizing::new(text)),
            _ => Err(format!("KMS answered without {field}")),
        }
    }

    /// The header that proves the key. Headers are in order, their names in lower case.
    fn sign(&self, path: &str, headers: &[(&str, &str)], body: &[u8], now: &str, region: &str) -> String {
        let date = &now[..8];
        let listed: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let request = format!("POST\n{path}\n\n{listed}\n{names}\n{}", hex(&Sha256::digest(body)));
        let scope = format!("{date}/{region}/kms/aws4_request");
        let text = format!("{ALGORITHM}\n{now}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let secret = Zeroizing::new([b"AWS4", self.secret.as_bytes()].concat());
        let chain = [date, region, "kms", "aws4_request"];
        let key = chain.iter().fold(secret, |key, part| keyed(&key, part.as_bytes()));
        let signature = hex(&keyed(&key, text.as_bytes()));
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.id)
    }
}

fn keyed(key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
    let hash = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).map(|hash| hash.chain_update(text));
    Zeroizing::new(hash.map(|hash| hash.finalize().into_bytes().to_vec()).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn context(key: &MasterKey) -> Map<String, Value> {
    key.context().iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

/// Where an ARN says that a key is.
struct Place<'a> {
    partition: &'a str,
    region: &'a str,
}

impl<'a> Place<'a> {
    /// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
    fn of(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (Some("arn"), Some(partition), Some("kms"), Some(region)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let is_account = parts.next().is_some_and(|account| account.bytes().all(|byte| byte.is_ascii_digit()));
        let is_key = parts.next().is_some_and(|key| key.starts_with("key/") || key.starts_with("alias/"));
        let is_good = partition.starts_with("aws") && !region.is_empty() && is_plain(partition) && is_plain(region);
        (is_good && is_account && is_key).then_some(Place { partition, region })
    }

    fn address(&self) -> String {
        let suffix = if self.partition == "aws-cn" { ".cn" } else { "" };
        format!("https://kms.{}.amazonaws.com{suffix}/", self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_where_its_key_is() {
        let address = |arn: &str| Place::of(arn).map(|place| place.address());
        let there = address("arn:aws:kms:eu-west-1:123456789012:key/k").unwrap();
        assert_eq!(there, "https://kms.eu-west-1.amazonaws.com/");
        assert!(address("arn:aws-cn:kms:cn-north-1:1:alias/k").unwrap().ends_with(".amazonaws.com.cn/"));
        for wrong in ["arn:aws:s3:eu-west-1:1:key/k", "arn:aws:kms:evil.example/:1:key/k", "arn:aws:kms:e:x:key/k", ""]
        {
            assert!(address(wrong).is_none(), "{wrong}");
        }
    }
}
