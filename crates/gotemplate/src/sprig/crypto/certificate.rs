//! Certificates, byte by byte in the form of Go's `x509.CreateCertificate`.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::Digest as _;

use super::super::Result;
use super::key::Key;
use crate::go::der::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, OCTET_STRING, OID, PRINTABLE_STRING, SEQUENCE, SET, UTC_TIME, UTF8_STRING,
    bit_string, context, element, members, unsigned,
};
use crate::go::pem::{self, Block};
use crate::go::time::{Time, Zone};
use crate::go::x509;
use crate::value::{Host, Member};
use crate::{Call, Failure, Value, go};

/// A certificate and its private key, both as PEM, as templates see them.
struct Certificate {
    certificate: String,
    key: String,
}

impl Host for Certificate {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn member(&self, name: &str) -> Option<Member> {
        let found = self.fields().into_iter().find(|(field, ..)| *field == name);
        found.map(|(_, _, value)| Member::Field(value))
    }

    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        vec![("Cert", "Cert", self.certificate.as_str().into()), ("Key", "Key", self.key.as_str().into())]
    }
}

fn give(certificate: String, key: String) -> Result {
    Ok(Value::Host(Arc::new(Certificate { certificate, key })))
}

/// Reads the first certificate of a PEM.
fn parse(text: &str, field: &str) -> std::result::Result<x509::Certificate, Failure> {
    let (block, _) = pem::next(text).ok_or_else(|| Failure::new("unable to decode certificate"))?;
    let parsed = x509::Certificate::parse(&block.bytes);
    parsed.map_err(|error| format!("error parsing certificate: {field}: {error}").into())
}

fn parse_key(text: &str, words: &str) -> std::result::Result<Key, Failure> {
    Key::parse(text).map_err(|error| error.wrap(words))
}

