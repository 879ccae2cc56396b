//! PKCS#12: what Key Vault gives for a certificate with its key, taken apart and put together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotemplate::go::der::{
    self, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET, context, element, members, sequence, unsigned,
};
use gotemplate::go::pem::{Block, next};
use gotemplate::go::x509::{Certificate, EC, pkcs8, rsa_algorithm};
use gotemplate::{Call, Failure, Value};
use sha1::{Digest as _, Sha1};
use zeroize::Zeroizing;

use super::pbe::{self, Password, Salts};
use super::pem;

const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ENCRYPTED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const LOCAL_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
/// The kinds of bags: this, and 1 a key, 2 an encrypted key, 3 a certificate.
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
const JAVA_TRUST: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
/// Parts of a file that may each have a key of their own to derive, as in the original; so a file cannot keep us busy.
const MAX_PARTS: usize = 2;

type Outcome = Result<Value, Failure>;

/// `pkcs12key`.
pub(super) fn key(call: &mut Call<'_, '_, '_>) -> Outcome {
    key_of("", call.bytes(0))
}

/// `pkcs12keyPass`.
pub(super) fn key_by_password(call: &mut Call<'_, '_, '_>) -> Outcome {
    key_of(&call.str(0), call.bytes(1))
}

/// `pkcs12cert`.
pub(super) fn certificates(call: &mut Call<'_, '_, '_>) -> Outcome {
    certificates_of("", call.bytes(0))
}

/// `pkcs12certPass`.
pub(super) fn certificates_by_password(call: &mut Call<'_, '_, '_>) -> Outcome {
    certificates_of(&call.str(0), call.bytes(1))
}

/// `pemToPkcs12`, and with a third argument `pemToPkcs12Pass`: one certificate and its key.
pub(super) fn one(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.str(0);
    let (block, _) = next(&text).ok_or_else(no_block)?;
    let certificate = pem::certificate(&block.bytes)?;
    store(vec![certificate], &call.str(1), &call.str(2))
}

/// `fullPemToPkcs12`, and with a third argument `fullPemToPkcs12Pass`: a certificate, its chain and its key.
pub(super) fn full(call: &mut Call<'_, '_, '_>) -> Outcome {
    store(chain_of(&call.str(0))?, &call.str(1), &call.str(2))
}

/// `pemTruststoreToPKCS12`, and with a second argument `pemTruststoreToPKCS12Pass`.
pub(super) fn trust(call: &mut Call<'_, '_, '_>) -> Outcome {
    let certificates = chain_of(&call.str(0))?;
    let password = Password::new(&call.str(1))?;
    let bags: Result<Vec<_>, _> = certificates.iter().map(trusted).collect();
    let content: Vec<u8> = certificates.iter().flat_map(|certificate| certificate.raw.clone()).collect();
    let mut salts = Salts::new(&content, &password);
    let safe = encrypted(&bags?.concat(), &password, &mut salts)?;
    file(&safe, &password, &mut salts)
}

fn no_block() -> Failure {
    Failure::new("failed to decode PEM block")
}

fn chain_of(text: &str) -> Result<Vec<Certificate>, Failure> {
    let chain = pem::certificates(text)?;
    if chain.is_empty() { Err(no_block()) } else { Ok(chain) }
}

fn key_of(password: &str, file: &[u8]) -> Outcome {
    let contents = Contents::read(file, password);
    let contents = contents.map_err(|error| error.wrap("unable to decode pkcs12 with password"))?;
    let key = private_key(&contents.key)?;
    Ok(Value::String(Block::new("PRIVATE KEY", key.to_vec()).encode().into()))
}

fn certificates_of(password: &str, file: &[u8]) -> Outcome {
    let contents = Contents::read(file, password);
    let contents = contents.map_err(|error| error.wrap("unable to decode pkcs12 certificate with password"))?;
    let text = |certificates: &[Certificate]| certificates.iter().map(Certificate::encode).collect::<String>();
    let unordered = text(&contents.certificates);
    // What is no single chain stays as it is in the file.
    Ok(Value::String(pem::chain(contents.certificates).map_or(unordered, |chain| text(&chain)).into()))
}

/// What is in a file.
struct Contents {
    certificates: Vec<Certificate>,
    key: Zeroizing<Vec<u8>>,
}

fn malformed(what: &str) -> Failure {
    Failure::new(format!("pkcs12: error reading P12 data: {what} is malformed"))
}

