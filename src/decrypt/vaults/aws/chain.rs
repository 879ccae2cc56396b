//! Where Amazon's SDKs look for credentials, in their order.

use futures::future::BoxFuture;
use std::time::Duration;
use zeroize::Zeroizing;

use super::super::identity::Variables;
use super::super::network::Network;
use super::profile::{Profile, Profiles};
use super::sign::{Keys, Session, lasting};
use super::{is_name, local, sts};

/// Profiles lead to others so often.
const DEEPEST: usize = 8;

/// What is looked through, for a region.
pub(super) struct Chain<'c> {
    /// To Amazon's hosts.
    pub(super) http: &'c reqwest::Client,
    pub(super) network: &'c Network,
    pub(super) variables: &'c Variables,
    pub(super) region: &'c str,
}

impl Chain<'_> {
    /// Those of a profile that a key names; else an access key, a web identity, the usual profile, what the machine has.
    pub(super) async fn keys(&self, named: &str) -> Result<Session, String> {
        let profiles = Profiles::read(self.variables)?;
        if !named.is_empty() {
            return self.of_profile(&profiles, profiles.named(named)?, DEEPEST).await;
        }
        if let Some(keys) = self.given() {
            return Ok(lasting(keys));
        }
        if let Some(file) = self.variables.get("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let role = self.variables.get("AWS_ROLE_ARN").ok_or("AWS_ROLE_ARN is not set")?;
            return self.by_web_identity("", &file, &role, self.variables.get("AWS_ROLE_SESSION_NAME")).await;
        }
        let usual = self.variables.any(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]);
        let profile = match &usual {
            Some(name) => profiles.named(name)?,
            None => profiles.usual(),
        };
        self.of_profile(&profiles, profile, DEEPEST).await
    }

    /// The access key of the environment.
    fn given(&self) -> Option<Keys> {
        let id = self.variables.any(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?;
        let secret = Zeroizing::new(self.variables.any(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?);
        let session = self.variables.get("AWS_SESSION_TOKEN").map(Zeroizing::new);
        Some(Keys::new(&id, &secret, session.as_ref().map(|session| session.as_str())))
    }

    async fn by_web_identity(
        &self,
        profile: &str,
        file: &str,
        arn: &str,
        session: Option<String>,
    ) -> Result<Session, String> {
        let token = tokio::fs::read_to_string(file).await.map(Zeroizing::new);
        let token = token.map_err(|error| format!("{file}: {error}"))?;
        let session = session.unwrap_or_else(sts::some_session);
        sts::exchange(self, profile, &sts::Role { arn, session, ..sts::Role::default() }, token.trim()).await
    }

    fn of_profile<'a>(
        &'a self,
        profiles: &'a Profiles,
        profile: Profile<'a>,
        deep: usize,
    ) -> BoxFuture<'a, Result<Session, String>> {
        Box::pin(async move {
            let name = profile.name;
            let told = |problem: String| format!("profile {name}: {problem}");
            let role = profile.get("role_arn");
            let linked = ["source_profile", "credential_source", "web_identity_token_file"];
            if let Some(by) = linked.iter().find(|by| role.is_none() && profile.get(by).is_some()) {
                return Err(told(format!("{by} needs role_arn")));
            }
            let session = match (profile.get("source_profile"), profile.get("web_identity_token_file")) {
                (Some(source), _) if source != name => {
                    if deep == 0 {
                        return Err(told("its source_profile leads too far".to_owned()));
                    }
                    self.of_profile(profiles, profiles.named(source)?, deep - 1).await?
                }
                (None, Some(file)) if profile.keys().is_none() && profile.get("credential_source").is_none() => {
                    let session = profile.get("role_session_name").map(ToOwned::to_owned);
                    return self.by_web_identity(name, file, role.unwrap_or_default(), session).await;
                }
                _ => self.own(profiles, &profile).await.map_err(|error| match name {
                    "default" => error,
                    _ => told(error),
                })?,
            };
            let Some(arn) = role else { return Ok(session) };
            if profile.get("mfa_serial").is_some() {
                return Err(told("a role that asks for a code of a device is not supported".to_owned()));
            }
            let seconds = profile.get("duration_seconds").and_then(|text| text.parse().ok());
            let wanted = sts::Role {
                arn,
                session: profile.get("role_session_name").map_or_else(sts::some_session, ToOwned::to_owned),
                external_id: profile.get("external_id"),
                lifetime: seconds.map(Duration::from_secs),
            };
            sts::assume(self, name, &session.0, &wanted).await
        })
    }

    /// What a profile has by itself, or else what the machine has.
    async fn own(&self, profiles: &Profiles, profile: &Profile<'_>) -> Result<Session, String> {
        if let Some(keys) = profile.keys() {
            return Ok(lasting(keys));
        }
        match profile.get("credential_source") {
            Some("Environment") => return self.given().map(lasting).ok_or_else(|| local::NOTHING.to_owned()),
            Some("EcsContainer") => {
                let found = local::container(self).await?;
                return found.ok_or_else(|| "there are no credentials of a container".to_owned());
            }
            Some("Ec2InstanceMetadata") => return local::instance(self).await,
            Some(_) => return Err("credential_source is Environment, EcsContainer or Ec2InstanceMetadata".to_owned()),
            None => {}
        }
        if profile.get("sso_account_id").is_some() {
            return local::single_sign_on(self, profiles, profile).await;
        }
        if profile.get("credential_process").is_some() {
            return Err("credential_process is a program, and none is run".to_owned());
        }
        match local::container(self).await? {
            Some(session) => Ok(session),
            None => local::instance(self).await,
        }
    }

    /// Where a service stands: Amazon's host of the region, or what the environment or a profile says.
    pub(super) fn endpoint(&self, service: &str, profile: &str) -> Result<reqwest::Url, String> {
        let own = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
        let is_ignored = self.variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|text| text == "true");
        let configured = || {
            let profiles = Profiles::read(self.variables).ok()?;
            let named = self.variables.any(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]);
            let name = if profile.is_empty() { named.as_deref().unwrap_or("default") } else { profile };
            Some(profiles.named(name).ok()?.get("endpoint_url")?.to_owned())
        };
        let given = self.variables.any(&[&own, "AWS_ENDPOINT_URL"]).or_else(configured).filter(|_| !is_ignored);
        let url = given.unwrap_or_else(|| self.address(service));
        reqwest::Url::parse(&url).map_err(|_| format!("{url} is no address of AWS"))
    }

    fn address(&self, service: &str) -> String {
        let is_fips = self.variables.get("AWS_USE_FIPS_ENDPOINT").is_some_and(|text| text == "true");
        let service = if is_fips { format!("{service}-fips") } else { service.to_owned() };
        // An ARN's region is checked before it is asked for; this stands for whoever forgets it.
        let region = if is_name(self.region) { self.region } else { "invalid" };
        format!("https://{service}.{region}.{}/", domain(region))
    }
}

