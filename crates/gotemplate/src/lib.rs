//! Go's `text/template` as Helm and External Secrets use it, and what Go's libraries around it decide.
//!
//! # Flow
//! ```text
//! text -> lexer (tokens) -> parser (trees) -> Templates;   Templates + Value + functions -> executor -> text
//! ```
//! [`Functions`] is a table of names with Go signatures: Go's builtins, sprig's, and those of the host program.
//!
//! # Guarantees
//! - The result is Go's, byte by byte; so are the errors, with their place.
//! - No template panics, hangs or overflows the stack: [`Limits`] bounds steps, bytes and depth, the parser bounds nesting.
//! - Nothing is known of the world but what [`Environment`] tells; a function that asks it is named in the [`Session`].
//! - Maps are shared and change in place, as in Go; no value tree is copied for a call.
//!
//! # Caveats
//! - Maps have string keys. Go's other maps never reach a template from YAML, JSON or a function.
//! - Parentheses and branches nest 150 deep; Go stops at thousands.

mod builtin;
mod environment;
mod error;
mod exec;
mod function;
pub mod go;
mod lex;
mod limits;
mod methods;
mod parse;
mod session;
mod sprig;
mod template;
mod value;

pub use environment::{Environment, Still};
pub use error::{Error, ExecuteError, Failure};
pub use exec::Call;
pub use function::{Body, Entry, Function, Functions};
pub use limits::Limits;
pub use session::Session;
pub use sprig::SemanticVersion;
pub use template::{Failed, Known, MissingKey, Templates};
pub use value::{Entries, Float, Host, Int, List, MAX_DEPTH, Map, Member, Text, Type, Uint, Value};
