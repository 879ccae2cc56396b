//! Base64 and base32; what cannot be decoded gives the error's text, as sprig has it. Paths.

use super::give;
use crate::function::Entry;
use crate::go::{base64, path};

pub(super) const TABLE: &[Entry] = &[
    Entry("b32dec", "func(string) string", |c| {
        give(base64::decode32(c.bytes(0)).unwrap_or_else(|error| error.to_string().into_bytes()))
    }),
    Entry("b32enc", "func(string) string", |c| give(base64::encode32(c.bytes(0)))),
    Entry("b64dec", "func(string) string", |c| {
        give(base64::decode(c.bytes(0)).unwrap_or_else(|error| error.to_string().into_bytes()))
    }),
    Entry("b64enc", "func(string) string", |c| give(base64::encode(c.bytes(0)))),
    Entry("base", "func(string) string", |c| give(path::base(&c.str(0)))),
    Entry("clean", "func(string) string", |c| give(path::clean(&c.str(0)))),
    Entry("dir", "func(string) string", |c| give(path::dir(&c.str(0)))),
    Entry("ext", "func(string) string", |c| give(path::ext(&c.str(0)))),
    Entry("isAbs", "func(string) bool", |c| give(c.bytes(0).starts_with(b"/"))),
    Entry("osBase", "func(string) string", |c| give(path::base(&c.str(0)))),
    Entry("osClean", "func(string) string", |c| give(path::clean(&c.str(0)))),
    Entry("osDir", "func(string) string", |c| give(path::dir(&c.str(0)))),
    Entry("osExt", "func(string) string", |c| give(path::ext(&c.str(0)))),
    Entry("osIsAbs", "func(string) bool", |c| give(c.bytes(0).starts_with(b"/"))),
];
