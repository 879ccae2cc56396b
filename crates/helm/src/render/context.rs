//! What templates see: `.Values`, `.Chart`, `.Release`, `.Capabilities`, `.Files`, `.Subcharts`, `.Template`.

use std::borrow::Cow;
use std::sync::Arc;

use gotemplate::{Call, Entries, Failure, Function, Host, List, Map, Member, Text, Type, Value};

use super::RenderOptions;
use super::files::Files;
use crate::capabilities::{Capabilities, KubeVersion};
use crate::chart::{Dependency, Maintainer, Metadata};
use crate::values::Values;
use crate::{Chart, File};

/// Go's type of values, which is a map with another name.
const VALUES: Type = Type::Named("common.Values", &Type::Map(&Type::Any));

/// A template of a chart, and what it sees.
pub(super) struct Renderable<'c> {
    /// Path from the root chart.
    pub(super) path: String,
    pub(super) text: Cow<'c, str>,
    /// Path of the chart's templates.
    base: String,
    data: Map,
}

impl Renderable<'_> {
    /// What the template sees. All templates of a chart share it, but for the template's own name.
    pub(super) fn data(&self) -> Value {
        let template = entries([("Name", self.path.as_str().into()), ("BasePath", self.base.as_str().into())]);
        self.data.insert("Template".into(), Value::Map(values_map(&Map::new(template))));
        Value::Map(values_map(&self.data))
    }
}

/// All templates of a chart and its dependencies.
pub(super) fn renderables<'c>(chart: &'c Chart, values: &Values, options: &RenderOptions) -> Vec<Renderable<'c>> {
    let shared = Shared {
        release: release(options),
        capabilities: Value::Host(Arc::new(CapabilitiesObject::of(&options.capabilities))),
    };
    let values = Value::from_entries_with_integers(values);
    let mut found = Vec::new();
    let place = Place { path: chart.name().to_owned(), is_root: true };
    shared.add(chart, &place, values, &mut found);
    found
}

struct Shared {
    release: Value,
    capabilities: Value,
}

struct Place {
    path: String,
    is_root: bool,
}

impl Shared {
    fn add<'c>(&self, chart: &'c Chart, place: &Place, values: Value, found: &mut Vec<Renderable<'c>>) -> Map {
        let own = match values {
            Value::Map(map) => map,
            _ => Map::default(),
        };
        let mut charts = Entries::new();
        for dependency in &chart.dependencies {
            let path = format!("{}/charts/{}", place.path, dependency.name());
            let values = nested(&own, dependency.name());
            let inner = self.add(dependency, &Place { path, is_root: false }, values, found);
            charts.insert(dependency.name().into(), Value::Map(inner));
        }
        let data = Map::new(entries([
            ("Capabilities", self.capabilities.clone()),
            ("Chart", metadata(&chart.metadata, place.is_root)),
            ("Files", Value::Host(Arc::new(Files::new(&chart.files)))),
            ("Release", self.release.clone()),
            ("Subcharts", charts.into()),
            ("Values", Value::Map(values_map(&own))),
        ]));
        let is_seen = |file: &&File| !chart.is_library() || gotemplate::go::path::base(&file.name).starts_with('_');
        found.extend(chart.templates.iter().filter(is_seen).map(|file| Renderable {
            path: gotemplate::go::path::join(&[&place.path, &file.name]),
            // Nearly all is UTF-8, which is found out faster than what is not.
            text: std::str::from_utf8(&file.data).map_or_else(|_| String::from_utf8_lossy(&file.data), Cow::Borrowed),
            base: gotemplate::go::path::join(&[&place.path, "templates"]),
            data: data.clone(),
        }));
        data
    }
}

/// The values of a dependency: the same map that stands in its parent's values, so that a change is seen in both.
fn nested(values: &Map, name: &str) -> Value {
    let mut map = values.clone();
    for part in name.split('.') {
        match map.get(part.as_bytes()) {
            Some(Value::Map(inner)) => map = inner,
            _ => return Value::Nil,
        }
    }
    Value::Map(map)
}

fn values_map(map: &Map) -> Map {
    map.named(Some(&VALUES))
}

fn entries<const N: usize>(pairs: [(&str, Value); N]) -> Entries {
    pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

fn release(options: &RenderOptions) -> Value {
    let is = |action| options.action == action && options.revision > 0;
    Value::from(entries([
        ("Name", options.name.as_str().into()),
        ("Namespace", options.namespace.as_str().into()),
        ("IsUpgrade", is(super::Action::Upgrade).into()),
        ("IsInstall", is(super::Action::Install).into()),
        ("Revision", Value::int(options.revision)),
        ("Service", "Helm".into()),
    ]))
}

fn list<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
    Value::List(List::new(items.iter().map(show).collect()))
}

fn texts(items: &[String]) -> Value {
    list(items, |item| item.as_str().into())
}

