//! Go's `net/url`: reading and printing.

use super::quote::quote;

/// Which part of a URL is escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    User,
    Host,
    Fragment,
}

/// A user, perhaps with a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    name: String,
    password: Option<String>,
}

/// A URL in its parts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Url {
    /// Before the colon, lower case.
    pub scheme: String,
    /// Instead of host and path: what follows the colon where no slash does.
    pub opaque: String,
    /// User of the host.
    pub user: Option<User>,
    /// Host, perhaps with a port.
    pub host: String,
    /// Path, unescaped.
    pub path: String,
    /// Query, as written.
    pub query: String,
    /// Fragment, unescaped.
    pub fragment: String,
    raw_path: String,
    raw_fragment: String,
    has_empty_query: bool,
    omits_host: bool,
}

type Parsed<T> = Result<T, String>;

/// Reads a URL.
///
/// # Errors
/// Go's words for what is wrong with it.
pub fn parse(text: &str) -> Result<Url, String> {
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let wrap = |shown: &str, problem: String| format!("parse {}: {problem}", quote(shown.as_bytes()));
    let mut url = parse_before_fragment(before).map_err(|problem| wrap(before, problem))?;
    url.fragment = unescape(fragment, Part::Fragment).map_err(|problem| wrap(text, problem))?;
    url.raw_fragment = fragment.to_owned();
    Ok(url)
}

fn parse_before_fragment(text: &str) -> Parsed<Url> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    if text == "*" {
        return Ok(Url { path: "*".into(), ..Url::default() });
    }
    let (scheme, mut rest) = scheme(text)?;
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
    if rest.ends_with('?') && rest.matches('?').count() == 1 {
        url.has_empty_query = true;
        rest = &rest[..rest.len() - 1];
    } else if let Some((before, query)) = rest.split_once('?') {
        url.query = query.to_owned();
        rest = before;
    }
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    if (!url.scheme.is_empty() || !rest.starts_with("///")) && rest.starts_with("//") {
        let authority = &rest[2..];
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        (url.user, url.host) = parse_authority(&url.scheme, authority)?;
        rest = path;
    } else if !url.scheme.is_empty() && rest.starts_with('/') {
        url.omits_host = true;
    }
    url.path = unescape(rest, Part::Path)?;
    url.raw_path = rest.to_owned();
    Ok(url)
}

fn scheme(text: &str) -> Parsed<(&str, &str)> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn parse_authority(scheme: &str, authority: &str) -> Parsed<(Option<User>, String)> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Ok((None, parse_host(scheme, authority)?));
    };
    let host = parse_host(scheme, host)?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(is_good) {
        return Err("net/url: invalid userinfo".into());
    }
    let (name, password) = user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)));
    let password = password.map(|password| unescape(password, Part::User)).transpose()?;
    Ok((Some(User { name: unescape(name, Part::User)?, password }), host))
}

fn parse_host(scheme: &str, host: &str) -> Parsed<String> {
    match host.rfind('[') {
        Some(0) => return parse_literal(host),
        Some(_) => return Err("invalid IP-literal".into()),
        None => {}
    }
    if let (Some(first), Some(last)) = (host.find(':'), host.rfind(':')) {
        let is_strict = matches!(scheme, "http" | "https");
        check_port(&host[if is_strict { first } else { last }..])?;
    }
    unescape(host, Part::Host)
}

fn check_port(port: &str) -> Parsed<()> {
    let is_good =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if is_good { Ok(()) } else { Err(format!("invalid port {} after host", quote(port.as_bytes()))) }
}

/// `[::1]:80`.
fn parse_literal(host: &str) -> Parsed<String> {
    let Some(close) = host.rfind(']') else { return Err("missing ']' in host".into()) };
    check_port(&host[close + 1..])?;
    let inner = &host[1..close];
    let (address, zone) = inner.split_once("%25").map_or((inner, None), |(address, zone)| (address, Some(zone)));
    let address = unescape(address, Part::Host)?;
    if address.parse::<std::net::Ipv6Addr>().is_err() {
        let shown = quote(address.as_bytes());
        return match address.parse::<std::net::Ipv4Addr>() {
            Ok(_) => Err("invalid IP-literal".into()),
            Err(_) => Err(format!("invalid host: ParseAddr({shown}): unable to parse IP")),
        };
    }
    let zone = zone.map(|zone| unescape(zone, Part::User)).transpose()?;
    let zone = zone.map_or(String::new(), |zone| format!("%{zone}"));
    Ok(format!("[{address}{zone}]{}", &host[close + 1..]))
}

