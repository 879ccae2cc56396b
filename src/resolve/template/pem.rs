//! PEM, as Go reads and writes it; certificates and their order in a chain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotemplate::{Call, Failure, Text, Value};
use zeroize::Zeroizing;

use super::der::{self, OCTET_STRING, OID, Reader, SEQUENCE, context};

/// One block.
pub(super) struct Block {
    pub kind: String,
    headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

impl Block {
    /// A block without headers.
    pub(super) fn new(kind: &str, bytes: Vec<u8>) -> Self {
        Self { kind: kind.into(), headers: Vec::new(), bytes }
    }

    /// As text, with a line break at the end.
    pub(super) fn encode(&self) -> String {
        let mut out = format!("-----BEGIN {}-----\n", self.kind);
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(key, _)| (key != "Proc-Type", key.clone()));
        for (key, value) in &headers {
            out.push_str(&format!("{key}: {value}\n"));
        }
        if !headers.is_empty() {
            out.push('\n');
        }
        let encoded = STANDARD.encode(&self.bytes);
        for line in encoded.as_bytes().chunks(64) {
            out.push_str(std::str::from_utf8(line).unwrap_or_default());
            out.push('\n');
        }
        out.push_str(&format!("-----END {}-----\n", self.kind));
        out
    }
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "\n-----END ";
const DASHES: &str = "-----";

/// The next block and what follows it; text between blocks, and blocks that are broken, are passed over.
///
/// As Go does since 1.26 (CVE-2025-61723): the first end, and the last beginning before it, so that no text is read
/// twice.
pub(super) fn next(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once(END)?;
        let begin = before.rfind(BEGIN).filter(|at| *at == 0 || before.as_bytes()[at - 1] == b'\n');
        let found = begin.and_then(|at| between(&before[at + BEGIN.len()..], after));
        if found.is_some() {
            return found;
        }
        rest = after;
    }
}

/// The block of what stands between the marks and behind the second one.
fn between<'t>(block: &str, after: &'t str) -> Option<(Block, &'t str)> {
    let (line, mut body) = block.split_once('\n').unwrap_or((block, ""));
    let kind = line.trim_end().strip_suffix(DASHES)?;
    let (line, rest) = after.split_once('\n').unwrap_or((after, ""));
    if line.strip_prefix(kind)?.strip_prefix(DASHES)?.trim_end() != "" {
        return None;
    }
    let mut headers = Vec::new();
    while let Some((line, next)) = body.split_once('\n') {
        let Some((key, value)) = line.split_once(':') else { break };
        headers.push((key.trim().to_owned(), value.trim().to_owned()));
        body = next;
    }
    let encoded: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(Zeroizing::new(encoded)).ok()?;
    Some((Block { kind: kind.to_owned(), headers, bytes }, rest))
}

/// All blocks, and the text after the last one.
fn all(text: &str) -> (Vec<Block>, &str) {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((block, after)) = next(rest) {
        blocks.push(block);
        rest = after;
    }
    (blocks, rest)
}

/// From the first mark on: text before it may stand on the mark's own line.
fn trimmed(text: &str) -> &str {
    text.find("-----BEGIN").map_or(text, |start| &text[start..])
}

/// `filterPEM`: the blocks of one kind.
pub(super) fn filter(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let (kind, text) = (call.str(0), call.str(1));
    let (blocks, rest) = all(trimmed(&text));
    let mut fitting = blocks.iter().filter(|block| block.kind.eq_ignore_ascii_case(&kind)).peekable();
    if fitting.peek().is_none() && !rest.is_empty() {
        return Err("error filtering pem: found junk".into());
    }
    Ok(Value::String(fitting.map(Block::encode).collect::<String>().into()))
}

/// What chains and names need of a certificate.
pub(super) struct Certificate {
    pub raw: Vec<u8>,
    authority: Option<Vec<u8>>,
    subject: Option<Vec<u8>>,
    names: Vec<u8>,
    distinguished: Vec<u8>,
}

const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 0x0e];
const SUBJECT_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

impl Certificate {
    /// Reads a certificate.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let malformed = |what: &str| Failure::new(format!("x509: malformed {what}"));
        let whole = Reader::new(bytes).expect(SEQUENCE).ok_or_else(|| malformed("certificate"))?;
        if whole.whole.len() != bytes.len() {
            return Err("x509: trailing data".into());
        }
        let mut signed = Reader::new(whole.body).enter(SEQUENCE).ok_or_else(|| malformed("tbs certificate"))?;
        let mut found =
            Self { raw: bytes.to_vec(), authority: None, subject: None, names: Vec::new(), distinguished: Vec::new() };
        signed.optional(context(0));
        signed.expect(der::INTEGER).ok_or_else(|| malformed("serial number"))?;
        for part in ["signature algorithm identifier", "issuer", "validity", "subject", "spki"] {
            let element = signed.expect(SEQUENCE).ok_or_else(|| malformed(part))?;
            if part == "subject" {
                found.distinguished = element.body.to_vec();
            }
        }
        if let Some(extensions) = signed.find(|part| part.tag == context(3)) {
            for extension in der::sequence(extensions.body).ok_or_else(|| malformed("extensions"))? {
                found.extension(extension.body).ok_or_else(|| malformed("extension"))?;
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
                self.authority = der::sequence(value)?.find(|part| part.tag == 0x80).map(|key| key.body.into())
            }
            SUBJECT_KEY => self.subject = Some(Reader::new(value).expect(OCTET_STRING)?.body.into()),
            SUBJECT_NAMES => self.names = Reader::new(value).expect(SEQUENCE)?.body.into(),
            _ => {}
        }
        Some(())
    }

    /// The subject as Go prints it: its usual parts in an order of Go's own, then the others, the last one first.
    pub(super) fn subject_name(&self) -> Option<String> {
        let parts: Option<Vec<_>> = Reader::new(&self.distinguished)
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

    fn is_root(&self) -> bool {
        self.authority.is_none() || self.authority == self.subject
    }

    /// As PEM.
    pub(super) fn encode(&self) -> String {
        Block::new("CERTIFICATE", self.raw.clone()).encode()
    }
}

