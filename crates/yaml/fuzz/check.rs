//! What must hold for any bytes, for the fuzzer and for the replay of its seeds.

use yaml::emit::{self, EmitOptions};
use yaml::{Limits, Resolver, Strictness};

/// Reads, decodes and prints the bytes in all ways.
///
/// # Panics
/// If anything in the crate does, or if a value does not survive being printed.
pub fn check(bytes: &[u8]) {
    if let Ok(documents) = yaml::parse(bytes, &Limits::default()) {
        for document in &documents {
            let _ = yaml::to_value(document, Resolver::V2, Strictness::Strict);
            if let Ok(value) = yaml::to_value(document, Resolver::V3, Strictness::Lenient) {
                let _ = emit::to_kyaml(&value);
            }
        }
        let _ = emit::documents(&documents, EmitOptions::SOPS);
        let _ = emit::documents(&documents, EmitOptions::KYAML);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = yaml::from_str_strict(&text);
    let _ = yaml::documents(&text);
    if let Ok(value) = yaml::from_str(&text) {
        let printed = emit::to_yaml(&value);
        // Go prints a key "<<" without its quotes, and then takes it for a merge.
        if printed.contains("<<") {
            return;
        }
        let again = yaml::from_str(&printed).map(|again| emit::to_yaml(&again));
        assert_eq!(again.as_ref(), Ok(&printed), "a value prints the same after it was read from its print");
    }
}
