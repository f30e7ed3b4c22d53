//! Images as they leave the software: grey values, and PNG files that are marked as synthetic, visibly and in their
//! metadata.

use font8x8::UnicodeFonts;
pub use png::{DecodingError, EncodingError};
use serde::{Deserialize, Serialize};

/// The text in every picture that leaves the software.
pub const LABEL: &str = "SYNTHETIC - NOT FOR DIAGNOSIS";

/// IPTC's term for media made by a trained model.
pub const DIGITAL_SOURCE_TYPE: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

const GLYPH: usize = 8;

/// A grey value in [0, 1] as 8 bits, rounded to the nearest.
pub fn to_u8(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// 8 bits as a grey value in [0, 1], the scaling that the model is trained on.
pub fn to_unit(value: u8) -> f32 {
    f32::from(value) / 255.0
}

/// An 8-bit grey image, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreyImage {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `width · height` grey values.
    pub pixels: Vec<u8>,
}

/// How an image was made, for its metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The software and its version.
    pub software: String,
    /// Name of the weights.
    pub weights: String,
    /// Their SHA-256.
    pub weights_sha256: String,
    /// Everything else needed to make the image again, such as seed, sampler and steps, as name and value.
    pub settings: Vec<(String, String)>,
}

impl Origin {
    /// The value of a setting.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What [`synthetic_metadata`] wrote as a description.
    fn of_description(text: &str, software: &str) -> Option<Self> {
        let (_, rest) = text.split_once("Weights ")?;
        let (weights, rest) = rest.split_once(" (SHA-256 ")?;
        let (sha256, settings) = rest.split_once("). ")?;
        let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(Self {
            software: software.to_owned(),
            weights: weights.to_owned(),
            weights_sha256: sha256.to_owned(),
            settings: settings.split(", ").map(pair).collect::<Option<_>>()?,
        })
    }
}

impl GreyImage {
    /// An image of one grey value.
    pub fn filled(width: usize, height: usize, value: u8) -> Self {
        Self { width, height, pixels: vec![value; width * height] }
    }

    /// Grey values in [0, 1], row by row.
    pub fn from_unit(width: usize, values: &[f32]) -> Self {
        let height = values.len() / width.max(1);
        Self { width, height, pixels: values[..width * height].iter().map(|&v| to_u8(v)).collect() }
    }

    /// Copies `image` to this place. Pixels outside are dropped.
    pub fn paste(&mut self, image: &GreyImage, left: usize, top: usize) {
        for (row, source) in image.pixels.chunks_exact(image.width.max(1)).enumerate() {
            if top + row >= self.height || left >= self.width {
                break;
            }
            let count = image.width.min(self.width - left);
            let start = (top + row) * self.width + left;
            self.pixels[start..start + count].copy_from_slice(&source[..count]);
        }
    }

    /// Images of one size side by side in rows of `columns`, with a gap of 2 pixels.
    pub fn grid(images: &[GreyImage], columns: usize) -> Self {
        const GAP: usize = 2;
        let Some(first) = images.first() else { return Self::filled(0, 0, 0) };
        let columns = columns.clamp(1, images.len());
        let rows = images.len().div_ceil(columns);
        let (w, h) = (first.width + GAP, first.height + GAP);
        let mut grid = Self::filled(columns * w - GAP, rows * h - GAP, 255);
        for (i, image) in images.iter().enumerate() {
            grid.paste(image, i % columns * w, i / columns * h);
        }
        grid
    }

    /// Writes text in the 8×8 font. Pixels outside are dropped.
    pub fn text(&mut self, text: &str, left: usize, top: usize, value: u8) {
        for (i, c) in text.chars().enumerate() {
            let Some(glyph) = font8x8::BASIC_FONTS.get(c) else { continue };
            for (y, row) in glyph.iter().enumerate() {
                for x in (0..GLYPH).filter(|x| row >> x & 1 == 1) {
                    let (px, py) = (left + i * GLYPH + x, top + y);
                    if px < self.width && py < self.height {
                        self.pixels[py * self.width + px] = value;
                    }
                }
            }
        }
    }

