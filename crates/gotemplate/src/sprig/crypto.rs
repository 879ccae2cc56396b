//! Digests. Keys, certificates and ciphers are refused by name.

use sha1::Digest as _;

use super::{Result, give};
use crate::Call;
use crate::function::Entry;

pub(super) const TABLE: &[Entry] = &[
    Entry("adler32sum", "func(string) string", |c| give(adler32(c.bytes(0)).to_string())),
    Entry("bcrypt", "func(string) string", |c| refuse(c, "bcrypt")),
    Entry("buildCustomCert", "func(string, string) (any, error)", |c| refuse(c, "buildCustomCert")),
    Entry("decryptAES", "func(string, string) (string, error)", |c| refuse(c, "decryptAES")),
    Entry("derivePassword", "func(any, string, string, string, string) string", |c| refuse(c, "derivePassword")),
    Entry("encryptAES", "func(string, string) (string, error)", |c| refuse(c, "encryptAES")),
    Entry("genCA", "func(string, int) (any, error)", |c| refuse(c, "genCA")),
    Entry("genCAWithKey", "func(string, int, string) (any, error)", |c| refuse(c, "genCAWithKey")),
    Entry("genPrivateKey", "func(string) string", |c| refuse(c, "genPrivateKey")),
    Entry("genSelfSignedCert", "func(string, []any, []any, int) (any, error)", |c| refuse(c, "genSelfSignedCert")),
    Entry("genSelfSignedCertWithKey", "func(string, []any, []any, int, string) (any, error)", |c| {
        refuse(c, "genSelfSignedCertWithKey")
    }),
    Entry("genSignedCert", "func(string, []any, []any, int, any) (any, error)", |c| refuse(c, "genSignedCert")),
    Entry("genSignedCertWithKey", "func(string, []any, []any, int, any, string) (any, error)", |c| {
        refuse(c, "genSignedCertWithKey")
    }),
    Entry("htpasswd", "func(string, string) string", |c| refuse(c, "htpasswd")),
    Entry("sha1sum", "func(string) string", |c| give(hex(&sha1::Sha1::digest(c.bytes(0))))),
    Entry("sha256sum", "func(string) string", |c| give(hex(&sha2::Sha256::digest(c.bytes(0))))),
    Entry("sha512sum", "func(string) string", |c| give(hex(&sha2::Sha512::digest(c.bytes(0))))),
];

fn refuse(_: &Call<'_, '_, '_>, name: &str) -> Result {
    Err(format!("{name} is not supported yet").into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut low, mut high) = (1u32, 0u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % MODULUS;
        high = (high + low) % MODULUS;
    }
    high << 16 | low
}
