//! stub
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentSettings {
    pub rotation_degrees: f64,
    pub shift: f64,
    pub scale: f64,
    pub contrast: f64,
    pub brightness: f64,
    pub flip: bool,
}
impl AugmentSettings {
    pub fn validate(&self) -> anyhow::Result<()> {
        Ok(())
    }
    pub fn augment(&self, image: &[u8], _h: usize, _w: usize, _s: &mut vdm::noise::NoiseStream) -> Vec<f32> {
        image.iter().map(|&v| vdm::image::to_unit(v)).collect()
    }
}
