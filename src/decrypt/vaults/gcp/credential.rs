//! What proves to Google who we are, as its libraries find and read it.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::signature::RsaKeyPair;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::identity::{Account, Token, Variables, token, until};
use super::super::jwt;
use super::super::network::{Network, ask, form, send};
use super::{Place, UNIVERSE, metadata};

/// What is asked of the identity that then becomes another.
const PLATFORM: [&str; 1] = ["https://www.googleapis.com/auth/cloud-platform"];
/// How long a token that we sign lives.
const HOUR: Duration = Duration::from_secs(3600);
/// Credentials hold others in them so deep.
const DEEPEST: usize = 3;
/// The annotations of ServiceAccounts.
const PROVIDER: &str = "gcp.auth.fluxcd.io/workload-identity-provider";
const EMAIL: &str = "iam.gke.io/gcp-service-account";

/// Who wrote the credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Whoever runs us.
    User,
    /// Whoever may write Secrets of a namespace, for whom the agent asks no address of their choice.
    Stranger,
}

/// Credentials, and the project that pays for their calls.
pub(super) struct Found {
    pub(super) credential: Credential,
    pub(super) quota_project: Option<String>,
}

/// What proves who we are.
pub(super) enum Credential {
    /// A token, of whatever made it.
    Token(Zeroizing<String>),
    /// The key of a service account, which signs its own tokens.
    Key { email: String, id: String, key: Box<RsaKeyPair> },
    /// A person, by gcloud.
    Person { client: String, secret: Zeroizing<String>, refresh: Zeroizing<String> },
    /// A token of another issuer.
    Federated {
        audience: String,
        kind: String,
        url: String,
        client: Option<(String, Zeroizing<String>)>,
        project: String,
        subject: Subject,
    },
    /// A service account that another identity may become.
    Became { url: String, delegates: Vec<String>, lifetime: String, by: Box<Credential> },
    /// What we run on.
    Machine(Variables),
}

/// Where the token of another issuer is.
pub(super) enum Subject {
    Given(Zeroizing<String>),
    File { path: String, field: Option<String> },
    Url { url: String, headers: Vec<(String, Zeroizing<String>)>, field: Option<String> },
}

impl Found {
    /// In the order of sops, then of Google's libraries.
    pub(super) fn of_environment(variables: &Variables, universe: &str) -> Result<Self, String> {
        let read = |name: &str, path: &Path| {
            let told = |problem: String| format!("{name}{}: {problem}", path.display());
            let text = std::fs::read(path).map(Zeroizing::new).map_err(|error| told(error.to_string()))?;
            Self::parse(&text, Origin::User, universe).map_err(told)
        };
        let mut found = if let Some(text) = variables.get("GOOGLE_CREDENTIALS").map(Zeroizing::new) {
            let told = |problem| format!("GOOGLE_CREDENTIALS is neither a file nor credentials: {problem}");
            match Path::new(text.as_str()) {
                path if path.exists() => read("GOOGLE_CREDENTIALS: ", path)?,
                _ => Self::parse(text.as_bytes(), Origin::User, universe).map_err(told)?,
            }
        } else if let Some(token) = variables.get("GOOGLE_OAUTH_ACCESS_TOKEN") {
            Self { credential: Credential::Token(Zeroizing::new(token)), quota_project: None }
        } else if let Some(path) = variables.get("GOOGLE_APPLICATION_CREDENTIALS") {
            read("GOOGLE_APPLICATION_CREDENTIALS: ", Path::new(&path))?
        } else {
            match variables.home(".config/gcloud/application_default_credentials.json") {
                Some(path) if path.exists() => read("", &path)?,
                _ => Self { credential: Credential::Machine(variables.clone()), quota_project: None },
            }
        };
        found.quota_project = variables.get("GOOGLE_CLOUD_QUOTA_PROJECT").or(found.quota_project);
        Ok(found)
    }

