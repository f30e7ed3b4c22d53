//! The names of the texts.

use super::lang::Lang;
use super::lines::Lines;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name {
            $(pub $field: &'static str),*
        }

        impl $name {
            /// Replaces its texts, in the order of their names.
            pub(super) fn translate(&mut self, lines: &mut Lines) {
                // A loop over places: 400 calls and moves would weigh as much as the texts.
                for text in [$(&mut self.$field),*] {
                    *text = lines.text();
                }
            }

            /// Each text with its name.
            #[cfg(test)]
            pub(super) fn entries(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }
    };
}

words! {
    /// Texts of the whole page.
    Common {
        title, warning, warning_detail, skip, views, generate, forward, schedule, bound, map, conditions, between, race, weights,
        about, language, going_on, progress, cancel, cancelling, close, picture, predicted, noisy, seed, seed_hint, steps, steps_hint, sampler, dpm_solver, ddim, ancestral, step,
        time, speed, play, leave_kiosk, kiosk_link, kiosk_noise, kiosk_emerging, kiosk_whole,
        kiosk_question, kiosk_answer, kiosk_code, kiosk_failed, nothing, accepts_seed, accepts_steps, accepts_class, accepts_guidance, accepts_sampler, accepts_count, class_one,
        steps_one, steps_many,
    }
}

words! {
    /// The status and the notices.
    Status {
        starting, fetching, preparing, ready, waiting, step, paused, stopping, done, done_many, generating, diffusing,
        measuring, timing, saving, switching, encoder, moved_to_cpu, cancelled, stopped, saved, switched, other_weights, bad_link, on_gpu,
        on_gpu_named, on_cpu, gpu_found, requested, no_webgpu, no_adapter, no_timestamp_query, software_gpu, probe_failed,
        gpu_failed,
    }
}

words! {
    /// The problems: a title, then details and what helps.
    Problems {
        worker_missing, worker_missing_status, worker_missing_silent, worker_broken, worker_broken_type,
        worker_broken_cut, worker_silent, worker_silent_detail,
        worker_crashed, worker_crashed_detail, version_mismatch, version_mismatch_detail, manifest, manifest_detail,
        network, network_detail, http_status, http_status_detail, http_busy, http_busy_detail, damaged, too_short, too_long, wrong_hash, bad_weights,
        bad_weights_detail, gpu_unavailable, gpu_unavailable_detail, gpu_lost, gpu_error, gpu_detail, gpu_silent,
        gpu_silent_detail, gpu_flat, gpu_flat_detail, out_of_memory,
        out_of_memory_detail, not_finite, not_finite_detail, settings, settings_detail, encoding, encoding_detail,
        no_encoder, no_encoder_detail, bad_picture, bad_picture_detail, too_large, too_large_detail, retry, use_cpu,
        reload, dismiss,
    }
}

words! {
    /// Updates and storage.
    Offline {
        update, update_now, storage, storage_used, storage_unknown, empty_storage, emptied, install, install_desktop,
        install_phone, works_offline, needs_network,
    }
}

words! {
    /// The first view.
    Generate {
        heading, settings, count, count_one, count_many, class, finding, view, sex, class_any, guidance, generate, again, held, keys, pause, pin, pinned,
        step_once, moment, moment_value, open_one, all_images, keep, keep_intro, save_one, save_all, animation, gif, strip,
        share, share_copied, share_label, share_hint,
    }
}

words! {
    /// The game.
    Game {
        title, question, drawing, left, right_one, pick, right, wrong, drawn, real, open, next, again, loupe, across, down,
        score, hint, source, check, check_intro, check_file, checking, exact, rounded, altered, other_weights, no_origin,
        other_kind, given, redrawn, difference,
    }
}

words! {
    /// The story.
    Story {
        name, title, intro, noise, net, decoder, picture, map, map_intro, map_legend, map_here, ask, ask_intro, ask_more, ask_hint, ask_none, copies, copies_text, card,
    }
}

words! {
    /// The view of a model that learns.
    Toy {
        title, intro, intro_more, canvas, legend, ring, groups, spiral, clear, start, pause, go_on, learning, step, steps,
        error, latent, diffusion, gamma, gamma_hint, gamma_value,
    }
}

words! {
    /// The view of weights.
    Weights {
        heading, intro, in_use, own, backend, weights, sha256, trained_on, training, data_unknown, thanks, licence, size,
        pixels, model_card, from_store, from_net, choose, choose_hint, drop, drop_here, site, model, config,
        provenance, name, data, images, training_steps, seed, date, software, classes,
    }
}

words! {
    /// The last view.
    About {
        heading, how, how_1, how_2, how_3, how_4, formulas, forward, forward_text, schedule, schedule_text,
        prediction, prediction_text, reverse, reverse_text, loss, loss_text, decoder, decoder_text, card, card_failed,
        ethics, consent, privacy, transparency, bias, diagnosis, licences, code_licence, weights_licence, paper,
        acknowledgement, nih, diagnostics, diagnostics_hint, copy, copied, measure_speed, keyboard, keyboard_text,
    }
}

words! {
    /// The choice of an image.
    Subject {
        choose, last, example, own, own_hint, no_encoder, none, name_sample, name_own, original,
    }
}

words! {
    /// The forward process, and back.
    Forward {
        title, intro, intro_more, time, seed, seed_hint, new_noise, clean, kept, noisy, guess, error, error_of, shares, signal, noise, snr, gamma, back, back_intro, denoise, denoised, not_denoised,
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
        magnified, magnified_hint, excess, lossless_meaning, told, told_at,
    }
}

words! {
    /// Images between two seeds.
    Between {
        title, intro, intro_more, from, to, seed_hint, new_seeds, frames, generate, settings, strip, frame,
        animation, play, pause, save, save_animation, save_gif, empty,
    }
}

words! {
    /// Two samplers, one seed.
    Race {
        title, intro, intro_more, intro_last, seed, seed_hint, new_seed, left, right, sampler, steps, start,
        waiting, empty, result, difference, difference_hint, faster, as_fast, ancestral,
    }
}

macro_rules! groups {
    ($(#[$doc:meta])* $name:ident $(with $lang:ident)? { $($(#[$of:meta])* $field:ident: $group:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name {
            $(pub $lang: Lang,)?
            $($(#[$of])* pub $field: $group),*
        }

        impl $name {
            /// Replaces its texts, group by group.
            pub(super) fn translate(&mut self, lines: &mut Lines) {
                $(self.$field.translate(lines);)*
            }

            /// Each text with its name.
            #[cfg(test)]
            pub(super) fn entries(&self) -> Vec<(&'static str, &'static str)> {
                [$(self.$field.entries()),*].concat()
            }
        }
    };
}

groups! {
    /// The texts of the learning views.
    Learning {
        /// Of the choice of an image.
        subject: Subject,
        forward: Forward,
        schedule: Schedule,
        bound: Bound,
        between: Between,
        race: Race,
    }
}

groups! {
    /// The texts of a language, in groups.
    Words with lang {
        /// Of the whole page.
        common: Common,
        /// Of the status.
        status: Status,
        /// Of the problems.
        problems: Problems,
        /// Of updates and storage.
        offline: Offline,
        generate: Generate,
        game: Game,
        story: Story,
        toy: Toy,
        weights: Weights,
        about: About,
        /// Of the learning views.
        learning: Learning,
    }
}
