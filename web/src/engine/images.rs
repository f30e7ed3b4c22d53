//! The images of a run on their way: in one batch, or each by itself.

use burn::tensor::{Tensor, backend::Backend};
use vdm::model::{Place, Vdm};
use vdm::sampler::{Step, Trajectory};

/// Trajectories that take their steps together.
pub(super) struct Images<B: Backend>(Vec<Trajectory<B>>);

impl<B: Backend> Images<B> {
    /// `first`, and others that were made as it was, of other seeds.
    pub(super) fn new(first: Trajectory<B>, others: Vec<Trajectory<B>>) -> Self {
        let mut all = others;
        all.insert(0, first);
        Self(all)
    }

    pub(super) fn steps(&self) -> usize {
        self.0[0].steps()
    }

    pub(super) fn place_after(&self, steps: usize) -> Place {
        self.0[0].place_after(steps)
    }

    /// Takes a step with each.
    pub(super) fn step(&mut self, model: &Vdm<B>) -> Option<Step> {
        let mut taken = None;
        for trajectory in &mut self.0 {
            taken = trajectory.step(model);
        }
        taken
    }

    fn rows(of: impl Iterator<Item = Tensor<B, 2>>) -> Tensor<B, 2> {
        let mut rows: Vec<_> = of.collect();
        if rows.len() == 1 { rows.remove(0) } else { Tensor::cat(rows, 0) }
    }

    /// z_t of all images.
    pub(super) fn z(&self) -> Tensor<B, 2> {
        Self::rows(self.0.iter().map(|trajectory| trajectory.z().clone()))
    }

    /// f̂ of the last step; none before the first.
    pub(super) fn f_hat(&self) -> Option<Tensor<B, 2>> {
        let all: Option<Vec<_>> = self.0.iter().map(|trajectory| trajectory.f_hat().cloned()).collect();
        all.map(|rows| Self::rows(rows.into_iter()))
    }

    /// As [`Trajectory::decode`].
    pub(super) fn decode(&self, model: &Vdm<B>) -> Tensor<B, 2> {
        Self::rows(self.0.iter().map(|trajectory| trajectory.decode(model)))
    }
}
