//! The golden vectors: every value of every file of `tests/golden`, or of the folder that `VDM_GOLDEN` names, against
//! the public API of `vdm`.
//!
//! A file holds a list of cases and is named after its group. Every field of a case must be known here, so that no
//! value goes unread; other files of the same form pass without a change.

use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, de::DeserializeOwned};
use tests::backends::{OnBackend, on_each_backend};
use vdm::config::{Preset, TrainingConfig};
use vdm::diffusion::loss;
use vdm::diffusion::schedule::{Interior, MonotonicParams, NoiseSchedule, ScheduleParams};
use vdm::math;
use vdm::nn::dense as nn;
use vdm::sampler::StepGammas;

#[test]
fn every_golden_value_is_reproduced() {
    let folder = std::env::var_os("VDM_GOLDEN").map_or_else(|| tests::repository().join("tests/golden"), PathBuf::from);
    let listing = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = listing
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 12, "{} holds as many groups as there are", folder.display());
    for file in &files {
        check_file(file);
    }
}

fn check_file(file: &Path) {
    let group = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let cases = match group {
        "schedule_linear" => check::<ScheduleLinear>(file),
        "schedule_monotonic" => check::<ScheduleMonotonic>(file),
        "diffuse" => check::<Diffuse>(file),
        "antithetic_times" => check::<AntitheticTimes>(file),
        "latent_loss" => check::<LatentLoss>(file),
        "diffusion_loss" => check::<DiffusionLoss>(file),
        "bernoulli_nll" => check::<BernoulliNll>(file),
        "gradient_difference" => check::<GradientDifference>(file),
        "reverse_steps" => check::<ReverseSteps>(file),
        "time_embedding" => check::<TimeEmbedding>(file),
        "film" => check::<Film>(file),
        "learning_rate" => check::<LearningRate>(file),
        _ => panic!("{}: no group of this name is known", file.display()),
    };
    println!("{group}: {cases} cases");
}

/// A case of a group: its scalar formulas in float64, and its tensors in float32 on each backend.
trait Case: DeserializeOwned {
    fn scalars(&self) {}
    fn tensors<B: Backend>(&self, _device: &B::Device) {}
}

struct Tensors<'a, C>(&'a C);

impl<C: Case> OnBackend for Tensors<'_, C> {
    fn run<B: Backend>(&self, device: &B::Device) {
        self.0.tensors::<B>(device);
    }
}

fn check<C: Case>(file: &Path) -> usize {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
    let cases: Vec<C> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert!(!cases.is_empty(), "{} holds no case", file.display());
    for case in &cases {
        case.scalars();
        on_each_backend(&Tensors(case));
    }
    cases.len()
}

/// Float64: 1e-9 of the value. The absolute part is rounding, for values that cancel to about zero.
fn near(what: &str, actual: f64, expected: f64) {
    near_with_floor(what, actual, expected, 1e-14);
}

fn near_with_floor(what: &str, actual: f64, expected: f64, floor: f64) {
    let allowed = 1e-9 * expected.abs() + floor;
    assert!((actual - expected).abs() <= allowed, "{what}: {actual:e} instead of {expected:e}");
}

/// Float32: a few dozen roundings (6e-8 each) of numbers as large as `scale`, the largest intermediate value, and as
/// many of the value itself.
fn near_f32<B: Backend, const D: usize>(what: &str, actual: Tensor<B, D>, expected: &[f64], scale: f64) {
    let actual: Vec<f64> = actual.into_data().iter::<f64>().collect();
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        let allowed = 3e-6 * (e.abs() + scale);
        assert!((a - e).abs() <= allowed, "{what}[{i}] on {}: {a:e} instead of {e:e}", B::name(&Default::default()));
    }
}

fn tensor<B: Backend, const D: usize>(
    values: impl IntoIterator<Item = f64>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn vector<B: Backend>(values: &[f64], device: &B::Device) -> Tensor<B, 1> {
    tensor(values.iter().copied(), [values.len()], device)
}

fn param<B: Backend>(values: &[f64], device: &B::Device) -> Param<Tensor<B, 1>> {
    Param::from_tensor(vector(values, device))
}

/// Rows of equal length.
type Matrix = Vec<Vec<f64>>;

fn shape(rows: &Matrix) -> [usize; 2] {
    let columns = rows.first().map_or(0, Vec::len);
    assert!(rows.iter().all(|row| row.len() == columns), "rows of unequal length");
    [rows.len(), columns]
}

fn matrix<B: Backend>(rows: &Matrix, device: &B::Device) -> Tensor<B, 2> {
    tensor(rows.concat(), shape(rows), device)
}

fn largest<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values.into_iter().fold(0.0, |largest, v| v.abs().max(largest))
}