/// Certificates from leaf to root, as far as their key identifiers tell. Nothing is verified.
pub(super) fn chain(mut certificates: Vec<Certificate>) -> Result<Vec<Certificate>, Failure> {
    let count = certificates.len();
    let signer = |index: usize| {
        let of = |other: usize| certificates[index].authority.as_deref() == certificates[other].subject.as_deref();
        (0..count).find(|other| *other != index && of(*other))
    };
    let parents: Vec<Option<usize>> = (0..count).map(signer).collect();
    let mut leaves = (0..count).filter(|index| !parents.contains(&Some(*index)));
    let leaf = leaves.next().ok_or_else(|| Failure::new("no leaf certificate found"))?;
    if leaves.next().is_some() {
        return Err("found multiple leaf or disjunct certificates".into());
    }
    let (mut order, mut next) = (Vec::new(), Some(leaf));
    while let Some(index) = next {
        if order.len() >= count {
            return Err("constructing chain resulted in cycle".into());
        }
        order.push(index);
        next = parents[index];
    }
    let mut sorted: Vec<Option<Certificate>> = certificates.drain(..).map(Some).collect();
    Ok(order.into_iter().filter_map(|index| sorted[index].take()).collect())
}

/// All certificates of a text.
pub(super) fn certificates(text: &str) -> Result<Vec<Certificate>, Failure> {
    all(text).0.iter().map(|block| Certificate::parse(&block.bytes)).collect()
}

/// `filterCertChain`: the leaf, the intermediates or the root.
pub(super) fn filter_chain(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let (part, text) = (call.str(0), call.str(1));
    let chain = chain(certificates(&text)?)?;
    let chosen: String = match &*part {
        "leaf" => chain.iter().take(1).filter(|leaf| !leaf.is_root()).map(Certificate::encode).collect(),
        "intermediate" => chain.iter().skip(1).take_while(|next| !next.is_root()).map(Certificate::encode).collect(),
        "root" => chain.last().filter(|last| last.is_root()).map(Certificate::encode).unwrap_or_default(),
        _ => String::new(),
    };
    Ok(Value::String(chosen.into()))
}

/// `certSANs`: all names that a certificate is for.
pub(super) fn names(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let text = call.str(0);
    let (block, _) = next(trimmed(&text)).ok_or_else(|| Failure::new("failed to decode PEM block"))?;
    let certificate = Certificate::parse(&block.bytes).map_err(|error| error.wrap("failed to parse certificate"))?;
    // DNS names, addresses, mail addresses, URIs.
    let kinds = [0x82, 0x87, 0x81, 0x86].into_iter();
    let names = kinds.flat_map(|tag| Reader::new(&certificate.names).filter(move |name| name.tag == tag));
    Ok(Value::strings(names.map(|name| if name.tag == 0x87 { address(name.body) } else { Text::from(name.body) })))
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

fn address(bytes: &[u8]) -> Text {
    if let Ok(short) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(short).to_string().into();
    }
    let long = <[u8; 16]>::try_from(bytes).map(std::net::Ipv6Addr::from);
    long.map(|long| long.to_canonical().to_string()).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_printed_as_go_prints_it() {
        let text = include_str!("../../../tests/cases/pkcs12/certificate.pem");
        let certificate = certificates(text).expect("certificates").pop().expect("one");
        // Go 1.26.8: x509.Certificate.Subject.String().
        assert_eq!(certificate.subject_name().as_deref(), Some(r"CN=a,O=b\, c"));
    }

    #[test]
    fn broken_blocks_and_certificates_end() {
        for text in [
            "-----BEGIN ",
            "-----BEGIN X-----",
            "-----BEGIN X-----\n-----END Y-----",
            "-----BEGIN X-----\n!\n-----END X-----",
            "-----BEGIN X-----\nAAAA\n-----END X----- y",
            "x-----BEGIN X-----\nAAAA\n-----END X-----",
            "-----BEGIN X-----\na: b\n-----END X-----",
        ] {
            assert!(next(text).is_none(), "{text}");
        }
        // So does Go 1.26.8.
        for before in ["", "junk\n", "-----BEGIN X-----\n", "-----BEGIN X-----\n!\n-----END X-----\n"] {
            let text = format!("{before}-----BEGIN Y-----\nk: v\n\nAA AA\n-----END Y----- \t\nrest");
            let (block, rest) = next(&text).expect("a block");
            assert_eq!((&*block.kind, &*block.bytes, rest), ("Y", &[0_u8; 3][..], "rest"), "{before}");
        }
        assert!(next("-----BEGIN X-----\n-----END X-----").is_some_and(|(block, _)| block.bytes.is_empty()));
        let whole = certificates(include_str!("../../../tests/cases/pkcs12/certificate.pem")).expect("certificates");
        for end in 0..whole[0].raw.len() {
            assert!(Certificate::parse(&whole[0].raw[..end]).is_err());
        }
    }
}
