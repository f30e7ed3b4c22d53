//! A latent variational diffusion model of chest X-rays, generic over Burn's
//! [`Backend`](burn::tensor::backend::Backend): numbers in, numbers out; no I/O, no clock, no global randomness.
//!
//! The model is that of Rguibi et al., *Improving Medical Imaging with Medical Variation Diffusion Model*,
//! J. Imaging 2023, 9, 171, after Kingma et al., *Variational Diffusion Models*, arXiv 2107.00630. An encoder maps an
//! image x to a latent f; a diffusion process turns f into noise; the ScoreNet learns to undo it; a decoder maps the
//! latent back to an image. A model of [bands](config::BandsConfig) has a fixed, orthonormal transform in the place of encoder
//! and decoder, and diffuses a coarse band and then, given it, a fine one.
//!
//! # Symbols
//!
//! | symbol | meaning |
//! | --- | --- |
//! | x | image of H·W pixels, grey values in [0, 1], `[B, H·W]` |
//! | f | latent of x, the clean end of the diffusion, `[B, D]` |
//! | t ∈ [0, 1] | diffusion time, from 0 without noise to 1 with the most noise |
//! | γ(t) | −log SNR, strictly increasing from γ_min to γ_max |
//! | α², σ² | sigmoid(−γ), sigmoid(γ): α² + σ² = 1 |
//! | z_t | α_t f + σ_t ε with ε ~ N(0, I), `[B, D]` |
//! | ε̂ | the ScoreNet's prediction of ε from z_t, γ_t and a label |
//! | f̂ | (z_t − σ_t ε̂) / α_t, the predicted clean latent |
//!
//! # Reading order
//!
//! A module uses only those above it in this list, which `cargo xtask lint` checks.
//!
//! - [`error`], [`math`] (scalar formulas), [`axis`] (ticks and curves of charts), [`rng`] (random numbers), [`config`] (sizes
//!   and presets), [`image`] (pictures, marked as synthetic)
//! - [`nn`]: dense layers and residual blocks, on a whole latent and on tokens, with operations of their own on the CPU
//! - [`autoencoder`]: images to latents and back, or to bands
//! - [`diffusion`]: the noise [schedule](diffusion::schedule) γ(t), the [loss](diffusion::loss) and its
//!   [terms](diffusion::terms), the [ScoreNet](diffusion::score_net)
//! - [`model`]: all networks with their losses, and what a sampler needs of them
//! - [`objective`] (the gradient of a training step), [`sampler`] (the reverse process), [`elbo`] (the loss of given images),
//!   [`cost`] (operations and time), [`weights`] (the file format)
//!
//! # Example
//!
//! ```
//! use burn_flex::Flex;
//! use vdm::config::{Preset, SamplingConfig};
//! use vdm::model::{Condition, Networks, Vdm};
//! use vdm::sampler::{Sampler, SamplingOptions, Trajectory};
//!
//! # block_on(async {
//! let device = Default::default();
//! let config = Preset::Quick.model();
//! let networks = Networks::<Flex>::new(&config, 0, &device)?; // untrained: it draws noise
//! let model = Vdm::new(config, SamplingConfig::default(), networks).await?;
//!
//! let options = SamplingOptions { sampler: Sampler::Ddim, steps: 5, condition: Condition::default() };
//! let mut trajectory = Trajectory::from_noise(&model, options, &[42], &device)?; // one seed, one image
//! while let Some(step) = trajectory.step(&model) {
//!     println!("step {} of {}: t = {:.2}", step.number, step.of, step.t);
//! }
//! let image = trajectory.decode(&model); // [1, H·W], in [0, 1]
//! assert_eq!(image.dims(), [1, 64 * 64]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # fn block_on<T>(future: impl Future<Output = T>) -> T {
//! #     let mut future = std::pin::pin!(future);
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     loop {
//! #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
//! #             return value;
//! #         }
//! #     }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod autoencoder;
pub mod axis;
pub mod config;
pub mod cost;
pub mod diffusion;
pub mod elbo;
pub mod error;
pub mod image;
pub mod math;
pub mod model;
pub mod nn;
pub mod objective;
pub mod rng;
pub mod sampler;
pub mod weights;
