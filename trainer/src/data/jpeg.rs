//! Checks a JPEG's structure (ITU-T T.81, annex B): the decoder paints what is missing grey, and reports no error.

use anyhow::{Context, Result, bail, ensure};

/// Walks the segments and scans of a file's first picture.
///
/// # Errors
/// It is cut off before its end marker, which thumbnails in it have of their own; it has four inks of which the file
/// does not say how they are meant.
pub fn check(bytes: &[u8]) -> Result<()> {
    let (mut at, mut has_scan, mut adobe, mut components) = (2, false, false, 0);
    loop {
        let cut = "it is cut off before its end marker";
        // Stray bytes before a marker, and the fill bytes of it.
        at += bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)).context(cut)?;
        at += bytes[at..].iter().position(|&b| b != 0xff).context(cut)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0xd9 if has_scan => break,
            0xd9 => bail!("it holds no picture"),
            // Stuffed bytes, restarts and TEM have no content.
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = bytes.get(at..at + 2).map(|l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        let segment = length.and_then(|length| bytes.get(at + 2..at + length)).context(cut)?;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => components = segment.get(5).copied().unwrap_or(0),
            0xee => adobe |= segment.starts_with(b"Adobe"),
            // Its data end at the next marker, which the search above finds.
            0xda => has_scan = true,
            _ => {}
        }
        at += 2 + segment.len();
    }
    ensure!(
        components != 4 || adobe,
        "it has four inks (CMYK), and no Adobe marker that says whether 0 is no ink or all: convert it to grey"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        [&[0xff, marker], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat()
    }

    /// A picture with a thumbnail in it, whose end marker is not the picture's.
    fn picture(components: u8, app: &[u8]) -> Vec<u8> {
        let thumbnail = segment(0xe1, b"\xff\xd8\xff\xda\0\x02..\xff\xd9");
        let frame = segment(0xc0, &[8, 0, 8, 0, 8, components, 1, 0x11, 0]);
        let scan = [segment(0xda, b"\x01\x01\0\0\x3f\0"), b"data\xff\0more\xff\xd0\xff\xff\xd9".to_vec()].concat();
        [b"\xff\xd8".to_vec(), thumbnail, segment(0xee, app), frame, scan].concat()
    }

    #[test]
    fn a_picture_that_is_cut_anywhere_is_refused_whatever_its_thumbnail_holds() {
        let whole = picture(1, b"x");
        check(&whole).expect("a whole picture");
        check(&[&whole, &whole[..40]].concat()).expect("what follows is another picture");
        for end in 2..whole.len() {
            assert!(check(&whole[..end]).is_err(), "cut at {end} of {}", whole.len());
        }
    }

    #[test]
    fn four_inks_need_a_marker_that_says_what_they_mean() {
        check(&picture(4, b"Adobe\0\x64\0\0\0\0\x02")).expect("a picture that says it");
        assert!(check(&picture(4, b"x")).is_err_and(|error| error.to_string().contains("four inks")));
    }
}
