//! A file of texts, read line by line.

use std::str;

/// The lines of the file.
pub(super) struct Lines {
    lines: str::Lines<'static>,
    missing: bool,
}

impl Lines {
    /// Those of a file.
    pub(super) fn of(file: &'static str) -> Self {
        Self { lines: file.lines(), missing: false }
    }

    /// The next name and its text.
    fn next(&mut self) -> Option<(&'static str, &'static str)> {
        self.lines.by_ref().filter(|line| !line.starts_with(['#', '['])).find_map(|line| line.split_once(" = "))
    }

    /// The next text.
    pub(super) fn text(&mut self) -> &'static str {
        let next = self.next();
        self.missing |= next.is_none();
        next.map_or("", |(_, text)| text)
    }

    /// Whether the texts that were taken were all of them.
    pub(super) fn were_all(&mut self) -> bool {
        !self.missing && self.next().is_none()
    }
}
