//! The words of the views that one learns from.

mod en;
mod fr;

pub use self::en::EN;
pub use self::fr::FR;
use super::words::words;

/// The words of every learning view.
pub struct Learn {
    /// Of the image that something is done to.
    pub subject: Subject,
    pub forward: Forward,
    pub schedule: Schedule,
    pub bound: Bound,
    pub between: Between,
    pub race: Race,
}

#[cfg(test)]
impl Learn {
    /// Each word with its name.
    pub(super) fn entries(&self) -> Vec<(&'static str, &'static str)> {
        let groups = [
            self.subject.entries(),
            self.forward.entries(),
            self.schedule.entries(),
            self.bound.entries(),
            self.between.entries(),
            self.race.entries(),
        ];
        groups.concat()
    }
}

words! {
    /// Choosing an image that something is done to.
    Subject {
        choose, last, example, own, own_hint, no_encoder, none, name_sample, name_own, original,
    }
}

words! {
    /// From image to noise, and back.
    Forward {
        title, intro, intro_more, time, seed, seed_hint, new_noise, clean, kept, noisy, latent,
        latent_hint, shares, signal, noise, snr, gamma, back, back_intro, denoise, denoised, not_denoised,
        denoised_from, at_zero,
    }
}

words! {
    /// γ(t) and SNR(t).
    Schedule {
        title, intro, intro_more, time, running, not_running, gamma_title, gamma_hint, snr_title, snr_hint,
        shares_title, shares_hint, signal, noise, axis_time, description, facts, gamma_here, snr_here, shape,
        linear, monotonic, start, end, endpoints, learned, fixed, no_model,
    }
}

words! {
    /// The bound of an image.
    Bound {
        title, intro, intro_more, intro_last, measure, measuring, needs_encoder, not_measured, measured,
        of_a_sample, of_a_picture, unit, terms, reconstruction, reconstruction_meaning, floor,
        floor_meaning, latent, latent_meaning, diffusion, diffusion_meaning, total, total_meaning,
        magnified, magnified_hint, excess,
    }
}

words! {
    /// Images between two seeds.
    Between {
        title, intro, intro_more, from, to, seed_hint, new_seeds, frames, generate, settings, strip, frame,
        animation, play, pause, save, save_animation, empty,
    }
}

words! {
    /// Two samplers, one seed.
    Race {
        title, intro, intro_more, intro_last, seed, seed_hint, new_seed, left, right, sampler, steps, start,
        waiting, empty, result, difference, difference_hint, faster, as_fast, ancestral,
    }
}
