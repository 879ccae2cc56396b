//! Tokens of Entra: for an application that proves what it is, or for what Azure runs.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::identity::{Account, Token, Variables, token};
use super::super::network::{Network, ask, escaped, form};
use super::certificate::Certificate;

/// Where Entra stands, unless a login says otherwise.
const AUTHORITY: &str = "https://login.microsoftonline.com/";
/// What Entra expects in the token of a ServiceAccount.
const AUDIENCE: &str = "api://AzureADTokenExchange";
/// The annotations of ServiceAccounts.
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";
/// Where Azure's machines ask who they are.
const INSTANCE: &str = "http://169.254.169.254";
const NO_LOGIN: &str = "there are no credentials in the environment: AZURE_TENANT_ID, AZURE_CLIENT_ID and one of \
    AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH and AZURE_FEDERATED_TOKEN_FILE";

/// The domain of vaults that a token is for.
#[derive(Clone, Copy)]
pub(super) struct Resource(pub(super) &'static str);

/// Who we are.
#[derive(Clone)]
pub(super) enum Who {
    Application(Application),
    /// A managed identity: of a client's id, or the only one.
    Managed {
        client: Option<String>,
        variables: Variables,
    },
    /// A ServiceAccount, whose annotations name an application.
    Account(Account, Variables),
    /// As the environment says.
    Environment(Variables),
}

/// An application of Entra.
#[derive(Clone)]
pub(super) struct Application {
    /// The base URL of the token issuer; Azure's public one when empty.
    authority: String,
    tenant: String,
    client: String,
    proof: Proof,
}

/// What proves that we are an application.
#[derive(Clone)]
enum Proof {
    /// Its secret.
    Secret(Zeroizing<String>),
    /// A file with a ServiceAccount's token, as Azure's webhook mounts it.
    File(PathBuf),
    /// A ServiceAccount's token.
    Token(Zeroizing<String>),
    /// A certificate with its key.
    Certificate(Arc<Certificate>),
}

impl Who {
    /// In Flux's order.
    pub(super) fn parse(value: &Value, variables: &Variables) -> Result<Self, String> {
        let field = |name: &str| value[name].as_str().filter(|text| !text.is_empty());
        let hidden = |text: &str| Zeroizing::new(text.to_owned());
        let authority = field("authorityHost").unwrap_or_default();
        let application = |tenant: &str, client: &str, proof| {
            let (authority, tenant, client) = (authority.to_owned(), tenant.to_owned(), client.to_owned());
            Ok(Who::Application(Application { authority, tenant, client, proof }))
        };
        if let (Some(tenant), Some(client)) = (field("tenantId"), field("clientId")) {
            if let Some(secret) = field("clientSecret") {
                return application(tenant, client, Proof::Secret(hidden(secret)));
            }
            if let Some(text) = field("clientCertificate") {
                let sends_chain = value["clientCertificateSendChain"] == true;
                let certificate = Certificate::parse(text.as_bytes(), sends_chain)
                    .map_err(|problem| format!("clientCertificate: {problem}"))?;
                return application(tenant, client, Proof::Certificate(Arc::new(certificate)));
            }
        }
        if let (Some(tenant), Some(client), Some(secret)) = (field("tenant"), field("appId"), field("password")) {
            return application(tenant, client, Proof::Secret(hidden(secret)));
        }
        match field("clientId") {
            Some(client) => Ok(Who::Managed { client: Some(client.to_owned()), variables: variables.clone() }),
            None => {
                Err("it must hold clientId; or tenantId, clientId and clientSecret or clientCertificate; or tenant, \
                         appId and password"
                    .to_owned())
            }
        }
    }

    pub(super) async fn token(&self, network: &Network, resource: Resource) -> Result<Token, String> {
        match self {
            Who::Application(application) => application.token(network, resource).await,
            Who::Managed { client, variables } => managed(network, variables, client.as_deref(), resource).await,
            Who::Account(account, variables) => {
                Application::of_account(account, variables).await?.token(network, resource).await
            }
            Who::Environment(variables) => {
                if let Some(application) = Application::of_environment(variables)? {
                    return application.token(network, resource).await;
                }
                let client = variables.get("AZURE_CLIENT_ID");
                let token = managed(network, variables, client.as_deref(), resource).await;
                token.map_err(|refused| format!("{NO_LOGIN}; the managed identity: {refused}"))
            }
        }
    }
}

impl Application {
    fn of_environment(variables: &Variables) -> Result<Option<Self>, String> {
        let (Some(tenant), Some(client)) = (variables.get("AZURE_TENANT_ID"), variables.get("AZURE_CLIENT_ID")) else {
            return Ok(None);
        };
        let proof = if let Some(secret) = variables.get("AZURE_CLIENT_SECRET") {
            Proof::Secret(Zeroizing::new(secret))
        } else if let Some(path) = variables.get("AZURE_CLIENT_CERTIFICATE_PATH") {
            let told = |problem: String| format!("AZURE_CLIENT_CERTIFICATE_PATH: {path}: {problem}");
            let text = std::fs::read(&path).map(Zeroizing::new).map_err(|error| told(error.to_string()))?;
            let chain = variables.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
            let sends_chain = chain.is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"));
            Proof::Certificate(Arc::new(Certificate::parse(&text, sends_chain).map_err(told)?))
        } else if let Some(file) = variables.get("AZURE_FEDERATED_TOKEN_FILE") {
            Proof::File(file.into())
        } else {
            return Ok(None);
        };
        let authority = variables.get("AZURE_AUTHORITY_HOST").unwrap_or_default();
        Ok(Some(Self { authority, tenant, client, proof }))
    }

    async fn of_account(account: &Account, variables: &Variables) -> Result<Self, String> {
        let (client, tenant) = (account.annotation(CLIENT)?, account.annotation(TENANT)?.map(ToOwned::to_owned));
        let tenant = tenant.or_else(|| variables.get("AZURE_TENANT_ID"));
        let (Some(client), Some(tenant)) = (client, tenant) else {
            return Err(format!("{} has no annotations {CLIENT} and {TENANT}", account.id()));
        };
        let proof = Proof::Token((account.issue)(AUDIENCE.to_owned()).await?);
        let authority = variables.get("AZURE_AUTHORITY_HOST").unwrap_or_default();
        Ok(Self { authority, tenant, client: client.to_owned(), proof })
    }

    async fn token(&self, network: &Network, resource: Resource) -> Result<Token, String> {
        let authority = if self.authority.is_empty() { AUTHORITY } else { &self.authority };
        let address = format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), self.tenant);
        let url = reqwest::Url::parse(&address).map_err(|_| "the tenant or the authority is no part of a URL")?;
        if url.scheme() != "https" {
            return Err("the authority is not reached by https".to_owned());
        }
        let scope = format!("https://{}/.default", resource.0);
        let mut fields =
            vec![("client_id", self.client.as_str()), ("scope", &scope), ("grant_type", "client_credentials")];
        let proof = self.proof.text(&self.client, &address).await?;
        if matches!(self.proof, Proof::Secret(_)) {
            fields.push(("client_secret", &proof));
        } else {
            fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            fields.push(("client_assertion", &proof));
        }
        let answer = ask(form(network.http.post(url), &fields), told, &[&proof]).await;
        token(answer.map_err(|error| format!("the issuer {error}"))?)
    }
}

