//! `~/.netrc`: who asks a server whose address does not say it. curl reads it, and so every Git that fetches over https.

use secrecy::{ExposeSecret as _, SecretString};

use super::http::Credentials;

/// Accounts by host.
#[derive(Default)]
pub struct Netrc {
    entries: Vec<Entry>,
}

#[derive(Default)]
struct Entry {
    /// Of which host; `None` for all others.
    host: Option<String>,
    login: String,
    password: SecretString,
}

impl Netrc {
    /// Reads the file's text. What it does not know, it passes over, as curl does.
    pub fn read(text: &str) -> Self {
        let text = without_macros(text);
        let mut words = text.split_whitespace();
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.next() {
            match (word, entries.last_mut()) {
                ("default", _) => entries.push(Entry::default()),
                ("machine", _) => {
                    let host = words.next().map(str::to_owned);
                    entries.extend(host.map(|host| Entry { host: Some(host), ..Entry::default() }));
                }
                ("login", Some(entry)) => entry.login = words.next().unwrap_or_default().to_owned(),
                ("password", Some(entry)) => entry.password = words.next().unwrap_or_default().into(),
                _ => {}
            }
        }
        Self { entries }
    }

    /// Who asks at an address: what it says itself, or else the first account of its host, and of its user when it names one.
    pub(super) fn account(&self, url: &str, told: Credentials) -> Credentials {
        let user = match &told {
            Credentials::Anonymous => "",
            Credentials::Basic { username, password } if password.expose_secret().is_empty() => username,
            Credentials::Basic { .. } | Credentials::Bearer(_) => return told,
        };
        let Ok(parsed) = reqwest::Url::parse(url) else { return told };
        let is_meant = |entry: &&Entry| {
            let is_host = entry.host.as_deref().is_none_or(|host| parsed.host_str() == Some(host));
            is_host && (user.is_empty() || user == entry.login)
        };
        match self.entries.iter().find(is_meant) {
            Some(Entry { login, password, .. }) => {
                Credentials::Basic { username: login.clone(), password: password.clone() }
            }
            None => told,
        }
    }
}

/// Macros, which end at an empty line, may hold any words; comments end with their line.
fn without_macros(text: &str) -> String {
    let (mut kept, mut is_macro) = (String::new(), false);
    for line in text.lines() {
        is_macro &= !line.trim().is_empty();
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        let before = line.split("macdef ").next().unwrap_or_default();
        if !is_macro {
            kept.push_str(before);
            kept.push('\n');
        }
        is_macro |= before.len() < line.len();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment with machine nowhere\nmachine git.example.org login me password one\n\
                        macdef init\nmachine in.macro login x password y\n\nmachine git.example.org\n  login you\n  password two\n\
                        default login any password rest\n";

    fn account(url: &str, told: Credentials) -> (String, String) {
        match Netrc::read(TEXT).account(url, told) {
            Credentials::Basic { username, password } => (username, password.expose_secret().into()),
            Credentials::Anonymous | Credentials::Bearer(_) => Default::default(),
        }
    }

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.into(), password: password.into() }
    }

    #[test]
    fn the_first_account_of_the_host_and_user_counts_and_what_the_address_says_before_it() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let url = "https://git.example.org:8443/a/b";
        assert_eq!(account(url, Credentials::Anonymous), pair("me", "one"));
        assert_eq!(account(url, basic("you", "")), pair("you", "two"));
        assert_eq!(account(url, basic("you", "own")), pair("you", "own"));
        assert_eq!(account(url, basic("nobody", "")), pair("nobody", ""));
        assert_eq!(account("https://in.macro/a", Credentials::Anonymous), pair("any", "rest"));
        assert_eq!(account("no address", Credentials::Anonymous), pair("", ""));
    }
}
