//! The shared files of Amazon's SDKs: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::HashMap;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::super::identity::Variables;
use super::sign::Keys;

/// The sections of both files, those of the second over those of the first.
pub(super) struct Profiles(HashMap<String, HashMap<String, Zeroizing<String>>>);

/// One of them.
pub(super) struct Profile<'p> {
    pub(super) name: &'p str,
    fields: Option<&'p HashMap<String, Zeroizing<String>>>,
}

impl Profile<'_> {
    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.fields?.get(field).map(|text| text.as_str()).filter(|text| !text.is_empty())
    }

    pub(super) fn keys(&self) -> Option<Keys> {
        let (id, secret) = (self.get("aws_access_key_id")?, self.get("aws_secret_access_key")?);
        Some(Keys::new(id, secret, self.get("aws_session_token")))
    }
}

impl Profiles {
    /// A file that is not there, or cannot be read, is empty, as it is for Amazon's SDKs.
    pub(super) fn read(variables: &Variables) -> Result<Self, String> {
        let file = |variable: &str, usual: &str| {
            let path = variables.get(variable).map(PathBuf::from).or_else(|| variables.home(usual));
            let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            Zeroizing::new(text)
        };
        let mut profiles = Self(HashMap::new());
        profiles.add(&file("AWS_CONFIG_FILE", ".aws/config"), true);
        profiles.add(&file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), false);
        Ok(profiles)
    }

    pub(super) fn named<'p>(&'p self, name: &'p str) -> Result<Profile<'p>, String> {
        let fields = self.0.get(name).ok_or_else(|| format!("there is no profile {name}"))?;
        Ok(Profile { name, fields: Some(fields) })
    }

    /// The one that is meant when none is named, which may be missing.
    pub(super) fn usual(&self) -> Profile<'_> {
        Profile { name: "default", fields: self.0.get("default") }
    }

    /// The section of a session of single sign-on.
    pub(super) fn sso_session<'p>(&'p self, name: &'p str) -> Option<Profile<'p>> {
        let fields = self.0.get(&format!("sso-session {name}"))?;
        Some(Profile { name, fields: Some(fields) })
    }

    fn add(&mut self, text: &str, is_config: bool) {
        let mut section = None;
        for line in text.lines() {
            // An indented line belongs to the one before it, and none such is of use here.
            if line.starts_with([' ', '\t']) || line.starts_with(['#', ';']) || line.trim().is_empty() {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                let header = header.split(']').next().unwrap_or_default();
                let words = header.split_whitespace().collect::<Vec<_>>();
                section = match words.as_slice() {
                    ["profile", rest @ ..] if is_config => Some(rest.join(" ")),
                    ["sso-session", rest @ ..] if is_config => Some(format!("sso-session {}", rest.join(" "))),
                    ["default"] => Some("default".to_owned()),
                    words if !is_config => Some(words.join(" ")),
                    _ => None,
                };
                if let Some(section) = &section {
                    self.0.entry(section.clone()).or_default();
                }
                continue;
            }
            let pair = line.split_once('=').map(|(name, text)| (name.trim().to_lowercase(), without_comment(text)));
            if let (Some(section), Some((name, text))) = (&section, pair) {
                let fields = self.0.entry(section.clone()).or_default();
                fields.insert(name, Zeroizing::new(text.to_owned()));
            }
        }
    }
}

/// A comment stands behind a space.
fn without_comment(text: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"];
    let end = ends.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    text[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_the_sdks_read_them() {
        let mut profiles = Profiles(HashMap::new());
        let config = "# mine\n[default]\nregion = eu\naws_access_key_id = A\n[profile  dev]\nrole_arn = r # one\n\
                      s3 =\n  role_arn = nested\n[other]\nregion = x\n[sso-session work]\nsso_region = eu-west-1\n";
        profiles.add(config, true);
        profiles.add("[default]\nAWS_ACCESS_KEY_ID=B\naws_secret_access_key = a#b;c=\n[third]\n", false);
        let usual = profiles.usual();
        assert_eq!(usual.get("aws_access_key_id"), Some("B"));
        assert_eq!(usual.get("aws_secret_access_key"), Some("a#b;c="));
        assert_eq!(usual.get("region"), Some("eu"));
        assert_eq!(profiles.named("dev").unwrap().get("role_arn"), Some("r"));
        assert!(profiles.named("other").is_err() && profiles.named("third").is_ok());
        assert_eq!(profiles.sso_session("work").unwrap().get("sso_region"), Some("eu-west-1"));
    }
}