    /// Reads a file of credentials, and tells nothing of it.
    pub(super) fn parse(text: &[u8], origin: Origin, universe: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|_| "it is no JSON")?;
        let quota_project = field(&value, "quota_project_id").map(ToOwned::to_owned).ok();
        Ok(Self { credential: Credential::parse(&value, origin, universe, DEEPEST)?, quota_project })
    }
}

fn field<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    let text = value[name].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("it has no {name}"))
}

fn secret(value: &Value, name: &str) -> Result<Zeroizing<String>, String> {
    field(value, name).map(|text| Zeroizing::new(text.to_owned()))
}

impl Credential {
    fn parse(value: &Value, origin: Origin, universe: &str, deep: usize) -> Result<Self, String> {
        let own = field(value, "universe_domain").unwrap_or(UNIVERSE);
        if own != universe {
            return Err(format!("it is of the universe {own}, and {universe} is asked: SOPS_GCP_KMS_UNIVERSE_DOMAIN"));
        }
        match field(value, "type")? {
            "service_account" => Ok(Self::Key {
                email: field(value, "client_email")?.to_owned(),
                id: field(value, "private_key_id").unwrap_or_default().to_owned(),
                key: Box::new(jwt::key(field(value, "private_key")?.as_bytes())?),
            }),
            "authorized_user" => Ok(Self::Person {
                client: field(value, "client_id")?.to_owned(),
                secret: secret(value, "client_secret")?,
                refresh: secret(value, "refresh_token")?,
            }),
            "external_account" => {
                let federated = Self::federated(value, origin)?;
                let Ok(url) = field(value, "service_account_impersonation_url") else { return Ok(federated) };
                let seconds = value.pointer("/service_account_impersonation/token_lifetime_seconds");
                let lifetime = format!("{}s", seconds.and_then(Value::as_u64).unwrap_or(HOUR.as_secs()));
                Ok(Self::Became { url: url.to_owned(), delegates: Vec::new(), lifetime, by: Box::new(federated) })
            }
            "impersonated_service_account" if deep > 0 => {
                let url = field(value, "service_account_impersonation_url")?.to_owned();
                let by = Self::parse(&value["source_credentials"], origin, universe, deep - 1)
                    .map_err(|problem| format!("source_credentials: {problem}"))?;
                let delegates = value["delegates"].as_array().into_iter().flatten();
                let delegates = delegates.filter_map(Value::as_str).map(ToOwned::to_owned).collect();
                let lifetime = format!("{}s", HOUR.as_secs());
                Ok(Self::Became { url, delegates, lifetime, by: Box::new(by) })
            }
            _ => Err("its type is not supported: service_account, authorized_user, external_account and \
                      impersonated_service_account are"
                .to_owned()),
        }
    }

    fn federated(value: &Value, origin: Origin) -> Result<Self, String> {
        let source = &value["credential_source"];
        let name = || field(&source["format"], "subject_token_field_name").map(ToOwned::to_owned).ok();
        let subject = match (field(source, "file"), field(source, "url")) {
            (Ok(path), _) => Subject::File { path: path.to_owned(), field: name() },
            (_, Ok(url)) if origin == Origin::User && source["environment_id"].is_null() => {
                let headers = source["headers"].as_object().into_iter().flatten();
                let header =
                    |(name, text): (&String, &Value)| Some((name.clone(), Zeroizing::new(text.as_str()?.to_owned())));
                Subject::Url { url: url.to_owned(), headers: headers.filter_map(header).collect(), field: name() }
            }
            _ => return Err("only a credential_source with a file is supported, and by hand one with a url".to_owned()),
        };
        let client = field(value, "client_id").ok().zip(secret(value, "client_secret").ok());
        Ok(Self::Federated {
            audience: field(value, "audience")?.to_owned(),
            kind: field(value, "subject_token_type")?.to_owned(),
            url: field(value, "token_url").unwrap_or_default().to_owned(),
            client: client.map(|(id, secret)| (id.to_owned(), secret)),
            project: field(value, "workforce_pool_user_project").unwrap_or_default().to_owned(),
            subject,
        })
    }

