//! What all devices of this machine share.

use std::path::PathBuf;
use std::sync::Arc;

use super::init::Measured;
use crate::base::interrupt::Interrupt;
use crate::run::inputs::RunData;

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
