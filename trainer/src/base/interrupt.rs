//! A request to stop early, by a signal or by a time limit, that every phase of a run looks at.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::files::say;

/// Signals within this time are one request.
const AT_ONCE: Duration = Duration::from_secs(1);

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

    /// Makes SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGUSR1 requests to stop, and another one after a second the end of the
    /// process: launchers and terminals often send two at once.
    ///
    /// # Errors
    /// The process cannot listen for signals, or does so already.
    pub fn listen(&self) -> Result<()> {
        let interrupt = self.clone();
        let mut first = None;
        on_signal(move || {
            interrupt.stop.store(true, Ordering::SeqCst);
            match first {
                None => {
                    first = Some(Instant::now());
                    say("stopping, with a checkpoint if a step was taken (Ctrl-C again stops at once, without one)");
                }
                Some(first) if first.elapsed() >= AT_ONCE => std::process::exit(130),
                Some(_) => {}
            }
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

/// Calls a function at each signal, in threads of their own.
fn on_signal(take: impl FnMut() + Send + 'static) -> Result<()> {
    let take = Arc::new(Mutex::new(take));
    let call = |take: &Mutex<dyn FnMut() + Send>| {
        if let Ok(mut take) = take.lock() {
            take();
        }
    };
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1};
        let mut signals = vec![SIGTERM, SIGUSR1];
        // `nohup` has SIGHUP ignored.
        if !is_ignored(SIGHUP) {
            signals.push(SIGHUP);
        }
        let mut signals = signal_hook::iterator::Signals::new(signals)?;
        let take = Arc::clone(&take);
        let wait = move || signals.forever().for_each(|_| call(&*take));
        std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    }
    Ok(ctrlc::set_handler(move || call(&*take))?)
}

/// Whether this process ignores a signal, where the system says so.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
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

/// A result of one of several processes, or [`Interrupted`] where any of them was interrupted, which `any` asks them.
///
/// # Errors
/// Any other error comes back without a question, and is to end them all.
pub fn together<T>(result: Result<T>, any: impl Fn(bool) -> bool) -> Result<T> {
    let interrupted = matches!(&result, Err(error) if error.is::<Interrupted>());
    if result.is_err() && !interrupted {
        return result;
    }
    if any(interrupted) { Err(Interrupted.into()) } else { result }
}

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
