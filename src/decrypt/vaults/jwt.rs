//! Tokens that we sign ourselves, with a key of RSA.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// How a token is signed.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5.
    #[cfg_attr(not(feature = "gcp-kms"), expect(dead_code, reason = "Google's tokens are signed so"))]
    Rs256,
    /// RSASSA-PSS.
    Ps256,
}

/// The key in a text of PEM: PKCS#8 or PKCS#1, in the clear.
pub(super) fn key(pem: &[u8]) -> Result<RsaKeyPair, String> {
    if pem.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err("a private key that a password protects is not supported".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it holds no private key in PEM")?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("the private key is none of RSA".to_owned()),
    };
    pair.map_err(|_| "the private key is none of RSA".to_owned())
}

/// A token of a header's further fields and claims.
pub(super) fn sign(
    key: &RsaKeyPair,
    algorithm: Algorithm,
    mut header: Value,
    claims: &Value,
) -> Result<Zeroizing<String>, String> {
    let (name, encoding): (_, &'static dyn RsaEncoding) = match algorithm {
        Algorithm::Rs256 => ("RS256", &RSA_PKCS1_SHA256),
        Algorithm::Ps256 => ("PS256", &RSA_PSS_SHA256),
    };
    header["alg"] = json!(name);
    header["typ"] = json!("JWT");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    let made = key.sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut signature);
    made.map_err(|_| "the private key cannot sign")?;
    Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
