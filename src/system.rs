//! The clock and the dice of this machine, as templates see them: `now`, `genCA`, `randAlphaNum`.

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
}
