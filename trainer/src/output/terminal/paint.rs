//! Repaints lines of cells at the end of a terminal's output, by relative moves of the cursor alone.
//!
//! Ratatui's inline viewport asks the terminal where the cursor is, for which it needs raw mode and an answer on
//! standard input; relative moves need neither, so that Ctrl-C stays a signal and streams may be redirected.

use std::io::{self, Write};

use ratatui::backend::IntoCrossterm;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::queue;
use ratatui::crossterm::style::{Attribute, ContentStyle, SetAttribute, SetStyle};
use ratatui::style::Style;
use ratatui::text::Span;

/// Paints frames, each in the place of the one before. Between two frames, the cursor is below them.
pub struct Painter<W> {
    out: W,
    shown: Option<Buffer>,
}

impl<W: Write> Painter<W> {
    pub fn new(out: W) -> Self {
        Self { out, shown: None }
    }

    /// Puts a frame in the place of the last one; only lines that differ are written.
    ///
    /// `columns` is the terminal's width: a frame that was wider has been wrapped by the terminal meanwhile.
    pub fn paint(&mut self, frame: &Buffer, columns: u16) -> io::Result<()> {
        let mut bytes = Vec::new();
        match &self.shown {
            Some(shown) if shown.area == frame.area => {
                let height = frame.area.height;
                bytes.extend(b"\r\x1b[K"); // What was typed, such as the ^C of Ctrl-C.
                for row in (0..height).filter(|&row| cells(shown, row) != cells(frame, row)) {
                    let up = height - row;
                    write!(bytes, "\x1b[{up}A\r")?;
                    write_row(&mut bytes, frame, row)?;
                    write!(bytes, "\x1b[{up}B\r")?;
                }
            }
            shown => {
                if let Some(shown) = shown {
                    erase(&mut bytes, shown, columns)?;
                }
                write_rows(&mut bytes, frame)?;
            }
        }
        self.shown = Some(frame.clone());
        self.send(&bytes)
    }

    /// Prints lines above the frame; they scroll away like any others.
    pub fn above(&mut self, text: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        if let Some(shown) = &self.shown {
            erase(&mut bytes, shown, shown.area.width.saturating_add(1))?;
        }
        for line in text.lines() {
            // An escape sequence in a file's name must not reach the terminal.
            let clean: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            write!(bytes, "{clean}\r\n")?;
        }
        if let Some(shown) = &self.shown {
            write_rows(&mut bytes, shown)?;
        }
        self.send(&bytes)
    }

    /// One write for each frame, so that no escape sequence is cut in two.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

fn cells(buffer: &Buffer, row: u16) -> &[Cell] {
    let width = usize::from(buffer.area.width);
    let start = usize::from(row) * width;
    &buffer.content[start..start + width]
}

/// Clears a painted frame, and leaves the cursor where the frame began.
fn erase(bytes: &mut Vec<u8>, shown: &Buffer, columns: u16) -> io::Result<()> {
    let columns = usize::from(columns.max(1));
    let lines: usize = (0..shown.area.height).map(|row| used(cells(shown, row)).div_ceil(columns).max(1)).sum();
    bytes.extend(b"\r");
    if lines > 0 {
        write!(bytes, "\x1b[{lines}A")?;
    }
    bytes.extend(b"\x1b[J");
    Ok(())
}

/// The number of cells up to the last that is not blank.
fn used(cells: &[Cell]) -> usize {
    cells.iter().rposition(|cell| cell.symbol() != " ").map_or(0, |last| last + 1)
}

fn write_rows(bytes: &mut Vec<u8>, frame: &Buffer) -> io::Result<()> {
    for row in 0..frame.area.height {
        write_row(bytes, frame, row)?;
        bytes.extend(b"\r\n");
    }
    Ok(())
}

/// A row without its trailing blanks, and the rest of the line cleared.
fn write_row(bytes: &mut Vec<u8>, frame: &Buffer, row: u16) -> io::Result<()> {
    let cells = cells(frame, row);
    let mut style = Style::reset();
    let mut next = 0;
    for (column, cell) in cells[..used(cells)].iter().enumerate() {
        // A wide character covers the cell behind it.
        if column < next {
            continue;
        }
        next = column + Span::raw(cell.symbol()).width().max(1);
        if cell.style() != style {
            style = cell.style();
            let style: ContentStyle = style.into_crossterm();
            queue!(bytes, SetAttribute(Attribute::Reset), SetStyle(style))?;
        }
        bytes.extend(cell.symbol().as_bytes());
    }
    bytes.extend(b"\x1b[0m\x1b[K");
    Ok(())
}
