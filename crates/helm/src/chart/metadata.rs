//! `Chart.yaml`.

use std::collections::BTreeMap;

use gotemplate::go::quote::is_print;
use gotemplate::go::semver::Version;
use serde_json::{Map, Value};

use crate::values::{self, kind};

/// The API version of a chart, which decides what its files mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Helm 2's: dependencies stand in `requirements.yaml`.
    V1,
    /// Helm 3's and 4's.
    V2,
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintainer {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Web page.
    pub url: String,
}

/// A dependency as a chart declares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dependency {
    /// Name of the chart; the alias, once the dependency has been processed.
    pub name: String,
    /// Constraint on its version.
    pub version: String,
    /// Repository.
    pub repository: String,
    /// Paths of values, one of which says whether it is on.
    pub condition: String,
    /// Tags by which it can be turned on and off.
    pub tags: Vec<String>,
    /// Whether it is on.
    pub enabled: bool,
    /// Values to take from it: names under its `exports`, or maps of `child` and `parent`.
    pub import_values: Vec<Value>,
    /// Name under which it appears.
    pub alias: String,
}

/// What a chart says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Web page.
    pub home: String,
    /// Where its sources are.
    pub sources: Vec<String>,
    /// Version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Words to be found by.
    pub keywords: Vec<String>,
    /// Who maintains it.
    pub maintainers: Vec<Maintainer>,
    /// A picture.
    pub icon: String,
    /// `v1` or `v2`.
    pub api_version: String,
    /// Unused by Helm.
    pub condition: String,
    /// Unused by Helm.
    pub tags: String,
    /// Version of what it installs.
    pub app_version: String,
    /// Whether it should not be used any more.
    pub deprecated: bool,
    /// Free text by name; `None` when there is no such map.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Constraint on the version of Kubernetes.
    pub kube_version: String,
    /// Dependencies; `None` when there is no such list.
    pub dependencies: Option<Vec<Dependency>>,
    /// `application` or `library`.
    pub kind: String,
}

impl Metadata {
    /// As Helm writes it: without what is empty.
    pub fn to_json(&self) -> Value {
        crate::record::metadata_to_json(self)
    }
}

type Read<T> = Result<T, String>;

/// Reads a map by the names of Go's structs.
struct Fields<'m> {
    map: &'m Map<String, Value>,
    owner: &'static str,
}

impl Fields<'_> {
    fn mismatch<T>(&self, field: &str, found: &Value, wanted: &str) -> Read<T> {
        let (found, owner) = (kind(found), self.owner);
        Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go struct field \
             {owner}.{field} of type {wanted}"
        ))
    }

    fn text(&self, field: &str) -> Read<String> {
        self.text_of(field, self.map.get(field).unwrap_or(&Value::Null))
    }

    /// Scalars read as text, where text is asked for.
    fn text_of(&self, field: &str, value: &Value) -> Read<String> {
        match scalar_text(value) {
            Some(text) => Ok(text),
            None => self.mismatch(field, value, "string"),
        }
    }

    fn texts(&self, field: &str) -> Read<Vec<String>> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| self.text_of(field, item)).collect(),
            Some(other) => self.mismatch(field, other, "[]string"),
        }
    }

    fn bool(&self, field: &str) -> Read<bool> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => self.mismatch(field, other, "bool"),
        }
    }

    fn annotations(&self) -> Read<Option<BTreeMap<String, String>>> {
        match self.map.get("annotations") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => {
                let texts = map.iter().map(|(key, value)| Ok((key.clone(), self.text_of("annotations", value)?)));
                texts.collect::<Read<_>>().map(Some)
            }
            Some(other) => self.mismatch("annotations", other, "map[string]string"),
        }
    }

    /// The maps of a list; `None` when there is no list.
    fn list<T>(&self, field: &str, of: &'static str, read: fn(&Fields<'_>) -> Read<T>) -> Read<Option<Vec<T>>> {
        let items = match self.map.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return self.mismatch(field, other, &format!("[]*v2.{of}")),
        };
        let each = items.iter().map(|item| match item {
            Value::Object(map) => read(&Fields { map, owner: of }),
            Value::Null => Err(format!("validation: {field} must not contain empty or null nodes")),
            other => self.mismatch(field, other, &format!("v2.{of}")),
        });
        each.collect::<Read<_>>().map(Some)
    }
}

/// A scalar as text, as `sigs.k8s.io/yaml` gives it where Go asks for a string.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(whole)) => whole.to_string(),
            _ => gotemplate::go::float::shortest(number.as_f64().unwrap_or(0.0)),
        }),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn dependency(fields: &Fields<'_>) -> Read<Dependency> {
    Ok(Dependency {
        name: fields.text("name")?,
        version: fields.text("version")?,
        repository: fields.text("repository")?,
        condition: fields.text("condition")?,
        tags: fields.texts("tags")?,
        enabled: fields.bool("enabled")?,
        import_values: fields.map.get("import-values").and_then(Value::as_array).cloned().unwrap_or_default(),
        alias: fields.text("alias")?,
    })
}

