//! What the machine gives: to containers, to instances, to who has signed in.

use reqwest::Method;
use serde_json::Value;
use sha1::{Digest as _, Sha1};
use zeroize::Zeroizing;

use super::super::identity::until;
use super::super::network::{ask, escaped, send};
use super::chain::Chain;
use super::is_name;
use super::profile::{Profile, Profiles};
use super::sign::{Keys, Session};

pub(super) const NOTHING: &str = "there are none in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), in \
    the files of a profile (AWS_PROFILE), or of a web identity (AWS_WEB_IDENTITY_TOKEN_FILE)";
/// Where containers of ECS ask.
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts that are asked in the clear, besides this machine: those of ECS and EKS.
const NEAR: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const INSTANCE: &str = "http://169.254.169.254";
/// What ECS gives to tasks and EKS to pods; none where the environment names neither.
pub(super) async fn container(chain: &Chain<'_>) -> Result<Option<Session>, String> {
    let relative = chain.variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let Some(url) = relative
        .map(|path| format!("{CONTAINER}{path}"))
        .or_else(|| chain.variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
    else {
        return Ok(None);
    };
    let parsed = reqwest::Url::parse(&url).map_err(|_| format!("{url} is no address of a container's credentials"))?;
    let request = if parsed.scheme() == "https" {
        chain.http.get(parsed)
    } else if is_near(&parsed) {
        chain.network.near(Method::GET, &url)?
    } else {
        return Err(format!("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither of this machine nor of ECS or EKS: {url}"));
    };
    let token = match chain.variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => {
            let token = tokio::fs::read_to_string(&file).await.map_err(|error| format!("{file}: {error}"))?;
            Some(Zeroizing::new(token.trim_end().to_owned()))
        }
        None => chain.variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Zeroizing::new),
    };
    let request = match &token {
        Some(token) => request.header("authorization", token.as_str()),
        None => request,
    };
    let sent: Vec<&str> = token.iter().map(|token| token.as_str()).collect();
    let answer = ask(request, |body| Some(body["message"].as_str()?.to_owned()), &sent).await;
    let answer = answer.map_err(|error| format!("the container's credentials: {error}"))?;
    session(&answer).map(Some)
}

fn is_near(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "http" && (is_here || NEAR.contains(&host))
}

/// What EC2 gives to what runs on an instance.
pub(super) async fn instance(chain: &Chain<'_>) -> Result<Session, String> {
    if chain.variables.get("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Err(NOTHING.to_owned());
    }
    let host = chain.variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| INSTANCE.to_owned());
    let host = host.trim_end_matches('/');
    let missing = |error: String| format!("{NOTHING}; and the instance's metadata: {error}");
    let request = chain.network.near(Method::PUT, &format!("{host}/latest/api/token"))?;
    let request = request.header("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let answer = send(request).await.map_err(missing)?;
    if !answer.is_success() {
        return Err(missing(answer.refusal("", &[])));
    }
    let token = Zeroizing::new(answer.text().to_owned());
    let get = async |path: &str| {
        let url = format!("{host}/latest/meta-data/iam/security-credentials/{path}");
        let request = chain.network.near(Method::GET, &url)?.header("x-aws-ec2-metadata-token", token.as_str());
        let answer = send(request).await.map_err(missing)?;
        if answer.is_success() { Ok(answer) } else { Err(missing(answer.refusal("", &[]))) }
    };
    let role = get("").await?.text().lines().next().unwrap_or_default().trim().to_owned();
    let answer = get(&escaped(&role)).await?.json();
    match answer["Code"].as_str() {
        None | Some("Success") => session(&answer),
        Some(code) => Err(format!("the instance's metadata: {code}")),
    }
}

/// What a profile of single sign-on may have, once its user has signed in.
pub(super) async fn single_sign_on(
    chain: &Chain<'_>,
    profiles: &Profiles,
    profile: &Profile<'_>,
) -> Result<Session, String> {
    let session_name = profile.get("sso_session");
    let section = match session_name {
        Some(name) => Some(profiles.sso_session(name).ok_or_else(|| format!("there is no sso-session {name}"))?),
        None => None,
    };
    let shared = |field: &str| section.as_ref().unwrap_or(profile).get(field).ok_or(format!("it has no {field}"));
    let (region, start) = (shared("sso_region")?, shared("sso_start_url")?);
    if !is_name(region) {
        return Err(format!("{region} is no region"));
    }
    let again = "run `aws sso login`";
    let file: String = Sha1::digest(session_name.unwrap_or(start)).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = chain.variables.home(&format!(".aws/sso/cache/{file}.json")).ok_or("there is no home folder")?;
    let text = std::fs::read(&path).map(Zeroizing::new).map_err(|_| format!("nobody has signed in: {again}"))?;
    let kept: Value =
        serde_json::from_slice(&text).map_err(|_| format!("what was signed in with is damaged: {again}"))?;
    let token = Zeroizing::new(kept["accessToken"].as_str().unwrap_or_default().to_owned());
    if token.is_empty() || kept["expiresAt"].as_str().is_none_or(|time| until(time).is_zero()) {
        return Err(format!("who has signed in has to do it again: {again}"));
    }
    let field = |name: &str| profile.get(name).map(escaped).ok_or_else(|| format!("it has no {name}"));
    let (account, role) = (field("sso_account_id")?, field("sso_role_name")?);
    let url = format!(
        "https://portal.sso.{region}.amazonaws.com/federation/credentials?account_id={account}&role_name={role}"
    );
    let request = chain.http.get(url).header("x-amz-sso_bearer_token", token.as_str());
    let answer = ask(request, |body| Some(body["message"].as_str()?.to_owned()), &[&token]).await;
    let answer = answer.map_err(|error| format!("single sign-on {error}"))?;
    let given = &answer["roleCredentials"];
    let text = |name: &str| given[name].as_str().filter(|text| !text.is_empty());
    let (Some(id), Some(secret)) = (text("accessKeyId"), text("secretAccessKey")) else {
        return Err("single sign-on answered without credentials".to_owned());
    };
    let end = given["expiration"].as_i64().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    let lifetime = end.map(|time| until(&time.to_string())).unwrap_or_default();
    Ok((Keys::new(id, secret, text("sessionToken")), lifetime))
}

fn session(value: &Value) -> Result<Session, String> {
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty());
    let (Some(id), Some(secret)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
        return Err("there was an answer without credentials".to_owned());
    };
    Ok((Keys::new(id, secret, text("Token")), text("Expiration").map(until).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_in_the_clear() {
        for (url, is_asked) in [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://127.0.0.1:1/", true),
            ("http://localhost/", true),
            ("http://[::1]/", true),
            ("http://[fd00:ec2::23]/", true),
            ("http://169.254.169.254/", false),
            ("http://127.0.0.1.evil/", false),
            ("http://evil/", false),
        ] {
            assert_eq!(is_near(&reqwest::Url::parse(url).unwrap()), is_asked, "{url}");
        }
    }
}
