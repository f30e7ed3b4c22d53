//! A run that is small enough for unit tests.

use burn::backend::{Autodiff, Flex};
use burn::tensor::backend::Backend;
use vdm::config::{LatentConfig, ModelConfig, Preset, ResNetConfig, ScheduleConfig, ScheduleKind, ScoreNetConfig};
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
    let blocks = ResNetConfig { width: 8, layers: 1, layer_norm: false };
    let kind = ScheduleKind::Monotonic { hidden: 2, learn_endpoints: false };
    settings.model = ModelConfig {
        height: 8,
        width: 8,
        latent: Some(LatentConfig {
            dim: 4,
            encoder: blocks.clone(),
            decoder: blocks,
            score_net: ScoreNetConfig { embedding_dim: 4, width: 8, layers: 1, layer_norm: false },
            schedule: ScheduleConfig { kind, ..ScheduleConfig::default() },
        }),
        ..of
    };
    settings.training.batch = 4;
    settings.training.times_per_image = 1;
    settings.training.ema_half_lives = vec![10];
    settings
}

/// Settings of a small model of bands.
pub fn band_settings() -> RunSettings {
    let mut settings = RunSettings::of(Preset::Sharp, None);
    (settings.model.height, settings.model.width) = (64, 64);
    for band in settings.model.bands.iter_mut().flat_map(|bands| [&mut bands.coarse, &mut bands.fine]) {
        (band.embedding_dim, band.width, band.layers, band.heads) = (4, 8, 1, 0);
    }
    settings.training.batch = 4;
    settings.training.ema_half_lives = vec![10];
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
