//! English.

use super::{Between, Bound, Forward, Learn, Race, Schedule, Subject};

/// The learning views in English.
pub static EN: Learn = Learn {
    subject: Subject {
        choose: "Choose an image",
        last: "My last image",
        example: "Example {number}",
        own: "My own picture…",
        own_hint: "Your own picture is read here, in your browser. It is sent nowhere and kept nowhere.",
        no_encoder: "These weights come without an encoder, so only the model's own images can be used.",
        none: "No image is chosen yet.",
        name_sample: "Image of seed {seed}, drawn by the model",
        name_own: "Your picture {file}",
        original: "Your picture, cropped and in grey",
    },
    forward: Forward {
        title: "From image to noise",
        intro: "A diffusion model learns by watching images drown in noise. The slider does it to an image: at t = 0 \
            it is almost untouched, at t = 1 nothing but chance is left.",
        intro_more: "This model adds the noise not to the pixels, but to {numbers} numbers that its encoder sums the \
            image up in. Turned back into a picture, they do not look like snow on a screen: they look like a chest \
            that has less and less to do with the first one.",
        time: "Time t",
        seed: "Seed of the noise",
        seed_hint: "Another seed is another noise.",
        new_noise: "New noise",
        clean: "The image",
        noisy: "The image with noise",
        latent: "What the noise falls on",
        latent_hint: "The {numbers} numbers of z at time t: orange above zero, blue below.",
        shares: "How much of it is image, how much is noise",
        signal: "Image, α²",
        noise: "Noise, σ²",
        snr: "Signal to noise, α²/σ²",
        gamma: "γ = −ln (α²/σ²)",
        back: "And back again",
        back_intro: "Now the model takes the noise away, step by step. From a small t the image comes back. From a \
            large t it is another image of the same kind: what the noise has covered, the model invents.",
        denoise: "Denoise from here",
        denoised: "Denoised",
        not_denoised: "Press “Denoise from here”, and the way back shows here.",
        denoised_from: "Denoised from t = {t}",
        at_zero: "At t = 0 there is no noise to take away: move the slider first.",
    },
    schedule: Schedule {
        title: "The noise schedule",
        intro: "The schedule says how fast the noise comes. These curves are those of the weights that are loaded: \
            from an almost clean image at t = 0 to almost pure noise at t = 1.",
        intro_more: "Most diffusion models have a schedule that somebody chose. A variational diffusion model can \
            learn it together with the network, so that every stretch of the way is worth about the same effort.",
        time: "Time t",
        running: "The images that are being made are at t = {t}.",
        not_running: "While images are being made, the mark shows how far they are.",
        gamma_title: "γ(t)",
        gamma_hint: "Minus the logarithm of the signal-to-noise ratio. It only ever rises.",
        snr_title: "SNR(t)",
        snr_hint: "Signal to noise. The scale is in powers of ten; at 10⁰ = 1 image and noise are equally strong.",
        shares_title: "Shares of image and noise",
        shares_hint: "α² and σ² add up to 1 at every time: the variance is preserved.",
        signal: "image α²",
        noise: "noise σ²",
        axis_time: "time t",
        description: "{what}: {start} at t = 0, {end} at t = 1, and {value} at the marked time, t = {t}.",
        facts: "This schedule",
        shape: "Shape",
        linear: "A straight line",
        monotonic: "Learned: a network that can only rise, with {hidden} hidden units",
        start: "Start, γ(0)",
        end: "End, γ(1)",
        endpoints: "Start and end",
        learned: "Learned with the network",
        fixed: "Chosen before training",
        no_model: "The curves appear once the model is here.",
    },
    bound: Bound {
        title: "What the bound measures",
        intro: "How surprised is the model by an image? The answer is counted in bits per pixel, as for a compressed \
            file: so many bits at most would be needed to send the image to somebody who has the same model.",
        intro_more: "That is why it is called a bound, and why less is better. It has three parts: reconstruction, \
            latent and diffusion. Their sum is what such models are compared by.",
        intro_last: "It is measured here, on your device, with real noise: the smaller parts change a little with the \
            noise.",
        measure: "Measure",
        measuring: "Measuring…",
        needs_encoder: "Measuring needs the encoder, and these weights come without one.",
        not_measured: "Choose an image and press Measure.",
        measured: "{name}, measured at {times} diffusion times.",
        of_a_sample: "The model drew this image itself, so it fits the model well. How good the model is shows on \
            real X-rays that it has never seen.",
        of_a_picture: "This picture is your own. The less it is like the images that the model was trained on, the \
            more it surprises the model.",
        unit: "bits per pixel",
        terms: "The parts of the bound",
        reconstruction: "Reconstruction",
        reconstruction_meaning: "How far the image is from what the decoder draws when it knows only the latent \
            numbers.",
        floor: "Entropy floor, part of the reconstruction",
        floor_meaning: "No model gets below this: each grey is treated as a coin's chance of white, and a coin stays \
            uncertain.",
        latent: "Latent",
        latent_meaning: "What still shows of the image when t = 1. Near 0, one may safely start from pure noise.",
        diffusion: "Diffusion",
        diffusion_meaning: "How badly the network guesses the noise, all the way from t = 1 to t = 0.",
        total: "Total",
        total_meaning: "Reconstruction, latent and diffusion together: the bound itself.",
        magnified: "Above the floor, magnified",
        magnified_hint: "Only this part, {share} % of the total, could still shrink. It is drawn here at full width.",
        excess: "Reconstruction above the floor",
    },
    between: Between {
        title: "Between two seeds",
        intro: "Every image starts from noise, and a seed is the name of one such noise. Here the noise of one seed \
            turns into the noise of another, and the model draws an image at every stop. Neighbours look alike: the \
            model has learned a landscape, not a pile of pictures.",
        intro_more: "The way is an arc on a sphere and not a straight line, because halfway along a straight line the \
            noise would be weaker than any that the model knows.",
        from: "From seed",
        to: "To seed",
        seed_hint: "A whole number.",
        new_seeds: "Two new seeds",
        frames: "Pictures on the way",
        generate: "Generate",
        settings: "Sampler and steps are those of Generate: {sampler}; steps: {steps}.",
        strip: "All pictures",
        frame: "Picture {number} of {count}, synthetic chest X-ray, not for diagnosis",
        animation: "There and back",
        play: "Play",
        pause: "Pause",
        save: "Save strip",
        save_animation: "Save animation",
        empty: "Press Generate, and the way from one seed to the other appears here.",
    },
    race: Race {
        title: "Sampler race",
        intro: "A sampler is the recipe for the way from noise to image. Few steps are quick, many steps are careful. \
            Here one and the same noise takes two ways: which is the faster, and does it end at the same image?",
        intro_more: "The two run one after the other, so that neither takes time from the other, and each has a clock \
            of its own.",
        intro_last: "DPM-Solver++ and DDIM are deterministic: with enough steps, both approach the same image. \
            Ancestral sampling draws fresh noise at each step and ends elsewhere.",
        seed: "Seed for both",
        seed_hint: "Both start from the noise of this seed.",
        new_seed: "New seed",
        left: "Left",
        right: "Right",
        sampler: "Sampler",
        steps: "Steps",
        start: "Start the race",
        waiting: "Waiting for its turn…",
        empty: "Ready at the start.",
        result: "The result",
        difference: "The images differ by {levels} of 255 grey levels (root mean square).",
        difference_hint: "Below about 3, one hardly sees it.",
        faster: "{lane}: {times} times as fast.",
        as_fast: "Both took the same time.",
        ancestral: "One of them drew fresh noise at each step: a large difference is expected.",
    },
};
