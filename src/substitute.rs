//! Variables of `postBuild`: written into the text of each object, which is then read again.
//!
//! # Assumptions
//! The text is what kustomize prints, so types come and go with quotes as they do under Flux: `${N}` without quotes
//! becomes a number when the value looks like one. Line breaks are taken out of values by whoever gathers them (see
//! [`value_of`]).
//!
//! # Errors
//! Name the object and the variable, never a value.

pub mod template;

use std::collections::BTreeMap;

use manifest::{Object, ObjectError, Origin};
use serde_json::{Number, Value};

use template::TemplateError;

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// What a variable means that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// An empty text.
    Empty,
    /// An error, unless the template has a default: Flux's `StrictPostBuildSubstitutions`, the default since
    /// kustomize-controller 1.9.
    Error,
}

/// Label or annotation that keeps an object as it is.
const SWITCH: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// A variable's value as Flux takes it from an object or a spec: without line breaks.
#[must_use]
pub fn value_of(text: &str) -> String {
    text.replace('\n', "")
}

/// Writes the variables into all objects. Without any variable defaults are written all the same: whoever wants none of
/// that (Flux's strategy `WithVariables`) does not call it then.
///
/// # Errors
/// All failures: names that are no names of variables, and objects whose text cannot be substituted or read again.
pub fn all(objects: Vec<Object>, variables: &Variables, unset: Unset) -> Result<Vec<Object>, Vec<SubstituteError>> {
    check_names(variables)?;
    let mut errors = Vec::new();
    let mut substituted = Vec::with_capacity(objects.len());
    for object in objects {
        match self::object(object, variables, unset) {
            Ok(object) => substituted.push(object),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(substituted) } else { Err(errors) }
}

fn check_names(variables: &Variables) -> Result<(), Vec<SubstituteError>> {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
            && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    let bad = variables.keys().filter(|name| !is_name(name));
    let errors: Vec<_> = bad.map(|name| SubstituteError::BadName { name: name.clone() }).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn object(object: Object, variables: &Variables, unset: Unset) -> Result<Object, SubstituteError> {
    if object.label(SWITCH) == Some("disabled") || object.annotation(SWITCH) == Some("disabled") {
        return Ok(object);
    }
    let place = Place { object: object.id().to_string(), origin: object.origin().cloned().unwrap_or_default() };
    let text = kustomize::to_yaml(&object);
    // What holds no dollar does not change, and most objects do not; Flux reads them again all the same, to no effect.
    let changed = template::expand(&text, variables, unset)
        .map_err(|source| SubstituteError::Template { place: place.clone(), source })?;
    let text = String::from_utf8(changed).map_err(|_| SubstituteError::NotText { place: place.clone() })?;
    let mut value =
        yaml::from_str(&text).map_err(|source| SubstituteError::NotYaml { place: place.clone(), source })?;
    round(&mut value);
    let changed = Object::new(value).map_err(|source| SubstituteError::NotAnObject { place: place.clone(), source })?;
    Ok(changed.at(place.origin))
}

/// Flux takes the object through JSON, where all numbers are floating: whole ones above 2^53 lose digits.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let exact = number.as_i64().is_some_and(|whole| whole.unsigned_abs() <= 1 << 53);
            if let (false, Some(float)) = (exact, number.as_f64().and_then(Number::from_f64)) {
                *number = float;
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(round),
        Value::Object(map) => map.values_mut().for_each(round),
        _ => {}
    }
}

/// Which object failed, and where it was declared.
#[derive(Clone, Debug)]
pub struct Place {
    /// The object.
    pub object: String,
    /// File and line.
    pub origin: Origin,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.origin, self.object)
    }
}

/// Why a substitution failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubstituteError {
    /// A key that cannot be the name of a variable.
    #[error("'{name}' var name is invalid, must match '^[_[:alpha:]][_[:alpha:][:digit:]]*$'")]
    BadName {
        /// The key.
        name: String,
    },
    /// A text that is no template, or names a variable that is not set.
    #[error("{place}: variable substitution failed: {source}")]
    Template {
        /// The object.
        place: Place,
        /// What is wrong.
        source: TemplateError,
    },
    /// A function that cut a character in two.
    #[error("{place}: the substituted text is not UTF-8")]
    NotText {
        /// The object.
        place: Place,
    },
    /// A text that is no YAML any more.
    #[error("{place}: YAMLToJSON: {source}")]
    NotYaml {
        /// The object.
        place: Place,
        /// Where in the object's text; no value.
        source: yaml::Error,
    },
    /// A text that is no object any more.
    #[error("{place}: {source}")]
    NotAnObject {
        /// The object.
        place: Place,
        /// What is wrong.
        source: ObjectError,
    },
}