    /// A ServiceAccount of the cluster: in the pool of GKE, or of the provider that it names; then as the service account
    /// of Google's that it names.
    pub(super) async fn of_account(
        account: &Account,
        variables: &Variables,
        network: &Network,
        universe: &str,
    ) -> Result<Self, String> {
        let (issued, audience) = match account.annotation(PROVIDER)? {
            Some(provider) if is_provider(provider) => {
                let audience = format!("//iam.googleapis.com/{provider}");
                (audience.clone(), audience)
            }
            Some(provider) => return Err(format!("{}: {PROVIDER} {provider:?} is no provider", account.id())),
            None => metadata::audiences(variables, network).await?,
        };
        let email = account.annotation(EMAIL)?;
        if let Some(email) = email.filter(|email| !is_email(email)) {
            return Err(format!("{}: {EMAIL} {email:?} is no service account", account.id()));
        }
        let federated = Self::Federated {
            audience,
            kind: "urn:ietf:params:oauth:token-type:jwt".to_owned(),
            url: String::new(),
            client: None,
            project: String::new(),
            subject: Subject::Given((account.issue)(issued).await?),
        };
        let Some(email) = email else { return Ok(federated) };
        let url =
            format!("https://iamcredentials.{universe}/v1/projects/-/serviceAccounts/{email}:generateAccessToken");
        let lifetime = format!("{}s", HOUR.as_secs());
        Ok(Self::Became { url, delegates: Vec::new(), lifetime, by: Box::new(federated) })
    }

    pub(super) fn token<'a>(
        &'a self,
        network: &'a Network,
        place: &'a Place,
        scopes: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Token, String>> {
        Box::pin(async move {
            match self {
                Self::Token(token) => Ok((token.clone(), Duration::ZERO)),
                Self::Machine(variables) => metadata::own_token(variables, network).await,
                Self::Key { email, id, key } => signed(email, id, key, scopes),
                Self::Person { client, secret, refresh } => {
                    let url = guarded(place, "", &format!("https://oauth2.{UNIVERSE}/token"))?;
                    let fields = [
                        ("grant_type", "refresh_token"),
                        ("refresh_token", refresh.as_str()),
                        ("client_id", client),
                        ("client_secret", secret),
                    ];
                    let answer = ask(form(network.http.post(url), &fields), told, &[refresh, secret]).await;
                    token(answer.map_err(|error| format!("the issuer {error}"))?)
                }
                Self::Federated { .. } => self.exchange(network, place, scopes).await,
                Self::Became { url, delegates, lifetime, by } => {
                    let url = guarded(place, "service_account_impersonation_url", url)?;
                    let (own, _) = by.token(network, place, &PLATFORM).await?;
                    let body = json!({"lifetime": lifetime, "scope": scopes, "delegates": delegates});
                    let request = network.http.post(url).bearer_auth(own.as_str()).json(&body);
                    let answer = ask(request, super::told, &[&own]).await;
                    let mut answer = answer.map_err(|error| format!("the service account is refused: IAM {error}"))?;
                    let lifetime = answer["expireTime"].as_str().map(until).unwrap_or_default();
                    let Value::String(token) = answer["accessToken"].take() else { return Err("IAM sent none".into()) };
                    Ok((Zeroizing::new(token), lifetime))
                }
            }
        })
    }

