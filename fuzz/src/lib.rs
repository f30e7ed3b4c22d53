//! What is done with each hostile input, and what it may take. The same files are modules of the bounded tests on stable Rust:
//! `core/tests/hostile.rs` and `trainer/tests/hostile.rs`.

pub mod bounds;
pub mod mutations;
pub mod place;
pub mod seeds;

pub mod checkpoint;
pub mod dicom;
pub mod manifest;
pub mod messages;
pub mod settings;
pub mod weights;
