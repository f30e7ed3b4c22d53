//! Operations of the networks in few passes over memory, forward and backward, on the CPU (Flex) in float32.
//!
//! Each is the same function as the plain code beside its caller, which every other backend runs, and which the tests compare
//! it with. A result depends on the shapes only, not on the number of cores.
//!
//! A file uses only those above it in this order: `cpu`, `operation`, then each operation for itself.

// Gradients.
#![cfg_attr(not(feature = "training"), allow(dead_code))]

pub mod cpu;
pub mod in_place;
mod operation;

pub mod attention;
pub mod dense;
pub mod loss;
pub mod norm;
pub mod perceptron;
pub mod shift;
pub mod swish;

#[cfg(all(test, feature = "training"))]
pub(crate) mod check;
