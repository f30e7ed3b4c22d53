//! The optimizer over all of the networks: AdamW, or Muon for the weights of the residual blocks and AdamW for the rest.

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamW, AdamWConfig, AdjustLrFn, GradientsParams, Muon, MuonConfig, Optimizer};
use burn::record::Record;
use burn::tensor::{Tensor, backend::AutodiffBackend, backend::Backend};
use vdm::config::{OptimizerKind, TrainingConfig};
use vdm::model::Networks;

type Adaptor<O, B> = OptimizerAdaptor<O, Networks<B>, B>;
type MuonOf<B> = Muon<<B as AutodiffBackend>::InnerBackend>;
type State<O, B> = <Adaptor<O, B> as Optimizer<Networks<B>, B>>::Record;

/// The optimizer with its moments.
#[derive(Clone)]
pub struct NetworksOptimizer<B: AutodiffBackend> {
    adamw: Adaptor<AdamW, B>,
    muon: Adaptor<MuonOf<B>, B>,
    kind: OptimizerKind,
}

/// What is kept of an optimizer.
#[derive(Record)]
pub struct OptimizerRecord<B: AutodiffBackend> {
    adamw: State<AdamW, B>,
    muon: State<MuonOf<B>, B>,
}

impl<B: AutodiffBackend> NetworksOptimizer<B> {
    /// A fresh one.
    pub fn new(training: &TrainingConfig) -> Self {
        let decay = training.weight_decay as f32;
        let adamw = AdamWConfig::new()
            .with_beta_1(training.beta_1 as f32)
            .with_beta_2(training.beta_2 as f32)
            .with_epsilon(training.epsilon as f32)
            .with_weight_decay(decay);
        // Steps as long as AdamW's, so that one learning rate serves both (Liu et al. 2025).
        let muon = MuonConfig::new()
            .with_weight_decay(Some(WeightDecayConfig::new(decay)))
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
        Self { adamw: adamw.init(), muon: muon.init(), kind: training.optimizer }
    }

    /// Moves the networks against their gradients.
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

    /// Its state, to be stored.
    pub fn to_record(&self) -> OptimizerRecord<B> {
        OptimizerRecord { adamw: self.adamw.to_record(), muon: self.muon.to_record() }
    }

    /// Goes on from a stored state.
    pub fn load_record(self, record: OptimizerRecord<B>) -> Self {
        let OptimizerRecord { adamw, muon } = record;
        Self { adamw: self.adamw.load_record(adamw), muon: self.muon.load_record(muon), ..self }
    }
}

/// Takes the gradients of the matrices that Muon is for: the dense layers inside of residual blocks. Layers that meet the
/// data, embeddings, and the modulation, which depends on few numbers, are AdamW's (Jordan et al. 2024).
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