    /// The image with [`LABEL`]: on its lowest rows where the text fits into the width, else on lines below it.
    #[must_use]
    pub fn labelled(&self) -> Self {
        let label_width = LABEL.chars().count() * GLYPH;
        if self.width >= label_width && self.height > 4 * GLYPH {
            let mut image = self.clone();
            let top = self.height - GLYPH - 2;
            for pixel in &mut image.pixels[top * self.width..] {
                *pixel /= 3;
            }
            image.text(LABEL, (self.width - label_width) / 2, top + 1, 255);
            return image;
        }
        let longest = LABEL.split(' ').map(str::len).max().unwrap_or(0);
        let width = self.width.max(longest * GLYPH);
        let mut lines: Vec<String> = Vec::new();
        for word in LABEL.split(' ') {
            match lines.last_mut() {
                Some(line) if (line.len() + 1 + word.len()) * GLYPH <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        let mut image = Self::filled(width, self.height + lines.len() * (GLYPH + 1) + 1, 0);
        image.paste(self, 0, 0);
        for (i, line) in lines.iter().enumerate() {
            image.text(line, 0, self.height + 1 + i * (GLYPH + 1), 255);
        }
        image
    }

    /// A grey PNG. Its metadata mark it as synthetic and state how it was made.
    ///
    /// # Errors
    /// The image is empty, or PNG cannot hold a text.
    pub fn to_png(&self, origin: &Origin) -> Result<Vec<u8>, EncodingError> {
        encode(self.width, self.height, &[&self.pixels], 0, origin)
    }
}

/// Reads a PNG of at most so many pixels: its first image in 8-bit grey, and how this software made it, if its metadata
/// say so. An editor may have made it coloured: the mean of red, green and blue counts.
///
/// # Errors
/// The file is no whole PNG, or has more pixels.
pub fn read_png(bytes: &[u8], max_pixels: usize) -> Result<(GreyImage, Option<Origin>), DecodingError> {
    // Samples of two bytes in four colours, and texts.
    let limits = png::Limits { bytes: 8 * max_pixels + (1 << 20) };
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    // Before anything is allocated for a row.
    let header = decoder.read_header_info()?;
    let (width, height) = (header.width as usize, header.height as usize);
    if width.saturating_mul(height) > max_pixels {
        return Err(DecodingError::LimitsExceeded);
    }
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().ok_or(DecodingError::LimitsExceeded)?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples)?;
    let colours = frame.color_type.samples().min(3) - usize::from(frame.color_type == png::ColorType::GrayscaleAlpha);
    let grey = |pixel: &[u8]| {
        let sum: usize = pixel[..colours].iter().map(|&value| usize::from(value)).sum();
        ((2 * sum + colours) / (2 * colours)) as u8
    };
    let pixels = samples[..frame.buffer_size()].chunks_exact(frame.color_type.samples()).map(grey).collect();
    // Texts may come after the pixels. An editor writes some as Latin-1.
    let _ = reader.finish();
    let info = reader.info();
    let texts = info.utf8_text.iter().map(|text| (&text.keyword, text.get_text().ok()));
    let latin = info.compressed_latin1_text.iter().map(|text| (&text.keyword, text.get_text().ok()));
    let plain = info.uncompressed_latin1_text.iter().map(|text| (&text.keyword, Some(text.text.clone())));
    let texts: Vec<_> = texts.chain(latin).chain(plain).collect();
    let text = |name: &str| texts.iter().find(|(key, _)| *key == name).and_then(|(_, text)| text.as_deref());
    let software = text("Software").unwrap_or_default();
    let origin = text("Description").and_then(|text| Origin::of_description(text, software));
    Ok((GreyImage { width, height, pixels }, origin))
}

/// An animated PNG of images of one size, each shown for `delay_ms`, in a loop. It is marked as
/// [`to_png`](GreyImage::to_png) does.
///
/// # Errors
/// There are no images, they are empty or of several sizes, or PNG cannot hold a text.
pub fn to_apng(frames: &[GreyImage], delay_ms: u16, origin: &Origin) -> Result<Vec<u8>, EncodingError> {
    let (width, height) = frames.first().map_or((0, 0), |frame| (frame.width, frame.height));
    let pixels: Vec<&[u8]> = frames.iter().map(|frame| frame.pixels.as_slice()).collect();
    encode(width, height, &pixels, delay_ms, origin)
}

fn encode(
    width: usize,
    height: usize,
    frames: &[&[u8]],
    delay_ms: u16,
    origin: &Origin,
) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    if frames.len() > 1 {
        encoder.set_animated(frames.len() as u32, 0)?;
        encoder.set_frame_delay(delay_ms, 1000)?;
    }
    for (key, value) in synthetic_metadata(origin) {
        encoder.add_itxt_chunk(key, value)?;
    }
    let mut writer = encoder.write_header()?;
    for frame in frames {
        writer.write_image_data(frame)?;
    }
    writer.finish()?;
    Ok(bytes)
}

