//! The ELBO of images.

use burn_flex::{Flex, FlexDevice};
use pollster::block_on;
use vdm::config::{Preset, Stage};
use vdm::elbo::{ImageElbo, measure};
use vdm::math::bernoulli_entropy;
use vdm::model::Networks;

fn measured(images: &[&[u8]], first: u64, seed: u64) -> Vec<ImageElbo> {
    let config = Preset::Quick.model();
    let networks = Networks::<Flex>::new(&config, 1, &FlexDevice).expect("networks");
    let encoder = networks.encoder.clone().expect("an encoder");
    block_on(measure(&networks, &config, Stage::Joint, &encoder, images, None, first, 4, seed, &FlexDevice))
        .expect("terms")
}

#[test]
fn an_images_terms_do_not_depend_on_its_batch() {
    let images: Vec<Vec<u8>> = (0..3).map(|k| (0..64 * 64).map(|i| ((i * (k + 3)) % 256) as u8).collect()).collect();
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let together = measured(&images, 10, 5);
    for (i, image) in images.iter().enumerate() {
        let alone = &measured(&[image], 10 + i as u64, 5)[0];
        for (name, (a, b)) in alone.terms.zip(together[i].terms).named() {
            // Sums of float32 in another order.
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{name}: {a} {b}");
        }
    }
    assert_ne!(together[0].terms, measured(&images, 10, 6)[0].terms, "another seed, another draw");
}

#[test]
fn the_floor_is_the_entropy_of_the_grey_values() {
    let image: Vec<u8> = vec![51; 64 * 64];
    let ImageElbo { terms, entropy_floor, .. } = measured(&[&image], 0, 0)[0];
    let expected = 64.0 * 64.0 * bernoulli_entropy(0.2);
    assert!((entropy_floor - expected).abs() < 1e-3 * expected, "{entropy_floor} {expected}");
    assert!(terms.reconstruction > entropy_floor);
    assert_eq!(terms.total(), terms.reconstruction + terms.latent + terms.diffusion);
}

#[test]
fn the_diffusion_term_is_the_mean_over_the_times_strata() {
    let ImageElbo { terms, diffusion_at, .. } = &measured(&[&[90; 64 * 64]], 0, 0)[0];
    let count = diffusion_at.len() as f64;
    let mut strata: Vec<f64> = diffusion_at.iter().map(|(t, _)| (t * count).floor()).collect();
    strata.sort_by(f64::total_cmp);
    assert!(strata.iter().enumerate().all(|(i, &stratum)| stratum == i as f64), "{strata:?}");
    let mean = diffusion_at.iter().map(|(_, nats)| nats / count).sum::<f64>();
    assert!((mean - terms.diffusion).abs() < 1e-9 * terms.diffusion, "{mean} {}", terms.diffusion);
}

#[test]
fn the_times_of_many_images_are_even() {
    let images = vec![&[90_u8; 64 * 64][..]; 55];
    let mut times: Vec<f64> =
        measured(&images, 0, 3).iter().flat_map(|image| &image.diffusion_at).map(|at| at.0).collect();
    times.sort_by(f64::total_cmp);
    let count = times.len() as f64;
    // Random times would be off by about 1/√count, a tenth.
    for (i, t) in times.iter().enumerate() {
        assert!((t - (i as f64 + 0.5) / count).abs() < 0.03, "{i}: {t}");
    }
}
