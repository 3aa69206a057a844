//! `millrace demo` in a terminal: a table that is drawn over itself.

use crate::{
    demo::demo,
    process::{Guarded, wait},
};
use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A terminal of usual width and little height: the table has to leave rows out.
const COLUMNS: u16 = 80;
const LINES: u16 = 16;

/// How long something may take to be shown.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program in a terminal.
struct Terminal {
    child: Guarded,
    written: Arc<Mutex<Vec<u8>>>,
    reading: thread::JoinHandle<()>,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: LINES, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let path = OsStr::from_bytes(name.as_bytes());
        let theirs = || File::options().read(true).write(true).open(path).unwrap();
        // Warnings, such as of a machine that has other things to do, would come between the table's lines.
        let child = command.stdin(theirs()).stdout(theirs()).stderr(Stdio::null()).spawn().unwrap();
        // Else the terminal would have a writer as long as the command does.
        drop(command);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (sink, mut ours) = (Arc::clone(&written), File::from(ours));
        let reading = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error says that nobody has the other end any more.
            while let Ok(count @ 1..) = ours.read(&mut bytes) {
                sink.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child: Guarded(child), written, reading }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until it has written this so often.
    fn shows(&mut self, text: &str, times: usize) {
        let end = Instant::now() + PATIENCE;
        while self.text().matches(text).count() < times {
            if Instant::now() > end {
                self.child.0.kill().unwrap();
                panic!("{text:?} is not shown in\n{}", self.text());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end: the exit code, and all that it has written.
    fn end(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child.0).expect("it ends in time");
        self.reading.join().unwrap();
        (
            status.code(),
            String::from_utf8(Arc::into_inner(self.written).unwrap().into_inner().unwrap()).unwrap(),
        )
    }
}

/// What the lines of a screen are after this was written, for as much of a terminal's language as the demo speaks.
fn screen(written: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::new()], 0_usize, 0_usize);
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match character {
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), Vec::new());
            }
            '\r' => column = 0,
            '\x1b' => {
                assert_eq!(characters.next(), Some('['));
                let mut count = String::new();
                let end = loop {
                    match characters.next().unwrap() {
                        letter if letter.is_ascii_alphabetic() => break letter,
                        other => count.push(other),
                    }
                };
                match (count.as_str(), end) {
                    (count, 'A') => {
                        row = row.checked_sub(count.parse().unwrap()).expect("not above the first line");
                    }
                    ("", 'K') => lines[row].truncate(column),
                    ("", 'J') => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    (_, 'm' | 'h' | 'l') => {}
                    other => panic!("the demo has learnt {other:?}"),
                }
            }
            character => {
                let line: &mut Vec<char> = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = character;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect()).collect()
}

fn in_terminal(temporary: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = demo(temporary.path(), arguments);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    command
}

#[test]
fn the_table_is_drawn_over_itself_and_the_cursor_comes_back() {
    let temporary = tempfile::tempdir().unwrap();
    // Long enough for several frames.
    let terminal = Terminal::start(in_terminal(&temporary, &["--year-seconds", "120"]));
    let (code, written) = terminal.end();
    assert_eq!(code, Some(0), "{written}");
    let frames = written.matches("worst of the last").count();
    assert!(frames > 3, "{frames} frames in\n{written}");
    assert!(written.contains("\x1b[1m2013-01-0"), "bold for a terminal: {written}");
    let lines = screen(&written);
    let text = lines.join("\n");
    assert_eq!(text.matches("worst of the last").count(), 1, "{text}");
    assert!(text.starts_with("Millrace demo: "), "{text}");
    for part in [
        "pass 2 of 2: again, flat out",
        "EWR ",
        "in       5,400 flights",
        "#]",
        "adds up",
        "kcat -q -b 127.0.0.1:",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let frame: Vec<&String> = lines
        .iter()
        .skip_while(|line| !line.contains("pass 2 of 2"))
        .take_while(|line| !line.contains("Ctrl-C ends"))
        .collect();
    // With the line above it, its last line, and the cursor's.
    assert!(frame.len() + 3 <= usize::from(LINES), "{frame:?}");
    assert!(frame.iter().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{frame:?}");
    let (hidden, shown) = (written.rfind("\x1b[?25l").unwrap(), written.rfind("\x1b[?25h").unwrap());
    assert!(hidden < shown, "the cursor is left as it was found");
}

#[test]
fn an_interrupt_gives_the_cursor_back() {
    let temporary = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(in_terminal(&temporary, &["--year-seconds", "100000"]));
    terminal.shows("worst of the last", 2);
    kill_process(Pid::from_child(&terminal.child.0), Signal::INT).unwrap();
    let (code, written) = terminal.end();
    assert_eq!(code, Some(0), "{written}");
    let (hidden, shown) = (written.rfind("\x1b[?25l").unwrap(), written.rfind("\x1b[?25h").unwrap());
    assert!(hidden < shown && written[shown..].contains("stopped "), "{written}");
}

/// Neither colours nor a cursor that moves where they are not wanted.
#[test]
fn a_terminal_gets_no_more_than_it_can_and_may() {
    let temporary = tempfile::tempdir().unwrap();
    let mut dumb = in_terminal(&temporary, &["--year-seconds", "100000"]);
    dumb.env("TERM", "dumb");
    let mut colourless = in_terminal(&temporary, &["--year-seconds", "100000"]);
    colourless.env("NO_COLOR", "1");
    for (command, shown) in [(dumb, "2013-01-01  pass 1 of 2"), (colourless, "worst of the last")] {
        let mut terminal = Terminal::start(command);
        terminal.shows(shown, 1);
        kill_process(Pid::from_child(&terminal.child.0), Signal::INT).unwrap();
        let (code, written) = terminal.end();
        assert_eq!(code, Some(0), "{written}");
        assert!(!written.contains("m2013") && !written.contains("\x1b[0m"), "{written}");
        assert_eq!(written.contains('\x1b'), shown.starts_with("worst"), "{written}");
    }
}
