//! A run: its settings, folder, images, inputs, logs and environment.

pub mod environment;
pub mod explain;
pub mod folder;
pub mod images;
pub mod inputs;
pub mod log;
pub mod settings;
pub mod table;
