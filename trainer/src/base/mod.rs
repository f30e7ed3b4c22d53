//! What every part of the program uses: files, devices, interrupts, progress, and the program's name.

pub mod about;
pub mod device;
pub mod disk;
pub mod files;
pub mod guard;
pub mod interrupt;
pub mod progress;
pub mod ranks;
