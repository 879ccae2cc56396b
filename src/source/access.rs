//! What Flux's Secrets say about reaching a source: credentials, certificates, a proxy.

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::http::{Credentials, Options, Proxy};

/// A Secret as a source reads it.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// `namespace/name`, for messages.
    pub name: &'a str,
    /// The value of a key.
    pub value: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

/// Everything that a request to a source needs beside its address.
#[derive(Default)]
pub struct Access {
    /// Who asks.
    pub credentials: Credentials,
    /// For [`super::http::client`].
    pub options: Options,
}

/// Why a Secret cannot be used. No variant holds a value of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// One of user name and password alone.
    #[error("secret '{secret}': malformed basic auth - has '{present}' but missing '{missing}'")]
    HalfBasic {
        /// `namespace/name`.
        secret: String,
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// A password for Git without a user, in the Secret or in the URL.
    #[error("invalid '{transport}' auth option: 'password' requires 'username' to be set")]
    NoUser {
        /// The URL's scheme.
        transport: String,
    },
    /// A bearer token, and user or password too.
    #[error("basic auth and bearer token cannot be set at the same time")]
    Both,
    /// A certificate without its key, or the other way round.
    #[error("secret '{secret}' contains '{present}' but missing '{missing}'")]
    HalfIdentity {
        /// `namespace/name`.
        secret: String,
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// A Secret for certificates that has none.
    #[error("secret '{secret}' must contain either 'ca.crt' or both 'tls.crt' and 'tls.key'")]
    NoCertificate {
        /// `namespace/name`.
        secret: String,
    },
    /// A Secret without a key that it must have.
    #[error("secret '{secret}': key '{key}' not found")]
    NoKey {
        /// `namespace/name`.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// A proxy address that is empty, too long or of a foreign scheme.
    #[error("secret '{secret}': proxy URL must use one of the supported schemes (http, https, socks5)")]
    ProxyAddress {
        /// `namespace/name`.
        secret: String,
    },
}

/// Flux's limit on the length of a proxy's address.
const MAX_PROXY_ADDRESS: usize = 2048;

impl<'a> Secret<'a> {
    fn get(&self, key: &str) -> Option<&'a [u8]> {
        (self.value)(key)
    }

    /// The first of `keys` that has bytes; Flux reads the names of old releases as well.
    fn bytes(&self, keys: &[&str]) -> Option<&'a [u8]> {
        keys.iter().find_map(|key| self.get(key).filter(|value| !value.is_empty()))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

impl Access {
    /// For a GitRepository at `url` with the Secret of its `secretRef`. A user or password in the URL counts where the
    /// Secret has none.
    ///
    /// # Errors
    /// When the credentials contradict or lack one another.
    pub fn git(url: &str, secret: Option<Secret<'_>>) -> Result<Self, AccessError> {
        let key = |key: &str| secret.and_then(|secret| secret.text(key)).unwrap_or_default();
        let (url_user, url_password) = user_info(url);
        let bearer = secret.filter(|secret| secret.get("bearerToken").is_some()).map(|_| key("bearerToken"));
        let of_secret = |name| if bearer.is_some() { String::new() } else { key(name) };
        let username = Some(of_secret("username")).filter(|name| !name.is_empty()).unwrap_or(url_user);
        let password = Some(of_secret("password")).filter(|word| !word.is_empty()).unwrap_or(url_password);
        let credentials = git_credentials(url, username, password, bearer.unwrap_or_default())?;
        let authorities = secret.and_then(|secret| secret.bytes(&["ca.crt", "caFile"])).map(<[u8]>::to_vec);
        let pair = secret.and_then(|secret| Some((secret.bytes(&["tls.crt"])?, secret.bytes(&["tls.key"])?)));
        let options = Options {
            authorities,
            identity: pair.map(|(cert, key)| Zeroizing::new([cert, b"\n", key].concat())),
            ..Options::default()
        };
        Ok(Self { credentials, options })
    }

    /// For a HelmRepository with the Secrets of its `secretRef` and `certSecretRef`. Certificates of the first count
    /// when there is no second.
    ///
    /// # Errors
    /// When keys lack one another; an incomplete certificate in `secretRef` is passed over, as Flux does.
    pub fn helm(secret: Option<Secret<'_>>, certificates: Option<Secret<'_>>) -> Result<Self, AccessError> {
        let credentials = secret.map(basic).transpose()?.flatten().unwrap_or_default();
        let options = match (certificates, secret) {
            (Some(certificates), _) => tls(certificates)?,
            (None, Some(secret)) => tls(secret).unwrap_or_default(),
            (None, None) => Options::default(),
        };
        Ok(Self { credentials, options })
    }

    /// Adds the proxy that the Secret of a `proxySecretRef` names.
    ///
    /// # Errors
    /// When it names none that can be used.
    pub fn through(mut self, secret: Secret<'_>) -> Result<Self, AccessError> {
        let missing = || AccessError::NoKey { secret: secret.name.into(), key: "address" };
        let address = secret.text("address").ok_or_else(missing)?;
        let known = ["http://", "https://", "socks5://"].iter().any(|scheme| address.starts_with(scheme));
        if !known || address.len() > MAX_PROXY_ADDRESS {
            return Err(AccessError::ProxyAddress { secret: secret.name.into() });
        }
        let password = || SecretString::from(secret.text("password").unwrap_or_default());
        let account = secret.text("username").map(|user| (user, password()));
        self.options.proxy = Some(Proxy { address, account });
        Ok(self)
    }
}

fn git_credentials(url: &str, username: String, password: String, bearer: String) -> Result<Credentials, AccessError> {
    let has_account = !username.is_empty() || !password.is_empty();
    if username.is_empty() && !password.is_empty() {
        let transport = url.split("://").next().unwrap_or_default().to_owned();
        return Err(AccessError::NoUser { transport });
    }
    match (has_account, bearer.is_empty()) {
        (true, false) => Err(AccessError::Both),
        (true, true) => Ok(Credentials::Basic { username, password: password.into() }),
        (false, false) => Ok(Credentials::Bearer(bearer.into())),
        (false, true) => Ok(Credentials::Anonymous),
    }
}

/// User and password in a URL, percent-decoded.
fn user_info(url: &str) -> (String, String) {
    let Ok(url) = reqwest::Url::parse(url) else {
        return Default::default();
    };
    (decoded(url.username()), decoded(url.password().unwrap_or_default()))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *first == b'%');
        let byte = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn basic(secret: Secret<'_>) -> Result<Option<Credentials>, AccessError> {
    let half = |present, missing| AccessError::HalfBasic { secret: secret.name.into(), present, missing };
    match (secret.text("username"), secret.text("password")) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(half("username", "password")),
        (None, Some(_)) => Err(half("password", "username")),
        // Helm sends nothing when either is empty.
        (Some(user), Some(word)) if user.is_empty() || word.is_empty() => Ok(None),
        (Some(username), Some(word)) => Ok(Some(Credentials::Basic { username, password: word.into() })),
    }
}

fn tls(secret: Secret<'_>) -> Result<Options, AccessError> {
    let half = |present, missing| AccessError::HalfIdentity { secret: secret.name.into(), present, missing };
    let authorities = secret.bytes(&["ca.crt", "caFile"]).map(<[u8]>::to_vec);
    let identity = match (secret.bytes(&["tls.crt", "certFile"]), secret.bytes(&["tls.key", "keyFile"])) {
        (Some(cert), Some(key)) => Some(Zeroizing::new([cert, b"\n", key].concat())),
        (Some(_), None) => return Err(half("tls.crt", "tls.key")),
        (None, Some(_)) => return Err(half("tls.key", "tls.crt")),
        (None, None) if authorities.is_none() => {
            return Err(AccessError::NoCertificate { secret: secret.name.into() });
        }
        (None, None) => None,
    };
    Ok(Options { authorities, identity, ..Options::default() })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn with<R>(keys: &[(&str, &str)], run: impl FnOnce(Secret<'_>) -> R) -> R {
        let value = |key: &str| keys.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_bytes());
        run(Secret { name: "apps/auth", value: &value })
    }

    fn git(url: &str, keys: &[(&str, &str)]) -> String {
        with(keys, |secret| match Access::git(url, Some(secret)) {
            Err(error) => error.to_string(),
            Ok(access) => told(&access.credentials),
        })
    }

    fn told(credentials: &Credentials) -> String {
        match credentials {
            Credentials::Anonymous => "anonymous".into(),
            Credentials::Basic { username, password } => format!("{username}:{}", password.expose_secret()),
            Credentials::Bearer(token) => format!("bearer {}", token.expose_secret()),
        }
    }

    #[test]
    fn git_reads_its_secret_as_flux_does() {
        let url = "https://host/x";
        assert_eq!(git(url, &[]), "anonymous");
        assert_eq!(git(url, &[("username", "u"), ("password", "p")]), "u:p");
        assert_eq!(git(url, &[("username", "u")]), "u:");
        assert_eq!(git(url, &[("bearerToken", "t"), ("username", "u"), ("password", "p")]), "bearer t");
        assert_eq!(
            git(url, &[("password", "p")]),
            "invalid 'https' auth option: 'password' requires 'username' to be set"
        );
        assert_eq!(git("https://me:a%40b@host/x", &[]), "me:a@b");
        assert_eq!(git("https://me@host/x", &[("password", "p")]), "me:p");
        assert_eq!(
            git("https://me@host/x", &[("bearerToken", "t")]),
            "basic auth and bearer token cannot be set at the same time"
        );
    }

    #[test]
    fn helm_wants_both_halves_of_an_account_and_of_a_certificate() {
        let helm =
            |keys: &[(&str, &str)]| with(keys, |secret| Access::helm(Some(secret), None).map(|a| told(&a.credentials)));
        assert_eq!(helm(&[("username", "u"), ("password", "p")]).unwrap(), "u:p");
        let error = helm(&[("username", "u")]).unwrap_err().to_string();
        assert_eq!(error, "secret 'apps/auth': malformed basic auth - has 'username' but missing 'password'");
        assert_eq!(helm(&[("tls.crt", "x")]).unwrap(), "anonymous");
        let certificates =
            |keys: &[(&str, &str)]| with(keys, |secret| Access::helm(None, Some(secret)).map(|a| a.options));
        let error = certificates(&[("tls.crt", "x")]).err().unwrap().to_string();
        assert_eq!(error, "secret 'apps/auth' contains 'tls.crt' but missing 'tls.key'");
        let error = certificates(&[]).err().unwrap().to_string();
        assert_eq!(error, "secret 'apps/auth' must contain either 'ca.crt' or both 'tls.crt' and 'tls.key'");
        let options = certificates(&[("caFile", "ca"), ("certFile", "c"), ("keyFile", "k")]).unwrap();
        assert_eq!(options.authorities.as_deref(), Some(&b"ca"[..]));
        assert_eq!(options.identity.as_deref().map(Vec::as_slice), Some(&b"c\nk"[..]));
    }

    #[test]
    fn a_proxy_needs_an_address_of_a_known_scheme() {
        let through = |keys: &[(&str, &str)]| {
            let made = with(keys, |secret| Access::default().through(secret));
            made.map(|access| access.options.proxy.map(|proxy| proxy.address))
        };
        let keys = [("address", "http://proxy:3128"), ("username", "u"), ("password", "p")];
        assert_eq!(through(&keys).unwrap().as_deref(), Some("http://proxy:3128"));
        assert_eq!(through(&[]).unwrap_err().to_string(), "secret 'apps/auth': key 'address' not found");
        assert!(through(&[("address", "ftp://proxy")]).is_err());
    }
}
