//! What a user should know of a source, counted by reason, with the first names; and of one picture.

use std::cmp::Reverse;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Names that are shown of a reason.
const SHOWN: usize = 3;
/// Reasons that are shown.
const LINES: usize = 20;

/// Counts by reason, in order of their first occurrence.
#[derive(Clone, Debug, Default)]
pub struct Remarks(Vec<Remark>);

#[derive(Clone, Debug)]
struct Remark {
    what: String,
    count: usize,
    first: Vec<String>,
}

impl Remarks {
    /// Counts one more of what `what` says in the plural.
    pub fn add(&mut self, what: &str, name: impl Display) {
        let place = self.0.iter().position(|remark| remark.what == what).unwrap_or_else(|| {
            self.0.push(Remark { what: what.to_owned(), count: 0, first: Vec::new() });
            self.0.len() - 1
        });
        let remark = &mut self.0[place];
        remark.count += 1;
        if remark.first.len() < SHOWN {
            remark.first.push(name.to_string());
        }
    }

    /// Adds a sentence as it is.
    pub fn say(&mut self, text: String) {
        self.0.push(Remark { what: text, count: 0, first: Vec::new() });
    }

    /// Shows them, as far as they fit a screen: the most frequent first.
    pub fn print(&self) {
        let mut all: Vec<&Remark> = self.0.iter().collect();
        all.sort_by_key(|remark| Reverse(remark.count));
        all.iter().take(LINES).for_each(|remark| eprintln!("data: {remark}"));
        if let Some(more) = self.0.len().checked_sub(LINES).filter(|more| *more > 0) {
            eprintln!("data: and {more} more kinds of remarks");
        }
    }
}

impl Display for Remark {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        if self.count == 0 {
            return f.write_str(&self.what);
        }
        let more = if self.count > self.first.len() { ", …" } else { "" };
        write!(f, "{} {}: {}{more}", self.count, self.what, self.first.join(", "))
    }
}

/// What is odd about a picture that was read nonetheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A 16-bit file whose largest value is this.
    FewBits(u16),
    /// A DICOM file whose samples use this many bits, more than it claims.
    MoreBits(u16),
    /// A DICOM file whose windows and VOI LUTs make all of it black or white: its own range is shown.
    NoWindow,
    /// A JPEG whose last rows repeat each other.
    Repeats,
}
