//! QR codes of links.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// The white border around a code, in modules, as ISO 18004 asks for.
const BORDER: i32 = 4;

/// The side of a text's code in modules, its border included, and its dark modules as an SVG path; none for a text that is
/// too long.
pub fn path(text: &str) -> Option<(i32, String)> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|&x| code.get_module(x, y)) {
            // Writing to a string cannot fail.
            let _ = write!(path, "M{} {}h1v1h-1z", x + BORDER, y + BORDER);
        }
    }
    Some((code.size() + 2 * BORDER, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_code_with_a_border() {
        let (side, path) = path("https://example.org/?seed=7&steps=40&weights=0123456789abcdef").expect("a short text");
        assert_eq!((side - 17 - 2 * BORDER) % 4, 0, "versions of codes differ by four modules");
        // The corner of a finder pattern is dark, its inner ring light.
        assert!(path.contains("M4 4h1v1h-1z") && !path.contains("M5 5h1v1h-1z"));
        assert_eq!(super::path(&"x".repeat(5000)), None);
    }
}
