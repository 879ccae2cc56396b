//! The world of the tests.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use gotemplate::Environment;

/// A clock that stands at the day on which the corpus was made, and dice that roll the same every time. One RSA key is
/// enough for all.
pub(crate) struct World;

impl Environment for World {
    fn now(&self) -> i128 {
        1_795_253_640_000_000_000
    }

    fn fill(&self, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index * 37 % 251).unwrap();
        }
    }

    fn rsa_key(&self, _: usize) -> Option<Vec<u8>> {
        static KEY: OnceLock<Vec<u8>> = OnceLock::new();
        let make = || KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap().as_ref().to_vec();
        Some(KEY.get_or_init(make).clone())
    }
}
