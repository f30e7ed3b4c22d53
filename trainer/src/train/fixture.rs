//! A run that is small enough for unit tests.

use burn::backend::{Autodiff, Flex};
use burn::tensor::backend::Backend;
use vdm::config::{ModelConfig, Preset, ResNetConfig, ScheduleKind, ScoreNetConfig, Stage};
use vdm::model::Networks;
use vdm::weights::parameters;

use crate::data::Dataset;
use crate::run::inputs::RunData;
use crate::run::settings::RunSettings;

pub type Cpu = Autodiff<Flex>;

/// Settings of a dense model of 8×8 pixels.
pub fn settings() -> RunSettings {
    let mut settings = RunSettings::of(Preset::Quick, None);
    let of = Preset::Quick.model();
    settings.model = ModelConfig {
        height: 8,
        width: 8,
        latent_dim: 4,
        encoder: ResNetConfig { width: 8, layers: 1, ..of.encoder.clone() },
        decoder: ResNetConfig { width: 8, layers: 1, ..of.decoder.clone() },
        score_net: ScoreNetConfig { embedding_dim: 4, width: 8, layers: 1, ..of.score_net.clone() },
        ..of
    };
    settings.model.schedule.kind = ScheduleKind::Monotonic { hidden: 2, learn_endpoints: false };
    settings.training.batch = 4;
    settings.training.times_per_image = 1;
    settings.training.ema_half_lives = vec![10];
    settings
}

/// Settings of a model of four patches, whose latents are measured before a coarse network is trained.
pub fn patch_settings() -> RunSettings {
    let mut settings = settings();
    let model = &mut settings.model;
    (model.height, model.width, model.patch, model.latent_dim) = (16, 16, Some(8), 16);
    (model.score_net.gaussian_rank, model.score_net.coarse_layers, model.score_net.coarse_width) = (2, 1, 8);
    settings.training.stage = Stage::Diffusion;
    settings.training.coarse_steps = 2000;
    settings
}

/// Settings with phantoms to train on.
pub fn data(settings: RunSettings) -> RunData {
    let (height, width) = (settings.model.height, settings.model.width);
    let phantoms = |first, count| Dataset::phantoms(1, first, count, height, width);
    RunData::of(settings, phantoms(0, 12), phantoms(12, 6))
}

/// The bits of all weights.
pub fn bits<B: Backend>(networks: &Networks<B>) -> Vec<Vec<u32>> {
    let all = parameters(networks).expect("reads");
    all.into_iter().map(|parameter| parameter.values.into_iter().map(f32::to_bits).collect()).collect()
}