    /// A token of Google's for one of another issuer.
    async fn exchange(&self, network: &Network, place: &Place, scopes: &[&str]) -> Result<Token, String> {
        let Self::Federated { audience, kind, url, client, project, subject } = self else {
            return Err("there is nothing to exchange".to_owned());
        };
        let url = if url.is_empty() { &format!("https://sts.{}/v1/token", place.universe) } else { url };
        let url = guarded(place, "token_url", url)?;
        let subject = subject.token(network).await?;
        let (scope, options) = (scopes.join(" "), json!({"userProject": project}).to_string());
        let mut fields = vec![
            ("audience", audience.as_str()),
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", &scope),
            ("subject_token", &subject),
            ("subject_token_type", kind),
        ];
        if client.is_none() && !project.is_empty() {
            fields.push(("options", &options));
        }
        let mut request = form(network.http.post(url), &fields);
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret.as_str()));
        }
        let secret = client.as_ref().map(|(_, secret)| secret.as_str()).unwrap_or_default();
        let answer = ask(request, told, &[&subject, secret]).await;
        token(answer.map_err(|error| format!("the issuer {error}"))?)
    }
}

/// What Google's issuers say about a refusal.
fn told(body: &Value) -> Option<String> {
    let told = body["error_description"].as_str().or_else(|| body["error"].as_str())?;
    Some(told.to_owned())
}

/// An address that a token may be sent to.
fn guarded(place: &Place, field: &str, url: &str) -> Result<reqwest::Url, String> {
    let parsed = reqwest::Url::parse(url).ok().filter(|parsed| place.holds(parsed));
    let place = &place.universe;
    parsed.ok_or_else(|| format!("{field} leads to no host of {place}, and no other is sent a token"))
}

/// A token of a service account, signed by its own key: KMS takes it as it is.
fn signed(email: &str, id: &str, key: &RsaKeyPair, scopes: &[&str]) -> Result<Token, String> {
    // Clocks differ a little.
    let now = jiff::Timestamp::now().as_second() - 10;
    let end = now + HOUR.as_secs().cast_signed();
    let claims = json!({"iss": email, "sub": email, "scope": scopes.join(" "), "iat": now, "exp": end});
    Ok((jwt::sign(key, jwt::Algorithm::Rs256, json!({"kid": id}), &claims)?, HOUR))
}

impl Subject {
    async fn token(&self, network: &Network) -> Result<Zeroizing<String>, String> {
        let (text, field) = match self {
            Subject::Given(token) => return Ok(token.clone()),
            Subject::File { path, field } => {
                let text = tokio::fs::read_to_string(path).await.map(Zeroizing::new);
                (text.map_err(|error| format!("{path}: {error}"))?, field)
            }
            Subject::Url { url, headers, field } => {
                let url = reqwest::Url::parse(url).map_err(|_| "the url of credential_source is none")?;
                let request = headers
                    .iter()
                    .fold(network.http.get(url), |request, (name, text)| request.header(name, text.as_str()));
                let answer = send(request).await.map_err(|error| format!("the url of credential_source: {error}"))?;
                if !answer.is_success() {
                    return Err(format!("the url of credential_source {}", answer.refusal("", &[])));
                }
                (Zeroizing::new(answer.text().to_owned()), field)
            }
        };
        let Some(field) = field else { return Ok(Zeroizing::new(text.trim().to_owned())) };
        let mut value: Value = serde_json::from_str(&text).map_err(|_| "the token's source holds no JSON")?;
        match value[field].take() {
            Value::String(token) => Ok(Zeroizing::new(token)),
            _ => Err(format!("the token's source has no {field}")),
        }
    }
}

/// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
fn is_provider(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let [a, project, b, c, d, pool, e, provider] = parts.as_slice() else { return false };
    let is_number = (1..=30).contains(&project.len()) && project.bytes().all(|byte| byte.is_ascii_digit());
    [*a, *b, *c, *d, *e] == ["projects", "locations", "global", "workloadIdentityPools", "providers"]
        && is_number
        && [pool, provider].iter().all(|name| (1..=100).contains(&name.len()))
}

/// `NAME@PROJECT.iam.gserviceaccount.com`.
fn is_email(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let parts = text.strip_suffix(".iam.gserviceaccount.com").and_then(|rest| rest.split_once('@'));
    parts.is_some_and(|(name, project)| is_name(name) && is_name(project))
}
