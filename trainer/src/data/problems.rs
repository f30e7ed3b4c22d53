//! What is or may be wrong with images: damaged, duplicate, of proportions that no frontal X-ray has.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use super::cache::Prepared;
use super::dataset::Dataset;
use super::decode::Original;
use super::remarks::Note;
use crate::base::files;

/// A kind of problem, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The same image is in training and in validation.
    Leak,
    /// It cannot be read.
    Unreadable,
    /// Another image has the same pixels.
    Duplicate,
    /// Another image looks the same.
    NearDuplicate,
    /// Its proportions are not those of a frontal chest X-ray.
    Proportions,
    /// It is smaller than the prepared image.
    Small,
    /// Its pixels are nearly all the same.
    Blank,
    /// It has colours.
    Colour,
    /// Its border is brighter than its middle: it may be inverted.
    Inverted,
    /// A 16-bit file of few bits.
    FewBits,
    /// DICOM samples larger than claimed.
    MoreBits,
    /// Its own window shows nothing of it.
    NoWindow,
    /// Its last rows repeat each other.
    Repeats,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Leak => "in training and validation",
            Self::Unreadable => "unreadable",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near duplicate",
            Self::Proportions => "not frontal proportions",
            Self::Small => "smaller than its target",
            Self::Blank => "blank",
            Self::Colour => "in colour",
            Self::Inverted => "bright border: inverted?",
            Self::FewBits => "dark: 16 bits, few used",
            Self::MoreBits => "more bits than it claims",
            Self::NoWindow => "its window shows nothing",
            Self::Repeats => "repeats at its end: damaged?",
        }
    }
}

/// A problem of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is.
    pub kind: Kind,
    /// The image.
    pub name: String,
    /// The other image, the reason, or the size.
    pub detail: String,
}

/// Images with their problems.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// Files that were checked.
    pub images: usize,
    /// All problems, in order of kind and name.
    pub all: Vec<Problem>,
    /// Places of the images that go where duplicates are left out, and whether the pixels are the same.
    pub duplicates: Vec<(usize, bool)>,
}

/// Widths over heights that frontal chest X-rays have.
const PROPORTIONS: [f64; 2] = [0.7, 1.45];
/// Bits of the 256 by which the hashes of near duplicates differ at most.
const NEAR_BITS: u32 = 24;
/// Correlation of 32×32 thumbnails from which two images look the same. Two X-rays of one patient stay below it.
const NEAR_CORRELATION: f64 = 0.995;

/// Looks for problems of files and of the images that could be read of them. The first `train` of the images are for
/// training, the others for validation.
pub fn find(data: &Dataset, names: &[String], prepared: &[Prepared], train: usize) -> Problems {
    let (mut all, mut readable) = (Vec::new(), 0..data.len());
    for (name, prepared) in names.iter().zip(prepared) {
        let mut add = |kind, detail: String| all.push(Problem { kind, name: name.clone(), detail });
        let (Original { size: [w, h], colour, note }, image) = match prepared {
            Ok(original) => (original, readable.next().map_or(&[][..], |i| data.image(i))),
            Err(why) => {
                add(Kind::Unreadable, why.clone());
                continue;
            }
        };
        let proportions = f64::from(*w) / f64::from(*h);
        if !(PROPORTIONS[0]..=PROPORTIONS[1]).contains(&proportions) {
            add(Kind::Proportions, format!("{w}×{h}"));
        }
        if (*w as usize) < data.width || (*h as usize) < data.height {
            add(Kind::Small, format!("{w}×{h}"));
        }
        if *colour {
            add(Kind::Colour, String::new());
        }
        match note {
            Some(Note::FewBits(largest)) => {
                let bits = (16 - largest.leading_zeros()).next_multiple_of(2).max(8);
                add(Kind::FewBits, format!("largest value {largest}; --png-bits {bits} stretches it"));
            }
            Some(Note::MoreBits(bits)) => add(Kind::MoreBits, format!("{bits} bits are shown")),
            Some(Note::NoWindow) => add(Kind::NoWindow, "its own range is shown".to_owned()),
            Some(Note::Repeats) => add(Kind::Repeats, String::new()),
            None => {}
        }
        let (low, high) = (percentile(image, 0.02), percentile(image, 0.98));
        if high - low < 8 {
            add(Kind::Blank, format!("grey values {low} to {high}"));
        } else if border_is_brighter(image, data.width, data.height) {
            add(Kind::Inverted, String::new());
        }
    }
    let looks: Vec<Look> =
        (0..data.len()).into_par_iter().map(|i| Look::of(data.image(i), data.width, data.height)).collect();
    let mut duplicates = Vec::new();
    for (i, j, exact) in pairs(data, &looks) {
        let (kind, detail) = if i < train && j >= train {
            (Kind::Leak, format!("{}{}", data.names[i], if exact { "" } else { ", nearly" }))
        } else if exact {
            (Kind::Duplicate, data.names[i].clone())
        } else {
            (Kind::NearDuplicate, data.names[i].clone())
        };
        all.push(Problem { kind, name: data.names[j].clone(), detail });
        // Across the split it is the training image that goes.
        duplicates.push((if kind == Kind::Leak { i } else { j }, exact));
    }
    all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Problems { images: names.len(), all, duplicates }
}

