//! Addresses of remote files and bases, as kustomize reads them, and who fetches them.

use std::sync::Arc;

use manifest::Files;

/// Fetches what a kustomization names outside of its tree. The engine itself never does.
pub trait Remote: Send + Sync {
    /// The content behind an `http` or `https` address.
    ///
    /// # Errors
    /// When it cannot be had.
    fn file(&self, url: &str) -> Result<Vec<u8>, RemoteError>;

    /// The files of a repository.
    ///
    /// # Errors
    /// As [`Remote::file`].
    fn tree(&self, address: &Address) -> Result<Arc<dyn Files>, RemoteError>;
}

/// Why something cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RemoteError {
    /// The cause, without credentials and without the query of an address.
    pub reason: String,
    /// Whether it may be there when it is asked for again.
    pub transient: bool,
}

/// A folder of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What is cloned: `https://github.com/org/repo`.
    pub repository: String,
    /// The folder to build, from the repository's root; empty for the root itself.
    pub path: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// Whether submodules are wanted.
    pub submodules: bool,
}

/// Whether a file is to be fetched by its address.
pub(crate) fn is_url(text: &str) -> bool {
    ["http:", "https:"].iter().any(|scheme| starts_with_ignoring_case(text, scheme))
}

/// Whether Flux takes a path for an address.
pub(crate) fn is_remote(path: &str) -> bool {
    const PREFIXES: [&str; 8] = ["git::", "gh:", "ssh://", "https://", "http://", "git@", "github.com:", "github.com/"];
    let is_absolute_url = starts_with_ignoring_case(path, "file:///");
    is_absolute_url
        || PREFIXES.iter().any(|prefix| path.len() > prefix.len() && starts_with_ignoring_case(path, prefix))
}

/// An address without what may be secret in it.
pub(crate) fn without_query(address: &str) -> String {
    let address = address.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = address.split_once("://") else { return address.into() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", host.rsplit_once('@').map_or(host, |(_, host)| host))
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];

impl Address {
    /// Reads an entry of `resources` or `components`; `None` when it is no address but a path.
    pub fn read(entry: &str) -> Option<Self> {
        if entry.starts_with('/') {
            return None;
        }
        let (rest, query) = entry.split_once('?').unwrap_or((entry, ""));
        let (host, rest) = split_host(rest)?;
        let (repository, path) = split_repository(rest, host.starts_with("file://"))?;
        let path = path.trim_start_matches('/');
        if repository.is_empty() || leaves(path) {
            return None;
        }
        let (reference, submodules) = read_query(query);
        Some(Self { repository: format!("{host}{repository}"), path: path.into(), reference, submodules })
    }
}

/// Whether a path begins with `..` once it is cleaned.
fn leaves(path: &str) -> bool {
    manifest::normalize("", path).is_err()
}

fn read_query(query: &str) -> (String, bool) {
    let value = |wanted: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, value)| *key == wanted && !value.is_empty()).map(|(_, value)| unescape(value)).next()
    };
    let reference = value("ref").or_else(|| value("version")).unwrap_or_default();
    let off = ["0", "f", "F", "false", "FALSE", "False"];
    (reference, !value("submodules").is_some_and(|flag| off.contains(&flag.as_str())))
}

/// Undoes `%2F` and `+`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let hex = behind
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = &behind[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Splits scheme, user and host off an address, in the form in which git takes them.
fn split_host(text: &str) -> Option<(String, &str)> {
    let text = if starts_with_ignoring_case(text, "git::") { &text[5..] } else { text };
    let scheme = SCHEMES.into_iter().find(|scheme| starts_with_ignoring_case(text, scheme)).unwrap_or_default();
    let text = &text[scheme.len()..];
    let user = user_of(text);
    let text = &text[user.len()..];
    let is_github = ["github.com/", "github.com:"].iter().any(|host| starts_with_ignoring_case(text, host));
    let like_scp = scheme.is_empty() && (!user.is_empty() || is_github);
    if scheme.is_empty() && !like_scp {
        return None;
    }
    if scheme == "file://" {
        return Some((scheme.into(), text));
    }
    let slash = text.find('/');
    let colon = text.find(':').filter(|at| like_scp && *at > 0 && slash.is_none_or(|slash| *at < slash));
    let (host, rest) = match colon.or(slash) {
        Some(at) => text.split_at(at + 1),
        None => (text, ""),
    };
    if is_github {
        let over_ssh = scheme == "ssh://" || !user.is_empty();
        let host = if over_ssh { format!("{user}github.com:") } else { "https://github.com/".into() };
        return Some((host, rest));
    }
    (!host.is_empty()).then(|| (format!("{scheme}{user}{host}"), rest))
}

/// `name@` at the beginning.
fn user_of(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text[end..].starts_with('@');
    if is_name { &text[..=end] } else { "" }
}

/// Splits a path behind the host into the repository and the folder in it.
fn split_repository(text: &str, is_file: bool) -> Option<(&str, &str)> {
    if let Some(at) = text.find("_git/") {
        let end = text[at + 5..].find('/').map_or(text.len(), |end| at + 5 + end);
        return Some((&text[..end], text[end..].trim_start_matches('/')));
    }
    if let Some(at) = text.find("//") {
        return Some((&text[..at], &text[at + 2..]));
    }
    if let Some(at) = text.find(".git") {
        return Some(text.split_at(at + 4));
    }
    if is_file {
        return Some((text, ""));
    }
    let (organisation, rest) = text.split_once('/')?;
    let end = rest.find('/').map_or(text.len(), |end| organisation.len() + 1 + end);
    Some((&text[..end], text[end..].trim_start_matches('/')))
}
