//! `remoteRef.property`: a path into the JSON text of a remote secret, in the dialect of the original's path library.

mod modify;
mod path;
mod pretty;
mod scan;
mod walk;

use scan::{Found, Kind};
use zeroize::Zeroizing;

/// Longer paths select nothing; a path is written by a person.
const PATH_LIMIT: usize = 4096;

/// What `property` selects from `text`, as text: strings without quotes, objects and lists as they stand.
///
/// A property that selects nothing and has dots in it is tried once more as one plain key.
pub fn property(text: &str, property: &str) -> Option<Zeroizing<String>> {
    select(text, property).or_else(|| {
        if !property.contains('.') {
            return None;
        }
        select(text, &property.replace('.', "\\."))
    })
}

/// What `path` selects from `text`, without the second try.
pub fn select(text: &str, path: &str) -> Option<Zeroizing<String>> {
    if path.len() > PATH_LIMIT {
        return None;
    }
    let found = walk::get(text, path, 0);
    found.exists().then(|| Zeroizing::new(found.text().into_owned()))
}

/// The members of a JSON object, as External Secrets extracts them: strings without quotes, `null` as nothing, all else
/// as it stands in the text. The last of equal keys counts. `None` for what is no JSON object.
pub fn object(text: &str) -> Option<Vec<(String, Zeroizing<String>)>> {
    if !modify::is_valid(text) {
        return None;
    }
    let whole = Found::whole(text);
    if whole.kind == Kind::Null {
        return Some(Vec::new());
    }
    whole
        .is_object()
        .then(|| whole.members().iter().map(|(key, value)| (key.text().into_owned(), member(value))).collect())
}

fn member(value: &Found<'_>) -> Zeroizing<String> {
    Zeroizing::new(match value.kind {
        Kind::Null => String::new(),
        Kind::String => value.text().into_owned(),
        _ => value.raw.to_string(),
    })
}

/// The members of a JSON object whose values are all strings or `null`.
pub fn strings(text: &str) -> Option<Vec<(String, Zeroizing<String>)>> {
    let whole = Found::whole(text);
    let plain = |(_, value): &(_, Found<'_>)| matches!(value.kind, Kind::String | Kind::Null);
    object(text).filter(|_| whole.members().iter().all(plain))
}

/// A JSON string of `text`, escaped as Go does for HTML.
pub fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(scan::quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: &str, expected: Option<&str>) {
        let selected = property(text, path);
        assert_eq!(selected.as_ref().map(|s| s.as_str()), expected, "{path} in {text}");
    }

    #[test]
    fn a_property_follows_objects_and_lists() {
        let text = r#"{"a":{"b":[1,{"c":"x\ny"}]},"n":1.50,"null":null}"#;
        check(text, "a.b.1.c", Some("x\ny"));
        check(text, "a.b.#", Some("2"));
        check(text, "a", Some(r#"{"b":[1,{"c":"x\ny"}]}"#));
        check(text, "n", Some("1.5"));
        check(text, "null", Some(""));
        check(text, "a.c", None);
        check("not json", "a", None);
    }

    #[test]
    fn a_key_with_dots_is_found_when_nothing_else_is() {
        check(r#"{"tls.crt":"C"}"#, "tls.crt", Some("C"));
        check(r#"{"tls.crt":"C","tls":{"crt":"D"}}"#, "tls.crt", Some("D"));
        check(r#"{"tls.crt":"C"}"#, "tls.key", None);
    }

    #[test]
    fn an_object_gives_strings_bare_and_the_rest_as_it_stands() {
        let members = object(r#" {"s":"a\"\u00e9","n":1.50,"o":{"a": [1 ]},"z":null,"s":"last"} "#).expect("an object");
        let members: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(members, [("s", "a\"\u{e9}"), ("n", "1.50"), ("o", "{\"a\": [1 ]}"), ("z", ""), ("s", "last")]);
        assert!(object("null").is_some_and(|members| members.is_empty()));
        for broken in ["", "[1]", "\"x\"", "{\"a\":1", "{\"a\":1} x", "plain"] {
            assert!(object(broken).is_none(), "{broken}");
        }
        assert!(strings(r#"{"a":"b","c":null}"#).is_some() && strings(r#"{"a":1}"#).is_none());
    }

    #[test]
    fn hostile_paths_and_texts_end() {
        for text in ["{\"a", "[[[[", "{\"a\":\"\\", "\"", "\u{e9}\\", "{\"\\u12\":1}"] {
            for path in
                ["a", "#.a", "#(a=\"", "\\", "@", "@dig:", "@dig:a", "..#", "[", "{a,\"", "!", "!\"", "#(a)#|", "a.#|é"]
            {
                let _ = property(text, path);
            }
        }
        let deep = "[".repeat(100_000);
        for path in ["@flatten:{\"deep\":true}", "@dig:a", "@pretty", "#.#.#", "0.0.0"] {
            let _ = property(&deep, path);
        }
        let _ = property("{}", &"{a,".repeat(1000));
        let _ = property("{}", &"@this|".repeat(600));
    }
}
