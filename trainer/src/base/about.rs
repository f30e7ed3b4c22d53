//! The program's name, and the date.

use std::time::SystemTime;

/// Name and version of this program in the files that it writes.
pub const SOFTWARE: &str = concat!("medical-vdm trainer ", env!("CARGO_PKG_VERSION"));

/// Today in UTC as YYYY-MM-DD.
pub fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string().chars().take(10).collect()
}
