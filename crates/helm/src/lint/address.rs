//! Mail and web addresses, as the library (govalidator) judges them by which Helm does.

use std::sync::LazyLock;

use gotemplate::go::regex::Regex;
use gotemplate::go::url;

/// Letters beyond ASCII.
const LETTERS: &str = r"\x{00A0}-\x{D7FF}\x{F900}-\x{FDCF}\x{FDF0}-\x{FFEF}";
/// Letters of hosts beyond ASCII.
const HOST_LETTERS: &str = r"\x{00a1}-\x{ffff}";

static MAIL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let atom = format!(r"[a-zA-Z0-9!#$%&'*+\-/=?^_`{{|}}~{LETTERS}]+");
    // A quotation mark stands before each character of a quotation: so the library has it. Blanks may be folded, and what
    // a parenthesis stands before may be nearly anything.
    let fold = r"(?:(?:[ \t]*\r\n)?[ \t]+)?";
    let quoted = format!(
        r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f!\x23-\x5b\x5d-\x7e{LETTERS}]|\([\x01-\x09\x0b\x0c\x0d-\x7f{LETTERS}]"
    );
    let person = format!("(?:{atom}(?:\\.{atom})*|(?:\"{fold}(?:{quoted}))*{fold}\")");
    let (edge, inner) = (format!("[a-zA-Z0-9{LETTERS}]"), format!("[a-zA-Z0-9._~{LETTERS}-]"));
    let (top, in_top) = (format!("[a-zA-Z{LETTERS}]"), format!("[a-zA-Z0-9_~{LETTERS}-]"));
    let host = format!(r"(?:{edge}(?:{inner}*{edge})?\.)+{top}(?:{in_top}*{top})?\.?");
    Regex::new(&format!("^{person}@{host}$")).ok()
});

static WEB: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let scheme = "(?:(?:ftp|tcp|udp|wss?|https?)://)?";
    let user = r"(?:\S+(?::\S*)?@)?";
    let octet = r"(?:\d{1,2}|1\d\d|2[0-4]\d|25[0-5])";
    let four =
        format!(r"(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3]|24\d|25[0-5])(?:\.{octet}){{2}}\.(?:\d\d?|1\d\d|2[0-4]\d|25[0-5])");
    let last = format!("(?:[a-zA-Z{HOST_LETTERS}0-9]+-?-?)*[a-zA-Z{HOST_LETTERS}0-9]+(?:\\.[a-zA-Z{HOST_LETTERS}]+)?");
    let below = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9_-]+)?[a-zA-Z0-9](?:[-.][a-zA-Z0-9]+)*)";
    let www = r"(?:www\.|[a-zA-Z0-9]+(?:[-_.]?[a-zA-Z0-9])*[a-zA-Z0-9]\.[a-zA-Z0-9]+)?";
    let host = format!(r"(?:{four}|\[(?:{})\]|(?:{below}|{www})?{last})", six());
    Regex::new(&format!(r"^{scheme}{user}{host}\.?(?::\d{{1,5}})?(?:[/?#]\S*)?$")).ok()
});

/// The forms of an IPv6 address.
fn six() -> String {
    let part = "[0-9a-fA-F]{1,4}";
    let number = "(?:25[0-5]|(?:2[0-4]|1?[0-9])?[0-9])";
    let four = format!(r"(?:{number}\.){{3}}{number}");
    // As many parts before the gap as leave room for those behind it.
    let around_gap = (1..=6).map(|before| format!("(?:{part}:){{1,{before}}}(?::{part}){{1,{}}}", 7 - before));
    let others = [
        format!("(?:{part}:){{7}}{part}"),
        format!("(?:{part}:){{1,7}}:"),
        format!(":(?:(?::{part}){{1,7}}|:)"),
        "fe80:(?::[0-9a-fA-F]{0,4}){0,4}%[0-9a-zA-Z]+".to_owned(),
        format!("::(?:ffff(?::0{{1,4}})?:)?{four}"),
        format!("(?:{part}:){{1,4}}:{four}"),
    ];
    around_gap.chain(others).collect::<Vec<_>>().join("|")
}

fn fits(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// An address of mail.
pub(super) fn is_mail(text: &str) -> bool {
    fits(&MAIL, text)
}

/// An address of the web, perhaps without its scheme.
pub(super) fn is_web(text: &str) -> bool {
    let fits_in = text.len() > 3 && text.chars().count() < 2083 && !text.starts_with('.');
    let is_port = text.contains(':') && !text.contains("://");
    let whole = if is_port { format!("http://{text}") } else { text.to_owned() };
    let Ok(parsed) = url::parse(&whole) else { return false };
    let has_host = !parsed.host.is_empty() || parsed.path.is_empty() || parsed.path.contains('.');
    fits_in && has_host && !parsed.host.starts_with('.') && fits(&WEB, text)
}

/// What can be asked for: with a scheme, and without a fragment, whose mark is no part of a host then.
pub(super) fn is_request(text: &str) -> bool {
    !text.is_empty() && url::parse(&text.replace('#', "^")).is_ok_and(|url| !url.scheme.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_are_patterns() {
        assert!(MAIL.is_some() && WEB.is_some());
    }
}
