//! Who we are: by the environment, or as a ServiceAccount; and what proved it, until it expires.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde_json::Value;
use zeroize::Zeroizing;

/// What lives shorter than this is asked for anew.
const MARGIN: Duration = Duration::from_secs(300);

/// Finds a variable.
type Find = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The environment. A variable that is empty is none.
#[derive(Clone)]
pub struct Variables(Arc<Find>);

impl Default for Variables {
    fn default() -> Self {
        Self(Arc::new(|_| None))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.is_empty())
    }

    /// The first of several that there is.
    pub(super) fn any(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// A path below the user's folder.
    pub(super) fn home(&self, path: &str) -> Option<PathBuf> {
        let home = self.get("HOME").map(PathBuf::from).or_else(std::env::home_dir)?;
        Some(home.join(path))
    }
}

impl<'p> FromIterator<(&'p str, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (&'p str, String)>>(pairs: I) -> Self {
        let all: HashMap<String, String> = pairs.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        Self(Arc::new(move |name| all.get(name).cloned()))
    }
}

/// Makes a token of a ServiceAccount for an audience.
pub type Issue = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Zeroizing<String>, String>> + Send + Sync>;

/// A ServiceAccount, as which clouds are asked.
#[derive(Clone)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its annotations; or why they are not known, which is an error only when a file needs them.
    pub annotations: Result<BTreeMap<String, String>, String>,
    /// Makes its tokens.
    pub issue: Issue,
}

impl Account {
    /// An annotation; none when it is empty.
    pub(super) fn annotation(&self, key: &str) -> Result<Option<&str>, String> {
        let annotations = self.annotations.as_ref().map_err(Clone::clone)?;
        Ok(annotations.get(key).map(String::as_str).filter(|text| !text.is_empty()))
    }

    /// Its name in an error.
    pub(super) fn id(&self) -> String {
        format!("ServiceAccount/{}/{}", self.namespace, self.name)
    }
}

/// What was given to us, by what it is for, until it expires.
pub(super) struct Kept<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    pub(super) fn get(&self, purpose: &str) -> Option<T> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(purpose).filter(|(until, _)| *until > Instant::now()).map(|(_, kept)| kept.clone())
    }

    /// Keeps what lives so long from now on.
    pub(super) fn keep(&self, purpose: &str, lifetime: Duration, given: T) {
        let until = Instant::now() + lifetime.saturating_sub(MARGIN);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(purpose.to_owned(), (until, given));
    }
}

/// A token, and how long it lives.
pub(super) type Token = (Zeroizing<String>, Duration);

/// `access_token` and its end of an issuer's answer.
pub(super) fn token(mut answer: Value) -> Result<Token, String> {
    let Value::String(token) = answer["access_token"].take() else { return Err("the issuer sent none".into()) };
    // Managed identities tell it as a text, and some tell the time instead.
    let number = |name: &str| answer[name].as_i64().or_else(|| answer[name].as_str()?.parse().ok());
    let left = || Some(number("expires_on")? - jiff::Timestamp::now().as_second());
    let seconds = number("expires_in").or_else(left).and_then(|seconds| seconds.try_into().ok()).unwrap_or_default();
    Ok((Zeroizing::new(token), Duration::from_secs(seconds)))
}

/// How long it is until a time of RFC 3339.
#[cfg_attr(not(any(feature = "aws-kms", feature = "gcp-kms")), expect(dead_code, reason = "Entra tells seconds"))]
pub(super) fn until(time: &str) -> Duration {
    let left = time.parse::<jiff::Timestamp>().ok().map(|time| time.duration_since(jiff::Timestamp::now()));
    left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
}
