//! Whether samples show the values of attributes that they are drawn for.

use anyhow::Result;
use burn::tensor::backend::Backend;
use vdm::image::GreyImage;
use vdm::model::Condition;
use vdm::sampler::SamplingOptions;

use super::options::SampleOptions;
use super::report::{Better, Row, Section};
use crate::base::files::LoadedModel;
use crate::base::progress::Progress;
use crate::data::Dataset;
use crate::generate::{self, Pixels};
use crate::measures::conditions::{Known, agreement};
use crate::measures::{Images, TooFew};

/// A row for each attribute: how often a classifier of real images agrees with samples of each of its values, the others
/// open. `sets` are the real images.
///
/// # Errors
/// The device cannot be read, or the model draws values that are not finite.
pub fn rows<B: Backend>(
    wanted: &SampleOptions,
    loaded: &LoadedModel<B>,
    sets: &[&Dataset],
    options: SamplingOptions,
    seed: u64,
    device: &B::Device,
) -> Result<Vec<Row>> {
    let (classes, attributes) = (loaded.model.config.classes(), &loaded.header.provenance.attributes);
    let (count, values) = (wanted.of_each_value, classes.0.iter().sum::<usize>());
    if count == 0 {
        return Ok(Vec::new());
    }
    let batches = options.steps * count.div_ceil(generate::BATCH);
    let mut progress = Progress::new("samples of each value", 0, (values * batches) as u64);
    let mut done = 0;
    let mut rows = Vec::new();
    for (i, (attribute, &values)) in attributes.iter().zip(classes.0).enumerate() {
        let (key, name) = (format!("follows_{}", attribute.name), format!("{}, as asked for", attribute.name));
        let missing = |why: &TooFew| Row::missing(Section::Conditions, &key, &name, Better::Higher, why);
        let Some(real) = known(sets, |label| classes.values(label)[i]) else {
            rows.push(missing(&TooFew("needs real images with labels: pass --labels".to_owned())));
            continue;
        };
        let mut drawn: Vec<Vec<GreyImage>> = Vec::new();
        for value in 0..values {
            let mut asked = vec![None; classes.0.len()];
            asked[i] = Some(value);
            let condition = Condition { class: Some(classes.number(&asked)), ..options.condition };
            let options = SamplingOptions { condition, ..options };
            drawn.push(generate::draw(&loaded.model, options, Pixels::Mean, seed, count, device, || {
                done += 1;
                progress.set(done, String::new);
                Ok(())
            })?);
        }
        let (height, width) = (real.images.height, real.images.width);
        let samples = drawn.iter().map(|images| Images {
            height,
            width,
            pixels: images.iter().map(|image| image.pixels.as_slice()).collect(),
        });
        rows.push(match agreement(&real, &samples.collect::<Vec<_>>(), seed) {
            Ok(found) => Row::beside(Section::Conditions, &key, &name, Better::Higher, found.samples, found.real),
            Err(why) => missing(&why),
        });
    }
    Ok(rows)
}

/// The images of all sets whose value is known; none if no set has labels.
fn known<'a>(sets: &[&'a Dataset], value: impl Fn(usize) -> Option<usize>) -> Option<Known<'a>> {
    let first = sets.first()?;
    let images = Images { height: first.height, width: first.width, pixels: Vec::new() };
    let mut all = Known { images, values: Vec::new(), patients: Vec::new() };
    for data in sets.iter().filter(|data| data.labels.is_some()) {
        for (i, &label) in data.labels.iter().flatten().enumerate() {
            if let Some(value) = value(label) {
                all.images.pixels.push(data.image(i));
                all.values.push(value);
                all.patients.push(data.patients[i].clone());
            }
        }
    }
    (!all.values.is_empty()).then_some(all)
}
