//! Files of weights that were changed at random are read or refused, with bounded memory and time. A fuzzer runs the same
//! bodies for longer: docs/robustness.md.

#[path = "../../fuzz/src/bounds.rs"]
mod bounds;
#[path = "../../fuzz/src/mutations.rs"]
mod mutations;
#[path = "../../fuzz/src/weights.rs"]
mod weights;

#[test]
fn files_of_weights() {
    mutations::each("weights", weights::seeds, 3000, weights::run);
}
