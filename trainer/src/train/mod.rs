//! Training a model.
//!
//! A file uses only those above it in this order: `loader`, `process_group`, `hollow`, `adamw`, `muon`, `optimizer`,
//! `ema`, `store`, `checkpoint`, `run_logger`, `init`, `job`, `validation`, `step`, `timing`, `session`.

mod adamw;
pub mod checkpoint;
mod ema;
#[cfg(test)]
mod fixture;
mod hollow;
mod init;
mod job;
mod loader;
mod muon;
mod optimizer;
mod process_group;
mod run_logger;
mod session;
mod step;
mod store;
mod timing;
mod validation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::backend::AutodiffBackend;

use crate::base::device::{self, Device, Devices, GroupJob};
use crate::base::files::say;
use crate::base::interrupt::{Interrupt, Interrupted, together};
use crate::base::ranks::Ranks;
use crate::run::folder::{OpenFolder, RunFolder};
use crate::run::inputs;
use crate::run::settings::RunSettings;

pub use ema::Ema;
use init::Measured;
pub use job::Outcome;
use job::TrainJob;
pub use optimizer::NetworksOptimizer;
use process_group::ProcessGroup;
use session::Session;
pub use timing::{StepTimes, Steps};

/// A run to start or to continue.
pub struct Options {
    /// Everything that the result depends on.
    pub settings: RunSettings,
    /// Where it is kept.
    pub folder: RunFolder,
    /// What computes, with its own name.
    pub device: (Device, String),
    /// How many devices of that kind.
    pub devices: Devices,
    /// The processes that train together, of one device each if they are several.
    pub ranks: Arc<Ranks>,
    /// Ends the run early, with a checkpoint.
    pub interrupt: Interrupt,
}

/// Trains until the last step or an interrupt.
///
/// # Errors
/// Images, a folder or a checkpoint that cannot be used; a device that fails; a loss that is not
/// finite.
pub fn run(options: Options) -> Result<Outcome> {
    match start(options) {
        Err(error) if error.is::<Interrupted>() => {
            say("stopped before the first step, and nothing was saved; start again with the same options");
            Ok(Outcome::Stopped)
        }
        result => result,
    }
}

/// As [`run`]; an interrupt before the first step is an error.
fn start(options: Options) -> Result<Outcome> {
    let Options { settings, folder, device: (device, device_name), devices, ranks, interrupt } = options;
    interrupt.check()?;
    interrupt.listen()?;
    // Only rank 0 reads and writes the folder. A run that goes on is locked before its images are read.
    let (existing, out) = match folder {
        RunFolder::Existing { path, from, accept_changed_images } => {
            (Some((OpenFolder::lock(path)?, from, accept_changed_images)), None)
        }
        RunFolder::New(out) => (None, out),
    };
    let data = together(inputs::load(settings, &interrupt), |interrupted| ranks.any(interrupted))?;
    let folder = match existing {
        _ if ranks.rank() > 0 => None,
        Some((folder, from, accept_changed_images)) => {
            data.images().compare(&folder.path, accept_changed_images)?;
            from.map_or(Ok(()), |step| store::go_back(&folder.path, step))?;
            Some(folder)
        }
        None => {
            let folder = OpenFolder::create(out.as_deref(), data.settings.preset)?;
            ensure!(
                store::newest(&folder.path)?.is_none(),
                "{} holds a checkpoint but no run.toml: pass another --out",
                folder.path.display()
            );
            Some(folder)
        }
    };
    let path = folder.as_ref().map(|folder| folder.path.clone()).unwrap_or_default();
    if let Some(folder) = &folder {
        eprintln!("run: {} (preset {})", folder.path.display(), data.settings.preset.name());
    }
    let measured = Measured::default();
    let job = TrainJob { data: Arc::new(data), folder: path, device_name, interrupt, measured };
    let result = device::run_group(device, &devices.of_rank(&ranks)?, (job, ranks));
    if result.is_err() {
        folder.into_iter().for_each(OpenFolder::abandon);
    }
    result
}

impl GroupJob for (TrainJob, Arc<Ranks>) {
    type Output = Outcome;

