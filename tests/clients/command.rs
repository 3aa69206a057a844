//! Commands that are run to their end, with a limit on their time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command reads from standard input.
pub(crate) enum Input<'a> {
    None,
    Bytes(&'a [u8]),
}

/// How much of a log a failure shows.
const TAIL_BYTES: u64 = 3000;

/// Runs a command and returns what it wrote to standard output.
///
/// # Errors
///
/// Says what the command wrote to standard error if it can't be started, fails, or takes longer than `limit`.
pub(crate) fn run(mut command: Command, input: Input<'_>, limit: Duration) -> Result<Vec<u8>, String> {
    let shown = format!("{command:?}");
    let failed = |reason: String| format!("{shown}: {reason}");
    // Files instead of pipes: nobody needs to read and write at the same time.
    let mut files = (|| {
        let mut files = [tempfile::tempfile()?, tempfile::tempfile()?, tempfile::tempfile()?];
        if let Input::Bytes(bytes) = input {
            files[0].write_all(bytes)?;
            files[0].rewind()?;
        }
        command
            .stdin(Stdio::from(files[0].try_clone()?))
            .stdout(Stdio::from(files[1].try_clone()?))
            .stderr(Stdio::from(files[2].try_clone()?));
        Ok(files)
    })()
    .map_err(|error: std::io::Error| failed(error.to_string()))?;
    let mut process = command.spawn().map_err(|error| failed(error.to_string()))?;
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = process.try_wait().map_err(|error| failed(error.to_string()))? {
            break status;
        }
        if Instant::now() > end {
            process.kill().and_then(|()| process.wait()).map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!("took longer than {} s\n{}", limit.as_secs(), text(&mut files[2]))));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if !status.success() {
        return Err(failed(format!("{status}\n{}{}", text(&mut files[2]), text(&mut files[1]))));
    }
    let mut out = Vec::new();
    files[1]
        .rewind()
        .and_then(|()| files[1].read_to_end(&mut out))
        .map_err(|error| failed(error.to_string()))?;
    Ok(out)
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    match file.rewind().and_then(|()| file.read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// The end of a log, from `start` on.
pub(crate) fn tail(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("{}: {error}", log.display()))
}
