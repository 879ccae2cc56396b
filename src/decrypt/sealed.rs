//! What is still sealed once objects are built: those that were encrypted as a whole, and entries of generated Secrets.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Object, ObjectId, Origin};
use serde_json::Value;
use sops::{Indents, Plain, Sealed};
use zeroize::{Zeroize as _, Zeroizing};

use super::files::format_of_key;
use super::{Identities, Witness};

/// The annotation that keeps an object as it is, when it says `disabled`.
pub(super) const SWITCH: &str = "kustomize.toolkit.fluxcd.io/decrypt";

/// An object that could not be opened.
#[derive(Debug)]
pub struct Error {
    /// Where it was declared, where known.
    pub origin: Option<Origin>,
    /// Which one.
    pub object: ObjectId,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The object, or one of its entries, does not open.
    #[error("{}{source}{hint}", entry.as_ref().map_or_else(String::new, |key| format!("data.{key}: ")))]
    Sealed {
        /// The key of `data`, when it is not the whole object.
        entry: Option<String>,
        /// Recipients, and identities that were tried.
        source: sops::Error,
        /// What may have caused it.
        hint: String,
    },
    /// A Secret that is encrypted, in a Kustomization that decrypts nothing. Flux's words.
    #[error("is SOPS encrypted, configuring decryption is required for this secret to be reconciled")]
    Unconfigured,
    /// Another object that is encrypted, of a kind that is read here: its ciphertext would be taken for what it says. Flux
    /// applies it.
    #[error("is SOPS encrypted, configuring decryption is required for it to be reconciled")]
    Unreadable,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        let is_sentence = matches!(self.problem, Problem::Unconfigured | Problem::Unreadable);
        let separator = if is_sentence { " " } else { ": " };
        write!(f, "{}{separator}{}", self.object, self.problem)
    }
}

impl std::error::Error for Error {}

/// Opens all objects; without identities nothing is opened. Values are shown to the witness first.
///
/// # Errors
/// All objects that did not open and are left as they are, and Secrets that are encrypted all the same, which no cluster could use.
pub fn sealed(objects: &mut [Object], identities: Option<&Identities>, witness: Witness<'_>) -> Result<(), Vec<Error>> {
    let mut errors = Vec::new();
    for object in objects.iter_mut().filter(|object| !is_disabled(object)) {
        let (origin, id) = (object.origin().cloned(), object.id());
        let mut problems = identities.map_or_else(Vec::new, |identities| open(object, identities, witness));
        if problems.is_empty() && object.is_secret() && object.value().get("sops").is_some() {
            problems.push(Problem::Unconfigured);
        }
        if problems.is_empty() && is_read_here(object) && sops::is_encrypted_object(object.value()) {
            problems.push(Problem::Unreadable);
        }
        let error = |problem| Error { origin: origin.clone(), object: id.clone(), problem };
        errors.extend(problems.into_iter().map(error));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether an object is one of Flux's or External Secrets'. Others may be made to be encrypted in the cluster, and the server
/// refuses those that are not.
fn is_read_here(object: &Object) -> bool {
    let group = object.gvk().group;
    group.ends_with(".toolkit.fluxcd.io") || group == "external-secrets.io"
}

fn is_disabled(object: &Object) -> bool {
    object.annotation(SWITCH).is_some_and(|value| value.eq_ignore_ascii_case("disabled"))
}

fn open(object: &mut Object, identities: &Identities, witness: Witness<'_>) -> Vec<Problem> {
    if sops::is_encrypted_object(object.value()) {
        let opened = sops::decrypt_object(object.value().clone(), identities.keys(), &|value| witness(value));
        return match opened {
            Ok(value) => {
                *object.value_mut() = value;
                Vec::new()
            }
            Err(error) => vec![sealed_problem(None, error, identities)],
        };
    }
    if object.kind() != "Secret" {
        return Vec::new();
    }
    let data = object.value_mut().get_mut("data").and_then(Value::as_object_mut);
    let entries = data.into_iter().flatten();
    entries.filter_map(|(key, value)| open_entry(key, value, identities, witness).err()).collect()
}

/// An entry that is not base64 is for the API server to refuse.
fn open_entry(key: &str, value: &mut Value, identities: &Identities, witness: Witness<'_>) -> Result<(), Problem> {
    let Value::String(text) = value else { return Ok(()) };
    let Ok(bytes) = manifest::decoded(text).map(Zeroizing::new) else { return Ok(()) };
    let Some(format) = sops::detect(&bytes) else { return Ok(()) };
    let plain: Result<Plain, sops::Error> = Sealed::load(&bytes, format).and_then(|sealed| {
        let opened = sealed.open(identities.keys(), &|value| witness(value))?;
        opened.emit(format_of_key(key), Indents::default())
    });
    let plain = plain.map_err(|error| sealed_problem(Some(key.to_owned()), error, identities))?;
    text.zeroize();
    *text = STANDARD.encode(plain.bytes());
    Ok(())
}

fn sealed_problem(entry: Option<String>, source: sops::Error, identities: &Identities) -> Problem {
    let hint = identities.hint(&source);
    Problem::Sealed { entry, source, hint }
}
