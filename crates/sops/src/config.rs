//! `.sops.yaml`: for whom and how files are encrypted, by their paths.

mod rewrite;

pub use rewrite::{RewriteError, add_recipient, remove_recipient};
use serde_json::Value;

use crate::key::{AddressError, KeyKind, MasterKey};
use crate::seal::Settings;
use crate::selection::{Rule, RuleKind};
use crate::store::Indents;

/// A configuration.
#[derive(Debug)]
pub struct Config {
    /// None where the file says nothing of creation rules, which is as if there were no file.
    rules: Option<Vec<CreationRule>>,
    indents: Indents,
}

/// A creation rule as it stands in the file.
#[derive(Debug)]
struct CreationRule {
    /// Its place, for messages.
    place: String,
    /// `path_regex`, compiled once for all paths; what is wrong with it matters to the paths that come to this rule.
    path: Result<Option<regexp::Regex>, String>,
    fields: Value,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not YAML.
    #[error("{0}")]
    Yaml(String),
    /// A field that is not what it must be.
    #[error("{place}: {problem}")]
    Field {
        /// Such as `creation_rules[0].age`.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A key that is none.
    #[error("{place}: {problem}")]
    Key {
        /// Such as `creation_rules[0].age`.
        place: String,
        /// What is wrong.
        problem: AddressError,
    },
    /// No rule is for the file.
    #[error("no matching creation rules found")]
    NoRule,
}

/// The lists of keys, by their names in a rule without groups and in a group, in the order in which sops puts them together.
const LISTS: [(&str, &str, KeyKind); 7] = [
    ("age", "age", KeyKind::Age),
    ("pgp", "pgp", KeyKind::Pgp),
    ("kms", "kms", KeyKind::AwsKms),
    ("gcp_kms", "gcp_kms", KeyKind::GcpKms),
    ("hckms", "hckms", KeyKind::HuaweiKms),
    ("azure_keyvault", "azure_keyvault", KeyKind::AzureKeyVault),
    ("hc_vault_transit_uri", "hc_vault", KeyKind::Vault),
];

impl Config {
    /// Reads a configuration. What it does not know is passed over, as in the original.
    ///
    /// # Errors
    /// A text that is no YAML, rules that are no list, indents that are none.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: Value = yaml::from_str(text).map_err(|error| ConfigError::Yaml(error.to_string()))?;
        let rules = match file.get("creation_rules") {
            None | Some(Value::Null) => None,
            Some(Value::Array(rules)) => Some(rules.iter().cloned().enumerate().map(rule).collect()),
            Some(_) => return Err(field("creation_rules", "must be a list")),
        };
        Ok(Config { rules, indents: indents(&file)? })
    }

    /// How collections are indented.
    #[must_use]
    pub fn indents(&self) -> Indents {
        self.indents
    }

    /// The settings of the first rule for a path below the folder of the configuration, made at a time of RFC 3339; none
    /// where there are no rules.
    ///
    /// # Errors
    /// Rules of which none is for the path; one that cannot be read.
    pub fn settings_for(&self, path: &str, now: &str) -> Result<Option<Settings>, ConfigError> {
        match self.rule_for(path)? {
            None if self.rules.is_some() => Err(ConfigError::NoRule),
            None => Ok(None),
            Some(rule) => self.settings_of(rule, now),
        }
    }
}

fn rule((index, fields): (usize, Value)) -> CreationRule {
    let path = match fields.get("path_regex") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => {
            regexp::Regex::new(text).map(Some).map_err(|error| format!("can not compile regexp: {error}"))
        }
        Some(_) => Err("must be a text".to_owned()),
    };
    CreationRule { place: format!("creation_rules[{index}]"), path, fields }
}

fn field(place: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Field { place: place.into(), problem: problem.into() }
}

