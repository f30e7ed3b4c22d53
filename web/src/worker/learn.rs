//! Trains a toy while the page looks on.

use burn::backend::Autodiff;
use burn_flex::{Flex, FlexDevice};

use super::guard;
use super::jobs::JobHost;
use super::outbox::Outbox;
use crate::engine::{Halt, Host};
use crate::protocol::{Outcome, Problem, Response};
use crate::toy::{Point, STEPS, Toy};

/// How long it trains between two looks at its messages.
const SLICE_MS: f64 = 25.0;
/// How often it is shown: its samples take some time.
const SHOW_EVERY_MS: f64 = 250.0;

/// Trains until it is stopped or has learned enough. On the CPU: its products are too small for a GPU.
pub(super) async fn learn(points: &[Point], seed: u64, host: &JobHost, outbox: &Outbox) -> Result<Outcome, Halt> {
    let Some(mut toy) = Toy::<Autodiff<Flex>>::new(points, seed, FlexDevice) else {
        return Err(Problem::Settings { detail: "there are no points".to_owned() }.into());
    };
    let mut shown_ms = f64::NEG_INFINITY;
    loop {
        let is_done = toy.step() >= STEPS;
        if guard::now_ms() - shown_ms >= SHOW_EVERY_MS || is_done {
            let progress = toy.progress().await.map_err(|error| Problem::Settings { detail: error.to_string() })?;
            if !progress.terms.total().is_finite() {
                return Err(Problem::NotFinite.into());
            }
            outbox.send(Response::Learned { job: host.job(), progress: Box::new(progress) });
            shown_ms = guard::now_ms();
        }
        if is_done {
            return Ok(Outcome::Learned);
        }
        if !host.should_continue().await {
            return Err(Halt::Stopped { step: toy.step() });
        }
        let until_ms = guard::now_ms() + SLICE_MS;
        while guard::now_ms() < until_ms && toy.step() < STEPS {
            toy.train();
        }
    }
}