/// `.Chart`: Go's struct, field by field.
fn metadata(metadata: &Metadata, is_root: bool) -> Value {
    let annotations = match &metadata.annotations {
        None => Map::nil(&Type::String),
        Some(map) => {
            let entries = map.iter().map(|(key, value)| (Text::from(key.as_str()), value.as_str().into()));
            Map::of(&Type::String, entries.collect())
        }
    };
    Value::from(entries([
        ("APIVersion", metadata.api_version.as_str().into()),
        ("Annotations", Value::Map(annotations)),
        ("AppVersion", metadata.app_version.as_str().into()),
        ("Condition", metadata.condition.as_str().into()),
        ("Dependencies", list(metadata.dependencies.as_deref().unwrap_or_default(), dependency)),
        ("Deprecated", metadata.deprecated.into()),
        ("Description", metadata.description.as_str().into()),
        ("Home", metadata.home.as_str().into()),
        ("Icon", metadata.icon.as_str().into()),
        ("IsRoot", is_root.into()),
        ("Keywords", texts(&metadata.keywords)),
        ("KubeVersion", metadata.kube_version.as_str().into()),
        ("Maintainers", list(&metadata.maintainers, maintainer)),
        ("Name", metadata.name.as_str().into()),
        ("Sources", texts(&metadata.sources)),
        ("Tags", metadata.tags.as_str().into()),
        ("Type", metadata.kind.as_str().into()),
        ("Version", metadata.version.as_str().into()),
    ]))
}

fn dependency(dependency: &Dependency) -> Value {
    Value::from(entries([
        ("Alias", dependency.alias.as_str().into()),
        ("Condition", dependency.condition.as_str().into()),
        ("Enabled", dependency.enabled.into()),
        ("ImportValues", list(&dependency.import_values, Value::from_json)),
        ("Name", dependency.name.as_str().into()),
        ("Repository", dependency.repository.as_str().into()),
        ("Tags", texts(&dependency.tags)),
        ("Version", dependency.version.as_str().into()),
    ]))
}

fn maintainer(person: &Maintainer) -> Value {
    Value::from(entries([
        ("Email", person.email.as_str().into()),
        ("Name", person.name.as_str().into()),
        ("URL", person.url.as_str().into()),
    ]))
}

/// `.Capabilities`: its fields by their names in Go and in JSON, which are the same.
struct CapabilitiesObject([(&'static str, Value); 3]);

impl CapabilitiesObject {
    fn of(capabilities: &Capabilities) -> Self {
        let Capabilities { kube_version, api_versions, helm_version } = capabilities;
        Self([
            ("KubeVersion", Value::Host(Arc::new(KubeVersionObject(kube_version.clone())))),
            ("APIVersions", Value::Host(Arc::new(VersionSet(api_versions.as_slice().into())))),
            ("HelmVersion", Value::Host(Arc::new(HelmVersion(helm_version.clone())))),
        ])
    }
}

impl Host for CapabilitiesObject {
    fn type_name(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn member(&self, name: &str) -> Option<Member> {
        let field = self.0.iter().find(|(field, _)| *field == name);
        field.map(|(_, value)| Member::Field(value.clone()))
    }

    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        self.0.iter().map(|(name, value)| (*name, *name, value.clone())).collect()
    }
}

/// A method without arguments that gives a text.
fn text_method(name: &'static str, text: &str) -> Member {
    let text = Value::from(text);
    Member::Method(Arc::new(Function::new(name, "func() string", Arc::new(move |_| Ok(text.clone())))))
}

/// `.Capabilities.KubeVersion`.
struct KubeVersionObject(KubeVersion);

impl Host for KubeVersionObject {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn member(&self, name: &str) -> Option<Member> {
        Some(match name {
            "Version" => Member::Field(self.0.version.as_str().into()),
            "Major" => Member::Field(self.0.major.as_str().into()),
            "Minor" => Member::Field(self.0.minor.as_str().into()),
            "GitVersion" => text_method("GitVersion", &self.0.version),
            "String" => text_method("String", &self.0.normalized),
            _ => return None,
        })
    }

    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        vec![
            ("Version", "Version", self.0.version.as_str().into()),
            ("Major", "Major", self.0.major.as_str().into()),
            ("Minor", "Minor", self.0.minor.as_str().into()),
        ]
    }

    fn text(&self) -> Option<String> {
        Some(self.0.normalized.clone())
    }
}

/// `.Capabilities.APIVersions`.
struct VersionSet(Arc<[String]>);

impl Host for VersionSet {
    fn type_name(&self) -> &'static str {
        "common.VersionSet"
    }

    fn member(&self, name: &str) -> Option<Member> {
        let versions = Arc::clone(&self.0);
        let has = move |call: &mut Call<'_, '_, '_>| -> Result<Value, Failure> {
            let wanted = call.str(0);
            Ok(versions.iter().any(|version| *version == wanted).into())
        };
        (name == "Has").then(|| Member::Method(Arc::new(Function::new("Has", "func(string) bool", Arc::new(has)))))
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::strings(self.0.iter().map(|version| version.as_str().into())))
    }
}

/// `.Capabilities.HelmVersion`.
struct HelmVersion(String);

impl Host for HelmVersion {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn member(&self, name: &str) -> Option<Member> {
        let field = self.fields().into_iter().find(|(field, ..)| *field == name);
        field.map(|(.., value)| Member::Field(value))
    }

    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        vec![
            ("Version", "version", self.0.as_str().into()),
            ("GitCommit", "git_commit", "".into()),
            ("GitTreeState", "git_tree_state", "".into()),
            ("GoVersion", "go_version", "go1.26.8".into()),
            ("KubeClientVersion", "kube_client_version", "v1.36".into()),
        ]
    }
}
