//! What every part of the program uses: files, devices, progress, and what the program calls itself.

pub mod about;
pub mod device;
pub mod files;
pub mod progress;
