//! A certificate that proves which application we are.

use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::jwt;

/// How long an assertion lives.
const LIFETIME: i64 = 600;

/// A certificate with its key.
pub(super) struct Certificate {
    key: RsaKeyPair,
    /// Its own certificate first.
    chain: Vec<CertificateDer<'static>>,
    sends_chain: bool,
}

impl Certificate {
    /// Reads PEM: a key of RSA, and certificates of which the first is its own.
    pub(super) fn parse(pem: &[u8], sends_chain: bool) -> Result<Self, String> {
        if !pem.starts_with(b"-----") && !pem.windows(11).any(|word| word == b"-----BEGIN ") {
            return Err("only PEM is supported, with the private key in the clear".to_owned());
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let chain = chain.map_err(|_| "its certificates cannot be read")?;
        if chain.is_empty() {
            return Err("it holds no certificate in PEM".to_owned());
        }
        Ok(Self { key: jwt::key(pem)?, chain, sends_chain })
    }

    /// The token that an issuer takes in the place of a client secret.
    pub(super) fn assertion(&self, client: &str, audience: &str) -> Result<Zeroizing<String>, String> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| "there is no randomness")?;
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "aud": audience, "iss": client, "sub": client, "jti": URL_SAFE_NO_PAD.encode(id), "nbf": now, "iat": now,
            "exp": now + LIFETIME,
        });
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.chain[0]));
        let mut header = json!({"x5t#S256": thumbprint});
        if self.sends_chain {
            header["x5c"] = self.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        }
        jwt::sign(&self.key, jwt::Algorithm::Ps256, header, &claims)
    }
}
