//! The readers of what anybody may have written, as fuzz targets and their bounded tests call them: see `fuzz`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use toml::Table;
use vdm::config::{
    LatentConfig, ModelConfig, Preset, ResNetConfig, SamplingConfig, ScheduleConfig, ScheduleKind, ScoreNetConfig,
    TrainingConfig,
};
use vdm::model::Networks;
use vdm::weights::Provenance;

pub use crate::data::{check as list, dicom_picture, dicom_pixels, dicom_tags};
use crate::run::settings::RunSettings;
use crate::run::table;
use crate::train::checkpoint::{self, Checkpoint, TrainerState};
use crate::train::{Ema, NetworksOptimizer};

/// Reads a `run.toml`, and takes it as a `--config`. What is accepted is written and read back as it was.
///
/// # Errors
/// The file is not usable as either.
pub fn settings(path: &Path) -> Result<()> {
    let read = RunSettings::read(path).and_then(checked);
    let on_top = table::read(path)
        .and_then(|table| RunSettings::of(Preset::Quick, None).with(table, "the file"))
        .and_then(checked);
    read.or(on_top)
}

/// Takes a `--set`.
///
/// # Errors
/// It is not usable.
pub fn assign(assignment: &str) -> Result<()> {
    let mut set = Table::new();
    table::assign(&mut set, assignment)?;
    RunSettings::of(Preset::Quick, None).with(set, "--set").and_then(checked)
}

fn checked(settings: RunSettings) -> Result<()> {
    settings.validate()?;
    let again = RunSettings::of_toml(&settings.to_toml()?).context("what was accepted cannot be read again")?;
    ensure!(again == settings, "what was accepted is read as something else");
    Ok(())
}

/// Complete files of settings.
pub fn whole_settings() -> Vec<String> {
    Preset::ALL.iter().filter_map(|&preset| RunSettings::of(preset, None).to_toml().ok()).collect()
}

/// A run with a checkpoint of a small model.
pub struct SmallRun {
    folder: PathBuf,
    model: ModelConfig,
    training: TrainingConfig,
}

type Cpu = Autodiff<Flex>;

impl SmallRun {
    /// Writes it to a folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let blocks = ResNetConfig { width: 2, layers: 1, layer_norm: false };
        let kind = ScheduleKind::Monotonic { hidden: 2, learn_endpoints: false };
        let model = ModelConfig {
            height: 2,
            width: 2,
            attributes: Vec::new(),
            latent: Some(LatentConfig {
                dim: 2,
                encoder: blocks.clone(),
                decoder: blocks,
                score_net: ScoreNetConfig { embedding_dim: 4, width: 2, layers: 1, layer_norm: false },
                schedule: ScheduleConfig { kind, ..ScheduleConfig::default() },
            }),
            bands: None,
        };
        let mut training = Preset::Quick.training(None);
        training.ema_half_lives = vec![10];
        let networks = Networks::<Cpu>::new(&model, 0, &Default::default())?;
        let emas = vec![Ema { half_life: 10, networks: networks.valid() }];
        let mut optimizer = NetworksOptimizer::new(&training);
        // So that the optimizer has moments.
        let gradients = networks.decoder.decode(Tensor::ones([1, 2], &Default::default())).square().sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &networks);
        let networks = optimizer.step(0.01, networks, gradients);
        let whole = Checkpoint { trainer: TrainerState::default(), networks, emas, optimizer };
        checkpoint::save(folder, &model, &SamplingConfig::default(), &Provenance::default(), &whole)?;
        // Older versions have no hashes, so that what is in the files counts.
        fs::remove_file(folder.join("checkpoint/SHA256SUMS"))?;
        Ok(Self { folder: folder.to_owned(), model, training })
    }

    /// The files of the checkpoint.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files =
            fs::read_dir(self.folder.join("checkpoint"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        Ok(files)
    }

    /// Reads the checkpoint.
    ///
    /// # Errors
    /// It is damaged.
    pub fn load(&self) -> Result<()> {
        // Burn forgets parameters that were dropped at a backward pass, and not before.
        Tensor::<Cpu, 1>::ones([1], &Default::default()).require_grad().backward();
        let optimizer = NetworksOptimizer::<Cpu>::new(&self.training);
        let half_lives = &self.training.ema_half_lives;
        checkpoint::load(&self.folder, &self.model, half_lives, optimizer, &Default::default()).map(drop)
    }
}
