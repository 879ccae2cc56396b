//! The clock and the dice of this machine, as templates see them: `now`, `genCA`, `randAlphaNum`.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use gotemplate::Environment;

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Environment for System {
    fn now(&self) -> i128 {
        jiff::Timestamp::now().as_nanosecond()
    }

    #[expect(clippy::expect_used, reason = "without randomness nothing that is asked for it would be a secret")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has a source of randomness");
    }

    fn rsa_key(&self, bits: usize) -> Option<Vec<u8>> {
        let sizes = [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096, KeySize::Rsa8192];
        let size = sizes.into_iter().find(|size| size.len() * 8 == bits)?;
        Some(KeyPair::generate(size).ok()?.as_der().ok()?.as_ref().to_vec())
    }
}
