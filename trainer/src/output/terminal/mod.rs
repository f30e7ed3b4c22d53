//! The view of a run while it trains: a few live lines with a chart on a terminal, plain lines elsewhere.
//!
//! The live lines are below earlier output, which stays in the terminal's scrollback. The view never enters raw mode and
//! never hides the cursor, which is below the last line between two frames: nothing has to be restored after Ctrl-C, a
//! panic or a kill.

mod memory;
mod paint;
mod plain;
mod screen;
mod state;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use self::paint::Painter;
use self::screen::Colours;
pub use self::state::Facts;
use self::state::State;
use crate::run::log::{StepLog, ValidationLog};

/// Minimum time between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// Minimum time between two plain lines.
const LINE: Duration = Duration::from_secs(10);
/// The size of a terminal that does not report it: columns, rows.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Where a view writes.
type Output = Box<dyn Write + Send>;

/// The view of a training run, on standard error.
pub struct View {
    state: State,
    shown: Shown,
}

enum Shown {
    Live { painter: Painter<Output>, size: fn() -> (u16, u16), colours: Colours, drawn: Option<Instant> },
    Plain { out: Output, printed: Instant, printed_step: u64 },
}

impl View {
    /// Starts at step `start_step` of `total_steps`. It is live on a terminal, except one of `TERM=dumb`.
    pub fn new(total_steps: u64, start_step: u64, facts: Facts) -> Self {
        let out: Output = Box::new(io::stderr());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb && understands_escapes() {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let colours = if plain { Colours::NONE } else { Colours::USUAL };
            Self::live(out, terminal_size, colours, State::new(total_steps, start_step, facts))
        } else {
            Self::plain(out, State::new(total_steps, start_step, facts))
        }
    }

    fn live(out: Output, size: fn() -> (u16, u16), colours: Colours, state: State) -> Self {
        let mut view = Self { state, shown: Shown::Live { painter: Painter::new(out), size, colours, drawn: None } };
        view.draw(true);
        view
    }

    fn plain(out: Output, state: State) -> Self {
        let printed_step = state.step;
        Self { state, shown: Shown::Plain { out, printed: Instant::now(), printed_step } }
    }

    /// Takes validations of an earlier part of the run, so that the chart and the best total continue from them.
    pub fn restore(&mut self, validations: impl IntoIterator<Item = ValidationLog>) {
        for validation in validations {
            self.state.take_validation(validation);
        }
        self.draw(true);
    }

    /// Takes a training step. It costs very little when no frame is due.
    pub fn step(&mut self, step: &StepLog) {
        self.state.take_step(step);
        match &self.shown {
            Shown::Live { .. } => self.draw(false),
            Shown::Plain { printed, .. } => {
                if printed.elapsed() >= LINE || self.state.step == self.state.total_steps {
                    self.print_step();
                }
            }
        }
    }

    /// Takes a validation, and prints a line that stays.
    pub fn validation(&mut self, validation: &ValidationLog) {
        let line = match &self.shown {
            Shown::Live { .. } => plain::short_validation_line(validation),
            Shown::Plain { .. } => plain::validation_line(validation),
        };
        self.state.take_validation(validation.clone());
        self.message(&line);
    }

    /// Shows an activity other than training, such as "validating"; an empty text ends it. Plain lines leave it out.
    pub fn activity(&mut self, what: &str) {
        if self.state.activity != what {
            what.clone_into(&mut self.state.activity);
            self.draw(true);
        }
    }

    /// Prints a line that stays: above the live lines, where there are any.
    pub fn message(&mut self, text: &str) {
        match &mut self.shown {
            Shown::Live { painter, .. } => ignore(painter.above(text)),
            Shown::Plain { out, .. } => ignore(writeln!(out, "{text}")),
        }
        self.draw(true);
    }

    /// Ends the view: the last frame, or the last line, stays.
    pub fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.state.activity.clear();
        self.draw(true);
        if let Shown::Plain { printed_step, .. } = &self.shown
            && *printed_step != self.state.step
        {
            self.print_step();
        }
    }

    fn print_step(&mut self) {
        self.state.memory.update();
        let line = plain::step_line(&self.state);
        if let (Shown::Plain { out, printed, printed_step }, Some(line)) = (&mut self.shown, line) {
            ignore(writeln!(out, "{line}"));
            *printed = Instant::now();
            *printed_step = self.state.step;
        }
    }

    /// Draws a frame if one is due or `now` is set; plain lines have none.
    fn draw(&mut self, now: bool) {
        let Shown::Live { painter, size, colours, drawn } = &mut self.shown else { return };
        if now || drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            self.state.memory.update();
            let (columns, rows) = size();
            ignore(painter.paint(&screen::render(&self.state, columns, rows, *colours), columns));
            *drawn = Some(Instant::now());
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // After an error or a panic the last frame stays as well: it shows how far the run came.
        self.close();
    }
}

/// A terminal that was closed does not stop a run.
fn ignore(_: io::Result<()>) {}

fn terminal_size() -> (u16, u16) {
    match ratatui::crossterm::terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => USUAL_SIZE,
    }
}

#[cfg(windows)]
fn understands_escapes() -> bool {
    ratatui::crossterm::ansi_support::supports_ansi()
}

#[cfg(not(windows))]
fn understands_escapes() -> bool {
    true
}
