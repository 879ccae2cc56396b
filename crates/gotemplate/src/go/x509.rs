//! As much of Go's `crypto/x509` as templates need: the names of keys, and what a certificate says of itself and of its
//! signer.

use super::der::{self, NULL, OCTET_STRING, OID, Reader, SEQUENCE, context, element, members, unsigned};
use super::pem::Block;

/// The identifier of RSA keys.
pub const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// The identifier of keys on elliptic curves.
pub const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// The identifier of Ed25519 keys.
pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// The identifier of X25519 keys.
pub const X25519: &[u8] = &[0x2b, 0x65, 0x6e];

/// An elliptic curve.
pub struct Curve {
    /// Its name, such as `P-256`.
    pub name: &'static str,
    /// Its identifier.
    pub id: &'static [u8],
    /// Bytes of a coordinate.
    pub size: usize,
}

/// The curves that are known.
pub const CURVES: &[Curve] = &[
    Curve { name: "P-256", id: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], size: 32 },
    Curve { name: "P-384", id: &[0x2b, 0x81, 0x04, 0x00, 0x22], size: 48 },
    Curve { name: "P-521", id: &[0x2b, 0x81, 0x04, 0x00, 0x23], size: 66 },
];

/// A private key with the name of its algorithm around it.
pub fn pkcs8(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    members(SEQUENCE, &[&unsigned(&[0]), algorithm, &element(OCTET_STRING, key)])
}

/// The algorithm of RSA keys.
pub fn rsa_algorithm() -> Vec<u8> {
    members(SEQUENCE, &[&element(OID, RSA), &element(NULL, &[])])
}

/// A certificate; nothing of it is verified.
pub struct Certificate {
    /// All its bytes.
    pub raw: Vec<u8>,
    /// The identifier of the key that signed it.
    pub authority_key: Option<Vec<u8>>,
    /// The identifier of its own key.
    pub subject_key: Option<Vec<u8>>,
    /// Its alternative names, one element after the other.
    pub names: Vec<u8>,
    /// Its subject, as an element.
    pub subject: Vec<u8>,
    /// Its public key with the name of the algorithm, as an element.
    pub public_key: Vec<u8>,
}

/// Why bytes are no certificate, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A part is not what it should be.
    #[error("x509: malformed {0}")]
    Malformed(&'static str),
    /// Something follows the certificate.
    #[error("x509: trailing data")]
    TrailingData,
}

const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 0x0e];
const SUBJECT_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// The first part that is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        use CertificateError::Malformed;
        let whole = Reader::new(bytes).expect(SEQUENCE).ok_or(Malformed("certificate"))?;
        if whole.whole.len() != bytes.len() {
            return Err(CertificateError::TrailingData);
        }
        let mut signed = Reader::new(whole.body).enter(SEQUENCE).ok_or(Malformed("tbs certificate"))?;
        let mut found = Self {
            raw: bytes.to_vec(),
            authority_key: None,
            subject_key: None,
            names: Vec::new(),
            subject: Vec::new(),
            public_key: Vec::new(),
        };
        signed.optional(context(0));
        signed.expect(der::INTEGER).ok_or(Malformed("serial number"))?;
        for part in ["signature algorithm identifier", "issuer", "validity", "subject", "spki"] {
            let element = signed.expect(SEQUENCE).ok_or(Malformed(part))?;
            match part {
                "subject" => found.subject = element.whole.to_vec(),
                "spki" => found.public_key = element.whole.to_vec(),
                _ => {}
            }
        }
        if let Some(extensions) = signed.find(|part| part.tag == context(3)) {
            for extension in der::sequence(extensions.body).ok_or(Malformed("extensions"))? {
                found.extension(extension.body).ok_or(Malformed("extension"))?;
            }
        }
        Ok(found)
    }

    fn extension(&mut self, bytes: &[u8]) -> Option<()> {
        let mut parts = Reader::new(bytes);
        let id = parts.expect(OID)?.body;
        let value = parts.find(|part| part.tag == OCTET_STRING)?.body;
        match id {
            AUTHORITY_KEY => {
                self.authority_key = der::sequence(value)?.find(|part| part.tag == 0x80).map(|key| key.body.into())
            }
            SUBJECT_KEY => self.subject_key = Some(Reader::new(value).expect(OCTET_STRING)?.body.into()),
            SUBJECT_NAMES => self.names = Reader::new(value).expect(SEQUENCE)?.body.into(),
            _ => {}
        }
        Some(())
    }

    /// The subject as Go prints it: its usual parts in an order of Go's own, then the others, the last one first.
    pub fn subject_name(&self) -> Option<String> {
        let parts: Option<Vec<_>> = der::sequence(&self.subject)?
            .flat_map(|part| Reader::new(part.body))
            .map(|name| {
                let mut parts = Reader::new(name.body);
                Some((parts.expect(OID)?.body, parts.any()?))
            })
            .collect();
        let parts = parts?;
        let mut printed = Vec::new();
        for (number, name) in USUAL_NAMES {
            let values = parts.iter().filter(|(id, _)| *id == [0x55, 0x04, *number]);
            let values: Option<Vec<_>> = values.map(|(_, value)| std::str::from_utf8(value.body).ok()).collect();
            let mut values = values?;
            if matches!(*name, "CN" | "SERIALNUMBER") {
                values.drain(..values.len().saturating_sub(1));
            }
            let values: Vec<_> = values.iter().map(|value| format!("{name}={}", escaped(value))).collect();
            printed.extend((!values.is_empty()).then(|| values.join("+")));
        }
        let usual = |id: &[u8]| USUAL_NAMES.iter().any(|(number, _)| *id == [0x55, 0x04, *number]);
        let others = parts.iter().rev().filter(|(id, _)| !usual(id));
        printed.extend(others.map(|(id, value)| format!("{}=#{}", dotted(id), hexadecimal(value.whole))));
        Some(printed.join(","))
    }

    /// As PEM.
    pub fn encode(&self) -> String {
        Block::new("CERTIFICATE", self.raw.clone()).encode()
    }
}

/// The last number of their identifiers, and their short names.
const USUAL_NAMES: &[(u8, &str)] = &[
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (8, "ST"),
    (7, "L"),
    (11, "OU"),
    (10, "O"),
    (6, "C"),
];

/// A value with a backslash before what would end or change it.
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        let at_edge = (c == '#' && index == 0) || (c == ' ' && (index == 0 || index == last));
        if at_edge || ",+\"\\<>;".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An object identifier with dots.
fn dotted(id: &[u8]) -> String {
    let (mut numbers, mut number) = (Vec::new(), 0_u64);
    for byte in id {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}