impl Problems {
    /// A table of counts with the first of each kind; none if nothing was found.
    pub fn table(&self) -> Option<String> {
        if self.all.is_empty() {
            return None;
        }
        let mut text = String::new();
        for of in self.all.chunk_by(|a, b| a.kind == b.kind) {
            let (first, name) = (&of[0], of[0].kind.name());
            let detail = if first.detail.is_empty() { String::new() } else { format!(" ({})", first.detail) };
            let more = if of.len() > 1 { ", …" } else { "" };
            // Formatting into a string cannot fail.
            let _ = writeln!(text, "  {:>6}  {name:<28} {}{detail}{more}", of.len(), first.name);
        }
        Some(format!("of {} images:\n{}", self.images, text.trim_end()))
    }

    /// Everything, as CSV.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["problem", "image", "detail"])?;
        for problem in &self.all {
            writer.write_record([problem.kind.name(), &problem.name, &problem.detail])?;
        }
        files::write_atomic(path, &writer.into_inner()?)
    }
}

/// An image for comparison: a hash of 256 bits, and a thumbnail of 32×32 with mean 0 and norm 1.
struct Look {
    hash: [u32; 8],
    thumbnail: Vec<f32>,
    digest: u64,
}

impl Look {
    fn of(image: &[u8], width: usize, height: usize) -> Self {
        // A bit for each pair of neighbours in a 17×16 picture (dHash).
        let small = shrink(image, width, height, 17, 16);
        let mut hash = [0u32; 8];
        for bit in 0..256 {
            let (y, x) = (bit / 16, bit % 16);
            if small[y * 17 + x] > small[y * 17 + x + 1] {
                hash[bit / 32] |= 1 << (bit % 32);
            }
        }
        let mut thumbnail = shrink(image, width, height, 32, 32);
        let mean = thumbnail.iter().sum::<f32>() / thumbnail.len() as f32;
        thumbnail.iter_mut().for_each(|v| *v -= mean);
        let length = thumbnail.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        thumbnail.iter_mut().for_each(|v| *v /= length);
        // FNV-1a; equal digests are compared pixel by pixel.
        let digest = image
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { hash, thumbnail, digest }
    }

    fn is_near(&self, other: &Self) -> bool {
        let bits: u32 = self.hash.iter().zip(&other.hash).map(|(a, b)| (a ^ b).count_ones()).sum();
        bits <= NEAR_BITS && {
            let dot: f64 = self.thumbnail.iter().zip(&other.thumbnail).map(|(a, b)| f64::from(a * b)).sum();
            dot >= NEAR_CORRELATION
        }
    }
}

/// Means over the cells of a coarser grid.
fn shrink(image: &[u8], width: usize, height: usize, w: usize, h: usize) -> Vec<f32> {
    let mut small = Vec::with_capacity(w * h);
    for y in 0..h {
        let rows = y * height / h..((y + 1) * height / h).max(y * height / h + 1);
        for x in 0..w {
            let columns = x * width / w..((x + 1) * width / w).max(x * width / w + 1);
            let (mut sum, mut count) = (0u32, 0u32);
            for row in rows.clone() {
                for &value in &image[row * width..][columns.clone()] {
                    sum += u32::from(value);
                    count += 1;
                }
            }
            small.push(sum as f32 / count as f32);
        }
    }
    small
}

/// Pairs of duplicates, each image with the first that it equals: the first, the image, whether the pixels are the same.
fn pairs(data: &Dataset, looks: &[Look]) -> Vec<(usize, usize, bool)> {
    /// Images of equal bands that an image is compared with, at most.
    const MAX_COMPARED: usize = 64;
    let mut found: HashMap<usize, (usize, bool)> = HashMap::new();
    let mut exact: HashMap<u64, usize> = HashMap::new();
    for (j, look) in looks.iter().enumerate() {
        match exact.get(&look.digest) {
            Some(&i) if data.image(i) == data.image(j) => {
                found.insert(j, (i, true));
            }
            _ => {
                exact.entry(look.digest).or_insert(j);
            }
        }
    }
    // Two hashes that differ in fewer than 8 bits share one of 8 bands; near duplicates nearly always do.
    for band in 0..8 {
        let mut buckets: HashMap<u32, Vec<usize>> = HashMap::new();
        for (j, look) in looks.iter().enumerate() {
            if found.contains_key(&j) {
                continue;
            }
            let bucket = buckets.entry(look.hash[band]).or_default();
            if let Some(&i) = bucket.iter().rev().take(MAX_COMPARED).find(|&&i| looks[i].is_near(look)) {
                found.insert(j, (i, false));
                continue;
            }
            bucket.push(j);
        }
    }
    let mut pairs: Vec<_> = found.into_iter().map(|(j, (i, exact))| (i, j, exact)).collect();
    pairs.sort_unstable();
    pairs
}

