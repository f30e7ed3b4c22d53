//! A run: its settings, folder, inputs, logs and environment.

pub mod environment;
pub mod folder;
pub mod inputs;
pub mod log;
pub mod settings;
pub mod table;
