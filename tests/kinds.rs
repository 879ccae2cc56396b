//! Kind facts are those of the API server that the tests run against. `cargo kinds` writes them anew.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]

#[path = "support/testbed.rs"]
mod testbed;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

/// Schemas of what Kubernetes itself serves; custom resources have others.
const OURS: [&str; 3] = ["io.k8s.api.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator."];
const EXTENSION: &str = "x-kubernetes-group-version-kind";

/// The schemas of an API server, by name, and its kinds.
#[derive(Default)]
struct Api {
    schemas: BTreeMap<String, Value>,
    /// (apiVersion, kind) -> scope.
    scopes: BTreeMap<(String, String), &'static str>,
    /// (apiVersion, kind) -> name of its schema.
    roots: BTreeMap<(String, String), String>,
}

fn api_version_and_kind(gvk: &Value) -> (String, String) {
    let text = |key: &str| gvk[key].as_str().unwrap_or_default().to_owned();
    let version =
        if text("group").is_empty() { text("version") } else { format!("{}/{}", text("group"), text("version")) };
    (version, text("kind"))
}

impl Api {
    /// Takes one OpenAPI v3 document.
    fn add(&mut self, document: &Value) {
        for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
            self.schemas.insert(name.clone(), schema.clone());
            if let [gvk] = schema[EXTENSION].as_array().map_or(&[][..], Vec::as_slice)
                && OURS.iter().any(|prefix| name.starts_with(prefix))
            {
                self.roots.insert(api_version_and_kind(gvk), name.clone());
            }
        }
        // What is created at a path without a name is an object of its own; `.../{name}/eviction` is a subresource.
        for (path, verbs) in document["paths"].as_object().into_iter().flatten() {
            if verbs["post"]["x-kubernetes-action"] == "post" && !path.contains("/{name}/") {
                let scope = if path.contains("/namespaces/{namespace}/") { "namespaced" } else { "cluster" };
                self.scopes.insert(api_version_and_kind(&verbs["post"][EXTENSION]), scope);
            }
        }
    }

    /// The schema that a field refers to: itself, as the items of a list, or as the values of a map of lists or objects.
    fn target(schema: &Value) -> Option<&str> {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        let reference = reference.or_else(|| schema.get("items").and_then(Self::target));
        reference.map(|r| r.rsplit('/').next().unwrap_or(r))
    }

    fn list_facts(&self, schema: &Value) -> Option<String> {
        match schema["x-kubernetes-list-type"].as_str()? {
            "set" => Some("set".into()),
            "map" => {
                let items =
                    Self::target(schema).and_then(|name| self.schemas.get(name)).expect("items of a map are objects");
                let keys = schema["x-kubernetes-list-map-keys"].as_array().expect("a map has keys");
                // Go's zero values stand in the documents as defaults of fields that are required.
                let key = |key: &str| match &items["properties"][key]["default"] {
                    Value::String(value) if !value.is_empty() => format!("{key}={value}"),
                    _ => key.into(),
                };
                Some(format!("map:{}", keys.iter().filter_map(Value::as_str).map(key).collect::<Vec<_>>().join(",")))
            }
            _ => None,
        }
    }

    /// The facts of one field, without its type.
    fn facts(&self, schema: &Value) -> Vec<String> {
        let mut facts: Vec<_> = self.list_facts(schema).into_iter().collect();
        if schema["x-kubernetes-map-type"] == "atomic" {
            facts.push("atomic".into());
        }
        if let Some(strategy) = schema["x-kubernetes-patch-strategy"].as_str() {
            let key = schema["x-kubernetes-patch-merge-key"].as_str().map(|key| format!(":{key}"));
            facts.push(format!("patch:{strategy}{}", key.unwrap_or_default()));
        }
        facts
    }

    /// The fields of a type; `*` stands for the values of a map.
    fn fields(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
        let named = schema["properties"].as_object().into_iter().flatten().map(|(name, field)| (name.as_str(), field));
        named.chain(schema.get("additionalProperties").filter(|v| v.is_object()).map(|values| ("*", values)))
    }

    /// Names of the types that have facts, or lead to some.
    fn telling(&self) -> BTreeSet<&str> {
        let own = |schema: &Value| {
            schema["x-kubernetes-map-type"] == "atomic" || Self::fields(schema).any(|(_, f)| !self.facts(f).is_empty())
        };
        let mut telling: BTreeSet<&str> =
            self.schemas.iter().filter(|(_, s)| own(s)).map(|(name, _)| name.as_str()).collect();
        loop {
            let leads = |schema: &Value| {
                Self::fields(schema).any(|(_, f)| Self::target(f).is_some_and(|t| telling.contains(t)))
            };
            let more: Vec<_> =
                self.schemas.iter().filter(|(name, s)| !telling.contains(name.as_str()) && leads(s)).collect();
            if more.is_empty() {
                return telling;
            }
            telling.extend(more.into_iter().map(|(name, _)| name.as_str()));
        }
    }

    /// The data file.
    fn tell(&self, version: &str) -> String {
        let telling = self.telling();
        let mut text = format!("# Kubernetes {version}. Made by `cargo kinds`; kinds.rs tells the format.\n");
        let mut reached = Vec::new();
        for ((api_version, kind), name) in &self.roots {
            let Some(scope) = self.scopes.get(&(api_version.clone(), kind.clone())) else { continue };
            let schema =
                telling.get(name.as_str()).inspect(|name| reached.push(**name)).map(|name| format!(" {}", short(name)));
            _ = writeln!(text, "kind {api_version} {kind} {scope}{}", schema.unwrap_or_default());
        }
        let mut types = BTreeMap::new();
        while let Some(name) = reached.pop() {
            types.entry(short(name)).or_insert_with(|| self.tell_type(name, &telling, &mut reached));
        }
        text + &types.into_values().collect::<String>()
    }

    fn tell_type<'a>(&'a self, name: &str, telling: &BTreeSet<&'a str>, reached: &mut Vec<&'a str>) -> String {
        let schema = &self.schemas[name];
        let atomic = if schema["x-kubernetes-map-type"] == "atomic" { " atomic" } else { "" };
        let mut text = format!("type {}{atomic}\n", short(name));
        for (field, schema) in Self::fields(schema) {
            let target = Self::target(schema).and_then(|target| telling.get(target));
            let mut facts = self.facts(schema);
            facts.extend(target.inspect(|t| reached.push(t)).map(|t| format!(">{}", short(t))));
            if !facts.is_empty() {
                _ = writeln!(text, "  {field} {}", facts.join(" "));
            }
        }
        text
    }
}

