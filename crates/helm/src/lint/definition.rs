//! What `Chart.yaml` says.

use gotemplate::go::path::base;
use gotemplate::go::semver::{Constraint, Version};
use serde_json::Value;

use super::address::{is_mail, is_request, is_web};
use super::{Linter, Severity};
use crate::chart::{Maintainer, Metadata};
use crate::values::yaml_problem;

const FILE: &str = "Chart.yaml";

/// Examines the text.
pub(super) fn check(linter: &mut Linter, text: &str) {
    let read = yaml::from_str(text).map_err(|error| yaml_problem(&error));
    let metadata = read.and_then(|value| Metadata::from_json(&value).map(|metadata| (value, metadata)));
    let (value, metadata) = match metadata {
        Ok(read) => read,
        Err(problem) => return linter.add(Severity::Error, FILE, format!("unable to parse YAML\n\t{problem}")),
    };
    if let Some(problem) = strictly(text, &value) {
        let words = format!("failed to strictly parse chart metadata file\n\t{problem}");
        linter.add(Severity::Warning, FILE, words);
    }
    let version_is_strict = Version::parse_strict(&metadata.version).is_ok();
    let icon = metadata.icon.as_str();
    let errors = [
        name(&metadata),
        api_version(&value),
        is_text(&value, "version"),
        version(&metadata),
        is_text(&value, "appVersion"),
        metadata.maintainers.iter().find_map(maintainer),
        metadata
            .sources
            .iter()
            .find(|source| !is_request(source))
            .map(|source| format!("invalid source URL '{source}'")),
    ];
    errors.into_iter().flatten().for_each(|words| linter.add(Severity::Error, FILE, words));
    if icon.is_empty() {
        linter.add(Severity::Info, FILE, "icon is recommended");
    } else if !is_request(icon) {
        linter.add(Severity::Error, FILE, format!("invalid icon URL '{icon}'"));
    }
    of_second_form(&metadata, &value).into_iter().for_each(|words| linter.add(Severity::Error, FILE, words));
    if !version_is_strict {
        let words = format!("version '{}' is not a valid SemVerV2", metadata.version);
        linter.add(Severity::Warning, FILE, words);
    }
}

/// The version of the form as it is written; without one it is no version at all.
fn written_version(value: &Value) -> &str {
    value.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
}

/// What only the second form of charts has.
fn of_second_form(metadata: &Metadata, value: &Value) -> Vec<String> {
    let form = written_version(value);
    let mut words = Vec::new();
    if form != "v2" && !metadata.kind.is_empty() {
        words.push(format!("chart type is not valid in apiVersion '{form}'. It is valid in apiVersion 'v2'"));
    }
    if form != "v2" && metadata.dependencies.iter().flatten().next().is_some() {
        words.push(format!(
            "dependencies are not valid in the Chart file with apiVersion '{form}'. They are valid in apiVersion 'v2'"
        ));
    }
    words
}

const FIELDS: [&str; 17] = [
    "name",
    "home",
    "sources",
    "version",
    "description",
    "keywords",
    "maintainers",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "deprecated",
    "annotations",
    "kubeVersion",
    "dependencies",
    "type",
];
const PERSON: [&str; 3] = ["name", "email", "url"];
const DEPENDENCY: [&str; 8] =
    ["name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias"];

/// The first field that nobody knows, or a key that is there twice.
fn strictly(text: &str, value: &Value) -> Option<String> {
    if let Err(error) = yaml::from_str_strict(text) {
        return Some(yaml_problem(&error));
    }
    let is_known = |known: &[&str], key: &str| known.iter().any(|known| known.eq_ignore_ascii_case(key));
    let unknown_in = |value: &Value, known: &[&str]| {
        let keys = value.as_object()?.keys();
        keys.map(String::as_str).find(|key| !is_known(known, key)).map(str::to_owned)
    };
    let unknown = value.as_object()?.iter().find_map(|(key, value)| {
        let below = |known: &[&str]| value.as_array()?.iter().find_map(|item| unknown_in(item, known));
        match key.as_str() {
            key if !is_known(&FIELDS, key) => Some(key.to_owned()),
            "maintainers" => below(&PERSON),
            "dependencies" => below(&DEPENDENCY),
            _ => None,
        }
    });
    unknown.map(|key| format!("error unmarshaling JSON: while decoding JSON: json: unknown field \"{key}\""))
}

fn name(metadata: &Metadata) -> Option<String> {
    match metadata.name.as_str() {
        "" => Some("name is required".into()),
        name if base(name) != name => Some(format!("chart name \"{name}\" is invalid")),
        _ => None,
    }
}

fn api_version(value: &Value) -> Option<String> {
    match written_version(value) {
        "v1" | "v2" => None,
        "" => Some("apiVersion is required. The value must be either \"v1\" or \"v2\"".into()),
        other => Some(format!("apiVersion '{other}' is not valid. The value must be either \"v1\" or \"v2\"")),
    }
}

/// A version that reads as a number is one for Helm's packages, not for whoever wrote it.
fn is_text(value: &Value, field: &str) -> Option<String> {
    let found = match value.get(field)? {
        Value::String(_) => return None,
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    Some(format!("{field} should be of type string but it's of type {found}"))
}

fn version(metadata: &Metadata) -> Option<String> {
    if metadata.version.is_empty() {
        return Some("version is required".into());
    }
    let Ok(version) = Version::parse(&metadata.version) else {
        return Some(format!("version '{}' is not a valid SemVer", metadata.version));
    };
    let problems = Constraint::parse(">0.0.0-0").ok()?.validate(&version).err()?;
    problems.first().map(|problem| format!("version {problem}"))
}

fn maintainer(person: &Maintainer) -> Option<String> {
    let Maintainer { name, email, url } = person;
    if name.is_empty() {
        return Some("each maintainer requires a name".into());
    }
    if !email.is_empty() && !is_mail(email) {
        return Some(format!("invalid email '{email}' for maintainer '{name}'"));
    }
    (!url.is_empty() && !is_web(url)).then(|| format!("invalid url '{url}' for maintainer '{name}'"))
}
