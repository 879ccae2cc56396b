//! How much a template may cost.

/// Bytes of one text. A longer one is no part of any object; what makes texts may stop beyond this length, since such a
/// text is refused.
pub(crate) const MAX_TEXT: usize = 64 << 20;

/// Limits of one execution, nested ones included. Exceeding one is an [`crate::Error::Limit`], whatever the template
/// does with errors.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps: each action, call, element and copied kilobyte is one or more.
    pub steps: u64,
    /// Bytes of text and elements of lists that functions and output may make in all.
    pub bytes: u64,
    /// Templates that may be executing inside one another. Each level needs stack: 200 fit into a thread of 2 MiB.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 100_000_000, bytes: 1 << 30, depth: 200 }
    }
}