    fn run<B: AutodiffBackend>(self, devices: Vec<B::Device>) -> Result<Outcome> {
        let (job, ranks) = self;
        let job = Arc::new(job);
        let group = ProcessGroup::of(devices.len(), ranks);
        if let Some(first) = group.iter().find(|member| member.is_rank_zero() && !member.is_alone()) {
            eprintln!("training on {} devices", first.world_size);
        }
        if let ([device], [member]) = (devices.as_slice(), group.as_slice()) {
            return train::<B>(&job, member.clone(), device);
        }
        // Not scoped: when one fails, the others never return, and the program ends without them.
        let (sender, results) = channel();
        for (device, member) in devices.into_iter().zip(group) {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            std::thread::Builder::new()
                .name(format!("device {}", member.rank))
                .spawn(move || {
                    let rank = member.rank;
                    let result = catch_unwind(AssertUnwindSafe(|| train::<B>(&job, member, &device)));
                    // The receiver is gone once another device has failed.
                    let _ = sender.send(result.unwrap_or_else(|_| Err(anyhow!("device {rank} has failed"))));
                })
                .context("cannot start a thread for a device")?;
        }
        drop(sender);
        // Only the first device draws figures, which a stop leaves undone.
        let ends = results.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(if ends.contains(&Outcome::Stopped) { Outcome::Stopped } else { Outcome::Finished })
    }
}

fn train<B: AutodiffBackend>(job: &TrainJob, group: ProcessGroup, device: &B::Device) -> Result<Outcome> {
    let mut session = Session::<B>::start(job, group, device)?;
    let finished = session.run()?;
    session.end(finished)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vdm::config::Stage;
    use vdm::rng::{Rng, RngStream};

    use super::*;
    use crate::data::Dataset;
    use crate::run::inputs::RunData;

    /// A run of the smallest sizes, each from 1 to 5, with its figures and report; settings may be refused.
    fn smallest(stream: &mut Rng, bands: bool) -> Result<Outcome> {
        let mut size = || 1 + stream.below(5);
        let mut settings = if bands { fixture::band_settings() } else { fixture::settings() };
        let (model, training) = (&mut settings.model, &mut settings.training);
        if let Some(bands) = &mut model.bands {
            (model.height, model.width) = (32 * (1 + size()), 32 * (1 + size()));
            for band in [&mut bands.coarse, &mut bands.fine] {
                (band.width, band.layers, band.heads, band.hidden) = (7 + size(), size(), size() - 1, size() - 1);
                band.embedding_dim = 2 + 2 * size();
            }
            training.stage = if size() > 2 { Stage::Coarse } else { Stage::Fine };
            training.crop = (training.stage == Stage::Fine).then(|| 16 * size());
        }
        if let Some(latent) = &mut model.latent {
            (model.height, model.width, latent.dim) = (1 + size(), 1 + size(), size());
            for net in [&mut latent.encoder, &mut latent.decoder] {
                (net.width, net.layers) = (size(), size());
            }
            let net = &mut latent.score_net;
            (net.width, net.layers, net.embedding_dim) = (size(), size(), 2 + 2 * size());
        }
        (training.batch, training.times_per_image, training.steps) = (size(), size(), size() as u64);
        training.ema_half_lives = vec![size() as u64];
        settings.run.validate_every = size() as u64;
        settings.run.sample_every = size() as u64;
        settings.model.validate()?;
        settings.training.validate()?;
        let folder = tempfile::tempdir()?;
        let (height, width) = (settings.model.height, settings.model.width);
        let images = |first, count| Dataset::phantoms(1, first, count, height, width);
        let data = RunData::of(settings, images(0, size()), images(9, size()));
        let job = TrainJob {
            data: Arc::new(data),
            folder: folder.path().to_owned(),
            device_name: "CPU".to_owned(),
            interrupt: Interrupt::default(),
            measured: Measured::default(),
        };
        let group = ProcessGroup::of(1, Arc::default()).remove(0);
        train::<fixture::Cpu>(&job, group, &Default::default())
    }

    #[test]
    fn no_smallest_size_panics() {
        let (mut trained, mut refused) = (0, Vec::new());
        for case in 0..60 {
            let mut stream = Rng::new(1, RngStream::Evaluation, case);
            let end = catch_unwind(AssertUnwindSafe(|| smallest(&mut stream, case % 2 == 1)));
            match end.unwrap_or_else(|_| panic!("case {case} panics")) {
                Ok(_) => trained += 1,
                Err(error) => refused.push(format!("{case}: {error:#}")),
            }
        }
        assert!(trained >= 20, "{trained} cases trained, refused were {refused:#?}");
    }

    #[test]
    fn a_run_that_is_stopped_before_its_first_step_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("run");
        let options = Options {
            settings: fixture::settings(),
            folder: RunFolder::New(Some(out.clone())),
            device: (Device::Cpu, "CPU".to_owned()),
            devices: Devices::Count(1),
            ranks: Arc::default(),
            interrupt: Interrupt::new(Some(Duration::ZERO)),
        };
        assert_eq!(run(options).expect("stops"), Outcome::Stopped);
        assert!(!out.exists());
    }
}
