//! Regular expressions in Go's dialect.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes that a compiled expression may take: it comes with the file.
const LARGEST: usize = 1 << 20;

/// An expression of Go's `regexp`; one that cannot be compiled matches nothing, as where sops overlooks the error.
pub(crate) struct Pattern(Option<Regex>);

impl Pattern {
    pub(crate) fn new(expression: &str) -> Self {
        Pattern(RegexBuilder::new(&translate(expression)).size_limit(LARGEST).build().ok())
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// To the dialect of the `regex` crate. Both come from RE2; in Go `\d`, `\s`, `\w` and `\b` are ASCII, `\Q…\E` quotes, and
/// a class holds `[`, `&`, `~` and `-` as they are.
fn translate(expression: &str) -> String {
    let mut text = String::with_capacity(expression.len() + 16);
    let mut rest = expression;
    // Characters of the class that is open, counted from its bracket.
    let mut in_class: Option<usize> = None;
    while let Some(character) = rest.chars().next() {
        let mut taken = character.len_utf8();
        match (character, in_class) {
            ('\\', _) => taken = escape(&mut text, rest, in_class.is_some()),
            ('[', None) => {
                text.push('[');
                in_class = Some(0);
                rest = rest.get(taken..).unwrap_or_default();
                if rest.starts_with('^') {
                    text.push('^');
                    rest = rest.get(1..).unwrap_or_default();
                }
                continue;
            }
            ('[', Some(_)) if rest.starts_with("[:") => text.push('['),
            (']', Some(0)) => text.push_str("\\]"),
            (']', Some(_)) => {
                text.push(']');
                // The bracket of `[:alpha:]` closes that name alone.
                in_class = if text.ends_with(":]") && names_class(&text) { in_class } else { None };
                rest = rest.get(taken..).unwrap_or_default();
                continue;
            }
            ('[' | '&' | '~', Some(_)) => {
                text.push('\\');
                text.push(character);
            }
            _ => text.push(character),
        }
        in_class = in_class.map(|count| count + 1);
        rest = rest.get(taken..).unwrap_or_default();
    }
    text
}

/// Whether the text ends with a name such as `[:alpha:]`.
fn names_class(text: &str) -> bool {
    let Some(start) = text.rfind("[:") else { return false };
    let name = text.get(start + 2..text.len() - 2).unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'^')
}

/// Writes the escape at the start of `rest`, and gives its length.
fn escape(text: &mut String, rest: &str, in_class: bool) -> usize {
    let Some(letter) = rest.chars().nth(1) else {
        text.push('\\');
        return 1;
    };
    match letter {
        'd' => text.push_str("[0-9]"),
        'D' => text.push_str("[^0-9]"),
        's' => text.push_str(r"[\t\n\f\r ]"),
        'S' => text.push_str(r"[^\t\n\f\r ]"),
        'w' => text.push_str("[0-9A-Za-z_]"),
        'W' => text.push_str("[^0-9A-Za-z_]"),
        'b' if !in_class => text.push_str(r"(?-u:\b)"),
        'B' if !in_class => text.push_str(r"(?-u:\B)"),
        'Q' if !in_class => {
            let quoted = rest.get(2..).unwrap_or_default();
            let (quoted, end) = quoted.split_once(r"\E").map_or((quoted, 0), |(quoted, _)| (quoted, 2));
            text.push_str(&regex::escape(quoted));
            return 2 + quoted.len() + end;
        }
        letter => {
            text.push('\\');
            text.push(letter);
        }
    }
    1 + letter.len_utf8()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, text: &str, matches: bool) {
        assert_eq!(Pattern::new(expression).matches(text.as_bytes()), matches, "{expression} on {text}");
    }

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        check("^(data|stringData)$", "data", true);
        check("^(data|stringData)$", "metadata", false);
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "\u{0663}", false);
        check(r"^[\w-]+$", "a-b_1", true);
        check(r"^\w$", "\u{fc}", false);
        check(r"\bkey\b", "a key", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^\Qa.b", "a.bc", true);
        check("^[[]$", "[", true);
        check("^[]a]$", "]", true);
        check("^[^]a]$", "b", true);
        check("^[[:alpha:]]$", "x", true);
        check("^[[:alpha:]&&x]+$", "&", true);
        check("^[a~~]$", "~", true);
        check("(?i)^KEY$", "key", true);
    }

    #[test]
    fn what_cannot_be_compiled_matches_nothing() {
        check("(", "(", false);
        check("a{1000}{1000}{1000}", "a", false);
        check("\\", "\\", false);
    }
}
