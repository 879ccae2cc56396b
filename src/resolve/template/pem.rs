//! Certificates, their order in a chain and their names; blocks of PEM.

use gotemplate::go::der::Reader;
use gotemplate::go::pem::{Block, all, next};
use gotemplate::go::x509::Certificate;
use gotemplate::{Call, Failure, Text, Value};

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

/// Reads a certificate.
pub(super) fn certificate(bytes: &[u8]) -> Result<Certificate, Failure> {
    Certificate::parse(bytes).map_err(|error| error.to_string().into())
}

fn is_root(certificate: &Certificate) -> bool {
    certificate.authority_key.is_none() || certificate.authority_key == certificate.subject_key
}

/// Certificates from leaf to root, as far as their key identifiers tell. Nothing is verified.
pub(super) fn chain(mut certificates: Vec<Certificate>) -> Result<Vec<Certificate>, Failure> {
    let count = certificates.len();
    let signer = |index: usize| {
        let of =
            |other: usize| certificates[index].authority_key.as_deref() == certificates[other].subject_key.as_deref();
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
    all(text).0.iter().map(|block| certificate(&block.bytes)).collect()
}

/// `filterCertChain`: the leaf, the intermediates or the root.
pub(super) fn filter_chain(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let (part, text) = (call.str(0), call.str(1));
    let chain = chain(certificates(&text)?)?;
    let chosen: String = match &*part {
        "leaf" => chain.iter().take(1).filter(|leaf| !is_root(leaf)).map(Certificate::encode).collect(),
        "intermediate" => chain.iter().skip(1).take_while(|next| !is_root(next)).map(Certificate::encode).collect(),
        "root" => chain.last().filter(|last| is_root(last)).map(Certificate::encode).unwrap_or_default(),
        _ => String::new(),
    };
    Ok(Value::String(chosen.into()))
}

/// `certSANs`: all names that a certificate is for.
pub(super) fn names(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let text = call.str(0);
    let (block, _) = next(trimmed(&text)).ok_or_else(|| Failure::new("failed to decode PEM block"))?;
    let certificate = certificate(&block.bytes).map_err(|error| error.wrap("failed to parse certificate"))?;
    // DNS names, addresses, mail addresses, URIs.
    let kinds = [0x82, 0x87, 0x81, 0x86].into_iter();
    let names = kinds.flat_map(|tag| Reader::new(&certificate.names).filter(move |name| name.tag == tag));
    Ok(Value::strings(names.map(|name| if name.tag == 0x87 { address(name.body) } else { Text::from(name.body) })))
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
    fn broken_certificates_end() {
        let whole = certificates(include_str!("../../../tests/cases/pkcs12/certificate.pem")).expect("certificates");
        for end in 0..whole[0].raw.len() {
            assert!(certificate(&whole[0].raw[..end]).is_err());
        }
    }
}