fn same_length<A, B>(what: &str, a: &[A], b: &[B]) {
    assert_eq!(a.len(), b.len(), "{what}: length");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleLinear {
    gamma_min: f64,
    gamma_max: f64,
    t: Vec<f64>,
    gamma: Vec<f64>,
    gamma_prime: Vec<f64>,
    alpha_sq: Vec<f64>,
    sigma_sq: Vec<f64>,
    snr: Vec<f64>,
}

impl Case for ScheduleLinear {
    fn scalars(&self) {
        let schedule = NoiseSchedule::linear(self.gamma_min, self.gamma_max);
        for expected in [&self.gamma, &self.gamma_prime, &self.alpha_sq, &self.sigma_sq, &self.snr] {
            same_length("schedule_linear", expected, &self.t);
        }
        for (i, &t) in self.t.iter().enumerate() {
            let gamma = schedule.gamma(t);
            near("gamma", gamma, self.gamma[i]);
            near("gamma_prime", schedule.gamma_prime(t), self.gamma_prime[i]);
            near("alpha_sq", math::alpha_squared(gamma), self.alpha_sq[i]);
            near("sigma_sq", math::sigma_squared(gamma), self.sigma_sq[i]);
            near("snr", math::snr(gamma), self.snr[i]);
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let params = ScheduleParams::<B> {
            gamma_min: param(&[self.gamma_min], device),
            gamma_max: param(&[self.gamma_max], device),
            monotonic: None,
        };
        schedule_tensors(&params, &self.t, &self.gamma, &self.gamma_prime, device);
    }
}

fn schedule_tensors<B: Backend>(
    params: &ScheduleParams<B>,
    t: &[f64],
    gamma: &[f64],
    gamma_prime: &[f64],
    device: &B::Device,
) {
    let at = params.at(vector(t, device));
    near_f32("gamma", at.gamma, gamma, largest(gamma));
    near_f32("gamma_prime", at.gamma_prime, gamma_prime, largest(gamma_prime));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleMonotonic {
    gamma_min: f64,
    gamma_max: f64,
    linear_weight: f64,
    hidden_weight: Vec<f64>,
    hidden_bias: Vec<f64>,
    output_weight: Vec<f64>,
    t: Vec<f64>,
    gamma: Vec<f64>,
    gamma_prime: Vec<f64>,
}

impl Case for ScheduleMonotonic {
    fn scalars(&self) {
        let schedule = NoiseSchedule {
            gamma_min: self.gamma_min,
            gamma_max: self.gamma_max,
            interior: Interior::Monotonic {
                linear_weight: self.linear_weight,
                hidden_weight: self.hidden_weight.clone(),
                hidden_bias: self.hidden_bias.clone(),
                output_weight: self.output_weight.clone(),
            },
        };
        same_length("gamma", &self.gamma, &self.t);
        same_length("gamma_prime", &self.gamma_prime, &self.t);
        for (i, &t) in self.t.iter().enumerate() {
            near("gamma", schedule.gamma(t), self.gamma[i]);
            near("gamma_prime", schedule.gamma_prime(t), self.gamma_prime[i]);
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let params = ScheduleParams::<B> {
            gamma_min: param(&[self.gamma_min], device),
            gamma_max: param(&[self.gamma_max], device),
            monotonic: Some(MonotonicParams {
                linear_weight: param(&[self.linear_weight], device),
                hidden_weight: param(&self.hidden_weight, device),
                hidden_bias: param(&self.hidden_bias, device),
                output_weight: param(&self.output_weight, device),
            }),
        };
        schedule_tensors(&params, &self.t, &self.gamma, &self.gamma_prime, device);
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Diffuse {
    x: Matrix,
    eps: Matrix,
    gamma: Vec<f64>,
    z: Matrix,
}

impl Case for Diffuse {
    fn scalars(&self) {
        same_length("gamma", &self.gamma, &self.z);
        assert_eq!((shape(&self.x), shape(&self.eps)), (shape(&self.z), shape(&self.z)));
        for (i, &gamma) in self.gamma.iter().enumerate() {
            let (alpha, sigma) = (math::alpha_squared(gamma).sqrt(), math::sigma_squared(gamma).sqrt());
            for ((x, eps), z) in self.x[i].iter().zip(&self.eps[i]).zip(&self.z[i]) {
                near("z", alpha * x + sigma * eps, *z);
            }
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let (x, eps, gamma) = (matrix(&self.x, device), matrix(&self.eps, device), vector::<B>(&self.gamma, device));
        let z = loss::diffuse(x, eps.clone(), gamma.clone());
        let scale = largest(self.x.iter().chain(&self.eps).flatten());
        near_f32("z", z.clone(), &self.z.concat(), scale);
        // And back: dividing by α magnifies the rounding.
        let alpha = self.gamma.iter().map(|&g| math::alpha_squared(g).sqrt()).fold(1.0, f64::min);
        near_f32("x", loss::predict_clean(z, eps, gamma), &self.x.concat(), scale / alpha);
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AntitheticTimes {
    u: f64,
    batch: usize,
    /// 0 stands for continuous time.
    steps: u32,
    t: Vec<f64>,
}

impl Case for AntitheticTimes {
    fn scalars(&self) {
        let times = math::antithetic_times(self.u, self.batch, (self.steps > 0).then_some(self.steps));
        same_length("t", &times, &self.t);
        for (&actual, &expected) in times.iter().zip(&self.t) {
            near("t", actual, expected);
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatentLoss {
    f: Matrix,
    gamma_max: f64,
    kl_nats: Vec<f64>,
}

impl Case for LatentLoss {
    fn scalars(&self) {
        same_length("kl_nats", &self.kl_nats, &self.f);
        for (f, &expected) in self.f.iter().zip(&self.kl_nats) {
            near("kl_nats", f.iter().map(|&f| math::latent_kl(f, self.gamma_max)).sum(), expected);
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let kl = loss::latent_kl(matrix::<B>(&self.f, device), vector(&[self.gamma_max], device));
        near_f32("kl_nats", kl, &self.kl_nats, largest(&self.kl_nats));
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffusionLoss {
    gamma_min: f64,
    gamma_max: f64,
    /// 0 stands for continuous time.
    steps: u32,
    t: Vec<f64>,
    eps: Matrix,
    eps_hat: Matrix,
    loss_nats: Vec<f64>,
}

impl DiffusionLoss {
    fn weights(&self) -> Vec<f64> {
        let schedule = NoiseSchedule::linear(self.gamma_min, self.gamma_max);
        let weight = |&t: &f64| match self.steps {
            0 => math::diffusion_weight_continuous(schedule.gamma_prime(t)),
            steps => {
                let s = t - 1.0 / f64::from(steps);
                math::diffusion_weight_discrete(schedule.gamma(t), schedule.gamma(s), steps)
            }
        };
        self.t.iter().map(weight).collect()
    }
}

impl Case for DiffusionLoss {
    fn scalars(&self) {
        same_length("loss_nats", &self.loss_nats, &self.t);
        same_length("eps", &self.eps, &self.t);
        assert_eq!(shape(&self.eps), shape(&self.eps_hat));
        for (i, weight) in self.weights().into_iter().enumerate() {
            let squares: f64 = self.eps[i].iter().zip(&self.eps_hat[i]).map(|(a, b)| (a - b).powi(2)).sum();
            near("loss_nats", weight * squares, self.loss_nats[i]);
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let weight = vector(&self.weights(), device);
        let loss = loss::diffusion_loss(matrix::<B>(&self.eps, device), matrix(&self.eps_hat, device), weight);
        near_f32("loss_nats", loss, &self.loss_nats, largest(&self.loss_nats));
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BernoulliNll {
    logits: Matrix,
    x: Matrix,
    nll_nats: Vec<f64>,
    bits_per_dim: Vec<f64>,
    entropy_floor_nats: Vec<f64>,
}

impl Case for BernoulliNll {
    fn scalars(&self) {
        let [rows, dimensions] = shape(&self.x);
        assert_eq!(shape(&self.logits), [rows, dimensions]);
        for expected in [&self.nll_nats, &self.bits_per_dim, &self.entropy_floor_nats] {
            same_length("bernoulli_nll", expected, &self.x);
        }
        for i in 0..rows {
            let nats: f64 = self.logits[i].iter().zip(&self.x[i]).map(|(&l, &x)| math::bernoulli_nll(l, x)).sum();
            near("nll_nats", nats, self.nll_nats[i]);
            near("bits_per_dim", math::bits_per_dim(nats, dimensions), self.bits_per_dim[i]);
            let floor = self.x[i].iter().map(|&x| math::bernoulli_entropy(x)).sum();
            near("entropy_floor_nats", floor, self.entropy_floor_nats[i]);
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let nll = loss::bernoulli_nll(matrix::<B>(&self.logits, device), matrix(&self.x, device));
        near_f32("nll_nats", nll, &self.nll_nats, largest(self.logits.iter().flatten()));
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GradientDifference {
    x: Vec<Matrix>,
    y: Vec<Matrix>,
    loss: Vec<f64>,
    mse: Vec<f64>,
}

impl Case for GradientDifference {
    fn tensors<B: Backend>(&self, device: &B::Device) {
        let [h, w] = shape(&self.x[0]);
        let b = self.x.len();
        assert!(self.x.iter().chain(&self.y).all(|image| shape(image) == [h, w]));
        let images = |images: &[Matrix]| tensor::<B, 3>(images.iter().flatten().flatten().copied(), [b, h, w], device);
        let (x, y) = (images(&self.x), images(&self.y));
        near_f32("loss", loss::gradient_difference(x.clone(), y.clone()), &self.loss, largest(&self.loss));
        near_f32("mse", loss::mse(x.reshape([b, h * w]), y.reshape([b, h * w])), &self.mse, largest(&self.mse));
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReverseSteps {
    gamma_t: f64,
    gamma_s: f64,
    z_t: Matrix,
    eps_hat: Matrix,
    noise: Matrix,
    x_hat: Matrix,
    z_s_ancestral: Matrix,
    z_s_ddim: Matrix,
    gamma_previous: f64,
    x_hat_previous: Matrix,
    z_s_dpmpp_2m: Matrix,
}

impl ReverseSteps {
    fn gammas(&self) -> StepGammas {
        StepGammas { gamma_t: self.gamma_t, gamma_s: self.gamma_s }
    }
}

impl Case for ReverseSteps {
    fn scalars(&self) {
        let step = self.gammas();
        let (clean_z, clean_eps) = step.clean();
        let (ancestral, ddim) = (step.ancestral(), step.ddim());
        let solver = step.dpm_solver_2m(Some(self.gamma_previous));
        let size = shape(&self.z_t);
        for other in [&self.eps_hat, &self.noise, &self.x_hat, &self.z_s_ancestral, &self.z_s_ddim] {
            assert_eq!(shape(other), size);
        }
        assert_eq!((shape(&self.x_hat_previous), shape(&self.z_s_dpmpp_2m)), (size, size));
        for i in 0..size[0] {
            for j in 0..size[1] {
                let (z, eps) = (self.z_t[i][j], self.eps_hat[i][j]);
                let f_hat = clean_z * z + clean_eps * eps;
                near("x_hat", f_hat, self.x_hat[i][j]);
                let z_s = ancestral.z * z + ancestral.eps * eps + ancestral.noise * self.noise[i][j];
                near("z_s_ancestral", z_s, self.z_s_ancestral[i][j]);
                near("z_s_ddim", ddim.f_hat * f_hat + ddim.eps * eps, self.z_s_ddim[i][j]);
                let previous = self.x_hat_previous[i][j];
                let z_s = solver.z * z + solver.f_hat * f_hat + solver.f_hat_previous * previous;
                near("z_s_dpmpp_2m", z_s, self.z_s_dpmpp_2m[i][j]);
            }
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let step = self.gammas();
        let (ancestral, ddim) = (step.ancestral(), step.ddim());
        let solver = step.dpm_solver_2m(Some(self.gamma_previous));
        let on_device = |rows| matrix::<B>(rows, device);
        let (z, eps, noise) = (on_device(&self.z_t), on_device(&self.eps_hat), on_device(&self.noise));
        // At γ = 5, 1/α = 12: f̂ is large, and carries the rounding of what it was made of.
        let scale = largest(self.x_hat.iter().chain(&self.z_t).chain(&self.eps_hat).chain(&self.noise).flatten());
        let f_hat = loss::predict_clean(z.clone(), eps.clone(), vector(&[self.gamma_t], device));
        near_f32("x_hat", f_hat.clone(), &self.x_hat.concat(), scale);
        let z_s = z.clone() * ancestral.z + eps.clone() * ancestral.eps + noise * ancestral.noise;
        near_f32("z_s_ancestral", z_s, &self.z_s_ancestral.concat(), scale);
        near_f32("z_s_ddim", f_hat.clone() * ddim.f_hat + eps * ddim.eps, &self.z_s_ddim.concat(), scale);
        let z_s = z * solver.z + f_hat * solver.f_hat + on_device(&self.x_hat_previous) * solver.f_hat_previous;
        near_f32("z_s_dpmpp_2m", z_s, &self.z_s_dpmpp_2m.concat(), scale);
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeEmbedding {
    tau: Vec<f64>,
    dim: usize,
    embedding: Matrix,
}

impl Case for TimeEmbedding {
    fn scalars(&self) {
        assert_eq!(shape(&self.embedding), [self.tau.len(), self.dim]);
        for (&tau, expected) in self.tau.iter().zip(&self.embedding) {
            let embedding = math::time_embedding(tau, self.dim);
            same_length("embedding", &embedding, expected);
            for (&actual, &expected) in embedding.iter().zip(expected) {
                // The sine of an argument up to 1000, which is itself rounded: a few units of 1e-13.
                near_with_floor("embedding", actual, expected, 2e-12);
            }
        }
    }

    fn tensors<B: Backend>(&self, device: &B::Device) {
        let embedding = nn::time_embedding(vector::<B>(&self.tau, device), self.dim);
        // The argument, up to 1000, is rounded in float32 (3e-5 each time), and the sine's slope is up to 1:
        // a scale of 100 allows 3e-4.
        near_f32("embedding", embedding, &self.embedding.concat(), 100.0);
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Film {
    h: Matrix,
    scale: Matrix,
    shift: Matrix,
    out: Matrix,
}

impl Case for Film {
    fn tensors<B: Backend>(&self, device: &B::Device) {
        let on_device = |rows| matrix::<B>(rows, device);
        let out = nn::film(on_device(&self.h), on_device(&self.scale), on_device(&self.shift));
        near_f32("out", out, &self.out.concat(), largest(self.h.iter().chain(&self.shift).flatten()));
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LearningRate {
    peak: f64,
    warmup_steps: u64,
    total_steps: u64,
    final_fraction: f64,
    step: Vec<u64>,
    learning_rate: Vec<f64>,
}

impl Case for LearningRate {
    fn scalars(&self) {
        let config = TrainingConfig {
            learning_rate: self.peak,
            warmup_steps: self.warmup_steps,
            steps: self.total_steps,
            final_fraction: self.final_fraction,
            ..Preset::Paper.training(None)
        };
        same_length("learning_rate", &self.learning_rate, &self.step);
        for (&step, &expected) in self.step.iter().zip(&self.learning_rate) {
            // At the end of the cosine 1 + cos π p is a difference of ones: rounding, as a part of the peak.
            near_with_floor("learning_rate", config.learning_rate_at(step), expected, 1e-15 * self.peak);
        }
    }
}

fn refused(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("a file");
    let panic = std::panic::catch_unwind(|| check_file(&file)).expect_err("must fail");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn what_is_not_known_or_not_equal_fails() {
    let film = r#"[{"h": [[1.0]], "scale": [[0.5]], "shift": [[0.25]], "out": [[1.75]] }]"#;
    assert!(refused("folm.json", film).contains("no group of this name"));
    assert!(refused("film.json", &film.replace("\"h\"", "\"extra\": 1, \"h\"")).contains("unknown field"));
    assert!(refused("film.json", &film.replace("\"out\"", "\"h2\"")).contains("unknown field"));
    assert!(refused("film.json", &film.replace("1.75", "1.7501")).contains("out[0]"));
    assert!(refused("film.json", "[]").contains("no case"));
}
