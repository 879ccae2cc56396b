//! Where an object comes from and what changed it, as `buildMetadata` asks for it.

use std::fmt;

use crate::error::Problem;
use crate::remote::Address;
use crate::resource::{ORIGIN, Resource, TRANSFORMATIONS};

/// Where something comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Provenance {
    path: String,
    repository: String,
    reference: String,
    configured_in: String,
    configured_by: Option<[String; 4]>,
}

impl Provenance {
    /// What an entry of a kustomization at this place names.
    pub(crate) fn append(&self, entry: &str) -> Self {
        let mut below = self.clone();
        match Address::read(entry) {
            Some(address) => {
                below.repository = address.repository;
                below.reference = address.reference;
                below.path = address.path;
            }
            None => below.path = join(&self.path, entry),
        }
        below
    }

    /// A plugin of kustomize's own that a kustomization at this place uses.
    pub(crate) fn builtin(&self, file: &str, kind: &str) -> Self {
        Self {
            path: String::new(),
            configured_in: join(&self.path, file),
            configured_by: Some(["builtin".into(), kind.into(), String::new(), String::new()]),
            ..self.clone()
        }
    }

    /// A plugin by its configuration, whose annotation says where it comes from.
    pub(crate) fn of_plugin(resource: &Resource) -> Option<Self> {
        let origin = yaml::from_str(resource.annotation(ORIGIN)?).ok()?;
        let text = |key: &str| origin.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let of_metadata = |key: &str| {
            let value = resource.node.get("metadata").and_then(|metadata| metadata.get(key));
            value.map(|value| value.value.clone()).unwrap_or_default()
        };
        let (api_version, kind) = (resource.text("apiVersion").to_owned(), resource.text("kind").to_owned());
        Some(Self {
            path: String::new(),
            repository: text("repo"),
            reference: text("ref"),
            configured_in: text("path"),
            configured_by: Some([api_version, kind, of_metadata("name"), of_metadata("namespace")]),
        })
    }

    /// Notes a change at an object; the first note of an object without any says where it comes from.
    pub(crate) fn note(&self, resource: &mut Resource) -> Result<(), Problem> {
        let text = self.to_string();
        if resource.annotation(ORIGIN).is_none() {
            return resource.set_annotation(ORIGIN, &text);
        }
        let mut list = resource.annotation(TRANSFORMATIONS).unwrap_or_default().to_owned();
        for (index, line) in text.lines().enumerate() {
            list.push_str(if index == 0 { "- " } else { "  " });
            list.push_str(line);
            list.push('\n');
        }
        resource.set_annotation(TRANSFORMATIONS, &list)
    }
}

impl fmt::Display for Provenance {
    /// As kyaml marshals it: YAML without empty fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |key: &str, value: &str| {
            let mut map = serde_json::Map::new();
            map.insert(key.into(), value.into());
            yaml::emit::to_kyaml(&serde_json::Value::Object(map))
        };
        for (key, value) in [
            ("path", &self.path),
            ("repo", &self.repository),
            ("ref", &self.reference),
            ("configuredIn", &self.configured_in),
        ] {
            if !value.is_empty() {
                f.write_str(&line(key, value))?;
            }
        }
        let Some(by) = &self.configured_by else { return Ok(()) };
        f.write_str("configuredBy:\n")?;
        for (key, value) in
            ["apiVersion", "kind", "name", "namespace"].iter().zip(by).filter(|(_, value)| !value.is_empty())
        {
            write!(f, "  {}", line(key, value))?;
        }
        Ok(())
    }
}

/// Joins two paths and cleans the result, as Go's `filepath.Join`; it may begin with `..`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