impl Contents {
    fn read(file: &[u8], password: &str) -> Result<Self, Failure> {
        let password = Password::new(password)?;
        let mut parts = sequence(file).ok_or_else(|| malformed("the file"))?;
        if parts.expect(INTEGER).is_none_or(|version| version.body != [3]) {
            return Err("pkcs12: can only decode v3 PFX PDU's".into());
        }
        let mut safe = parts.enter(SEQUENCE).ok_or_else(|| malformed("the file"))?;
        if safe.expect(OID).is_none_or(|id| id.body != DATA) {
            return Err("pkcs12: only password-protected PFX is implemented".into());
        }
        let content = safe.enter(context(0)).and_then(|mut content| content.expect(OCTET_STRING));
        let content = content.ok_or_else(|| malformed("the file"))?.body;
        let password = authentic(parts.any().map(|mac| mac.whole), content, password)?;
        let mut found = Found::default();
        let parts: Vec<_> = sequence(content).ok_or_else(|| malformed("the content"))?.take(MAX_PARTS + 1).collect();
        if !(1..=MAX_PARTS).contains(&parts.len()) {
            return Err("pkcs12: expected between 1 and 2 items in the authenticated safe".into());
        }
        parts.iter().try_for_each(|part| found.part(part.body, &password))?;
        if found.certificates.is_empty() {
            return Err("pkcs12: certificate missing".into());
        }
        let key = found.key.ok_or_else(|| Failure::new("pkcs12: private key missing"))?;
        Ok(Self { certificates: found.certificates, key })
    }
}

/// The password in the form by which the check value is right.
fn authentic(mac: Option<&[u8]>, content: &[u8], password: Password) -> Result<Password, Failure> {
    let Some(mac) = mac else {
        return password.bare().ok_or_else(|| Failure::new("pkcs12: no MAC in data"));
    };
    if pbe::verify(mac, content, &password)? {
        return Ok(password);
    }
    // Some writers take the empty password for no bytes at all.
    match password.bare() {
        Some(bare) if pbe::verify(mac, content, &bare)? => Ok(bare),
        _ => Err("pkcs12: decryption password incorrect".into()),
    }
}

