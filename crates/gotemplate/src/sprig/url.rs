//! URLs in parts.

use super::{NIL_POINTER, Result, give};
use crate::function::Entry;
use crate::go::url::{Url, User, parse};
use crate::value::Entries;
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("getHostByName", "func(string) string", |_| Err("getHostByName asks the network, which is not there".into())),
    Entry("urlJoin", "func(map[string]any) string", url_join),
    Entry("urlParse", "func(string) map[string]any", url_parse),
];

fn url_parse(c: &mut Call<'_, '_, '_>) -> Result {
    let url = parse(&c.str(0)).map_err(|problem| format!("unable to parse url: {problem}"))?;
    let user = url.user.as_ref().map(ToString::to_string).unwrap_or_default();
    let hostname = url.hostname().to_owned();
    let parts = [
        ("fragment", url.fragment),
        ("host", url.host),
        ("hostname", hostname),
        ("opaque", url.opaque),
        ("path", url.path),
        ("query", url.query),
        ("scheme", url.scheme),
        ("userinfo", user),
    ];
    give(parts.into_iter().map(|(name, part)| (name.into(), part.into())).collect::<Entries>())
}

fn url_join(c: &mut Call<'_, '_, '_>) -> Result {
    let map = c.map(0);
    let part = |key: &str| -> std::result::Result<String, Failure> {
        match map.get(key.as_bytes()) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.to_str().into_owned()),
            Some(Value::Nil) => Err(NIL_POINTER.into()),
            Some(other) => {
                let kind = other.go_type().kind_name();
                Err(format!("unable to parse {key} key, must be of type string, but {kind} found").into())
            }
        }
    };
    let mut url = Url::default();
    (url.scheme, url.host, url.path) = (part("scheme")?, part("host")?, part("path")?);
    (url.query, url.opaque, url.fragment) = (part("query")?, part("opaque")?, part("fragment")?);
    let user = part("userinfo")?;
    if !user.is_empty() {
        url.user = User::parse(&user).map_err(|problem| format!("unable to parse userinfo in dict: {problem}"))?;
    }
    give(url.to_string())
}
