//! SOPS: documents whose values are encrypted one by one, keys and order in the clear.
//!
//! # Flow
//! ```text
//! bytes -> store (by format) -> tree -> metadata out -> data key (identities, groups) -> walk: open, hash -> Opened
//! Opened -> tree -> store -> bytes, as `sops decrypt` prints them
//! Sealed -> open, with the data key and the nonces -> Editing: set, unset, replace, rotate -> seal -> Sealed
//! bytes -> store -> tree -> walk: hash, seal -> metadata in -> store -> bytes, as `sops encrypt` prints them
//! ```
//!
//! # Guarantees
//! - What is printed is, byte for byte, what sops 3.13 prints: comments, order, types, indentation.
//! - No input panics, hangs or overflows the stack: documents have at most [`LARGEST`] bytes and 256 levels, aliases
//!   expand to a bounded size.
//! - Plaintext has types without `Debug`, `Display` and `Serialize`, and is wiped on drop. Errors name places, recipients
//!   and identities, never values.
//!
//! # Assumptions
//! The MAC covers values in the order of the file, and not keys, nulls, empty texts or comments: sops' own limit. The
//! types of values are not authenticated by sops.
//!
//! # Caveats
//! age and PGP make their keys and nonces with the operating system's randomness; all other randomness comes from the
//! caller. Keys that only a network reaches are opened and wrapped by a [`Service`] of the caller's.

mod cipher;
mod config;
mod edit;
mod error;
mod format;
mod key;
mod metadata;
mod number;
mod object;
mod opened;
mod seal;
mod sealed;
mod selection;
mod store;
mod text;
mod time;
mod tree;
mod walk;

pub use config::{Config, ConfigError, RewriteError, add_recipient, remove_recipient};
pub use edit::Editing;
pub use error::{Action, DataKeyFailure, Error, GroupOutcome, KeyFailure, KeyProblem, MacState, ValueProblem};
pub use format::{Format, detect, is_encrypted};
pub use key::{
    AddressError, Identities, IdentityError, KeyKind, MasterKey, Prompt, Service, Wrapped, check_recipient, generate,
    generate_post_quantum, open_age,
};
pub use object::{decrypt_object, is_encrypted_object};
pub use opened::{Opened, Step};
pub use seal::{Random, Settings};
pub use sealed::Sealed;
pub use selection::{Rule, RuleKind};
pub use store::{Indents, LARGEST};
pub use text::Plain;
