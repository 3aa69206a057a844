//! Where output goes decides how it looks: colours and progress are for terminals only.

use std::{
    fmt,
    io::{IsTerminal, Write},
};

/// Whether messages to a person may be coloured.
pub(super) fn colour_on_stderr() -> bool {
    wants_colour(&std::io::stderr())
}

fn wants_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line to standard output. Nobody is told if it was closed: whoever reads has read enough.
pub(super) fn put(line: impl fmt::Display) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}")
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("millrace: standard output: {error}");
    }
}

/// For what is well, on standard output.
pub(super) fn green(text: &str) -> String {
    paint(text, "32")
}

/// For what needs attention, on standard output.
pub(super) fn yellow(text: &str) -> String {
    paint(text, "33")
}

/// For what is wrong, on standard output.
pub(super) fn red(text: &str) -> String {
    paint(text, "31")
}

/// For headings, on standard output.
pub(super) fn bold(text: &str) -> String {
    paint(text, "1")
}

fn paint(text: &str, code: &str) -> String {
    if wants_colour(&std::io::stdout()) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Text in columns, under headings.
pub(super) struct Table<const COLUMNS: usize>(Vec<[String; COLUMNS]>);

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(headings: [&str; COLUMNS]) -> Self {
        Self(vec![headings.map(str::to_owned)])
    }

    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.0.push(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for (index, row) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            if index == 0 { f.write_str(&bold(line))? } else { f.write_str(line)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["A", "BB"]);
        table.row(["long".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "A     BB\nlong  1");
    }
}
