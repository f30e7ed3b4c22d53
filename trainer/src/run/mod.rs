//! A run: its settings, its folder, its inputs and its logs.

pub mod environment;
pub mod folder;
pub mod inputs;
pub mod log;
pub mod settings;
