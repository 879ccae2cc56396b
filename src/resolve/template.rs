//! `target.template`: the second engine of External Secrets' templates, over texts that are plaintext.

mod function;
mod jwk;
mod pbe;
mod pem;
mod pkcs12;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gotemplate::{Entries, Functions, Limits, Map, MissingKey, Session, Templates, Text, Type, Value};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::keys;
use super::lookup::{Lookup, secret_value};
use super::store::{Bytes, Cause, Data};
use super::target::{Content, bytes};
use super::{Place, Problem, ResolveError, hash};
use crate::api::secret::{DecodingStrategy, Template, TemplateFrom, TemplateItem, TemplateScope};
use crate::system::System;
use crate::unit::Thing;

/// A template of a Secret makes a few kilobytes of one.
const LIMITS: Limits = Limits { steps: 2_000_000, bytes: 16 << 20, depth: 100 };

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(function::table);

/// Executes the templates of one ExternalSecret.
pub(super) struct Templater {
    values: Value,
    /// Functions that were called and give another result every time.
    pub random: Vec<&'static str>,
    /// What `templateFrom` read, with its version.
    pub read: Vec<(Thing, String)>,
    problems: Vec<Problem>,
}

/// Where a result goes.
#[derive(Clone, Copy)]
enum Part {
    Data,
    Labels,
    Annotations,
}

impl Part {
    fn of(target: Option<&str>) -> Self {
        match target.unwrap_or_default() {
            target if target.eq_ignore_ascii_case("Annotations") => Self::Annotations,
            target if target.eq_ignore_ascii_case("Labels") => Self::Labels,
            _ => Self::Data,
        }
    }

    fn put(self, content: &mut Content, key: String, value: Bytes) {
        let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
        match self {
            Self::Data => drop(content.data.insert(key, value)),
            Self::Labels => drop(content.labels.insert(key, text(value))),
            Self::Annotations => drop(content.annotations.insert(key, text(value))),
        }
    }
}

impl Templater {
    /// Templates see the provider's data, as texts.
    pub(super) fn new(provided: &Data) -> Self {
        let entries: Entries =
            provided.iter().map(|(key, value)| (key.as_str().into(), Value::String(value.as_slice().into()))).collect();
        let values = Value::Map(Map::of(&Type::String, entries));
        Self { values, random: Vec::new(), read: Vec::new(), problems: Vec::new() }
    }

    /// Fills `content`: `templateFrom` in order, then `data`, labels and annotations.
    ///
    /// # Errors
    /// All templates that fail.
    pub(super) async fn apply(
        &mut self,
        template: &Template,
        mut content: Content,
        namespace: &str,
        lookup: &Lookup,
    ) -> Result<Content, ResolveError> {
        for (index, from) in template.template_from.iter().enumerate() {
            let place = Place::TemplateFrom(index);
            if let Err(cause) = self.from(from, place, &mut content, namespace, lookup).await {
                self.problems.push(Problem::new(place, cause));
            }
        }
        self.each(&template.data, Part::Data, &mut content);
        if let Some(metadata) = &template.metadata {
            self.each(&metadata.labels, Part::Labels, &mut content);
            self.each(&metadata.annotations, Part::Annotations, &mut content);
        }
        let problems = std::mem::take(&mut self.problems);
        if problems.is_empty() { Ok(content) } else { Err(ResolveError { problems }) }
    }

    /// One template per key.
    fn each(&mut self, templates: &BTreeMap<String, String>, part: Part, content: &mut Content) {
        for (key, text) in templates {
            match self.render(key, text) {
                Ok(value) => part.put(content, key.clone(), value),
                Err(cause) => self.problems.push(Problem::new(Place::Template, cause)),
            }
        }
    }

    async fn from(
        &mut self,
        from: &TemplateFrom,
        place: Place,
        content: &mut Content,
        namespace: &str,
        lookup: &Lookup,
    ) -> Result<(), Cause> {
        for (kind, object) in [("ConfigMap", &from.config_map), ("Secret", &from.secret)] {
            let Some(reference) = object else { continue };
            let object = lookup.required("v1", kind, namespace, &reference.name).await?;
            let mut texts = Data::new();
            for item in &reference.items {
                let text = match kind {
                    "Secret" => secret_value(&object, &item.key),
                    _ => object.value().pointer("/data").and_then(|data| data.get(&item.key)?.as_str()).map(bytes),
                };
                let text = text.ok_or_else(|| Cause::MissingKey { id: object.id(), key: item.key.clone() })?;
                self.item(item, &text, from, content);
                texts.insert(item.key.clone(), text);
            }
            let thing = Thing::object(&apply::Reference::of(&object));
            self.read.push((thing, hash::data(&texts)));
        }
        if let Some(literal) = &from.literal {
            let result = self.keys_and_values(&place.to_string(), literal, from, content);
            self.note(place, result);
        }
        Ok(())
    }

