//! Go's `path`: slash-separated paths, whatever the system.

/// The shortest equivalent path; `.` for nothing.
pub fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// The last element; `.` for nothing, `/` for slashes alone.
pub fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (path.is_empty(), trimmed.is_empty()) {
        (true, _) => ".",
        (false, true) => "/",
        (false, false) => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

/// All but the last element, cleaned.
pub fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

/// What follows the last dot of the last element, with the dot.
pub fn ext(path: &str) -> &str {
    let name = &path[path.rfind('/').map_or(0, |slash| slash + 1)..];
    name.rfind('.').map_or("", |dot| &name[dot..])
}

/// Elements joined and cleaned; empty ones do not count.
pub fn join(elements: &[&str]) -> String {
    let parts: Vec<&str> = elements.iter().copied().filter(|element| !element.is_empty()).collect();
    if parts.is_empty() { String::new() } else { clean(&parts.join("/")) }
}

/// A pattern that is none: an unclosed class, a range without end, a backslash at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Whether a path fits a shell pattern (`Match`): `*` and `?` do not match slashes, `[a-c]` and `[^a]` are classes,
/// `\` makes a character literal.
///
/// # Errors
/// When the pattern is malformed, as far as Go notices it: it looks on only while the path fits.
pub fn matches(pattern: &str, path: &str) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern, path);
    'pattern: while !pattern.is_empty() {
        let (is_star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if is_star && chunk.is_empty() {
            return Ok(!name.contains('/'));
        }
        if let Some(after) = match_chunk(chunk, name)?
            && (after.is_empty() || !pattern.is_empty())
        {
            name = after;
            continue;
        }
        if is_star {
            for (at, character) in name.char_indices() {
                if character == '/' {
                    break;
                }
                let Some(after) = match_chunk(chunk, &name[at + character.len_utf8()..])? else { continue };
                if pattern.is_empty() && !after.is_empty() {
                    continue;
                }
                name = after;
                continue 'pattern;
            }
        }
        // Go looks through the rest of the pattern before it says no.
        while !pattern.is_empty() {
            let (_, chunk, rest) = scan_chunk(pattern);
            pattern = rest;
            match_chunk(chunk, "")?;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// The next part of a pattern up to a star, and whether a star comes before it.
fn scan_chunk(pattern: &str) -> (bool, &str, &str) {
    let rest = pattern.trim_start_matches('*');
    let is_star = rest.len() != pattern.len();
    let (mut in_class, mut is_escaped) = (false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => return (is_star, &rest[..at], &rest[at..]),
            _ => {}
        }
    }
    (is_star, rest, "")
}

/// What is left of a name after a chunk without stars; `None` when it does not begin with it.
fn match_chunk<'n>(mut chunk: &str, mut name: &'n str) -> Result<Option<&'n str>, BadPattern> {
    let mut failed = false;
    while let Some(expected) = chunk.chars().next() {
        failed |= name.is_empty();
        let actual = name.chars().next();
        match expected {
            '[' => {
                let (fits, rest) = match_class(&chunk[1..], actual.unwrap_or('\0'))?;
                failed |= !fits;
                chunk = rest;
            }
            '?' => {
                failed |= actual == Some('/');
                chunk = &chunk[1..];
            }
            _ => {
                let (literal, rest) = literal(chunk)?;
                failed |= actual != Some(literal);
                chunk = rest;
            }
        }
        if !failed {
            name = &name[actual.map_or(0, char::len_utf8)..];
        }
    }
    Ok((!failed).then_some(name))
}

fn literal(chunk: &str) -> Result<(char, &str), BadPattern> {
    let text = chunk.strip_prefix('\\').unwrap_or(chunk);
    let character = text.chars().next().ok_or(BadPattern)?;
    Ok((character, &text[character.len_utf8()..]))
}

fn match_class(mut chunk: &str, character: char) -> Result<(bool, &str), BadPattern> {
    let is_negated = chunk.starts_with('^');
    chunk = chunk.strip_prefix('^').unwrap_or(chunk);
    let (mut fits, mut ranges) = (false, 0);
    loop {
        if let Some(rest) = chunk.strip_prefix(']').filter(|_| ranges > 0) {
            return Ok((fits != is_negated, rest));
        }
        let (low, rest) = class_end(chunk)?;
        let (high, rest) = match rest.strip_prefix('-') {
            Some(after) => class_end(after)?,
            None => (low, rest),
        };
        fits |= (low..=high).contains(&character);
        ranges += 1;
        chunk = rest;
    }
}

/// One end of a range; something must follow it.
fn class_end(chunk: &str) -> Result<(char, &str), BadPattern> {
    if chunk.is_empty() || chunk.starts_with(['-', ']']) {
        return Err(BadPattern);
    }
    let (character, rest) = literal(chunk)?;
    if rest.is_empty() { Err(BadPattern) } else { Ok((character, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_as_go_cuts_them() {
        assert_eq!(["", "/", "a/b/", "a/../..", "/.."].map(clean), [".", "/", "a/b", "..", "/"]);
        assert_eq!(["", "///", "a/b/"].map(base), [".", "/", "b"]);
        assert_eq!(["a.b/c", "x.tar.gz"].map(ext), ["", ".gz"]);
    }

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, path, fits) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a/b.yaml", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("a\\*", "a*", true),
            ("*c", "abc", true),
            ("a*b*c", "aXbYc", true),
            ("a*/b", "a/c/b", false),
        ] {
            assert_eq!(matches(pattern, path), Ok(fits), "{pattern} {path}");
        }
        assert_eq!(matches("[", "a"), Err(BadPattern));
    }
}