fn percentile(image: &[u8], part: f64) -> u8 {
    let mut counts = [0usize; 256];
    for &value in image {
        counts[usize::from(value)] += 1;
    }
    let mut left = (image.len() as f64 * part) as usize;
    for (value, count) in counts.iter().enumerate() {
        if *count > left {
            return value as u8;
        }
        left -= count;
    }
    255
}

/// The air around a patient is dark; in an inverted picture the border is bright.
fn border_is_brighter(image: &[u8], width: usize, height: usize) -> bool {
    let (bx, by) = ((width / 20).max(1), (height / 20).max(1));
    let (mut border, mut middle) = ((0u64, 0u64), (0u64, 0u64));
    for (i, &value) in image.iter().enumerate() {
        let (x, y) = (i % width, i / width);
        let part = if x < bx || x >= width - bx || y < by { &mut border } else { &mut middle };
        part.0 += u64::from(value);
        part.1 += 1;
    }
    let mean = |(sum, count): (u64, u64)| sum as f64 / count.max(1) as f64;
    // Spine and mediastinum, in the middle of the width, are dark in an inverted picture.
    let spine: Vec<u8> = (height / 4..height * 3 / 4)
        .flat_map(|y| image[y * width..][width * 9 / 20..width * 11 / 20].to_vec())
        .collect();
    let spine = spine.iter().map(|&v| f64::from(v)).sum::<f64>() / spine.len().max(1) as f64;
    mean(border) > mean(middle) + 40.0 && spine < mean(middle)
}

/// The places of `count` images without their exact duplicates, and without near ones where asked.
pub fn without_duplicates(count: usize, problems: &Problems, near: bool) -> Vec<usize> {
    let gone: HashSet<usize> =
        problems.duplicates.iter().filter(|(_, exact)| near || *exact).map(|(i, _)| *i).collect();
    (0..count).filter(|i| !gone.contains(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_for(images: Vec<Vec<u8>>, train: usize) -> Problems {
        let side = 64;
        let names: Vec<String> = (0..images.len()).map(|i| format!("{i}")).collect();
        let prepared: Vec<_> = (0..images.len())
            .map(|row| Ok(Original { size: if row == 5 { [300, 64] } else { [64, 64] }, colour: false, note: None }))
            .collect();
        let data = Dataset::from_images(side, side, images.concat(), names.clone()).expect("images");
        find(&data, &names, &prepared, train)
    }

    #[test]
    fn copies_are_found_and_others_are_not() {
        let phantoms = Dataset::phantoms(3, 0, 40, 64, 64);
        let mut images: Vec<Vec<u8>> = (0..40).map(|i| phantoms.image(i).to_vec()).collect();
        let nearly: Vec<u8> = images[7].iter().enumerate().map(|(i, v)| v.saturating_add((i % 3) as u8)).collect();
        images.push(images[2].clone());
        images.push(nearly);
        images.push(images[9].clone());
        images.push(vec![7; 64 * 64]);
        images.push(images[11].iter().map(|v| 255 - v).collect());
        let problems = look_for(images, 42);
        let of = |kind| -> Vec<_> {
            problems.all.iter().filter(|p| p.kind == kind).map(|p| (p.name.as_str(), p.detail.as_str())).collect()
        };
        assert_eq!(of(Kind::Duplicate), [("40", "2")]);
        assert_eq!(of(Kind::NearDuplicate), [("41", "7")]);
        assert_eq!(of(Kind::Leak), [("42", "9")]);
        assert_eq!(of(Kind::Blank).len(), 1);
        assert_eq!(of(Kind::Proportions), [("5", "300×64")]);
        assert!(of(Kind::Inverted).iter().all(|(name, _)| *name == "44"), "{:?}", of(Kind::Inverted));
        assert!(!without_duplicates(45, &problems, true).contains(&9), "the training image goes, not the other");
        assert_eq!(without_duplicates(45, &problems, false).len(), 43);
        let table = problems.table().expect("problems");
        assert!(table.contains("of 45 images") && table.contains("in training and validation"), "{table}");
    }
}
