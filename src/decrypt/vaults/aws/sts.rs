//! Roles: sessions that the security token service gives to those who may have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::super::identity::{Account, until};
use super::super::network::{Answer, escaped, form, send};
use super::chain::Chain;
use super::sign::{self, Keys, Session, Target};

const VERSION: &str = "2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// The annotation of ServiceAccounts.
const ROLE: &str = "eks.amazonaws.com/role-arn";
/// Names of sessions are at most so long.
const LONGEST_SESSION: usize = 64;
/// Sessions are as long as this unless more was asked for.
const SHORTEST: Duration = Duration::from_secs(15 * 60);

/// A role, and how it is asked for.
#[derive(Default)]
pub(super) struct Role<'r> {
    pub(super) arn: &'r str,
    pub(super) session: String,
    pub(super) external_id: Option<&'r str>,
    pub(super) lifetime: Option<Duration>,
}

/// The name of a session that a key's role is used in, as sops has it: `sops@` and the host's name, as far as such a name
/// may hold it.
pub(super) fn host_session() -> String {
    let host = rustix::system::uname();
    session_of(&host.nodename().to_string_lossy())
}

fn session_of(host: &str) -> String {
    // From `@` to `_`, as a range, is what the original allows: hyphens are not part of it.
    let is_kept = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '=' | ',' | '.' | '@'..='_');
    let host = host.chars().filter(is_kept);
    "sops@".chars().chain(host).take(LONGEST_SESSION).collect()
}

/// The name of a session that nobody has named.
pub(super) fn some_session() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("lockstep-{}", now.as_nanos())
}

/// A role for those who have an access key.
pub(super) async fn assume(chain: &Chain<'_>, profile: &str, keys: &Keys, role: &Role<'_>) -> Result<Session, String> {
    let seconds = role.lifetime.filter(|lifetime| *lifetime > SHORTEST).unwrap_or(SHORTEST).as_secs().to_string();
    let mut fields = vec![
        ("Action", "AssumeRole"),
        ("Version", VERSION),
        ("RoleArn", role.arn),
        ("RoleSessionName", &role.session),
        ("DurationSeconds", &seconds),
    ];
    fields.extend(role.external_id.map(|id| ("ExternalId", id)));
    let pairs: Vec<String> = fields.iter().map(|(name, text)| format!("{name}={}", escaped(text))).collect();
    let target = Target { service: "sts", region: chain.region, url: chain.endpoint("sts", profile)? };
    let request = sign::post(chain.http, keys, &target, &[("content-type", FORM)], pairs.join("&"));
    session(send(request).await, role.arn, &keys.secrets())
}

/// A role for those who have a token of an issuer that it trusts.
pub(super) async fn exchange(
    chain: &Chain<'_>,
    profile: &str,
    role: &Role<'_>,
    token: &str,
) -> Result<Session, String> {
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", VERSION),
        ("RoleArn", role.arn),
        ("RoleSessionName", &role.session),
        ("WebIdentityToken", token),
    ];
    let request = form(chain.http.post(chain.endpoint("sts", profile)?), &fields);
    session(send(request).await, role.arn, &[token])
}

/// The role that a ServiceAccount's annotation names.
pub(super) async fn as_account(chain: &Chain<'_>, account: &Account) -> Result<Session, String> {
    let arn = account.annotation(ROLE)?.unwrap_or_default();
    if !is_role(arn) {
        return Err(format!("{}: {ROLE} {arn:?} is no ARN of a role", account.id()));
    }
    let session = format!("{}.{}.{}.fluxcd.io", account.name, account.namespace, chain.region);
    let token = (account.issue)("sts.amazonaws.com".to_owned()).await?;
    exchange(chain, "", &Role { arn, session, ..Role::default() }, &token).await
}

/// `arn:PARTITION:iam::ACCOUNT:role/NAME`.
fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts.as_slice() else { return false };
    let is_account = (1..=30).contains(&account.len()) && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = role.strip_prefix("role/").is_some_and(|name| (1..=200).contains(&name.len()));
    partition.starts_with("aws") && is_account && is_name
}

fn session(answer: Result<Answer, String>, role: &str, sent: &[&str]) -> Result<Session, String> {
    let refused = |problem: String| format!("role {role}: STS {problem}");
    let answer = answer.map_err(refused)?;
    let said = |name: &str| element(answer.text(), name);
    if !answer.is_success() {
        let message = format!("{}: {}", said("Code").unwrap_or_default(), said("Message").unwrap_or_default());
        return Err(refused(answer.refusal(if message == ": " { "" } else { &message }, sent)));
    }
    let secret = said("SecretAccessKey").map(Zeroizing::new);
    let (Some(id), Some(secret), token) = (said("AccessKeyId"), secret, said("SessionToken").map(Zeroizing::new))
    else {
        return Err(refused("answered without credentials".to_owned()));
    };
    let lifetime = said("Expiration").map(|time| until(&time)).unwrap_or_default();
    Ok((Keys::new(&id, &secret, token.as_ref().map(|token| token.as_str())), lifetime))
}

/// The text of the first element of a name: all that is needed of XML here.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&amp;", "&"),
    ];
    Some(entities.iter().fold(text.trim().to_owned(), |text, (entity, char)| text.replace(entity, char)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_the_name_that_sops_gives_it() {
        assert_eq!(session_of("ip-10-0-0-1.example"), "sops@ip10001.example");
        assert_eq!(session_of("a_b[c]ä"), "sops@a_b[c]");
        assert_eq!(session_of(&"x".repeat(80)).len(), LONGEST_SESSION);
    }

    #[test]
    fn an_account_names_a_role() {
        assert!(is_role("arn:aws-cn:iam::123456789012:role/path/name"));
        for wrong in
            ["", "arn:aws:iam::1:user/x", "arn:aws:iam::x:role/x", "arn:aws:iam:e:1:role/x", "arn:aws:iam::1:role/"]
        {
            assert!(!is_role(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_element_is_found_by_its_name() {
        let xml = "<A><Code>Access</Code>\n<Message> a &lt;b&gt; &amp;amp; </Message></A>";
        assert_eq!(element(xml, "Code").as_deref(), Some("Access"));
        assert_eq!(element(xml, "Message").as_deref(), Some("a <b> &amp;"));
        assert_eq!(element(xml, "B"), None);
    }
}
