//! What untrusted text may cost.

/// Bounds on what one stream may make us do. The defaults are far above real files and far below harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Collections within collections. Go's libraries stop at 10,000; the trees here are walked by recursion, and
    /// 1,000 is still ten times what any API server takes.
    pub depth: usize,
    /// Nodes that a document may have after its aliases are followed.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 64 << 20, depth: 1_000, nodes: 10_000_000 }
    }
}
