//! Sprig 3.3, the function library of Helm and External Secrets: one file for each family.

mod case;
mod cast;
mod crypto;
mod date;
mod decimal;
mod defaults;
mod dict;
mod encoding;
mod list;
mod merge;
mod numeric;
mod random;
mod reflect;
mod regex;
mod semver;
mod strings;
mod url;
mod wrap;

use std::sync::LazyLock;

use crate::function::{Entry, Functions};
use crate::{Failure, Value};

pub use semver::SemanticVersion;

/// The families.
const TABLES: &[&[Entry]] = &[
    case::TABLE,
    crypto::TABLE,
    date::TABLE,
    defaults::TABLE,
    dict::TABLE,
    encoding::TABLE,
    list::TABLE,
    numeric::TABLE,
    random::TABLE,
    reflect::TABLE,
    regex::TABLE,
    semver::TABLE,
    strings::TABLE,
    url::TABLE,
];

impl Functions {
    /// Go's builtins and sprig's functions, without those that read the environment of the process.
    pub fn sprig() -> Self {
        static SPRIG: LazyLock<Functions> = LazyLock::new(|| {
            let mut functions = Functions::builtin();
            TABLES.iter().for_each(|table| functions.extend(table));
            functions
        });
        SPRIG.clone()
    }
}

/// What Go says when a function looks into a `nil`.
const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

type Result = std::result::Result<Value, Failure>;

/// A result out of anything that is a value.
fn give(value: impl Into<Value>) -> Result {
    Ok(value.into())
}
