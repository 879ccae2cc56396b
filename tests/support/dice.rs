//! Small numbers that follow from a seed. Included by path.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

/// The same seed gives the same numbers.
#[derive(Clone, Default)]
pub struct Dice(pub u64);

impl Dice {
    /// One of `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }

    /// Whether something happens that does so `parts` times in a hundred.
    pub fn hits(&mut self, parts: u64) -> bool {
        self.below(100) < parts
    }
}