fn indents(file: &Value) -> Result<Indents, ConfigError> {
    let default = Indents::default();
    let indent = |store: &str| {
        let value = file.pointer(&format!("/stores/{store}/indent")).filter(|value| !value.is_null());
        let wrong = || field(format!("stores.{store}.indent"), "is no whole number");
        value.map(|value| value.as_i64().ok_or_else(wrong)).transpose()
    };
    let too_small = |store: &str| field(format!("stores.{store}.indent"), "is too small");
    let yaml = match indent("yaml")? {
        None | Some(0) => default.yaml,
        Some(spaces) => usize::try_from(spaces).map_err(|_| too_small("yaml"))?,
    };
    let json = match indent("json")? {
        None | Some(-1) => default.json,
        Some(spaces) => Some(usize::try_from(spaces).map_err(|_| too_small("json"))?),
    };
    Ok(Indents { yaml, json })
}

impl CreationRule {
    fn text(&self, name: &str) -> Result<&str, ConfigError> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(name, "must be a text")),
        }
    }

    fn wrong(&self, name: &str, problem: &str) -> ConfigError {
        field(format!("{}.{name}", self.place), problem)
    }

    fn is_for(&self, path: &str) -> Result<bool, ConfigError> {
        let expression = self.path.as_ref().map_err(|problem| self.wrong("path_regex", problem))?;
        Ok(expression.as_ref().is_none_or(|expression| expression.is_match(path)))
    }

    fn settings(&self, now: &str) -> Result<Settings, ConfigError> {
        let mut rule: Option<Rule> = None;
        for kind in RuleKind::ALL {
            let text = self.text(kind.field())?.to_owned();
            if !text.is_empty() && rule.replace(Rule { kind, text }).is_some() {
                let problem = "cannot use more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, \
                               unencrypted_regex, encrypted_comment_regex, or unencrypted_comment_regex for the same rule";
                return Err(field(self.place.clone(), problem));
            }
        }
        let threshold = match self.fields.get("shamir_threshold") {
            None | Some(Value::Null) => 0,
            Some(value) => {
                let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
                count.ok_or_else(|| self.wrong("shamir_threshold", "is no number of groups"))?
            }
        };
        let mac_only_encrypted = match self.fields.get("mac_only_encrypted") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            Some(_) => return Err(self.wrong("mac_only_encrypted", "must be true or false")),
        };
        Ok(Settings { groups: self.groups(now)?, threshold, rule: rule.unwrap_or_default(), mac_only_encrypted })
    }

    fn groups(&self, now: &str) -> Result<Vec<Vec<MasterKey>>, ConfigError> {
        match self.fields.get("key_groups") {
            None | Some(Value::Null) => {}
            Some(Value::Array(groups)) if groups.is_empty() => {}
            Some(Value::Array(groups)) => {
                let place = |index| format!("{}.key_groups[{index}]", self.place);
                return groups.iter().enumerate().map(|(index, group)| group_of(group, &place(index), now)).collect();
            }
            Some(_) => return Err(self.wrong("key_groups", "must be a list")),
        }
        let profile = self.text("aws_profile")?;
        let mut group = Vec::new();
        for (name, _, kind) in LISTS {
            let place = format!("{}.{name}", self.place);
            for text in texts(self.fields.get(name), &place)? {
                let key = parse(kind, &text, &place, now)?;
                group.push(if kind == KeyKind::AwsKms { key.with_aws(profile, Vec::new()) } else { key });
            }
        }
        Ok(vec![group])
    }
}

/// The keys of a group, each once. Groups that are merged into it come first.
fn group_of(group: &Value, place: &str, now: &str) -> Result<Vec<MasterKey>, ConfigError> {
    let mut keys: Vec<MasterKey> = Vec::new();
    let list = |name: &str| match group.get(name) {
        None | Some(Value::Null) => Ok([].as_slice()),
        Some(Value::Array(list)) => Ok(list.as_slice()),
        Some(_) => Err(field(format!("{place}.{name}"), "must be a list")),
    };
    for (index, merged) in list("merge")?.iter().enumerate() {
        keys.extend(group_of(merged, &format!("{place}.merge[{index}]"), now)?);
    }
    for (_, name, kind) in LISTS {
        for (index, entry) in list(name)?.iter().enumerate() {
            keys.extend(entry_keys(kind, entry, &format!("{place}.{name}[{index}]"), now)?);
        }
    }
    let mut seen = std::collections::HashSet::new();
    keys.retain(|key| seen.insert((key.kind(), key.name())));
    Ok(keys)
}

