//! The optimizer of all networks: AdamW, or Muon for the weights of the residual blocks and AdamW for the rest.

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{GradientsParams, Optimizer};
use burn::record::Record;
use burn::tensor::{Tensor, backend::AutodiffBackend, backend::Backend};
use vdm::config::{OptimizerKind, TrainingConfig};
use vdm::model::Networks;

use super::adamw::AdamW;
use super::muon::Muon;

type Adaptor<O, B> = OptimizerAdaptor<O, Networks<B>, B>;
type State<O, B> = <Adaptor<O, B> as Optimizer<Networks<B>, B>>::Record;

/// The optimizer with its moments.
#[derive(Clone)]
pub struct NetworksOptimizer<B: AutodiffBackend> {
    adamw: Adaptor<AdamW, B>,
    muon: Adaptor<Muon, B>,
    kind: OptimizerKind,
}

/// The state of an optimizer in a checkpoint.
#[derive(Record)]
pub struct OptimizerRecord<B: AutodiffBackend> {
    adamw: State<AdamW, B>,
    muon: State<Muon, B>,
}

impl<B: AutodiffBackend> NetworksOptimizer<B> {
    /// An optimizer without moments.
    pub fn new(training: &TrainingConfig) -> Self {
        let muon = Muon { decay: training.weight_decay as f32 };
        Self { adamw: AdamW::new(training).into(), muon: muon.into(), kind: training.optimizer }
    }

    /// Updates the networks by their gradients.
    pub fn step(&mut self, rate: f64, networks: Networks<B>, mut gradients: GradientsParams) -> Networks<B> {
        let networks = match self.kind {
            OptimizerKind::AdamW => networks,
            OptimizerKind::Muon => {
                let mut taken = Matrices { from: &mut gradients, taken: GradientsParams::new(), path: Vec::new() };
                networks.valid().visit(&mut taken);
                let of_matrices = taken.taken;
                self.muon.step(rate, networks, of_matrices)
            }
        };
        self.adamw.step(rate, networks, gradients)
    }

    /// Its state.
    pub fn to_record(&self) -> OptimizerRecord<B> {
        OptimizerRecord { adamw: self.adamw.to_record(), muon: self.muon.to_record() }
    }

    /// Takes a stored state.
    pub fn load_record(self, record: OptimizerRecord<B>) -> Self {
        let OptimizerRecord { adamw, muon } = record;
        Self { adamw: self.adamw.load_record(adamw), muon: self.muon.load_record(muon), ..self }
    }
}

/// Takes the gradients of the matrices that Muon updates: the dense layers inside residual blocks. AdamW updates the
/// input and output layers, embeddings, and the modulation, whose input is small (Jordan et al. 2024).
struct Matrices<'a> {
    from: &'a mut GradientsParams,
    taken: GradientsParams,
    path: Vec<String>,
}

impl<B: Backend> ModuleVisitor<B> for Matrices<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let within = |name: &str| self.path.iter().any(|part| part == name);
        if D == 2
            && within("blocks")
            && !within("film")
            && let Some(gradient) = self.from.remove::<B, D>(param.id)
        {
            self.taken.register::<B, D>(param.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::TensorData;
    use vdm::config::Preset;
    use vdm::rng::{Rng, RngStream};
    use vdm::weights::parameters;

    use super::*;

    type Cpu = Autodiff<Flex>;

    /// A gradient for each parameter, of noise.
    struct Noise(GradientsParams, u64);

    impl<B: Backend> ModuleVisitor<B> for Noise {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            self.1 += 1;
            let shape: [usize; D] = param.dims();
            let values = Rng::new(3, RngStream::Evaluation, self.1).normals(shape.iter().product());
            self.0.register::<B, D>(param.id, Tensor::from_data(TensorData::new(values, shape), &param.device()));
        }
    }

    fn step(optimizer: &mut NetworksOptimizer<Cpu>, networks: Networks<Cpu>, index: u64) -> Networks<Cpu> {
        let mut noise = Noise(GradientsParams::new(), 1000 * index);
        networks.valid().visit(&mut noise);
        optimizer.step(0.01, networks, noise.0)
    }

    fn values(networks: &Networks<Cpu>) -> Vec<(String, Vec<f32>)> {
        let all = parameters(networks).expect("reads");
        all.into_iter().map(|parameter| (parameter.name, parameter.values)).collect()
    }

    #[test]
    fn muon_moves_the_matrices_of_blocks_by_orthogonal_steps_and_adamw_the_rest() {
        let training =
            TrainingConfig { optimizer: OptimizerKind::Muon, weight_decay: 0.0, ..Preset::Quick.training(None) };
        let networks = Networks::<Cpu>::new(&Preset::Quick.model(), 0, &Default::default()).expect("builds");
        let before = values(&networks);
        let mut optimizer = NetworksOptimizer::new(&training);
        let networks = step(&mut optimizer, networks, 1);
        let mut by_muon = 0;
        for ((name, before), (_, after)) in before.iter().zip(&values(&networks)) {
            let moved: Vec<f32> = before.iter().zip(after).map(|(a, b)| a - b).collect();
            if name.contains("blocks") && name.ends_with("weight") && !name.contains("film") {
                // Of 64×64 numbers with a root mean square of 0.2; all of their singular values are about 1.6.
                let scaled: Vec<f32> = moved.iter().map(|v| v / (0.01 * 1.6)).collect();
                let rows: Vec<&[f32]> = scaled.chunks_exact(64).collect();
                for (i, row) in rows.iter().enumerate() {
                    let norm: f32 = row.iter().map(|v| v * v).sum();
                    assert!((0.4..1.6).contains(&norm), "{name}: row {i} has a squared norm of {norm}");
                }
                by_muon += 1;
            } else {
                // The first step of Adam's kind is the learning rate in each number.
                assert!(moved.iter().all(|v| (v.abs() - 0.01).abs() < 1e-3), "{name}: {moved:?}");
            }
        }
        assert_eq!(by_muon, 2 * (2 + 2 + 3), "two matrices in each block");

        // From its record it goes on as it would have.
        let mut stored = NetworksOptimizer::new(&training).load_record(optimizer.to_record());
        let other = step(&mut stored, networks.clone(), 2);
        assert_eq!(values(&step(&mut optimizer, networks, 2)), values(&other));
    }
}
