//! What this program calls itself, and the date.

use std::time::SystemTime;

/// What this program calls itself in the files that it writes.
pub const SOFTWARE: &str = concat!("medical-vdm trainer ", env!("CARGO_PKG_VERSION"));

/// Today in UTC as YYYY-MM-DD.
pub fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string().chars().take(10).collect()
}
