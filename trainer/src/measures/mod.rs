//! Measures of images: how close reconstructions are to their originals, how close samples are to real X-rays, and
//! whether a sample is a copy of a training image. Nothing is downloaded, and nothing is learned but the
//! classifiers of [`two_sample`] and [`conditions`], from the images at hand.
//!
//! A file uses only those above it in this table.
//!
//! | module | holds |
//! | --- | --- |
//! | `set` | images to measure, random numbers, and what a measure that cannot be taken says |
//! | [`stats`] | a figure: its value and 95 % interval |
//! | `plane` | a picture in float32 and its filters |
//! | [`linear`] | matrix products and principal components |
//! | [`similarity`] | PSNR, SSIM and MS-SSIM of pairs; diversity, as MS-SSIM within a set |
//! | [`wasserstein`] | sliced Wasserstein distance of patches, by level of the Laplacian pyramid |
//! | [`spectrum`] | the radially averaged power spectrum, and its distance |
//! | [`features`] | a feature space of X-rays without a trained network |
//! | [`neighbours`] | precision, recall, density and coverage in it |
//! | `logistic` | logistic regression |
//! | `texture` | residuals and oriented bands, the features of the two-sample test |
//! | [`two_sample`] | whether a classifier tells samples from real images, by scale |
//! | [`conditions`] | whether samples show the values of attributes that they are drawn for |
//! | [`codecs`] | bits a pixel of lossless codecs |
//! | [`memorisation`] | the nearest training image of each sample, and whether the sample is a copy |
//!
//! A measure of two sets depends on their sizes, so a figure of samples says little alone. Each is given beside the same
//! figure of as many real images against the same reference: what a perfect model would score.

pub mod codecs;
pub mod conditions;
pub mod features;
pub mod linear;
mod logistic;
pub mod memorisation;
pub mod neighbours;
mod plane;
mod set;
pub mod similarity;
pub mod spectrum;
pub mod stats;
#[cfg(test)]
mod tests;
mod texture;
pub mod two_sample;
pub mod wasserstein;

pub use set::{Draw, Images, Measured, TooFew};
