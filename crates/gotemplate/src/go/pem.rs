//! Go's `encoding/pem`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One block.
pub struct Block {
    /// What stands in its first line, such as `CERTIFICATE`.
    pub kind: String,
    headers: Vec<(String, String)>,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Block {
    /// A block without headers.
    pub fn new(kind: &str, bytes: Vec<u8>) -> Self {
        Self { kind: kind.into(), headers: Vec::new(), bytes }
    }

    /// As text, with a line break at the end.
    pub fn encode(&self) -> String {
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
pub fn next(text: &str) -> Option<(Block, &str)> {
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
pub fn all(text: &str) -> (Vec<Block>, &str) {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((block, after)) = next(rest) {
        blocks.push(block);
        rest = after;
    }
    (blocks, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_blocks_end() {
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
    }
}
