//! What the view draws, read back from the cells and from a terminal emulator.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratatui::buffer::Buffer;
use vdm::diffusion::terms::Terms;

use super::*;

fn facts() -> Facts {
    Facts {
        preset: "quick".to_owned(),
        device: "CPU".to_owned(),
        folder: "runs/quick".to_owned(),
        images: 1024,
        batch: 32,
    }
}

fn step(step: u64) -> StepLog {
    StepLog {
        step,
        terms: Terms {
            reconstruction: 0.8123 - 1e-4 * step as f64,
            latent: 1.2e-6,
            diffusion: 0.001_23,
            ..Terms::default()
        },
        gradient_norm: 0.0456,
        learning_rate: 7.6e-4,
        images_per_second: 1320.0,
        ..StepLog::default()
    }
}

fn validation(step: u64, series: &str, total: f64) -> ValidationLog {
    ValidationLog {
        step,
        series: series.to_owned(),
        terms: Terms { reconstruction: total - 0.001, latent: 1e-6, diffusion: 0.001, ..Terms::default() },
        total,
        standard_error: 0.0042,
        ..ValidationLog::default()
    }
}

fn state() -> State {
    let mut state = State::new(1000, 0, facts());
    for i in 1..=250 {
        state.take_step(&step(i));
        if i % 50 == 0 {
            state.take_validation(validation(i, "weights", 0.9 - i as f64 * 1e-4));
        }
    }
    state.take_validation(validation(250, "ema-50000", 0.8701));
    state
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Bytes that were written, for a terminal emulator to read.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("a lock").clone()).expect("UTF-8")
    }
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("a lock"))
    }
}

