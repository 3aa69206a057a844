//! Where the demo speaks: a terminal with a table, plain lines, or nothing but the summary as JSON.

use super::screen::{Frame, Screen, plain};
use millrace_runtime::Instant;
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};
use terminal_size::{Height, Width, terminal_size};

/// What a terminal is taken for that does not tell its size.
const COLUMNS: u16 = 80;
const LINES: u16 = 24;

/// How often what is not a terminal gets a line.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Speaks to whoever started the demo.
#[derive(Debug)]
pub(super) struct Voice {
    is_json: bool,
    screen: Option<Screen>,
    spoken: Option<Instant>,
}

impl Voice {
    /// A table if standard output is a terminal that can place its cursor; colours unless `NO_COLOR` is set; with `is_json`
    /// standard output is left to the summary.
    pub(super) fn new(is_json: bool) -> Self {
        let can_place = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let is_table = !is_json && can_place && io::stdout().is_terminal();
        let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = is_table.then(|| Screen::new(is_coloured));
        Self { is_json, screen, spoken: None }
    }

    /// Says something to a person.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        if self.is_json {
            return writeln!(io::stderr(), "{text}");
        }
        let leave = self.screen.as_mut().map_or("", Screen::leave);
        let mut out = io::stdout().lock();
        writeln!(out, "{leave}{text}")?;
        out.flush()
    }

    /// Shows how far it is.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn show(&mut self, frame: &Frame) -> io::Result<()> {
        if let Some(screen) = &mut self.screen {
            let (Width(columns), Height(lines)) = terminal_size().unwrap_or((Width(COLUMNS), Height(LINES)));
            let drawn = screen.draw(frame, columns.into(), lines.into());
            let mut out = io::stdout().lock();
            // One write: a terminal never shows half of a frame.
            out.write_all(drawn.as_bytes())?;
            return out.flush();
        }
        let now = Instant::now();
        if self.spoken.is_none_or(|spoken| now - spoken >= PLAIN_EVERY) {
            self.spoken = Some(now);
            return self.say(&plain(frame));
        }
        Ok(())
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn summary(&mut self, text: &str, json: &serde_json::Value) -> io::Result<()> {
        if self.is_json { writeln!(io::stdout(), "{json:#}") } else { self.say(text) }
    }

    /// Gives the cursor back, whatever has happened.
    pub(super) fn leave(&mut self) {
        if let Some(screen) = &mut self.screen {
            // Nobody listens any more if this fails, and nothing is left to be said.
            io::stdout().write_all(screen.leave().as_bytes()).ok();
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.leave();
    }
}
