//! Progress: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress of a known amount of work.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    said: Instant,
}

const EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Starts at `done` of `total`.
    pub fn new(what: &'static str, done: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total).with_style(style).with_prefix(what);
            bar.set_position(done);
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self { bar, what, total, done, started: now, said: now }
    }

    /// Moves on to `done`, with a message that is made only where it is shown.
    pub fn set(&mut self, done: u64, message: impl FnOnce() -> String) {
        let before = self.done;
        self.done = done;
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(message());
            }
            None => {
                if self.said.elapsed() >= EVERY || done == self.total {
                    self.said = Instant::now();
                    let rate = (done.max(before)) as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
                    let left = (self.total.saturating_sub(done)) as f64 / rate.max(1e-9);
                    let left = humantime::format_duration(Duration::from_secs(left as u64));
                    eprintln!("{} {done}/{} {} {left} left", self.what, self.total, message());
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
