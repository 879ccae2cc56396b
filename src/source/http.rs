//! The one way to talk HTTP to a source: client, redirects, limits.
//!
//! # Guarantees
//! - rustls only; the system's certificate authorities plus those given.
//! - At most [`MAX_REDIRECTS`] redirects, never from https to http; credentials go to the host and port that they were
//!   meant for and to no other.
//! - A body is never read beyond its limit, and nothing outlives its deadline.
//! - No error names a query, user or password of an address.
//!
//! Bodies are not decompressed: the digest of a chart is over the bytes as served.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// Redirects that are followed, as in Go's client.
pub const MAX_REDIRECTS: usize = 10;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a client trusts and passes through.
#[derive(Default)]
pub struct Options {
    /// Certificate authorities (PEM), beside the system's.
    pub authorities: Option<Vec<u8>>,
    /// Client certificate, its chain and its key (PEM, one after the other).
    pub identity: Option<Zeroizing<Vec<u8>>>,
    /// The proxy for every address; without one the environment's proxies count.
    pub proxy: Option<Proxy>,
    /// Takes a redirect for the answer, for those who send credentials by other means than [`Credentials`].
    pub refuses_redirects: bool,
}

/// A proxy, as Flux's `proxySecretRef` names it.
pub struct Proxy {
    /// Address, with scheme.
    pub address: String,
    /// User and password, when the proxy wants them.
    pub account: Option<(String, SecretString)>,
}

/// Who asks.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// Basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: SecretString,
    },
    /// A bearer token.
    Bearer(SecretString),
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// A certificate, key or proxy address that cannot be used.
    #[error("{field} cannot be used: {cause}")]
    Options {
        /// Which of the options.
        field: &'static str,
        /// What the TLS or HTTP library says about it.
        cause: String,
    },
    /// Not an address.
    #[error("invalid URL '{url}'")]
    Url {
        /// The address as far as it may be shown.
        url: String,
    },
    /// No answer: name, connection, TLS, a broken body.
    #[error("{cause}")]
    Transport {
        /// The chain of causes.
        cause: String,
    },
    /// The deadline passed.
    #[error("timed out")]
    Timeout,
    /// An answer that is not success.
    #[error("unexpected status code: {status}")]
    Status {
        /// HTTP status code.
        status: u16,
    },
    /// A body beyond its limit.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
}

/// Makes a client. It holds a pool of connections: keep it as long as its options are the same.
///
/// # Errors
/// [`HttpError::Options`] when a certificate, key or proxy address cannot be read.
pub fn client(options: &Options) -> Result<reqwest::Client, HttpError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .no_gzip()
        .redirect(if options.refuses_redirects { reqwest::redirect::Policy::none() } else { redirects() });
    if let Some(pem) = &options.authorities {
        let authorities = reqwest::Certificate::from_pem_bundle(pem).map_err(refused("certificate authority"))?;
        builder = builder.tls_certs_merge(authorities);
    }
    if let Some(pem) = &options.identity {
        builder = builder.identity(reqwest::Identity::from_pem(pem).map_err(refused("client certificate"))?);
    }
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(through(proxy)?);
    }
    builder.build().map_err(refused("TLS configuration"))
}

fn through(proxy: &Proxy) -> Result<reqwest::Proxy, HttpError> {
    let made = reqwest::Proxy::all(&proxy.address).map_err(refused("proxy address"))?;
    Ok(match &proxy.account {
        Some((user, password)) => made.basic_auth(user, password.expose_secret()),
        None => made,
    })
}

fn refused(field: &'static str) -> impl Fn(reqwest::Error) -> HttpError {
    move |error| HttpError::Options { field, cause: chain(&error.without_url()) }
}

/// reqwest itself drops the credentials when host or port change.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if from_https && attempt.url().scheme() != "https" {
            attempt.error("redirect from https to http")
        } else {
            attempt.follow()
        }
    })
}

impl Credentials {
    /// Puts the credentials on a request.
    #[must_use = "the request is signed by value"]
    pub fn sign(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Anonymous => request,
            Self::Basic { username, password } => request.basic_auth(username, Some(password.expose_secret())),
            Self::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }
}

/// Sends a request and waits for the head of a successful answer.
///
/// # Errors
/// Every [`HttpError`] but `TooLarge`.
pub async fn send(request: reqwest::RequestBuilder, deadline: Instant) -> Result<reqwest::Response, HttpError> {
    successful(answer(request, deadline).await?)
}

/// Sends a request and waits for the head of any answer.
///
/// # Errors
/// [`HttpError::Timeout`], [`HttpError::Transport`].
pub async fn answer(request: reqwest::RequestBuilder, deadline: Instant) -> Result<reqwest::Response, HttpError> {
    timeout_at(deadline, request.send()).await.map_err(|_| HttpError::Timeout)?.map_err(transport)
}

/// An answer, if it is success.
///
/// # Errors
/// [`HttpError::Status`]
pub fn successful(answer: reqwest::Response) -> Result<reqwest::Response, HttpError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(HttpError::Status { status: answer.status().as_u16() })
}

/// The next bytes of a body; `None` at its end.
///
/// # Errors
/// [`HttpError::Timeout`], [`HttpError::Transport`].
pub async fn chunk(answer: &mut reqwest::Response, deadline: Instant) -> Result<Option<bytes::Bytes>, HttpError> {
    timeout_at(deadline, answer.chunk()).await.map_err(|_| HttpError::Timeout)?.map_err(transport)
}

/// A whole body, of at most `limit` bytes.
///
/// # Errors
/// [`HttpError::TooLarge`] and those of [`send`].
pub async fn get(request: reqwest::RequestBuilder, limit: u64, deadline: Instant) -> Result<Vec<u8>, HttpError> {
    body(&mut send(request, deadline).await?, limit, deadline).await
}

/// What is left of a body, of at most `limit` bytes.
///
/// # Errors
/// [`HttpError::TooLarge`] and those of [`chunk`].
pub async fn body(answer: &mut reqwest::Response, limit: u64, deadline: Instant) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = chunk(answer, deadline).await? {
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(HttpError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `url` as far as it may be shown: without user, password, query and fragment.
pub fn shown(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = bare.split_once("://") else {
        return bare.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn transport(error: reqwest::Error) -> HttpError {
    if error.is_timeout() { HttpError::Timeout } else { HttpError::Transport { cause: chain(&error.without_url()) } }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn an_address_is_shown_without_user_query_and_fragment() {
        assert_eq!(shown("https://me:pa@ss@host:1/a/b?token=x#y"), "https://host:1/a/b");
        assert_eq!(shown("https://me@host?a=b@c"), "https://host");
        assert_eq!(shown("oci://host/x"), "oci://host/x");
        assert_eq!(shown("/srv/git"), "/srv/git");
    }
}