/// PNG text entries that mark a picture as synthetic: keyword and text.
pub fn synthetic_metadata(origin: &Origin) -> Vec<(String, String)> {
    let settings: Vec<String> = origin.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let description = format!(
        "Synthetic chest X-ray, not for diagnosis. Drawn by a diffusion model; no patient was imaged. Weights {} \
         (SHA-256 {}). {}",
        origin.weights,
        origin.weights_sha256,
        settings.join(", ")
    );
    vec![
        ("Title".into(), LABEL.into()),
        ("Description".into(), description.clone()),
        ("Software".into(), origin.software.clone()),
        ("XML:com.adobe.xmp".into(), xmp(origin, &description)),
    ]
}

fn xmp(origin: &Origin, description: &str) -> String {
    format!(
        r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}" xmp:CreatorTool="{}">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"#,
        escape_xml(&origin.software),
        escape_xml(description)
    )
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_survive_the_pixel_scaling() {
        assert!((0..=255).all(|v| to_u8(to_unit(v)) == v));
        assert_eq!((to_u8(-1.0), to_u8(2.0), to_u8(f32::NAN)), (0, 255, 0));
    }

    #[test]
    fn the_label_is_drawn_at_any_size() {
        let full = GreyImage::filled(256, 256, 90);
        let labelled = full.labelled();
        assert_eq!((labelled.width, labelled.height), (256, 256));
        assert_ne!(labelled, full);
        for side in [2, 64, 200] {
            let image = GreyImage::filled(side, side, 90);
            let labelled = image.labelled();
            assert!(labelled.height > side && labelled.pixels.contains(&255));
            assert_eq!(labelled.pixels[..side], image.pixels[..side], "the picture itself stays whole");
        }
    }

    #[test]
    fn an_animation_holds_every_frame_and_the_marks() {
        let frames = [10, 20, 30].map(|value| GreyImage::filled(4, 4, value));
        let bytes = to_apng(&frames, 40, &Origin::default()).expect("encodes");
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("decodes");
        assert_eq!(reader.info().animation_control().map(|control| control.num_frames), Some(3));
        for frame in &frames {
            let mut pixels = vec![0; 16];
            reader.next_frame(&mut pixels).expect("has a frame");
            assert_eq!(pixels, frame.pixels);
        }
        assert!(reader.info().utf8_text.iter().any(|text| text.keyword == "Title"));
        assert!(to_apng(&[], 40, &Origin::default()).is_err());
        assert!(to_apng(&[frames[0].clone(), GreyImage::filled(2, 2, 0)], 40, &Origin::default()).is_err());
    }

    #[test]
    fn what_was_written_is_read_back() {
        let image = GreyImage { width: 3, height: 2, pixels: vec![0, 1, 2, 253, 254, 255] };
        let settings = [("seed", "7"), ("image", "2 (seed 8)")].map(|(name, value)| (name.into(), value.into()));
        let origin = Origin {
            software: "ours".into(),
            weights: "sharp".into(),
            weights_sha256: "ab".into(),
            settings: settings.to_vec(),
        };
        let bytes = image.to_png(&origin).expect("encodes");
        let (read, of) = read_png(&bytes, 6).expect("decodes");
        assert_eq!((read, of.as_ref()), (image.clone(), Some(&origin)));
        assert_eq!((origin.value("seed"), origin.value("steps")), (Some("7"), None));
        assert!(read_png(&bytes, 5).is_err() && read_png(&bytes[..60], 6).is_err() && read_png(b"text", 6).is_err());
        // As editors save it: in colour, and with nothing that is ours.
        let mut coloured = Vec::new();
        let mut encoder = png::Encoder::new(&mut coloured, 2, 1);
        encoder.set_color(png::ColorType::Rgba);
        encoder.add_text_chunk("Description".into(), "a holiday".into()).expect("a text");
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[9, 9, 9, 255, 0, 1, 1, 0]).expect("pixels");
        writer.finish().expect("ends");
        let grey = GreyImage { width: 2, height: 1, pixels: vec![9, 1] };
        assert_eq!(read_png(&coloured, 9).expect("decodes"), (grey, None));
    }

    #[test]
    fn a_png_decodes_to_its_pixels_and_says_that_it_is_synthetic() {
        let image = GreyImage { width: 3, height: 2, pixels: vec![0, 1, 2, 253, 254, 255] };
        let origin = Origin { software: "a <test> & \"more\"".into(), ..Origin::default() };
        let bytes = image.to_png(&origin).expect("encodes");
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("decodes");
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).expect("has a frame");
        assert_eq!(pixels, image.pixels);
        let texts: Vec<_> =
            reader.info().utf8_text.iter().map(|t| (t.keyword.clone(), t.get_text().expect("text"))).collect();
        assert!(texts.iter().any(|(key, text)| key == "Title" && text == LABEL));
        assert!(texts.iter().any(|(key, text)| key.starts_with("XML") && text.contains("trainedAlgorithmicMedia")));
    }
}