/// A schema's name without what all have in common.
fn short(name: &str) -> &str {
    name.strip_prefix("io.k8s.api.").or_else(|| name.rsplit_once(".apis.").map(|(_, rest)| rest)).unwrap_or(name)
}

#[test]
#[ignore = "needs the testbed: make test"]
fn kind_facts_are_those_of_the_api_server() {
    let testbed = testbed::Testbed::shared();
    let parse = |text: String| serde_json::from_str::<Value>(&text).expect("it is JSON");
    let get = |path: &str| parse(testbed.kubectl(&["get", "--raw", path]));
    let mut api = Api::default();
    for (_, document) in get("/openapi/v3")["paths"].as_object().expect("it has paths") {
        // One that is gone belonged to another test's custom resource.
        let url = document["serverRelativeURL"].as_str().expect("a document has a URL");
        testbed.try_kubectl(&["get", "--raw", url]).map(|text| api.add(&parse(text))).ok();
    }
    let version = get("/version")["gitVersion"].as_str().expect("it is a text").to_owned();
    let facts = api.tell(&version);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/manifest/src/kinds.txt");
    if std::env::var("GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&file, &facts).expect("the project can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let line = facts.lines().zip(committed.lines()).position(|(a, b)| a != b);
    assert!(facts == committed, "crates/manifest/src/kinds.txt is stale from line {line:?} on: cargo kinds");
}
