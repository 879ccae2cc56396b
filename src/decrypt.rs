//! Opens what is encrypted with SOPS: files as they are read, by purpose; then what the built objects still hold sealed.
//!
//! # Flow
//! ```text
//! Secret of spec.decryption -> Identities, which ask key vaults where a file's key is there     -> Files
//! Files + Identities -> Files, whose reads open what their purpose allows     -> build
//! Objects + Identities -> Objects, whose sealed values are open               -> substitute
//! ```
//!
//! # Guarantees
//! - A file is opened for a generated Secret, a patch or a resource, and never for a ConfigMap or a recipe. Flux opens a
//!   file that both a Secret and a ConfigMap read for both; this is stricter.
//! - Where the file itself is what is read, its MAC is checked. Flux never checks it, so a MAC that does not match is a
//!   warning, unless `lockstep.dev/sops-mac: enforce` asks for more.
//! - Plaintext is shown to a witness before anybody else sees it, and wiped with the tree that it was read through.
//!
//! # Caveats
//! The MAC of an object that was not opened as a file cannot be checked: kustomize has reordered it. With `enforce` a
//! file that cannot be opened as a whole is refused for that reason.
//!
//! # Errors
//! Name the file, line, object and field, the file's recipients and the identities that were tried; never values.

mod files;
mod identities;
mod sealed;
#[cfg(test)]
mod tests;
mod vaults;

pub use files::{Files, values};
pub use identities::{Identities, SecretError};
pub use sealed::{Error, sealed};
pub use vaults::{
    Account, AwsLogin, AzureLogin, Credentials, GcpLogin, Issue, Logins, TransitLogin, Variables, Vaults,
};

/// Is shown each plaintext value: a redactor's.
pub type Witness<'w> = &'w (dyn Fn(&[u8]) + Send + Sync);
