//! The journal's files: made once, written over again and again.
//!
//! A new file is filled with zeros, so that frames land on blocks that are written already: a sync has no metadata to
//! write then, and takes half the time (docs/decisions/0003-storage.md).

use crate::error::IoError;
use bytes::Bytes;
use millrace_runtime::{AlignedBuf, File, OpenOptions, fs};
use std::path::{Path, PathBuf};

/// Bytes of zeros written at once.
const FILL_LEN: usize = 1 << 20;

/// A file of the journal, open.
#[derive(Clone, Debug)]
pub(crate) struct JournalFile {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) len: u64,
}

/// The name of the journal's `number`th file.
pub(crate) fn name(number: usize) -> String {
    format!("{number:04}.journal")
}

/// Makes a file of zeros, with its name durable.
///
/// # Errors
/// The operating system's; what was made of the file is removed then.
pub(crate) async fn make(folder: &Path, number: usize, len: u64) -> Result<JournalFile, IoError> {
    let path = folder.join(name(number));
    let file = File::open(&path, OpenOptions::CREATE_NEW).await.map_err(IoError::on("create", &path))?;
    let made = JournalFile { path, file, len };
    if let Err(error) = made.fill(folder).await {
        // A removal that fails leaves a file of zeros, which every reader takes for what it is.
        if let Err(cause) = fs::remove_file(&made.path).await {
            tracing::warn!(path = %made.path.display(), %cause, "cannot remove an unfinished journal file");
        }
        return Err(error);
    }
    Ok(made)
}

/// Removes a file that nothing was written to.
///
/// # Errors
/// The operating system's.
pub(crate) async fn remove(made: JournalFile) -> Result<(), IoError> {
    fs::remove_file(&made.path).await.map_err(IoError::on("remove", &made.path))
}

impl JournalFile {
    async fn fill(&self, folder: &Path) -> Result<(), IoError> {
        let on = |doing| IoError::on(doing, &self.path);
        self.file.allocate(0, self.len).await.map_err(on("allocate"))?;
        let zeros = AlignedBuf::zeroed(FILL_LEN.min(self.len as usize)).freeze();
        let mut position = 0;
        while position < self.len {
            let piece: Bytes = zeros.slice(..zeros.len().min((self.len - position) as usize));
            let piece_len = piece.len() as u64;
            self.file.write_at(position, piece).await.map_err(on("write"))?;
            position += piece_len;
        }
        self.file.sync_data().await.map_err(on("sync"))?;
        fs::sync_dir(folder).await.map_err(IoError::on("sync", folder))
    }
}
