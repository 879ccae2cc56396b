//! What functions may know of the world: the clock and a source of random bytes.

/// The clock and the dice of the host program.
pub trait Environment: Send + Sync {
    /// The time, in nanoseconds since 1970.
    fn now(&self) -> i128;

    /// Fills `bytes` with random ones, good enough for keys.
    fn fill(&self, bytes: &mut [u8]);

    /// A new RSA key of so many bits as PKCS#8: the search for its primes is the host's. `None` makes templates fail
    /// that want one.
    fn rsa_key(&self, bits: usize) -> Option<Vec<u8>> {
        let _ = bits;
        None
    }
}

/// A world without movement: the clock stands, and the dice say no. For hosts that refuse templates whose result
/// differs from run to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Still {
    /// The time, in nanoseconds since 1970.
    pub now: i128,
}

impl Environment for Still {
    fn now(&self) -> i128 {
        self.now
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
