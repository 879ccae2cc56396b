//! What the operators do. They count bytes, as the original does.

use super::TemplateError;

/// The largest value that is compared with a pattern: that takes the square of its length.
const LARGEST: usize = 64 << 10;

/// The value after an operator.
pub(super) fn call(operator: &str, value: &str, arguments: &[Vec<u8>]) -> Result<Vec<u8>, TemplateError> {
    let text = |at: usize| arguments.get(at).map(|argument| String::from_utf8_lossy(argument).into_owned());
    let result = match (operator, text(0)) {
        (",", _) => change_first(value, |c| c.to_lowercase().collect()),
        (",,", _) => value.to_lowercase(),
        ("^", _) => change_first(value, |c| c.to_uppercase().collect()),
        ("^^", _) => value.to_uppercase(),
        ("#", None) => value.len().to_string(),
        ("#" | "##" | "%" | "%%", Some(pattern)) => trim(operator, value, &pattern)?,
        (":", Some(start)) => return Ok(substring(value, &start, text(1).as_deref())),
        ("/", Some(old)) => value.replacen(&old, &text(1).unwrap_or_default(), 1),
        ("//", Some(old)) => value.replace(&old, &text(1).unwrap_or_default()),
        ("/#", Some(old)) => match (value.strip_prefix(old.as_str()), text(1)) {
            (Some(rest), Some(new)) => new + rest,
            _ => value.into(),
        },
        ("/%", Some(old)) => match (value.strip_suffix(old.as_str()), text(1)) {
            (Some(rest), Some(new)) => rest.to_owned() + &new,
            _ => value.into(),
        },
        _ if value.is_empty() => return Ok(arguments.concat()),
        _ => value.into(),
    };
    Ok(result.into_bytes())
}

/// Go changes one character into one; where Unicode has several, the character stays.
fn change_first(value: &str, change: fn(char) -> String) -> String {
    let mut chars = value.chars();
    let Some(first) = chars.next() else { return String::new() };
    let changed = change(first);
    let changed = if changed.chars().count() == 1 { changed } else { first.to_string() };
    changed + chars.as_str()
}

/// Bytes from `start`, counted from the end when negative; `length` of them, or up to so many before the end.
fn substring(value: &str, start: &str, length: Option<&str>) -> Vec<u8> {
    let bytes = value.as_bytes();
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let cut = |from: i64, to: i64| {
        let at = |place: i64| usize::try_from(place.clamp(0, size)).unwrap_or_default();
        bytes.get(at(from)..at(to)).unwrap_or_default().to_vec()
    };
    let Ok(start) = start.parse::<i64>() else { return bytes.to_vec() };
    let start = if start < 0 { size.saturating_add(start).max(0) } else { start };
    match length.map(str::parse::<i64>) {
        None => cut(start, size),
        Some(Err(_)) => bytes.to_vec(),
        Some(Ok(length)) if length < 0 => cut(start, size.saturating_add(length)),
        Some(Ok(length)) => cut(start, start.saturating_add(length)),
    }
}

/// Removes the shortest or longest beginning or end that a pattern matches.
fn trim(operator: &str, value: &str, pattern: &str) -> Result<String, TemplateError> {
    if value.len() > LARGEST || pattern.len() > LARGEST {
        return Err(TemplateError::TooComplex { what: "characters to compare with a pattern" });
    }
    let reverse = |text: &str| text.chars().rev().collect::<String>();
    Ok(match operator {
        "#" => trim_start(value, pattern, false),
        "##" => trim_start(value, pattern, true),
        "%" => reverse(&trim_start(&reverse(value), &reverse(pattern), false)),
        _ => reverse(&trim_start(&reverse(value), &reverse(pattern), true)),
    })
}

fn trim_start(value: &str, pattern: &str, longest: bool) -> String {
    let mut matched = None;
    for end in (1..=value.len()).rev() {
        match matches(pattern.as_bytes(), &value.as_bytes()[..end]) {
            Err(BadPattern) => return value.into(),
            Ok(true) if longest => return cut_start(value, end),
            Ok(true) => matched = Some(end),
            Ok(false) => {}
        }
    }
    matched.map_or_else(|| value.into(), |end| cut_start(value, end))
}

