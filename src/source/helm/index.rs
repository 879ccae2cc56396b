//! `index.yaml`: which versions of which charts there are.

use std::collections::BTreeMap;

use gotemplate::go::semver::{Constraint, Version};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::source::{Error, version};

/// A repository's index.
pub struct Index {
    /// `sha256:<hex>` of the index as served: Flux's revision of the repository.
    pub revision: String,
    /// Bytes of the index as served.
    pub size: usize,
    entries: BTreeMap<String, Vec<ChartVersion>>,
}

/// One version of a chart.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartVersion {
    /// Chart.
    #[serde(default)]
    pub name: String,
    /// Version, as written.
    #[serde(default)]
    pub version: String,
    /// Where its archive lies; the first counts.
    #[serde(default, deserialize_with = "or_default")]
    pub urls: Vec<String>,
    /// SHA-256 of its archive, in hex; empty when the index has none.
    #[serde(default, deserialize_with = "text")]
    pub digest: String,
    #[serde(default, deserialize_with = "or_default")]
    created: String,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default, deserialize_with = "text")]
    api_version: String,
    #[serde(default, deserialize_with = "or_default")]
    entries: BTreeMap<String, Option<Vec<Option<ChartVersion>>>>,
}

/// Go reads a null as if it was not there.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// As Go's YAML reader, which makes text of a number where text belongs.
fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(from)? {
        serde_json::Value::Null => Ok(String::new()),
        serde_json::Value::String(text) => Ok(text),
        scalar @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Ok(scalar.to_string()),
        _ => Err(serde::de::Error::custom("not text")),
    }
}

impl Index {
    /// Reads an index, in YAML or JSON.
    ///
    /// # Errors
    /// When it is none; a version that is not valid is passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = document(bytes).map_err(|cause| Error::IndexContent { cause })?;
        if document.api_version.is_empty() {
            return Err(Error::IndexContent { cause: "no API version specified".into() });
        }
        let valid = |versions: Option<Vec<Option<ChartVersion>>>| -> Vec<ChartVersion> {
            versions.into_iter().flatten().flatten().filter(ChartVersion::is_valid).collect()
        };
        let entries = document.entries.into_iter().map(|(name, versions)| (name, valid(versions))).collect();
        Ok(Self { revision: format!("sha256:{:x}", Sha256::digest(bytes)), size: bytes.len(), entries })
    }

    /// The version of `chart` that `range` stands for: the one written just so, or else the newest in the range. An empty
    /// range or `*` is the newest that is no pre-release. Versions that differ in build metadata alone are ordered by
    /// when they were made.
    ///
    /// # Errors
    /// When there is no such chart or version, or the range is none.
    pub fn choose(&self, chart: &str, range: &str) -> Result<&ChartVersion, Error> {
        let missing = |cause: String| Error::NoChart { cause };
        let versions = self.entries.get(chart).ok_or_else(|| missing("no chart name found".into()))?;
        if versions.is_empty() {
            return Err(missing("no chart version found".into()));
        }
        if let Some(exact) = versions.iter().find(|known| !range.is_empty() && known.version == range) {
            return Ok(exact);
        }
        let constraint = Constraint::parse(if range.is_empty() { "*" } else { range });
        let constraint = constraint.map_err(|error| missing(error.to_string()))?;
        let read = versions.iter().filter_map(|known| Some((version::full(&known.version)?, known)));
        let newest = read.filter(|(version, _)| constraint.matches(version)).max_by(|(one, this), (other, that)| {
            one.precedence(other).then_with(|| this.created().cmp(&that.created()))
        });
        let none = || missing(format!("no '{chart}' chart with version matching '{range}' found"));
        newest.map(|(_, known)| known).ok_or_else(none)
    }
}

impl ChartVersion {
    /// What Helm asks of an entry, as far as it concerns choice and download.
    fn is_valid(&self) -> bool {
        let name = !["", ".", ".."].contains(&&*self.name) && !self.name.contains('/');
        let kind = ["", "application", "library"].contains(&&*self.kind);
        name && kind && Version::parse(&self.version).is_ok()
    }

    fn created(&self) -> Option<jiff::Timestamp> {
        self.created.parse().ok()
    }
}

/// Reads JSON or YAML; the error says where, and never quotes the index.
fn document(bytes: &[u8]) -> Result<Document, String> {
    if bytes.is_empty() {
        return Err("empty index.yaml file".into());
    }
    if bytes.trim_ascii_start().first() == Some(&b'{')
        && let Ok(document) = serde_json::from_slice(bytes)
    {
        return Ok(document);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let value = yaml::from_str_strict(text).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|_| "a field has the wrong type".to_owned())
}