/// `buildCustomCert`: certificate and key in base64.
pub(super) fn custom(c: &mut Call<'_, '_, '_>) -> Result {
    let decoded = |index: usize, what: &str| {
        let bytes = go::base64::decode(c.bytes(index)).map_err(|_| format!("unable to decode base64 {what}"))?;
        Ok::<_, Failure>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (certificate, key) = (decoded(0, "certificate")?, decoded(1, "private key")?);
    parse(&certificate, "decodedCert.Bytes")?;
    parse_key(&key, "error parsing private key")?;
    give(certificate, key)
}

/// `genCA`, `genCAWithKey`: common name, days, key.
pub(super) fn authority(c: &mut Call<'_, '_, '_>) -> Result {
    let key = key(c, 2)?;
    let mut template = Template::new(c, 1)?;
    template.is_authority = true;
    template.issue(&key, None)
}

/// `genSelfSignedCert`, `genSelfSignedCertWithKey`: common name, addresses, names, days, key.
pub(super) fn self_signed(c: &mut Call<'_, '_, '_>) -> Result {
    let key = key(c, 4)?;
    Template::for_hosts(c)?.issue(&key, None)
}

/// `genSignedCert`, `genSignedCertWithKey`: common name, addresses, names, days, authority, key.
pub(super) fn signed(c: &mut Call<'_, '_, '_>) -> Result {
    let key = key(c, 5)?;
    let field = |name: &str| match c.value(4) {
        Value::Host(host) => match host.member(name) {
            Some(Member::Field(value)) => value.as_text().map(|text| text.to_str().into_owned()).unwrap_or_default(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let (certificate, signing) = (field("Cert"), field("Key"));
    let certificate = parse(&certificate, "decodedSignerCert.Bytes")?;
    let signing = parse_key(&signing, "error parsing private key")?;
    Template::for_hosts(c)?.issue(&key, Some((&certificate, &signing)))
}

/// The key that is the argument at `index`; without one, a new one.
fn key(c: &mut Call<'_, '_, '_>, index: usize) -> std::result::Result<Key, Failure> {
    match c.rest(index).first() {
        Some(_) => parse_key(&c.str(index), "parsing private key"),
        None => Key::rsa(c, 2048),
    }
}

/// What a certificate is to say.
struct Template {
    /// The common name.
    name: String,
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    is_authority: bool,
    serial: [u8; 16],
    /// From and to, in seconds since 1970.
    validity: [i64; 2],
}

/// A day, in nanoseconds.
const DAY: i64 = 86_400_000_000_000;

impl Template {
    /// A certificate for a common name, for as many days as the argument at `days` says.
    fn new(c: &mut Call<'_, '_, '_>, days: usize) -> std::result::Result<Self, Failure> {
        let mut serial = [0; 16];
        let environment = c.environment();
        environment.fill(&mut serial);
        let now = environment.now();
        // As in Go, centuries wrap around.
        let until = now + i128::from(c.int(days).wrapping_mul(DAY));
        let seconds = |time: i128| i64::try_from(time.div_euclid(1_000_000_000)).unwrap_or_default();
        let name = std::str::from_utf8(c.bytes(0));
        let name = name.map_err(|_| Failure::new("error creating certificate: asn1: string not valid UTF-8"))?;
        Ok(Self {
            name: name.to_owned(),
            addresses: Vec::new(),
            names: Vec::new(),
            is_authority: false,
            serial,
            validity: [seconds(now), seconds(until)],
        })
    }

    /// The same for the addresses and names that are the second and third argument.
    fn for_hosts(c: &mut Call<'_, '_, '_>) -> std::result::Result<Self, Failure> {
        let text = |value: &Value, words: &str| match value {
            Value::String(text) => Ok(text.to_str().into_owned()),
            other => Err(Failure::new(format!("{words}: {} is not a string", go::fmt::show_short("%v", other)))),
        };
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for value in c.list(1).items() {
            let written = text(value, "error parsing ip")?;
            addresses.push(written.parse().map_err(|_| format!("error parsing ip: {written}"))?);
        }
        for value in c.list(2).items() {
            names.push(text(value, "error processing alternate dns name")?);
        }
        Ok(Self { addresses, names, ..Self::new(c, 3)? })
    }

    /// Signs it, by an authority or by its own key.
    fn issue(&self, key: &Key, authority: Option<(&x509::Certificate, &Key)>) -> Result {
        let failed = |words: String| Failure::new(format!("error creating certificate: {words}"));
        let signing = authority.map_or(key, |(_, signing)| signing);
        let mute = || failed("x509: certificate private key does not implement crypto.Signer".into());
        let algorithm = signing.signature_algorithm().ok_or_else(mute)?;
        let (kind, bits) = key.public().ok_or_else(|| failed("x509: unsupported public key type".into()))?;
        let own = |kind: &[u8], bits: &[u8]| members(SEQUENCE, &[kind, &bit_string(bits)]);
        let signers_own = signing.public().map(|(kind, bits)| own(&kind, &bits));
        if authority.is_some_and(|(parent, _)| signers_own.as_ref() != Some(&parent.public_key)) {
            return Err(failed("x509: provided PrivateKey doesn't match parent's PublicKey".into()));
        }
        let subject = self.subject();
        let issuer = authority.map_or(&subject, |(parent, _)| &parent.subject);
        let parents_key = authority.and_then(|(parent, _)| parent.subject_key.as_deref());
        let authority_key = parents_key.filter(|id| *issuer != subject && !id.is_empty());
        let extensions = self.extensions(&subject, &bits, authority_key).map_err(failed)?;
        let body = members(
            SEQUENCE,
            &[
                &element(context(0), &unsigned(&[2])),
                &unsigned(&self.serial),
                &algorithm,
                issuer,
                &members(SEQUENCE, &self.validity.map(time).each_ref().map(Vec::as_slice)),
                &subject,
                &own(&kind, &bits),
                &element(context(3), &element(SEQUENCE, &extensions)),
            ],
        );
        if let Some(words) = signing.is_insecure() {
            return Err(failed(words));
        }
        let signature = signing.sign(&body).ok_or_else(|| failed("the key does not sign".into()))?;
        let whole = members(SEQUENCE, &[&body, &algorithm, &bit_string(&signature)]);
        give(Block::new("CERTIFICATE", whole).encode(), key.encode())
    }

    fn subject(&self) -> Vec<u8> {
        if self.name.is_empty() {
            return element(SEQUENCE, &[]);
        }
        let is_printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
        let tag = if self.name.bytes().all(is_printable) { PRINTABLE_STRING } else { UTF8_STRING };
        let name = members(SEQUENCE, &[&element(OID, COMMON_NAME), &element(tag, self.name.as_bytes())]);
        members(SEQUENCE, &[&element(SET, &name)])
    }

    /// What stands in the list of extensions. `bits` are the public key.
    fn extensions(
        &self,
        subject: &[u8],
        bits: &[u8],
        authority_key: Option<&[u8]>,
    ) -> std::result::Result<Vec<u8>, String> {
        // Digital signature, encryption of keys, and for an authority signature of certificates; the first byte tells
        // how many bits of the last are not used.
        let usage: &[u8] = if self.is_authority { &[2, 0xa4] } else { &[5, 0xa0] };
        let purposes = members(SEQUENCE, &[&element(OID, SERVER), &element(OID, CLIENT)]);
        let constraint = if self.is_authority { element(BOOLEAN, &[0xff]) } else { Vec::new() };
        let mut extensions = vec![
            extension(15, true, &element(BIT_STRING, usage)),
            extension(37, false, &purposes),
            extension(19, true, &element(SEQUENCE, &constraint)),
        ];
        if self.is_authority {
            let digest = sha2::Sha256::digest(bits);
            extensions.push(extension(14, false, &element(OCTET_STRING, &digest[..20])));
        }
        if let Some(id) = authority_key {
            extensions.push(extension(35, false, &members(SEQUENCE, &[&element(0x80, id)])));
        }
        if !(self.names.is_empty() && self.addresses.is_empty()) {
            // A certificate without a subject stands for its names alone.
            let is_critical = subject == element(SEQUENCE, &[]);
            extensions.push(extension(17, is_critical, &self.alternatives()?));
        }
        Ok(extensions.concat())
    }

    fn alternatives(&self) -> std::result::Result<Vec<u8>, String> {
        let mut found = Vec::new();
        for name in &self.names {
            if !name.is_ascii() {
                let shown = go::quote::quote(name.as_bytes());
                return Err(format!("x509: {shown} cannot be encoded as an IA5String"));
            }
            found.extend(element(0x82, name.as_bytes()));
        }
        for address in &self.addresses {
            found.extend(match address.to_canonical() {
                IpAddr::V4(short) => element(0x87, &short.octets()),
                IpAddr::V6(long) => element(0x87, &long.octets()),
            });
        }
        Ok(element(SEQUENCE, &found))
    }
}

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SERVER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// An extension by the last number of its identifier.
fn extension(number: u8, is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if is_critical { element(BOOLEAN, &[0xff]) } else { Vec::new() };
    members(SEQUENCE, &[&element(OID, &[0x55, 0x1d, number]), &critical, &element(OCTET_STRING, value)])
}

/// A time; the short form has two digits for the years from 1950 to 2049.
fn time(seconds: i64) -> Vec<u8> {
    let time = Time::new(seconds, 0, Zone::Utc);
    let long = time.format("20060102150405Z");
    if ("1950".."2050").contains(&&long[..4]) {
        return element(UTC_TIME, &long.as_bytes()[2..]);
    }
    element(GENERALIZED_TIME, long.as_bytes())
}