/// A pattern that ends within a character cuts it in two; what is left of it is replaced.
fn cut_start(value: &str, end: usize) -> String {
    String::from_utf8_lossy(&value.as_bytes()[end..]).into_owned()
}

/// A pattern that is none.
struct BadPattern;

/// Whether a shell pattern matches a whole text (Go's `path.Match`, where `*` passes slashes here).
fn matches(mut pattern: &[u8], mut name: &[u8]) -> Result<bool, BadPattern> {
    while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(true);
        }
        let direct = match_chunk(chunk, name)?.filter(|left| left.is_empty() || !pattern.is_empty());
        let left = match direct {
            None if star => later_match(chunk, name, pattern.is_empty())?,
            direct => direct,
        };
        match left {
            Some(left) => name = left,
            None => return Ok(false),
        }
    }
    Ok(name.is_empty())
}

/// What is left behind the first place at which a chunk matches after a star; the last chunk must match up to the end.
fn later_match<'n>(chunk: &[u8], name: &'n [u8], is_last: bool) -> Result<Option<&'n [u8]>, BadPattern> {
    for from in 1..=name.len() {
        let left = match_chunk(chunk, &name[from..])?;
        if let Some(left) = left.filter(|left| !is_last || left.is_empty()) {
            return Ok(Some(left));
        }
    }
    Ok(None)
}

/// Whether the pattern begins with stars, what follows up to the next star, and the rest.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = &pattern[stars..];
    let (mut end, mut in_set) = (0, false);
    while let Some(byte) = pattern.get(end) {
        match byte {
            b'\\' if end + 1 < pattern.len() => end += 1,
            b'[' => in_set = true,
            b']' => in_set = false,
            b'*' if !in_set => break,
            _ => {}
        }
        end += 1;
    }
    (stars > 0, &pattern[..end], &pattern[end..])
}

/// What is left of a text once it has begun with a chunk of a pattern.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    while let Some((first, behind)) = chunk.split_first() {
        if name.is_empty() {
            return Ok(None);
        }
        match first {
            b'[' => {
                let (c, size) = first_char(name);
                let (is_in, rest) = match_set(behind, c)?;
                if !is_in {
                    return Ok(None);
                }
                (chunk, name) = (rest, &name[size..]);
            }
            b'?' => (chunk, name) = (behind, &name[first_char(name).1..]),
            _ => {
                let literal = if *first == b'\\' { behind } else { chunk };
                let (wanted, rest) = literal.split_first().ok_or(BadPattern)?;
                if *wanted != name[0] {
                    return Ok(None);
                }
                (chunk, name) = (rest, &name[1..]);
            }
        }
    }
    Ok(Some(name))
}

/// Whether a character is in a set (what stands behind `[`), and what stands behind the set.
fn match_set(mut chunk: &[u8], c: char) -> Result<(bool, &[u8]), BadPattern> {
    let negated = chunk.first() == Some(&b'^');
    if negated {
        chunk = &chunk[1..];
    }
    let (mut found, mut ranges) = (false, 0);
    loop {
        if ranges > 0 && chunk.first() == Some(&b']') {
            return Ok((found != negated, &chunk[1..]));
        }
        let (low, rest) = set_char(chunk)?;
        let (high, rest) = if rest.first() == Some(&b'-') { set_char(&rest[1..])? } else { (low, rest) };
        found |= (low..=high).contains(&c);
        ranges += 1;
        chunk = rest;
    }
}

fn set_char(chunk: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    let chunk = match chunk.first() {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') => &chunk[1..],
        Some(_) => chunk,
    };
    if chunk.is_empty() {
        return Err(BadPattern);
    }
    let (c, size) = first_char(chunk);
    let rest = &chunk[size..];
    if rest.is_empty() { Err(BadPattern) } else { Ok((c, rest)) }
}

/// The first character and its size; a byte that begins none stands for itself.
fn first_char(text: &[u8]) -> (char, usize) {
    let end = text.len().min(4);
    let valid = text[..end].utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    valid.map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}