fn is_plain(byte: u8, part: Part) -> bool {
    match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => true,
        b'!' | b'(' | b')' | b'*' => matches!(part, Part::Host | Part::Fragment),
        b'\'' | b'[' | b']' | b'<' | b'>' | b'"' => part == Part::Host,
        b'$' | b'&' | b'+' | b',' | b';' | b'=' => true,
        b'/' => matches!(part, Part::Path | Part::Fragment),
        b':' => matches!(part, Part::Path | Part::Fragment | Part::Host),
        b'@' => matches!(part, Part::Path | Part::Fragment),
        b'?' => part == Part::Fragment,
        _ => false,
    }
}

fn unescape(text: &str, part: Part) -> Parsed<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            if part == Part::Host && byte.is_ascii() && !is_plain(*byte, part) {
                let shown = quote(&bytes[at..=at]);
                return Err(format!("invalid character {shown} in host name"));
            }
            out.push(*byte);
            at += 1;
            continue;
        }
        let shown = || quote(&bytes[at..bytes.len().min(at + 3)]);
        let digits = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(code) = code.filter(|code| part != Part::Host || !code.is_ascii() || *code == b'%') else {
            return Err(format!("invalid URL escape {}", shown()));
        };
        out.push(code);
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn escape(text: &str, part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte, part) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The text as it was written, when that means the same; else escaped anew.
fn escaped(raw: &str, text: &str, part: Part) -> String {
    let is_good = |byte: u8| b"!$&'()*+,;=:@[]%".contains(&byte) || is_plain(byte, part);
    let means_same = || unescape(raw, part).is_ok_and(|unescaped| unescaped == text);
    if !raw.is_empty() && raw.bytes().all(is_good) && means_same() { raw.to_owned() } else { escape(text, part) }
}

impl User {
    /// A user by what stands before the `@` of a URL.
    ///
    /// # Errors
    /// Go's words for what is wrong with it.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        parse(&format!("proto://{text}@host")).map(|url| url.user)
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escape(&self.name, Part::User))?;
        self.password.as_ref().map_or(Ok(()), |password| write!(f, ":{}", escape(password, Part::User)))
    }
}

impl Url {
    /// The host without its port and brackets.
    pub fn hostname(&self) -> &str {
        let host = match self.host.rfind(':').filter(|colon| check_port(&self.host[*colon..]).is_ok()) {
            Some(colon) => &self.host[..colon],
            None => &self.host,
        };
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.push_str(&format!("{}:", self.scheme));
        }
        if self.opaque.is_empty() {
            self.push_hierarchy(&mut out);
        } else {
            out.push_str(&self.opaque);
        }
        if self.has_empty_query || !self.query.is_empty() {
            out.push_str(&format!("?{}", self.query));
        }
        if !self.fragment.is_empty() {
            out.push_str(&format!("#{}", escaped(&self.raw_fragment, &self.fragment, Part::Fragment)));
        }
        f.write_str(&out)
    }
}

impl Url {
    fn push_hierarchy(&self, out: &mut String) {
        let has_authority = !self.host.is_empty() || self.user.is_some();
        if has_authority || !(self.scheme.is_empty() || self.omits_host) {
            if has_authority || !self.path.is_empty() {
                out.push_str("//");
            }
            if let Some(user) = &self.user {
                out.push_str(&format!("{user}@"));
            }
            out.push_str(&escape(&self.host, Part::Host));
        }
        let path = if self.path == "*" { "*".into() } else { escaped(&self.raw_path, &self.path, Part::Path) };
        if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
            out.push('/');
        }
        if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
            out.push_str("./");
        }
        out.push_str(&path);
    }
}
