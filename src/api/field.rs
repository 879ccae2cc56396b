//! How one field of an object reads and writes: as Go's `encoding/json` with `omitempty` does in Flux and External Secrets.
//!
//! Absent, `null` and the zero value of a field that Go keeps by value are one; a field that Go keeps by pointer is an
//! `Option`. An empty text counts as unset, since both projects test for `""`. Nothing is checked here: the API server
//! does that with the schema, whose descriptions are the doc comments of the structs.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use zeroize::Zeroize as _;

/// A type that can stand in a struct of [`structs`].
pub trait Field: Default {
    /// Whether the field is left out when written.
    fn is_absent(&self) -> bool {
        false
    }

    /// Whether the value means the same as none at all.
    fn is_blank(&self) -> bool {
        false
    }

    /// The value as the rest of the program wants to see it.
    #[must_use]
    fn tidy(self) -> Self {
        self
    }

    /// Adds the description of every field below `path`; `[]` stands for the items of a list, `*` for those of a map.
    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        let _ = (path, descriptions);
    }
}

/// Reads a field; `null` is its zero value.
///
/// # Errors
/// When the value has another type than the schema says.
pub(super) fn read<'de, D: Deserializer<'de>, T: Field + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default().tidy())
}

/// Adds the description of one field and of those below it.
pub(super) fn described<T: Field>(path: &str, name: &str, text: &str, descriptions: &mut Vec<(String, String)>) {
    let path = format!("{path}.{name}");
    descriptions.push((path.clone(), text.trim().to_owned()));
    T::describe(&path, descriptions);
}

/// The JSON name of a Rust field, as serde's `camelCase` makes it.
pub(super) fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// Declares structs of the API: serde in Go's manner, and the doc comments kept as the schema's descriptions.
///
/// There is no `Debug` unless asked for with `#[derive(Debug)]`: many objects can hold plaintext.
macro_rules! structs {
    ($(
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        pub struct $name:ident {$(
            $(#[doc = $doc:literal])+
            $(#[serde(rename = $rename:literal)])?
            pub $field:ident: $type:ty,
        )*}
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, PartialEq, Default, serde::Serialize, serde::Deserialize $($(, $derive)+)?)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {$(
            $(#[doc = $doc])+
            $(#[serde(rename = $rename)])?
            #[serde(deserialize_with = "crate::api::field::read", skip_serializing_if = "crate::api::field::Field::is_absent")]
            pub $field: $type,
        )*}

        impl crate::api::field::Field for $name {
            fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {$(
                let name = crate::api::field::camel_case(stringify!($field));
                $(let name = name.replace(&name, $rename);)?
                crate::api::field::described::<$type>(path, &name, concat!($($doc),+), descriptions);
            )*}
        }
    )+};
}
pub(super) use structs;

/// Declares a text with a few known values. The first is the default; an unknown one is kept, because it is the API
/// server that refuses it.
macro_rules! choices {
    ($(
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+
        }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            #[default]
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
            /// What the schema does not know.
            #[serde(untagged)]
            Other(String),
        }

        impl $name {
            /// The value as it stands in the object.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl crate::api::field::Field for $name {
            fn is_blank(&self) -> bool {
                self.as_str().is_empty()
            }

            fn tidy(self) -> Self {
                if self.is_blank() { Self::default() } else { self }
            }
        }
    )+};
}
pub(super) use choices;

impl Field for String {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl Field for bool {
    fn is_absent(&self) -> bool {
        !self
    }
}

impl Field for i64 {
    fn is_absent(&self) -> bool {
        *self == 0
    }
}

impl<T: Field> Field for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn tidy(self) -> Self {
        self.filter(|value| !value.is_blank())
    }

    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        T::describe(path, descriptions);
    }
}

impl<T: Field> Field for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        T::describe(&format!("{path}[]"), descriptions);
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        T::describe(&format!("{path}.*"), descriptions);
    }
}

/// A field that is written even when it is `false` or empty, because the schema requires it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Required<T>(pub T);

impl<T: Field> Field for Required<T> {
    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        T::describe(path, descriptions);
    }
}

impl<T> Deref for Required<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Content of any shape that may hold plaintext, such as the values of a release: no `Debug`, and its texts are wiped
/// when it is dropped.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidential(Value);

impl Confidential {
    /// The content. Not for logs, errors, events or status.
    pub fn expose(&self) -> &Value {
        &self.0
    }

    /// The content when it is a text.
    pub fn expose_text(&self) -> Option<&str> {
        self.0.as_str()
    }
}

impl From<Value> for Confidential {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Drop for Confidential {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl Field for Confidential {}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}
