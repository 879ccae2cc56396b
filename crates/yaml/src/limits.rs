//! What untrusted text may cost.

/// Bounds on what one stream may make us do. The defaults are far above real files and far below harm. What aliases may
/// expand to needs no bound of ours: Go's libraries have one, and [`crate::to_value`] keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Collections within collections, in the text and after aliases are followed. Go's libraries stop at 10,000;
    /// trees are walked by recursion here, and no real file comes near.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 64 << 20, depth: 256 }
    }
}
