//! The view as plain lines.

use super::memory::in_words;
use super::state::State;
use crate::output::text::duration;
use crate::run::log::ValidationLog;

/// The last step in one line, if there is one.
pub fn step_line(state: &State) -> Option<String> {
    let last = state.last.as_ref()?;
    let left = state.left().map_or_else(|| "unknown".to_owned(), duration);
    Some(format!(
        "training {}/{} reconstruction {:.4} latent {:.1e} diffusion {:.5} bits/dim, {:.0} images/s, {}, {left} left",
        state.step,
        state.total_steps,
        last.terms.reconstruction,
        last.terms.latent,
        last.terms.diffusion,
        last.images_per_second,
        in_words(state.memory.current),
    ))
}

/// A validation in one line.
pub fn validation_line(v: &ValidationLog) -> String {
    format!(
        "step {}: validation{} reconstruction {:.5} latent {:.2e} diffusion {:.6} total {:.5} ± {:.5}",
        v.step,
        of(v),
        v.terms.reconstruction,
        v.terms.latent,
        v.terms.diffusion,
        v.total,
        v.standard_error
    )
}

/// A validation in a line of at most 80 columns: the live table has the rest.
pub fn short_validation_line(v: &ValidationLog) -> String {
    format!("step {}: validation{} {:.5} ± {:.5} bits/dim", v.step, of(v), v.total, v.standard_error)
}

fn of(v: &ValidationLog) -> String {
    if v.is_of_weights() { String::new() } else { format!(" of {}", v.series) }
}