/// The keys of one entry of a group: an age entry may hold several, the clouds' are mappings.
fn entry_keys(kind: KeyKind, entry: &Value, place: &str, now: &str) -> Result<Vec<MasterKey>, ConfigError> {
    let text = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(field(format!("{place}.{name}"), "must be a text")),
    };
    let address = match kind {
        KeyKind::Age | KeyKind::Pgp | KeyKind::Vault => {
            let text = entry.as_str().ok_or_else(|| field(place, "must be a text"))?;
            let parts = if kind == KeyKind::Age { text.split(',').collect() } else { vec![text] };
            return parts.into_iter().map(|part| parse(kind, part, place, now)).collect();
        }
        KeyKind::GcpKms => text("resource_id")?.to_owned(),
        KeyKind::HuaweiKms => text("key_id")?.to_owned(),
        KeyKind::AzureKeyVault => format!("{}/keys/{}/{}", text("vaultUrl")?, text("key")?, text("version")?),
        KeyKind::AwsKms => match text("role")? {
            "" => text("arn")?.to_owned(),
            role => format!("{}+{role}", text("arn")?),
        },
    };
    let key = parse(kind, &address, place, now)?;
    if kind != KeyKind::AwsKms {
        return Ok(vec![key]);
    }
    let mut context = Vec::new();
    for (name, value) in entry.get("context").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().ok_or_else(|| field(format!("{place}.context.{name}"), "must be a text"))?;
        context.push((name.clone(), value.to_owned()));
    }
    context.sort();
    Ok(vec![key.with_aws(text("aws_profile")?, context)])
}

/// Texts of a list, or of a text with commas.
fn texts(value: Option<&Value>, place: &str) -> Result<Vec<String>, ConfigError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => {
            Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        Some(Value::Array(list)) => {
            let text = |entry: &Value| entry.as_str().map(str::to_owned);
            let texts: Option<Vec<String>> = list.iter().map(text).collect();
            texts.ok_or_else(|| field(place, "expected string in list"))
        }
        Some(_) => Err(field(place, "must be a text or a list of texts")),
    }
}

fn parse(kind: KeyKind, text: &str, place: &str, now: &str) -> Result<MasterKey, ConfigError> {
    MasterKey::parse(kind, text, now).map_err(|problem| ConfigError::Key { place: place.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_are_those_of_the_stores() {
        for (text, yaml, json) in [
            ("", 4, None),
            ("creation_rules: []\n", 4, None),
            ("stores: {yaml: {indent: 2}, json: {indent: 0}}\n", 2, Some(0)),
            ("stores: {yaml: {indent: 0}, json: {indent: -1}}\n", 4, None),
        ] {
            assert_eq!(Config::parse(text).unwrap().indents(), Indents { yaml, json }, "{text}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_place() {
        for (text, wanted) in [
            ("stores: {yaml: {indent: -1}}", "stores.yaml.indent: is too small"),
            ("stores: {json: {indent: x}}", "stores.json.indent: is no whole number"),
            ("creation_rules: {}", "creation_rules: must be a list"),
        ] {
            assert_eq!(Config::parse(text).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_refused_with_its_place() {
        for (rule, wanted) in [
            ("{age: [1]}", "creation_rules[0].age: expected string in list"),
            ("{key_groups: [{pgp: [{}]}]}", "creation_rules[0].key_groups[0].pgp[0]: must be a text"),
            (
                "{azure_keyvault: x}",
                "creation_rules[0].azure_keyvault: \"x\" is no Azure Key Vault key: it must be \
              https://VAULT/keys/NAME",
            ),
            (
                "{path_regex: '['}",
                "creation_rules[0].path_regex: can not compile regexp: error parsing regexp: \
              missing closing ]: `[`",
            ),
        ] {
            let config = Config::parse(&format!("creation_rules: [{rule}]")).unwrap();
            assert_eq!(config.settings_for("a", "").unwrap_err().to_string(), wanted);
        }
    }
}
