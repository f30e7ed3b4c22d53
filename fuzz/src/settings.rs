//! TOML files of settings, and assignments of the command line, which start with `=`.

use trainer::untrusted;

use crate::bounds::bounded;
use crate::place::put;

/// Reads settings, or refuses them.
pub fn run(input: &[u8]) {
    if let [b'=', assignment @ ..] = input {
        let assignment = String::from_utf8_lossy(assignment);
        drop(bounded(input.len(), |_| 0, || untrusted::assign(&assignment)));
    } else {
        let path = put("run.toml", input);
        drop(bounded(input.len(), |_| 0, || untrusted::settings(&path)));
    }
}

/// Whole and partial files.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = untrusted::whole_settings().into_iter().map(String::into_bytes).collect();
    for text in [
        "[training]\nbatch = 16\nema_half_lives = [500]\n[data]\nmax_images = \"none\"\n[model.schedule]\nkind = \"linear\"\n",
        "preset = \"paper\"\ntraining.learning_rate = 1e-3\ntraining.objective = { kl_weight = 0.5 }\n",
        "model.schedule.kind = { monotonic = { hidden = 4, learn_endpoints = true } }\n[augmentation]\nrotation = 5\n",
        "[model]\ngrain_spread = 0.5\n[model.score_net]\ngamma_offset = 0.25\n",
        "=training.batch=8",
        "=model.schedule.kind={ monotonic = { hidden = 4, learn_endpoints = true } }",
        "=data.max_images=none",
    ] {
        seeds.push(text.as_bytes().to_vec());
    }
    // Tables within tables without end.
    for deep in ["=a", "a"] {
        seeds.push(format!("{deep}{}=1", ".a".repeat(2_000)).into_bytes());
    }
    seeds.push(format!("a={}1{}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes());
    seeds.push(format!("a={}1", "{a=".repeat(2_000)).into_bytes());
    seeds
}
