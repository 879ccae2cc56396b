//! `.Files`.

use std::sync::Arc;

use gotemplate::{Call, Entries, Failure, Function, Host, List, Map, Member, Text, Type, Uint, Value, go};

use super::glob;
use crate::File;

/// Files of a chart by name.
#[derive(Clone)]
pub(super) struct Files(Arc<Entries>);

/// A method's body: the files, and the call.
type Method = (&'static str, &'static str, fn(&Files, &Call<'_, '_, '_>) -> Result<Value, Failure>);

const BYTES: Type = Type::List(&Type::Uint(Uint::Uint8));

const METHODS: &[Method] = &[
    ("AsConfig", "func() string", |files, _| Ok(files.as_config(|bytes| String::from_utf8_lossy(bytes).into_owned()))),
    ("AsSecrets", "func() string", |files, _| Ok(files.as_config(go::base64::encode))),
    ("Get", "func(string) string", |files, call| Ok(Value::String(files.get(call.bytes(0))))),
    ("GetBytes", "func(string) []byte", |files, call| Ok(Value::Bytes(files.get(call.bytes(0))))),
    ("Glob", "func(string) engine.files", |files, call| Ok(Value::Host(Arc::new(files.glob(&call.str(0)))))),
    ("Lines", "func(string) []string", |files, call| Ok(files.lines(call.bytes(0)))),
];

impl Files {
    pub(super) fn new(files: &[File]) -> Self {
        let entries = files.iter().map(|file| (file.name.as_str().into(), Value::Bytes(Arc::clone(&file.data).into())));
        Self(Arc::new(entries.collect()))
    }

    fn get(&self, name: &[u8]) -> Text {
        match self.0.get(name) {
            Some(Value::Bytes(bytes)) => bytes.clone(),
            _ => Text::default(),
        }
    }

    /// The files whose paths fit; all of them when the pattern is none.
    fn glob(&self, pattern: &str) -> Self {
        let regex = glob::compile(pattern);
        let fits = |name: &Text| regex.as_ref().is_none_or(|regex| regex.is_match(&name.to_str()));
        let entries = self.0.iter().filter(|(name, _)| fits(name));
        Self(Arc::new(entries.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()))
    }

    /// The contents by base name, as YAML.
    fn as_config(&self, show: impl Fn(&[u8]) -> String) -> Value {
        let entries = self.0.iter().map(|(name, value)| {
            let base = go::path::base(&name.to_str()).to_owned();
            (base, serde_json::Value::String(show(&value_bytes(value))))
        });
        let map = serde_json::Value::Object(entries.collect());
        Value::from(yaml::emit::to_yaml(&map).trim_end_matches('\n'))
    }

    fn lines(&self, name: &[u8]) -> Value {
        let text = self.get(name);
        if text.is_empty() {
            return Value::List(List::of(&Type::String, Vec::new()));
        }
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        Value::strings(text.split(|byte| *byte == b'\n').map(Text::from))
    }
}

fn value_bytes(value: &Value) -> Text {
    match value {
        Value::Bytes(bytes) => bytes.clone(),
        _ => Text::default(),
    }
}

impl Host for Files {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn member(&self, name: &str) -> Option<Member> {
        let (name, signature, body) = METHODS.iter().find(|(method, ..)| *method == name)?;
        let (files, body) = (self.clone(), *body);
        let body = Arc::new(move |call: &mut Call<'_, '_, '_>| body(&files, call));
        Some(Member::Method(Arc::new(Function::new(name, signature, body))))
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Map(Map::of(&BYTES, Entries::clone(&self.0))))
    }
}
