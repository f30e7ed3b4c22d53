//! A request to stop early, by a signal or by a time limit, that every phase of a run looks at.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A request to stop. Clones share one flag and one deadline, so that a later phase cannot extend the time limit.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Interrupt {
    /// Starts the clock of a time limit.
    pub fn new(time_limit: Option<Duration>) -> Self {
        // A limit beyond what the clock can hold is no limit.
        let deadline = time_limit.and_then(|limit| Instant::now().checked_add(limit));
        Self { stop: Arc::default(), deadline }
    }

    /// Makes the first SIGINT or SIGTERM a request to stop, and the second one the end of the process.
    ///
    /// # Errors
    /// The process listens for signals already.
    pub fn listen(&self) -> Result<()> {
        let interrupt = self.clone();
        ctrlc::set_handler(move || {
            if interrupt.stop.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("stopping, with a checkpoint if a step was taken (Ctrl-C again stops at once, without one)");
        })
        .context("cannot listen for signals")
    }

    /// Requests the stop.
    #[cfg(test)]
    pub fn request(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was requested or the time is up.
    pub fn is_raised(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// [`Interrupted`] once a stop was requested or the time is up.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_raised() { Err(Interrupted) } else { Ok(()) }
    }
}

/// The error of work that an [`Interrupt`] cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_raised_by_a_request_to_any_clone() {
        let interrupt = Interrupt::new(None);
        let other = interrupt.clone();
        assert_eq!((interrupt.is_raised(), other.check()), (false, Ok(())));
        other.request();
        assert_eq!((interrupt.is_raised(), interrupt.check()), (true, Err(Interrupted)));
    }

    #[test]
    fn an_interrupt_is_raised_when_the_time_is_up() {
        assert!(Interrupt::new(Some(Duration::ZERO)).is_raised());
        assert!(!Interrupt::new(Some(Duration::from_secs(3600))).is_raised());
        assert!(!Interrupt::new(Some(Duration::MAX)).is_raised());
    }
}
