//! The bytes of a fuzzer as a script, read from the front. After their end it reads zeros. So every
//! input is a script, and a cut one is nearly the same. Captured bytes can be put into a seed
//! unchanged.

/// The rest of the script.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// Two bytes, the lower first.
    pub(crate) fn short(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// This number of bytes, or the rest.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes after their number, which is a [`short`](Self::short).
    pub(crate) fn sized(&mut self) -> &'a [u8] {
        let n = self.short();
        self.take(n)
    }

    /// All of the rest.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }
}