/// The domain of a region's partition.
fn domain(region: &str) -> &'static str {
    const DOMAINS: [(&str, &str); 6] = [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
    ];
    let found = DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix));
    found.map_or("amazonaws.com", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(pairs: &[(&str, &str)], region: &str, service: &str) -> String {
        let variables: Variables = pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let network = Network::new(reqwest::Client::new());
        let chain = Chain { http: &network.http, network: &network, variables: &variables, region };
        chain.endpoint(service, "").unwrap().to_string()
    }

    #[test]
    fn a_service_stands_in_the_region_or_where_the_environment_says() {
        let nowhere = [("AWS_CONFIG_FILE", "/nowhere"), ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")];
        let with = |more: &[(&'static str, &'static str)]| [&nowhere, more].concat();
        for (more, region, service, wanted) in [
            (&[][..], "eu-west-1", "kms", "https://kms.eu-west-1.amazonaws.com/"),
            (&[], "cn-north-1", "sts", "https://sts.cn-north-1.amazonaws.com.cn/"),
            (
                &[("AWS_USE_FIPS_ENDPOINT", "true")],
                "us-gov-west-1",
                "kms",
                "https://kms-fips.us-gov-west-1.amazonaws.com/",
            ),
            (&[("AWS_ENDPOINT_URL", "http://a/")], "eu-west-1", "kms", "http://a/"),
            (
                &[("AWS_ENDPOINT_URL", "http://a/"), ("AWS_ENDPOINT_URL_KMS", "http://b/")],
                "eu-west-1",
                "kms",
                "http://b/",
            ),
            (&[("AWS_ENDPOINT_URL_KMS", "http://b/")], "eu-west-1", "sts", "https://sts.eu-west-1.amazonaws.com/"),
        ] {
            assert_eq!(endpoint(&with(more), region, service), wanted);
        }
        let ignored = [("AWS_ENDPOINT_URL", "http://a/"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
        assert_eq!(endpoint(&with(&ignored), "eu-west-1", "kms"), "https://kms.eu-west-1.amazonaws.com/");
    }
}