#[derive(Default)]
struct Found {
    certificates: Vec<Certificate>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl Found {
    /// One part of the content: bags, encrypted or not.
    fn part(&mut self, bytes: &[u8], password: &Password) -> Result<(), Failure> {
        let broken = || malformed("a part of the content");
        let mut parts = Reader::new(bytes);
        let id = parts.expect(OID).ok_or_else(broken)?.body;
        let mut content = parts.enter(context(0)).ok_or_else(broken)?;
        let bags = match id {
            DATA => Zeroizing::new(content.expect(OCTET_STRING).ok_or_else(broken)?.body.to_vec()),
            ENCRYPTED => {
                let mut data = content.enter(SEQUENCE).ok_or_else(broken)?;
                data.expect(INTEGER).ok_or_else(broken)?;
                let mut info = data.enter(SEQUENCE).ok_or_else(broken)?;
                info.expect(OID).ok_or_else(broken)?;
                let algorithm = info.expect(SEQUENCE).ok_or_else(broken)?.body;
                let data = info.expect(0x80).ok_or_else(broken)?.body;
                pbe::decrypt(algorithm, data, password)?
            }
            _ => return Err("pkcs12: only data and encryptedData content types are supported".into()),
        };
        sequence(&bags).ok_or_else(broken)?.try_for_each(|bag| self.bag(bag.body, password))
    }

    fn bag(&mut self, bytes: &[u8], password: &Password) -> Result<(), Failure> {
        let broken = || malformed("a bag");
        let mut parts = Reader::new(bytes);
        let id = parts.expect(OID).ok_or_else(broken)?.body;
        let mut value = parts.enter(context(0)).ok_or_else(broken)?;
        let kind = id.strip_prefix(BAG).unwrap_or_default();
        if matches!(kind, [1 | 2]) && self.key.is_some() {
            return Err("pkcs12: expected exactly one key bag".into());
        }
        match kind {
            [1] => self.key = Some(Zeroizing::new(value.expect(SEQUENCE).ok_or_else(broken)?.whole.to_vec())),
            [2] => {
                let mut info = value.enter(SEQUENCE).ok_or_else(broken)?;
                let algorithm = info.expect(SEQUENCE).ok_or_else(broken)?.body;
                let data = info.expect(OCTET_STRING).ok_or_else(broken)?.body;
                self.key = Some(pbe::decrypt(algorithm, data, password)?);
            }
            [3] => {
                let mut certificate = value.enter(SEQUENCE).ok_or_else(broken)?;
                if certificate.expect(OID).is_none_or(|id| id.body != X509) {
                    return Err("pkcs12: only X509 certificates are supported in cert bags".into());
                }
                let bytes = certificate.enter(context(0)).and_then(|mut bytes| bytes.expect(OCTET_STRING));
                self.certificates.push(pem::certificate(bytes.ok_or_else(broken)?.body)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A private key as Go writes it in PKCS#8, from PKCS#8, PKCS#1 or SEC 1.
pub(super) fn private_key(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unknown = || Failure::new("unable to parse private key type");
    let mut parts = sequence(bytes).ok_or_else(unknown)?;
    let version = parts.expect(INTEGER).ok_or_else(unknown)?.body;
    let second = parts.any().ok_or_else(unknown)?;
    let key = match second.tag {
        SEQUENCE => {
            let key = parts.expect(OCTET_STRING).ok_or_else(unknown)?.body;
            let is_curve = Reader::new(second.body).expect(OID).is_some_and(|id| id.body == EC);
            let key = if is_curve { without_curve(key).ok_or_else(unknown)? } else { key.to_vec() };
            pkcs8(second.whole, &Zeroizing::new(key))
        }
        INTEGER if parts.by_ref().count() >= 7 => pkcs8(&rsa_algorithm(), bytes),
        OCTET_STRING if version == [1] => {
            let curve = parts.find(|part| part.tag == context(0)).ok_or_else(unknown)?.body;
            let algorithm = members(SEQUENCE, &[&element(OID, EC), curve]);
            pkcs8(&algorithm, &Zeroizing::new(without_curve(bytes).ok_or_else(unknown)?))
        }
        _ => return Err(unknown()),
    };
    Ok(Zeroizing::new(key))
}

/// An elliptic curve's key without the name of its curve, which stands around it.
fn without_curve(bytes: &[u8]) -> Option<Vec<u8>> {
    let parts = sequence(bytes)?.filter(|part| part.tag != context(0));
    Some(element(SEQUENCE, &Zeroizing::new(parts.flat_map(|part| part.whole.to_vec()).collect::<Vec<_>>())))
}

/// A file with certificates, the first of which is the key's.
fn store(certificates: Vec<Certificate>, key: &str, password: &str) -> Outcome {
    let password = Password::new(password)?;
    let (block, _) = next(key).ok_or_else(no_block)?;
    let key = private_key(&block.bytes)?;
    let own = certificates.first().ok_or_else(no_block)?;
    let id = attribute(LOCAL_KEY, &element(OCTET_STRING, &Sha1::digest(&own.raw)));
    let bags: Vec<u8> = certificates
        .iter()
        .enumerate()
        .flat_map(|(index, certificate)| certificate_bag(certificate, if index == 0 { &id } else { &[] }))
        .collect();
    let mut salts = Salts::new(&[&bags[..], &key[..]].concat(), &password);
    let (algorithm, data) = pbe::encrypt(&key, &password, &mut salts)?;
    let info = members(SEQUENCE, &[&algorithm, &element(OCTET_STRING, &data)]);
    let key_bag = element(SEQUENCE, &bag(2, &info, &id));
    let plain = members(SEQUENCE, &[&element(OID, DATA), &element(context(0), &element(OCTET_STRING, &key_bag))]);
    let safe = [encrypted(&bags, &password, &mut salts)?, plain].concat();
    file(&safe, &password, &mut salts)
}

fn attribute(id: &[u8], value: &[u8]) -> Vec<u8> {
    members(SEQUENCE, &[&element(OID, id), &element(SET, value)])
}

fn bag(kind: u8, value: &[u8], attributes: &[u8]) -> Vec<u8> {
    let attributes = if attributes.is_empty() { Vec::new() } else { element(SET, attributes) };
    members(SEQUENCE, &[&element(OID, &[BAG, &[kind]].concat()), &element(context(0), value), &attributes])
}

fn certificate_bag(certificate: &Certificate, attributes: &[u8]) -> Vec<u8> {
    let raw = element(context(0), &element(OCTET_STRING, &certificate.raw));
    bag(3, &members(SEQUENCE, &[&element(OID, X509), &raw]), attributes)
}

/// A certificate that Java trusts, under its subject's name.
fn trusted(certificate: &Certificate) -> Result<Vec<u8>, Failure> {
    let name = certificate.subject_name().ok_or_else(|| Failure::new("x509: malformed subject"))?;
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let trust = attribute(JAVA_TRUST, &element(OID, ANY_USAGE));
    let name = attribute(FRIENDLY_NAME, &element(0x1e, &name));
    Ok(certificate_bag(certificate, &[trust, name].concat()))
}

/// Bags under the password.
fn encrypted(bags: &[u8], password: &Password, salts: &mut Salts) -> Result<Vec<u8>, Failure> {
    let (algorithm, data) = pbe::encrypt(&element(SEQUENCE, bags), password, salts)?;
    let info = members(SEQUENCE, &[&element(OID, DATA), &algorithm, &element(0x80, &data)]);
    let content = members(SEQUENCE, &[&unsigned(&[0]), &info]);
    Ok(members(SEQUENCE, &[&element(OID, ENCRYPTED), &element(context(0), &content)]))
}

/// The file, in base64.
fn file(safe: &[u8], password: &Password, salts: &mut Salts) -> Outcome {
    let safe = element(SEQUENCE, safe);
    let mac = pbe::authenticate(&safe, password, salts)?;
    let content = members(SEQUENCE, &[&element(OID, DATA), &element(context(0), &element(OCTET_STRING, &safe))]);
    let file = members(der::SEQUENCE, &[&unsigned(&[3]), &content, &mac]);
    Ok(Value::String(STANDARD.encode(file).into()))
}
