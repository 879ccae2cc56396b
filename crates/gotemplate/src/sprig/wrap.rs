//! Line breaks and abbreviations, as the `goutils` package makes them: by bytes.

/// `AbbreviateFull`: at most `width` bytes, with `...` where something was left out.
pub(super) fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let Ok(width) = usize::try_from(width) else { return text.to_vec() };
    if width < 4 || text.len() <= width {
        return text.to_vec();
    }
    let mut offset = usize::try_from(offset).unwrap_or(0).min(text.len());
    if text.len() - offset < width - 3 {
        offset = text.len() - (width - 3);
    }
    if offset <= 4 {
        return [&text[..width - 3], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < text.len() {
        let width = i64::try_from(width - 3).unwrap_or(i64::MAX);
        return [b"...", abbreviate(&text[offset..], 0, width).as_slice()].concat();
    }
    [b"...", &text[text.len() - (width - 3)..]].concat()
}

/// `WrapCustom`: lines of at most `width` bytes; longer words are cut or stand out.
pub(super) fn wrap(text: &[u8], width: i64, separator: &[u8], cuts_words: bool) -> Vec<u8> {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while rest.len() > width {
        if rest[0] == b' ' {
            rest = &rest[1..];
            continue;
        }
        let space = rest[..=width].iter().rposition(|byte| *byte == b' ');
        let (length, skipped) = match space {
            Some(at) => (at, 1),
            None if cuts_words => (width, 0),
            None => match rest[width..].iter().position(|byte| *byte == b' ') {
                Some(at) => (width + at, 1),
                None => break,
            },
        };
        out.extend_from_slice(&rest[..length]);
        out.extend_from_slice(separator);
        rest = &rest[length + skipped..];
    }
    out.extend_from_slice(rest);
    out
}

/// A byte as the Latin-1 character that it is to the package.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0)
}

/// `Initials`: the first byte of every word.
pub(super) fn initials(text: &[u8]) -> String {
    let mut after_gap = true;
    let mut out = String::new();
    for byte in text {
        if is_space(*byte) {
            after_gap = true;
        } else if std::mem::take(&mut after_gap) {
            out.push(char::from(*byte));
        }
    }
    out
}

/// `DeleteWhiteSpace`; a text without any comes back as it is, of another every byte becomes a character.
pub(super) fn delete_space(text: &[u8]) -> Vec<u8> {
    if !text.iter().copied().any(is_space) {
        return text.to_vec();
    }
    let kept: String = text.iter().filter(|byte| !is_space(**byte)).map(|byte| char::from(*byte)).collect();
    kept.into_bytes()
}