    /// One key of a ConfigMap or Secret that is a template.
    fn item(&mut self, item: &TemplateItem, text: &[u8], from: &TemplateFrom, content: &mut Content) {
        let text = Zeroizing::new(String::from_utf8_lossy(text).into_owned());
        let result = match &item.template_as {
            TemplateScope::Values => self.render(&item.key, &text).and_then(|value| {
                let value = decoded(from, &item.key, value)?;
                Part::of(from.target.as_deref()).put(content, item.key.clone(), value);
                Ok(())
            }),
            TemplateScope::KeysAndValues => self.keys_and_values(&item.key, &text, from, content),
            TemplateScope::Other(other) => {
                Err(Cause::Spec { message: format!("unknown scope '{other}': expected 'Values' or 'KeysAndValues'") })
            }
        };
        self.note(Place::Template, result);
    }

    fn note(&mut self, place: Place, result: Result<(), Cause>) {
        self.problems.extend(result.err().map(|cause| Problem::new(place, cause)));
    }

    /// A template whose result is YAML: keys and texts.
    fn keys_and_values(
        &mut self,
        name: &str,
        text: &str,
        from: &TemplateFrom,
        content: &mut Content,
    ) -> Result<(), Cause> {
        let rendered = self.render(name, text)?;
        let members = members(name, &rendered)?;
        for (key, value) in members {
            let value = decoded(from, &key, value)?;
            Part::of(from.target.as_deref()).put(content, key, value);
        }
        Ok(())
    }

    fn render(&mut self, name: &str, text: &str) -> Result<Bytes, Cause> {
        let (text, random) = render(name, text, &self.values)?;
        for function in random {
            if !self.random.contains(&function) {
                self.random.push(function);
            }
        }
        Ok(text)
    }
}

fn decoded(from: &TemplateFrom, key: &str, value: Bytes) -> Result<Bytes, Cause> {
    let strategy = from.values_decoding_strategy.as_ref().unwrap_or(&DecodingStrategy::None);
    keys::decode(strategy, value).map_err(|cause| match cause {
        Cause::Content { expected } => template_error(key, None, format!("the result is not {expected}")),
        other => other,
    })
}

/// Executes one template. Also answers the functions that it called and that give another result every time.
fn render(name: &str, text: &str, values: &Value) -> Result<(Bytes, Vec<&'static str>), Cause> {
    let failed = |error: &gotemplate::Error| {
        let line = error.place().map(|(_, line, _)| line).filter(|line| *line > 0);
        template_error(name, line, error.to_string())
    };
    let mut templates = Templates::new(name, FUNCTIONS.clone()).missing_key(MissingKey::Error);
    templates.parse(name, text).map_err(|error| failed(&error))?;
    let mut session = Session::new(&System, LIMITS);
    let text = templates.execute(name, values, &mut session).map_err(|stopped| {
        drop(Zeroizing::new(stopped.partial));
        failed(&stopped.error)
    })?;
    Ok((Bytes::from(text), session.random().to_vec()))
}

/// The new name of a key; the template sees the old one as `.value`.
pub(super) fn transform(template: &str, key: &str) -> Result<String, Cause> {
    let entries = Entries::from([(Text::from("value"), Value::String(key.into()))]);
    let (text, _) = render("transform", template, &Value::Map(Map::of(&Type::String, entries)))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn template_error(name: &str, line: Option<u32>, message: String) -> Cause {
    Cause::Template { name: name.to_owned(), line, message }
}

/// YAML of keys and scalars, as Go reads it into `map[string]string`.
fn members(name: &str, rendered: &[u8]) -> Result<Vec<(String, Bytes)>, Cause> {
    let wrong = |what: &str| template_error(name, None, format!("the result is not a map of texts: {what}"));
    let text = std::str::from_utf8(rendered).map_err(|_| wrong("not UTF-8"))?;
    let members = match yaml::from_str(text) {
        Ok(Json::Null) => return Ok(Vec::new()),
        Ok(Json::Object(members)) => members,
        Ok(_) => return Err(wrong("no map")),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    let scalar = |(key, value): (String, Json)| match value {
        Json::Null => Ok((key, Bytes::default())),
        Json::Bool(value) => Ok((key, bytes(if value { "true" } else { "false" }))),
        Json::Number(value) => Ok((key, bytes(&number(&value)))),
        Json::String(value) => Ok((key, Bytes::from(value.into_bytes()))),
        Json::Array(_) | Json::Object(_) => Err(wrong(&format!("{key} has members"))),
    };
    members.into_iter().map(scalar).collect()
}

/// Go's `%g` for what is no integer.
fn number(number: &serde_json::Number) -> String {
    let Some(float) = number.as_f64().filter(|_| !number.is_i64() && !number.is_u64()) else {
        return number.to_string();
    };
    let exponent = if float == 0.0 { 0.0 } else { float.abs().log10().floor() };
    if (-4.0..21.0).contains(&exponent) {
        return format!("{float}");
    }
    let text = format!("{float:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}
