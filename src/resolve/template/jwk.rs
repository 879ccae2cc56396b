//! JSON web keys as PEM.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gotemplate::go::der::{OCTET_STRING, OID, SEQUENCE, bit_string, context, element, members, unsigned};
use gotemplate::go::pem::Block;
use gotemplate::go::x509::{CURVES, EC, ED25519, X25519, pkcs8, rsa_algorithm};
use gotemplate::{Call, Failure, Value};
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// `jwkPublicKeyPem`.
pub(super) fn public(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let key = Key::read(call)?;
    if let Some(kind) = key.private_type() {
        return Err(format!("x509: unsupported public key type: {kind}").into());
    }
    let (algorithm, bits) = key.public()?;
    let info = members(SEQUENCE, &[&algorithm, &bit_string(&bits)]);
    Ok(Value::String(Block::new("PUBLIC KEY", info).encode().into()))
}

/// `jwkPrivateKeyPem`.
pub(super) fn private(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let key = Key::read(call)?;
    let (algorithm, secret) = key.private()?;
    Ok(Value::String(Block::new("PRIVATE KEY", pkcs8(&algorithm, &secret)).encode().into()))
}

struct Key(Json);

impl Drop for Key {
    fn drop(&mut self) {
        if let Json::Object(members) = &mut self.0 {
            members.values_mut().for_each(|value| {
                if let Json::String(text) = value {
                    zeroize::Zeroize::zeroize(text);
                }
            });
        }
    }
}

impl Key {
    fn read(call: &Call<'_, '_, '_>) -> Result<Self, Failure> {
        let hint = |words: String| Failure::new(format!("failed to unmarshal JSON into key hint: {words}"));
        gotemplate::go::json::parse(call.bytes(0)).map_err(hint)?;
        let json = serde_json::from_slice(call.bytes(0)).map_err(|error| hint(error.to_string()))?;
        Ok(Self(json))
    }

    fn text(&self, member: &str) -> &str {
        self.0.get(member).and_then(Json::as_str).unwrap_or_default()
    }

    fn bytes(&self, member: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let decoded =
            URL_SAFE_NO_PAD.decode(self.text(member).trim_end_matches('=')).ok().filter(|bytes| !bytes.is_empty());
        decoded.map(Zeroizing::new).ok_or_else(|| Failure::new(format!("the key has no valid member {member:?}")))
    }

    /// Go's type of a key that is not public.
    fn private_type(&self) -> Option<&'static str> {
        match self.text("kty") {
            "oct" => Some("[]uint8"),
            _ if self.0.get("d").is_none() => None,
            "RSA" => Some("*rsa.PrivateKey"),
            "EC" => Some("*ecdsa.PrivateKey"),
            _ if self.text("crv") == "X25519" => Some("*ecdh.PrivateKey"),
            _ => Some("ed25519.PrivateKey"),
        }
    }

    fn curve(&self) -> Result<(&'static [u8], usize), Failure> {
        let known = CURVES.iter().find(|curve| curve.name == self.text("crv"));
        known.map(|curve| (curve.id, curve.size)).ok_or_else(|| "the key's curve is not known".into())
    }

    /// A coordinate in the curve's size.
    fn coordinate(&self, member: &str, size: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let bytes = self.bytes(member)?;
        let missing = size.checked_sub(bytes.len()).ok_or_else(|| Failure::new("a coordinate is too large"))?;
        Ok(Zeroizing::new([vec![0; missing], bytes.to_vec()].concat()))
    }

    fn point(&self, size: usize) -> Result<Vec<u8>, Failure> {
        Ok([&[4], &**self.coordinate("x", size)?, &**self.coordinate("y", size)?].concat())
    }

    /// The algorithm, and the key within it.
    fn public(&self) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        match (self.text("kty"), self.text("crv")) {
            ("RSA", _) => {
                let key = members(SEQUENCE, &[&unsigned(&self.bytes("n")?), &unsigned(&self.bytes("e")?)]);
                Ok((rsa_algorithm(), key))
            }
            ("EC", _) => {
                let (curve, size) = self.curve()?;
                Ok((members(SEQUENCE, &[&element(OID, EC), &element(OID, curve)]), self.point(size)?))
            }
            ("OKP", "Ed25519") => Ok((members(SEQUENCE, &[&element(OID, ED25519)]), self.bytes("x")?.to_vec())),
            ("OKP", "X25519") => Ok((members(SEQUENCE, &[&element(OID, X25519)]), self.bytes("x")?.to_vec())),
            (kind, _) => Err(format!("invalid key type {kind:?} in JWK").into()),
        }
    }

    /// The algorithm, and the key within it.
    fn private(&self) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Failure> {
        if self.text("kty") == "oct" {
            return Err("x509: unknown key type while marshaling PKCS#8: []uint8".into());
        }
        let (algorithm, public) = self.public()?;
        if self.0.get("d").is_none() {
            return Err("x509: unknown key type while marshaling PKCS#8: a public key".into());
        }
        let key = match self.text("kty") {
            "RSA" => {
                let mut parts = vec![unsigned(&[0])];
                for member in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                    parts.push(unsigned(&self.bytes(member)?));
                }
                element(SEQUENCE, &Zeroizing::new(parts.concat()))
            }
            "EC" => {
                let (_, size) = self.curve()?;
                let secret = element(OCTET_STRING, &self.coordinate("d", size)?);
                members(SEQUENCE, &[&unsigned(&[1]), &secret, &element(context(1), &bit_string(&public))])
            }
            _ => element(OCTET_STRING, &self.bytes("d")?),
        };
        Ok((algorithm, Zeroizing::new(key)))
    }
}
