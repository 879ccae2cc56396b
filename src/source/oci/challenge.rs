//! `WWW-Authenticate`: what a registry wants to see.

use serde::Deserialize;

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token that somebody else gives.
    Bearer {
        /// Who gives it.
        realm: String,
        /// `service` and `scope`.
        parameters: Vec<(String, String)>,
    },
}

impl Challenge {
    pub(super) fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        let mut parameters = scheme.eq_ignore_ascii_case("bearer").then(|| parameters(rest))?;
        let at = parameters.iter().position(|(name, _)| name == "realm")?;
        let (_, realm) = parameters.remove(at);
        parameters.retain(|(name, _)| name == "service" || name == "scope");
        Some(Self::Bearer { realm, parameters })
    }
}

/// `name="value",…`; a value without quotes ends at a comma.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let (value, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        found.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        text = behind.trim_start().trim_start_matches(',');
    }
    found
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// The token of a token server's answer.
pub(super) fn token(bytes: &[u8]) -> Option<String> {
    let Token { token, access_token } = serde_json::from_slice(bytes).ok()?;
    [token, access_token].into_iter().find(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let wanted = Challenge::Bearer {
            realm: "https://auth.example.org/token".into(),
            parameters: vec![pair("service", "registry"), pair("scope", "repository:a/b:pull")],
        };
        let header = r#"Bearer realm="https://auth.example.org/token",service=registry, scope="repository:a/b:pull""#;
        assert_eq!(Challenge::read(header), Some(wanted));
        assert_eq!(Challenge::read("basic realm=x"), Some(Challenge::Basic));
        for bad in ["", "Bearer", "Bearer service=x", "Negotiate", "Bearer =\"", "Bearer realm"] {
            assert_eq!(Challenge::read(bad), None, "{bad}");
        }
        assert_eq!(token(br#"{"access_token": "a"}"#).as_deref(), Some("a"));
        assert_eq!(token(b"{}"), None);
    }
}
