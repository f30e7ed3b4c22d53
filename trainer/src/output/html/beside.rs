//! Samples beside real images at full size, as one HTML file without other files and without scripts.
//!
//! Where names are hidden, CSS changes places in pairs that a seed chose, and a click shows the name of one image.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::output::text::escape;

/// Narrower images are enlarged by a whole number.
const MIN_WIDTH: usize = 128;

/// An image of the page.
pub struct Picture {
    /// Its seed or file.
    pub name: String,
    /// The file.
    pub png: Vec<u8>,
}

/// A sample and a real image that have nothing to do with each other.
pub struct Pair {
    /// The sample.
    pub synthetic: Picture,
    /// The real image.
    pub real: Picture,
    /// Whether their places change where names are hidden.
    pub turned: bool,
}

/// The page, of images of one width in pixels; `from` and `of` say where samples and real images come from.
pub fn page(pairs: &[Pair], width: usize, from: &str, of: &str) -> String {
    let shown = width * MIN_WIDTH.div_ceil(width.max(1)).max(1);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Samples beside real images</title>\n<style>\n{}{STYLE}.pair {{ grid-template-columns: repeat(2, {shown}px); }}\n\
         .pair img {{ width: {shown}px; }}\n</style></head>\n<body>\n\
         <header><p class=\"banner\"><strong>Half of these images are synthetic – not for diagnosis.</strong> The others \
         are real X-rays, subject to the terms of their data.</p><h1>Samples beside real images</h1>\n\
         <p>Synthetic: {}. Real: {}. The first of each, none chosen; those of a pair have nothing in common.</p></header>\n\
         <input type=\"checkbox\" id=\"blind\"><label for=\"blind\"> Hide what is what, and change places at random: a click \
         on an image tells</label>\n<main>\n",
        include_str!("style.css"),
        escape(from),
        escape(of),
    );
    for (i, pair) in pairs.iter().enumerate() {
        let turned = if pair.turned { " turned" } else { "" };
        let _ = write!(html, "<div class=\"pair{turned}\">");
        for (kind, picture) in [("synthetic", &pair.synthetic), ("real", &pair.real)] {
            let (name, data) = (escape(&picture.name), STANDARD.encode(&picture.png));
            let _ = write!(
                html,
                "<figure><label><input type=\"checkbox\" aria-label=\"Tell what an image of pair {} is\">\
                 <img src=\"data:image/png;base64,{data}\" alt=\"A chest X-ray of pair {}\">\
                 <figcaption><strong class=\"{kind}\">{kind}</strong> {name}</figcaption></label></figure>",
                i + 1,
                i + 1
            );
        }
        html.push_str("</div>\n");
    }
    html + "</main></body></html>\n"
}

const STYLE: &str = "main { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1rem; }
.pair { display: grid; gap: 4px; }
.pair figure { padding: 0; }
.pair img { display: block; image-rendering: pixelated; }
.pair figcaption { overflow-wrap: anywhere; }
.pair input { position: absolute; opacity: 0; }
.pair input:focus-visible + img { outline: 2px solid var(--accent); }
.synthetic { color: var(--validation0); }
.real { color: var(--validation2); }
#blind:checked ~ main input:not(:checked) ~ figcaption { visibility: hidden; }
#blind:checked ~ main .turned > :first-child { order: 1; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_each_image_once_and_tells_what_it_is() {
        let picture = |name: &str, byte| Picture { name: name.into(), png: vec![byte; 3] };
        let pair = |i: u8| Pair {
            synthetic: picture(&format!("seed {i}"), 2 * i),
            real: picture("<a>.png", 2 * i + 1),
            turned: i == 1,
        };
        let html = page(&[pair(0), pair(1)], 64, "seeds 0-1", "files & more");
        assert!(
            html.contains("not for diagnosis") && html.contains("files &amp; more") && html.contains("&lt;a&gt;.png")
        );
        for byte in 0..4 {
            let data = format!("base64,{}\"", STANDARD.encode([byte; 3]));
            assert_eq!(html.matches(&data).count(), 1);
        }
        for (part, count) in [(">synthetic</strong>", 2), (">real</strong>", 2), ("class=\"pair turned\"", 1)] {
            assert_eq!(html.matches(part).count(), count, "{part}");
        }
        // 64 pixels are shown as 128, and nothing is loaded.
        assert!(html.contains(".pair img { width: 128px; }") && !html.contains("<script") && !html.contains("http:"));
    }
}
