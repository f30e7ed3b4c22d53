//! What all devices of this machine share.

use std::path::PathBuf;
use std::sync::Arc;

use super::init::Measured;
use crate::base::interrupt::Interrupt;
use crate::run::inputs::RunData;

/// How a run that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is finished.
    Finished,
    /// It was stopped early, and can go on.
    Stopped,
}

/// A run, as all devices of this machine see it.
pub struct TrainJob {
    /// Settings and images.
    pub data: Arc<RunData>,
    /// The run's folder.
    pub folder: PathBuf,
    /// The device's own name.
    pub device_name: String,
    /// Ends the run early.
    pub interrupt: Interrupt,
    /// What one device measures for all of them.
    pub measured: Measured,
}
