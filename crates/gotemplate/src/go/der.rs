//! As much of DER (Go's `encoding/asn1`) as keys, certificates and their containers need.

/// One element: its tag, its content, and all its bytes.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    /// The tag.
    pub tag: u8,
    /// The content.
    pub body: &'a [u8],
    /// Tag, length and content.
    pub whole: &'a [u8],
}

/// The tag of `BOOLEAN`.
pub const BOOLEAN: u8 = 0x01;
/// The tag of `INTEGER`.
pub const INTEGER: u8 = 0x02;
/// The tag of `BIT STRING`.
pub const BIT_STRING: u8 = 0x03;
/// The tag of `OCTET STRING`.
pub const OCTET_STRING: u8 = 0x04;
/// The tag of `NULL`.
pub const NULL: u8 = 0x05;
/// The tag of `OBJECT IDENTIFIER`.
pub const OID: u8 = 0x06;
/// The tag of `UTF8String`.
pub const UTF8_STRING: u8 = 0x0c;
/// The tag of `PrintableString`.
pub const PRINTABLE_STRING: u8 = 0x13;
/// The tag of `UTCTime`.
pub const UTC_TIME: u8 = 0x17;
/// The tag of `GeneralizedTime`.
pub const GENERALIZED_TIME: u8 = 0x18;
/// The tag of `SEQUENCE`.
pub const SEQUENCE: u8 = 0x30;
/// The tag of `SET`.
pub const SET: u8 = 0x31;

/// A context-specific tag with members.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Reads elements one after the other.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads the elements in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element; nothing at the end and where the bytes are no DER.
    pub fn any(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of more than one byte do not occur here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (body, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Element { tag, body, whole })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.any().filter(|element| element.tag == tag)
    }

    /// The next element if it has this tag; others stay.
    pub fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.0.first() == Some(&tag) { self.any() } else { None }
    }

    /// The members of the next element, which must have this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(|element| Self(element.body))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.any()
    }
}

/// The members of an element that is a sequence.
pub fn sequence(bytes: &[u8]) -> Option<Reader<'_>> {
    Reader::new(bytes).enter(SEQUENCE)
}

/// An element of one content.
pub fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = body.len().to_be_bytes();
    let used = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    match used {
        [short @ 0..=0x7f] => out.push(*short),
        // As many bytes as a length has never need more than seven bits.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(body);
    out
}

/// An element of several members.
pub fn members(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A whole number that is not negative.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    let digits = &bytes[start.min(bytes.len())..];
    match digits.first() {
        None => element(INTEGER, &[0]),
        Some(0x80..) => element(INTEGER, &[&[0], digits].concat()),
        Some(_) => element(INTEGER, digits),
    }
}

/// Whole bytes as a `BIT STRING`.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}