fn maintainer(fields: &Fields<'_>) -> Read<Maintainer> {
    Ok(Maintainer { name: fields.text("name")?, email: fields.text("email")?, url: fields.text("url")? })
}

impl Metadata {
    /// Reads `Chart.yaml` over what is known already.
    ///
    /// # Errors
    /// Go's words for what has not the form of a chart.
    pub(super) fn read(text: &str) -> Read<Self> {
        Self::from_json(&yaml::from_str(text).map_err(|error| values::yaml_problem(&error))?)
    }

    /// Takes what `Chart.yaml` says, as JSON.
    ///
    /// # Errors
    /// As [`Metadata::read`].
    pub(crate) fn from_json(value: &Value) -> Read<Self> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => return Ok(Self { api_version: "v1".into(), ..Self::default() }),
            other => {
                let found = kind(other);
                return Err(format!(
                    "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of \
                     type v2.Metadata"
                ));
            }
        };
        let fields = Fields { map, owner: "Metadata" };
        let api_version = Some(fields.text("apiVersion")?).filter(|version| !version.is_empty());
        Ok(Self {
            name: fields.text("name")?,
            home: fields.text("home")?,
            sources: fields.texts("sources")?,
            version: fields.text("version")?,
            description: fields.text("description")?,
            keywords: fields.texts("keywords")?,
            maintainers: fields.list("maintainers", "Maintainer", maintainer)?.unwrap_or_default(),
            icon: fields.text("icon")?,
            // Helm 2 did without.
            api_version: api_version.unwrap_or_else(|| "v1".into()),
            condition: fields.text("condition")?,
            tags: fields.text("tags")?,
            app_version: fields.text("appVersion")?,
            deprecated: fields.bool("deprecated")?,
            annotations: fields.annotations()?,
            kube_version: fields.text("kubeVersion")?,
            dependencies: fields.list("dependencies", "Dependency", dependency)?,
            kind: fields.text("type")?,
        })
    }

    /// Reads the dependencies of `requirements.yaml`.
    ///
    /// # Errors
    /// As [`Metadata::read`].
    pub(super) fn read_requirements(&mut self, text: &str) -> Read<()> {
        let value = yaml::from_str(text).map_err(|error| values::yaml_problem(&error))?;
        if let Value::Object(map) = &value {
            let fields = Fields { map, owner: "Metadata" };
            if let Some(dependencies) = fields.list("dependencies", "Dependency", dependency)? {
                self.dependencies = Some(dependencies);
            }
        }
        Ok(())
    }

    /// Which API the chart was written for.
    pub fn schema(&self) -> Schema {
        if self.api_version == "v1" { Schema::V1 } else { Schema::V2 }
    }

    /// Cleans texts and checks what Helm checks.
    ///
    /// # Errors
    /// Helm's words for the first thing that is wrong.
    pub(super) fn validate(&mut self) -> Read<()> {
        self.sanitize();
        let invalid = |text: String| Err(format!("validation: {text}"));
        let required = [("name", &self.name), ("version", &self.version)];
        if let Some((field, _)) = required.iter().find(|(_, value)| value.is_empty()) {
            return invalid(format!("chart.metadata.{field} is required"));
        }
        if self.name == "." || self.name == ".." {
            return invalid(format!("chart.metadata.name {:?} is not allowed", self.name));
        }
        if self.name.contains('/') {
            return invalid(format!("chart.metadata.name {:?} is invalid", self.name));
        }
        if Version::parse(&self.version).is_err() {
            return invalid(format!("chart.metadata.version {:?} is invalid", self.version));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return invalid("chart.metadata.type must be application or library".into());
        }
        self.validate_dependencies()
    }

    fn validate_dependencies(&self) -> Read<()> {
        let mut keys: Vec<&str> = Vec::new();
        for dependency in self.dependencies.iter().flatten() {
            let Dependency { name, alias, .. } = dependency;
            let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !alias.chars().all(is_good) {
                return Err(format!("validation: dependency {name:?} has disallowed characters in the alias"));
            }
            let key = if alias.is_empty() { name } else { alias };
            if keys.contains(&key.as_str()) {
                return Err(format!("validation: more than one dependency with name or alias {key:?}"));
            }
            keys.push(key);
        }
        Ok(())
    }

    fn sanitize(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ];
        let people =
            self.maintainers.iter_mut().flat_map(|person| [&mut person.name, &mut person.email, &mut person.url]);
        let dependencies = self.dependencies.iter_mut().flatten().flat_map(|dependency| {
            let Dependency { name, version, repository, condition, tags, .. } = dependency;
            [name, version, repository, condition].into_iter().chain(tags)
        });
        let lists = self.sources.iter_mut().chain(&mut self.keywords);
        for text in texts.into_iter().chain(people).chain(dependencies).chain(lists) {
            *text = sanitized(text);
        }
    }
}

/// Spaces of any kind become plain ones, what cannot be printed goes.
fn sanitized(text: &str) -> String {
    let spaced = text.chars().map(|character| if character.is_whitespace() { ' ' } else { character });
    spaced.filter(|character| is_print(*character)).collect()
}
