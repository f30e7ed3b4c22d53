//! How an image is cut into patches.

/// How an image is cut: `rows` × `columns` patches of `patch` × `patch` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
    /// Side of a patch in pixels, even.
    pub patch: usize,
}

impl PatchGrid {
    /// Number P of patches of an image.
    pub fn patches(&self) -> usize {
        self.rows * self.columns
    }

    /// Pixels of a window: a patch and half a patch around it.
    pub fn window(&self) -> usize {
        4 * self.patch * self.patch
    }
}
