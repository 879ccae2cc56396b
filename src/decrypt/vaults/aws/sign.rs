//! Signature Version 4.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An access key.
#[derive(Clone)]
pub(super) struct Keys {
    id: String,
    secret: Zeroizing<String>,
    /// The token of a session that ends.
    session: Option<Zeroizing<String>>,
}

/// An access key, and how long it lives.
pub(super) type Session = (Keys, Duration);

/// Lives as long as it is not changed, so that it is looked up each time.
pub(super) fn lasting(keys: Keys) -> Session {
    (keys, Duration::ZERO)
}

impl Keys {
    pub(super) fn new(id: &str, secret: &str, session: Option<&str>) -> Self {
        let hidden = |text: &str| Zeroizing::new(text.to_owned());
        Self { id: id.to_owned(), secret: hidden(secret), session: session.map(hidden) }
    }

    /// What no text may tell.
    pub(super) fn secrets(&self) -> Vec<&str> {
        self.session.iter().map(|session| session.as_str()).chain([self.secret.as_str()]).collect()
    }
}

/// Whom a request is for.
pub(super) struct Target<'t> {
    pub(super) service: &'t str,
    pub(super) region: &'t str,
    pub(super) url: reqwest::Url,
}

/// A request with a signature. The names of `headers` are in lower case.
pub(super) fn post(
    http: &reqwest::Client,
    keys: &Keys,
    target: &Target<'_>,
    headers: &[(&str, &str)],
    body: String,
) -> reqwest::RequestBuilder {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut headers: Vec<(&str, &str)> = headers.to_vec();
    headers.extend([("host", target.url.authority()), ("x-amz-date", &now)]);
    headers.extend(keys.session.iter().map(|session| ("x-amz-security-token", session.as_str())));
    headers.sort_unstable();
    let signature = signature(keys, target, &headers, body.as_bytes(), &now);
    let mut request = http.post(target.url.clone()).header("authorization", signature);
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(*name, *value);
    }
    request.body(body)
}

/// The header that proves the key. Headers are in order.
fn signature(keys: &Keys, target: &Target<'_>, headers: &[(&str, &str)], body: &[u8], now: &str) -> String {
    let (date, Target { service, region, url }) = (&now[..8], target);
    let listed: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let request = format!("POST\n{}\n\n{listed}\n{names}\n{}", url.path(), hex(&Sha256::digest(body)));
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("{ALGORITHM}\n{now}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let secret = Zeroizing::new([b"AWS4", keys.secret.as_bytes()].concat());
    let chain = [date, region, service, "aws4_request"];
    let key = chain.iter().fold(secret, |key, part| keyed(&key, part.as_bytes()));
    let signature = hex(&keyed(&key, text.as_bytes()));
    format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id)
}

fn keyed(key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
    let hash = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).map(|hash| hash.chain_update(text));
    Zeroizing::new(hash.map(|hash| hash.finalize().into_bytes().to_vec()).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