fn told(body: &Value) -> Option<String> {
    body["error_description"].as_str().or_else(|| body["message"].as_str()).map(ToOwned::to_owned)
}

impl Proof {
    async fn text(&self, client: &str, audience: &str) -> Result<Zeroizing<String>, String> {
        match self {
            Proof::Secret(secret) => Ok(secret.clone()),
            Proof::Token(token) => Ok(token.clone()),
            Proof::Certificate(certificate) => certificate.assertion(client, audience),
            // The last newline is no part of a token.
            Proof::File(path) => match tokio::fs::read_to_string(path).await.map(Zeroizing::new) {
                Ok(text) => Ok(Zeroizing::new(text.trim_end().to_owned())),
                Err(error) => Err(format!("{}: {error}", path.display())),
            },
        }
    }
}

/// A token of a managed identity: of App Service, where the environment names its endpoint, or of the instance.
async fn managed(
    network: &Network,
    variables: &Variables,
    client: Option<&str>,
    resource: Resource,
) -> Result<Token, String> {
    let client = client.map(|client| format!("&client_id={}", escaped(client))).unwrap_or_default();
    let query = format!("resource={}{client}", escaped(&format!("https://{}", resource.0)));
    let (url, name, value) = match variables.get("IDENTITY_ENDPOINT") {
        Some(endpoint) => {
            let header =
                variables.get("IDENTITY_HEADER").ok_or("IDENTITY_ENDPOINT without IDENTITY_HEADER is not supported")?;
            (format!("{endpoint}?api-version=2019-08-01&{query}"), "x-identity-header", Zeroizing::new(header))
        }
        None => {
            let host = variables.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| INSTANCE.to_owned());
            let url =
                format!("{}/metadata/identity/oauth2/token?api-version=2018-02-01&{query}", host.trim_end_matches('/'));
            (url, "metadata", Zeroizing::new("true".to_owned()))
        }
    };
    let request = if url.starts_with("https://") { network.http.get(&url) } else { network.near(Method::GET, &url)? };
    token(ask(request.header(name, value.as_str()), told, &[&value]).await?)
}
