//! Finding journals, and what in them counts.

use super::{RecoverError, list};
use crate::{
    dirs::{DataDirs, Hex},
    error::{Damage, IoError},
    journal::{
        chain::{self, Chain, Found},
        frame::Frame,
    },
};
use bytes::Bytes;
use millrace_runtime::{File, OpenOptions, fs};
use std::path::{Path, PathBuf};

/// What a journal's folder is called while it is being removed: it may be there in part only, and is not read.
const RETIRED: &str = "retired-";
/// Bytes that are read at once.
const READ_LEN: usize = 1 << 20;

/// A journal of an earlier start.
pub(super) struct FoundJournal {
    pub(super) folder: PathBuf,
    /// 0 if it has no whole frame.
    pub(super) generation: u64,
    pub(super) is_closed: bool,
    pub(super) files: Vec<PathBuf>,
    pub(super) frames: Vec<Found>,
    /// What its frames say of each log; filled while the files are in memory.
    pub(super) said: super::survey::Said,
}

/// Finds all journals and verifies their chains.
pub(super) async fn find(dirs: &DataDirs) -> Result<Vec<FoundJournal>, RecoverError> {
    let mut found = Vec::new();
    for dir in dirs.all() {
        for entry in list(&dir.journals()).await? {
            let folder = dir.journals().join(&entry.name);
            if entry.name.starts_with(RETIRED) {
                // The process that renamed it may have died before the name was durable.
                fs::sync_dir(&dir.journals()).await.map_err(IoError::on("sync", &dir.journals()))?;
                fs::remove_dir_all(&folder).await.map_err(IoError::on("remove", &folder))?;
            } else if let Some(id) = Hex::parse(&entry.name) {
                found.push(open(folder, id).await?);
            }
        }
    }
    Ok(found)
}

async fn open(folder: PathBuf, id: [u8; 16]) -> Result<FoundJournal, RecoverError> {
    let mut files = Vec::new();
    for entry in list(&folder).await? {
        if entry.name.ends_with(".journal") {
            files.push(folder.join(entry.name));
        }
    }
    let (mut contents, mut frames) = (Vec::new(), Vec::new());
    for (at, path) in files.iter().enumerate() {
        let bytes = read(path).await?;
        let found = chain::scan(at, &bytes, &id);
        frames.extend(found.map_err(|(position, error)| Damage::new(path, position, error))?);
        contents.push(bytes);
    }
    let Chain { frames, closed, cut } = chain::verify(frames).map_err(|damage| {
        let path = files.get(damage.file).unwrap_or(&folder);
        Damage::new(path, damage.position, damage)
    })?;
    if cut > 0 {
        tracing::info!(folder = %folder.display(), cut, "frames behind a torn one are not taken");
    }
    let mut said = super::survey::Said::default();
    for found in &frames {
        let frame = parse(&contents[found.file], found, &files)?;
        said.hear(&frame).map_err(|error| Damage::new(&files[found.file], found.position, error))?;
    }
    let generation = frames.last().map_or(0, |frame| frame.header.generation);
    Ok(FoundJournal { folder, generation, is_closed: closed, files, frames, said })
}

/// The frame that was found in a file's bytes.
pub(super) fn parse<'a>(bytes: &'a [u8], found: &Found, files: &[PathBuf]) -> Result<Frame<'a>, Damage> {
    let rest = bytes.get(found.position as usize..).unwrap_or_default();
    Frame::parse(rest).map_err(|error| Damage::new(&files[found.file], found.position, error))
}

/// All of a journal file.
pub(super) async fn read(path: &Path) -> Result<Bytes, IoError> {
    let on = |doing| IoError::on(doing, path);
    let file = File::open(path, OpenOptions::READ).await.map_err(on("open"))?;
    let len = file.len().await.map_err(on("ask the length of"))?;
    let mut bytes = Vec::with_capacity(len as usize);
    while (bytes.len() as u64) < len {
        let piece = file.read_at(bytes.len() as u64, READ_LEN).await.map_err(on("read"))?;
        if piece.is_empty() {
            break;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// Removes a journal: first its name, so that no start ever finds a part of it.
pub(super) async fn remove(folder: &Path) -> Result<(), IoError> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let retired = parent.join(format!("{RETIRED}{name}"));
    fs::rename(folder, &retired).await.map_err(IoError::on("rename", folder))?;
    fs::sync_dir(parent).await.map_err(IoError::on("sync", parent))?;
    fs::remove_dir_all(&retired).await.map_err(IoError::on("remove", &retired))
}
