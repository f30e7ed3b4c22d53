//! How patches lie in an image.

/// `rows` × `columns` patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
}

impl PatchGrid {
    /// Number P of patches.
    pub fn patches(&self) -> usize {
        self.rows * self.columns
    }
}
