//! The nouns that every engine shares: an object, its identity, and the tree of files that it came from.
//!
//! Nothing here knows a cluster, a network, a clock or a file system. `Debug` of every type prints identity and
//! position, never data: an object may be a Secret.

mod encoded;
mod files;
mod id;
pub mod kinds;
mod object;
mod packed;

pub use encoded::decoded;
pub use files::{Content, Entry, EntryKind, Files, FilesError, MemoryFiles, Purpose, normalize};
pub use id::{Gvk, IdError, ObjectId};
pub use object::{Object, ObjectError, Origin};
pub use packed::Packed;