#[test]
fn a_usual_terminal_shows_every_number() {
    let shown = text(&screen::render(&state(), 80, 24, Colours::USUAL));
    for wanted in [
        "250/1000  25 %",
        "preset quick   on CPU   in runs/quick   1024 images, batch 32",
        "1320 images/s",
        "learning rate 7.60e-4   gradient norm 0.0456",
        "training                0.7873    1.2e-6    0.00123   0.7885",
        "validation              0.8740    1.0e-6    0.00100   0.8750 ± 0.0042 at 250",
        "ema-50000               0.8691    1.0e-6    0.00100   0.8701 ± 0.0042 at 250",
        "best ema-50000          0.8691    1.0e-6    0.00100   0.8701 ± 0.0042 at 250",
        "total, bits/dim:",
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    let braille = shown.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
    assert!(braille > 20, "the chart has a line:\n{shown}");
    assert!((14..=18).contains(&shown.lines().count()), "{shown}");
}

#[test]
fn every_size_has_room() {
    let state = state();
    let empty = State::new(0, 0, Facts::default());
    for columns in 0..140 {
        for rows in [0, 1, 2, 3, 5, 8, 13, 24, 60] {
            for state in [&state, &empty] {
                let buffer = screen::render(state, columns, rows, Colours::NONE);
                assert!(buffer.area.width <= columns.max(1), "{columns}×{rows}: {:?}", buffer.area);
                assert!(buffer.area.height < rows.max(2), "{columns}×{rows}: {:?}", buffer.area);
            }
        }
    }
}

#[test]
fn without_colours_there_is_no_colour() {
    let buffer = screen::render(&state(), 80, 24, Colours::NONE);
    for cell in &buffer.content {
        assert_eq!((cell.fg, cell.bg), (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
    }
    let coloured = screen::render(&state(), 80, 24, Colours::USUAL);
    assert!(coloured.content.iter().any(|cell| cell.fg == ratatui::style::Color::Cyan));
}

#[test]
fn numbers_that_are_none_do_no_harm() {
    let mut state = State::new(10, 0, facts());
    let terms = Terms { reconstruction: f64::NAN, ..step(1).terms };
    state.take_step(&StepLog { terms, images_per_second: f64::INFINITY, ..step(1) });
    state.take_validation(validation(1, "weights", f64::NAN));
    assert!(state.best.is_none(), "what is not finite is never best");
    let shown = text(&screen::render(&state, 80, 24, Colours::USUAL));
    assert!(shown.contains("NaN"), "{shown}");
}

#[test]
fn messages_go_above_and_frames_replace_each_other() {
    let written = Written::default();
    let mut terminal = vt100::Parser::new(40, 80, 0);
    let mut view = View::live(Box::new(written.clone()), || (80, 24), Colours::USUAL, State::new(1000, 0, facts()));
    for i in 1..=30 {
        view.step(&step(i));
        if i % 10 == 0 {
            view.validation(&validation(i, "weights", 0.9));
        }
    }
    view.message("a line\u{1b}[2J");
    view.finish();
    assert!(written.text().contains("a line\u{fffd}[2J"), "what a message holds of escape sequences does nothing");
    terminal.process(&written.take());
    let screen = terminal.screen().contents();
    let places: Vec<_> = [
        "step 10: validation 0.90000 ± 0.00420 bits/dim",
        "step 20:",
        "step 30:",
        "a line",
        "30/1000",
        "gradient norm",
    ]
    .map(|wanted| screen.find(wanted).unwrap_or_else(|| panic!("{wanted} is not in\n{screen}")))
    .into();
    assert!(places.is_sorted(), "{screen}");
    assert_eq!(screen.matches("/1000").count(), 1, "one frame is left:\n{screen}");
    assert_eq!(terminal.screen().cursor_position().1, 0, "a shell's prompt starts its own line");
    assert!(!terminal.screen().hide_cursor());
}

#[test]
fn a_terminal_that_was_made_narrower_keeps_one_frame() {
    let written = Written::default();
    let mut painter = Painter::new(written.clone());
    let state = state();
    painter.paint(&screen::render(&state, 100, 24, Colours::NONE), 100).expect("paints");
    let wide = screen::render(&state, 100, 24, Colours::NONE);
    // What the terminal makes of it: each line wrapped at 50 columns.
    let wrapped: usize = text(&wide).lines().map(|line| line.chars().count().div_ceil(50).max(1)).sum();
    assert!(wrapped > usize::from(wide.area.height));
    written.take();
    painter.paint(&screen::render(&state, 50, 24, Colours::NONE), 50).expect("paints");
    assert!(written.text().starts_with(&format!("\r\x1b[{wrapped}A\x1b[J")), "{:?}", written.text());
}

#[test]
fn an_unchanged_frame_costs_a_few_bytes() {
    let written = Written::default();
    let mut painter = Painter::new(written.clone());
    let frame = screen::render(&state(), 80, 24, Colours::USUAL);
    painter.paint(&frame, 80).expect("paints");
    assert!(written.take().len() > 500);
    painter.paint(&frame, 80).expect("paints");
    assert_eq!(written.take(), b"\r\x1b[K");
}

#[test]
fn plain_lines_say_the_same() {
    let written = Written::default();
    let mut view = View::plain(Box::new(written.clone()), State::new(120, 0, facts()));
    for i in 1..=120 {
        view.step(&step(i));
    }
    view.validation(&validation(120, "weights", 0.81));
    view.validation(&validation(120, "ema-50000", 0.80));
    view.finish();
    let text = written.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let line = "training 120/120 reconstruction 0.8003 latent 1.2e-6 diffusion 0.00123 bits/dim, 1320 images/s, ";
    assert!(lines[0].starts_with(line) && lines[0].ends_with(" MiB, 0s left"), "{text}");
    assert_eq!(
        lines[1],
        "step 120: validation reconstruction 0.80900 latent 1.00e-6 diffusion 0.001000 total 0.81000 ± 0.00420"
    );
    assert!(lines[2].starts_with("step 120: validation of ema-50000 "), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_run_that_is_stopped_says_where_once() {
    let written = Written::default();
    let mut view = View::plain(Box::new(written.clone()), State::new(120, 0, facts()));
    view.step(&step(7));
    drop(view);
    assert_eq!(written.text().matches("training 7/120").count(), 1);
}

#[test]
fn the_time_left_follows_from_the_pace() {
    let mut state = State::new(200, 100, facts());
    assert_eq!(state.left(), None, "no step was taken");
    std::thread::sleep(Duration::from_millis(30));
    state.take_step(&step(150));
    let (elapsed, left) = (state.elapsed().as_secs_f64(), state.left().expect("a time").as_secs_f64());
    // 50 steps taken and 50 left; the clock went on between the two readings.
    assert!((left / elapsed - 1.0).abs() < 0.05, "{left} {elapsed}");
}
