//! Where output goes decides how it looks: colours and progress are for terminals only.

use crate::exit::Exit;
use std::{
    fmt,
    io::{ErrorKind, IsTerminal, Write},
};

/// Whether messages to a person may be coloured.
pub(super) fn colour_on_stderr() -> bool {
    wants_colour(&std::io::stderr())
}

fn wants_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard output took nothing.
#[derive(Debug, thiserror::Error)]
#[error("standard output: {0}")]
pub(super) struct OutputError(#[from] std::io::Error);

impl OutputError {
    /// Says so, and what the command ends with: what was asked for is not there.
    pub(super) fn tell(&self) -> Exit {
        eprintln!("millrace: {self}");
        Exit::Failure
    }
}

/// Writes a line to standard output. It is no error if that was closed: whoever reads has read enough.
///
/// # Errors
/// [`OutputError`]: a full disk, for instance.
pub(super) fn put(line: impl fmt::Display) -> Result<(), OutputError> {
    put_to(&mut std::io::stdout().lock(), line)
}

fn put_to(out: &mut impl Write, line: impl fmt::Display) -> Result<(), OutputError> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
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
    use super::{Table, put_to};
    use std::io::{self, ErrorKind, Write};

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
        put_to(&mut Refusing(ErrorKind::StorageFull), "line").unwrap_err();
        put_to(&mut Refusing(ErrorKind::BrokenPipe), "line").unwrap();
        let mut taken = Vec::new();
        put_to(&mut taken, "line").unwrap();
        assert_eq!(taken, b"line\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["A", "BB"]);
        table.row(["long".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "A     BB\nlong  1");
    }
}
