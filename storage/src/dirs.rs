//! The directories that hold everything.
//!
//! ```text
//! DIR/format                                   what this directory is; written last when it is made
//! DIR/lock                                     held by the process that uses it
//! DIR/journals/JOURNAL/0000.journal            one folder per shard of one start; never named after a shard
//! DIR/topics/TOPIC/PARTITION/OFFSET.log        segments, OFFSET.index beside them
//! DIR/topics/TOPIC/PARTITION/staged/OFFSET.log what is staged for the partition
//! DIR/orphans/                                 what was set aside; nothing here is read or removed
//! DIR/reserve/JOURNAL                          space that deletes and commits may use when the disk is full
//! ```

pub(crate) mod format;

use crate::{error::IoError, key::LogKey};
use format::{Format, FormatError};
use millrace_runtime::{
    fs::{self, Lock},
    random_bytes,
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

const FORMAT: &str = "format";
const LOCK: &str = "lock";
const TOPICS: &str = "topics";
const JOURNALS: &str = "journals";
const ORPHANS: &str = "orphans";
const RESERVE: &str = "reserve";
const FOLDERS: [&str; 4] = [TOPICS, JOURNALS, ORPHANS, RESERVE];

/// The data directories of one store, opened. Cheap to clone, and to send to every shard.
#[derive(Clone, Debug)]
pub struct DataDirs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: [u8; 16],
    dirs: Vec<DataDir>,
    /// Index of the directory that alone gets journals, if there is one; it gets no partitions.
    journal: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) id: [u8; 16],
    path: PathBuf,
}

/// Keeps other processes out of the directories until it is dropped. It stays on the shard that opened them.
#[derive(Debug)]
pub struct DirLocks {
    _locks: Vec<Lock>,
}

/// Why data directories do not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirsError {
    /// The list is empty.
    #[error("no data directory is given")]
    None,
    /// Another process, or another store of this one, has it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is not empty, and not a data directory.
    #[error("{} is not empty and has no `format` file: not a data directory of Millrace", .0.display())]
    Foreign(PathBuf),
    /// Its format file does not read.
    #[error("{}/format: {error}", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// What is wrong with the file.
        error: FormatError,
    },
    /// It belongs to another store than the first one.
    #[error("{} belongs to another store than {}", .0.display(), .1.display())]
    OtherStore(PathBuf, PathBuf),
    /// The same directory twice.
    #[error("{} and {} are the same data directory", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl DataDirs {
    /// Opens the directories, makes those that are not there, and locks them all. `journal` names one for journals
    /// alone; without it every directory in `data` gets its share of them.
    ///
    /// # Errors
    /// [`DirsError`]; nothing is made if one that exists is refused.
    pub async fn open(data: &[PathBuf], journal: Option<&Path>) -> Result<(Self, DirLocks), DirsError> {
        if data.is_empty() {
            return Err(DirsError::None);
        }
        let paths: Vec<&Path> = data.iter().map(PathBuf::as_path).chain(journal).collect();
        let mut locks = Vec::new();
        for &path in &paths {
            if !fs::exists(&path.join(FORMAT)).await.map_err(IoError::on("look for", path))? {
                make_root(path).await?;
            }
            locks.push(take_lock(path).await?);
        }
        let mut formats = Vec::new();
        for &path in &paths {
            formats.push(read_format(path).await?);
        }
        check_formats(&paths, &formats)?;
        let known = formats.iter().flatten().next().map(|format| format.store);
        let store = known.unwrap_or_else(random_bytes);
        let mut dirs = Vec::new();
        for (&path, format) in paths.iter().zip(&formats) {
            let format = match format {
                Some(format) => *format,
                None => make_format(path, store).await?,
            };
            dirs.push(DataDir { id: format.dir, path: path.to_owned() });
        }
        let journal = journal.is_some().then_some(dirs.len() - 1);
        Ok((Self(Arc::new(Inner { store, dirs, journal })), DirLocks { _locks: locks }))
    }

    /// Whether [`DataDirs::open`] would take these directories: looks, and makes and changes nothing. A lock that is free is
    /// held for the moment of the look.
    ///
    /// # Errors
    /// [`DirsError`]: what opening would end with.
    pub async fn look(data: &[PathBuf]) -> Result<(), DirsError> {
        if data.is_empty() {
            return Err(DirsError::None);
        }
        let paths: Vec<&Path> = data.iter().map(PathBuf::as_path).collect();
        let mut formats = Vec::new();
        for &path in &paths {
            let exists = async |path: &Path| fs::exists(path).await.map_err(IoError::on("look for", path));
            if !exists(path).await? {
                formats.push(None);
                continue;
            }
            if exists(&path.join(LOCK)).await? {
                drop(take_lock(path).await?);
            }
            formats.push(read_format(path).await?);
        }
        check_formats(&paths, &formats)
    }

    pub(crate) fn store_id(&self) -> [u8; 16] {
        self.0.store
    }

    /// All directories, that of journals among them.
    pub(crate) fn all(&self) -> &[DataDir] {
        &self.0.dirs
    }

    /// How many of them, from the first, hold partitions.
    pub(crate) fn partition_dirs(&self) -> usize {
        self.0.journal.unwrap_or(self.0.dirs.len())
    }

    pub(crate) fn index_of(&self, id: &[u8; 16]) -> Option<usize> {
        self.0.dirs.iter().position(|dir| dir.id == *id)
    }

    pub(crate) fn dir(&self, index: usize) -> &DataDir {
        &self.0.dirs[index]
    }

    /// The directory where the `nth` journal of a start goes.
    pub(crate) fn for_journal(&self, nth: usize) -> usize {
        self.0.journal.unwrap_or(nth % self.0.dirs.len())
    }
}

impl DataDir {
    pub(crate) fn topics(&self) -> PathBuf {
        self.path.join(TOPICS)
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.path.join(JOURNALS)
    }

    pub(crate) fn orphans(&self) -> PathBuf {
        self.path.join(ORPHANS)
    }

    pub(crate) fn reserves(&self) -> PathBuf {
        self.path.join(RESERVE)
    }

    pub(crate) fn folder(&self, key: &LogKey) -> PathBuf {
        key.folder(&self.topics())
    }
}

/// Makes `folder` and what is missing of its way from `root` on, and makes the names of all of them durable, whether
/// they were there before or not: an earlier process may have died before it synced them.
pub(crate) async fn make_folder(root: &Path, folder: &Path) -> Result<(), IoError> {
    fs::create_dir_all(folder).await.map_err(IoError::on("create", folder))?;
    let parents = folder.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(root));
    for parent in parents {
        fs::sync_dir(parent).await.map_err(IoError::on("sync", parent))?;
    }
    Ok(())
}

/// Makes a data directory itself, whose way may be anywhere.
async fn make_root(path: &Path) -> Result<(), IoError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut missing = vec![path];
    for ancestor in path.ancestors().skip(1) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        missing.push(ancestor);
        if fs::exists(ancestor).await.map_err(IoError::on("look for", ancestor))? {
            break;
        }
    }
    fs::create_dir_all(path).await.map_err(IoError::on("create", path))?;
    for parent in &missing[1..] {
        fs::sync_dir(parent).await.map_err(IoError::on("sync", parent))?;
    }
    Ok(())
}

async fn take_lock(path: &Path) -> Result<Lock, DirsError> {
    let lock = path.join(LOCK);
    fs::lock(&lock).await.map_err(|cause| match cause.kind() {
        io::ErrorKind::WouldBlock => DirsError::InUse(path.to_owned()),
        _ => IoError::on("lock", &lock)(cause).into(),
    })
}

/// The directory's format; `None` if it is new, or its making was interrupted.
async fn read_format(path: &Path) -> Result<Option<Format>, DirsError> {
    let file = path.join(FORMAT);
    if fs::exists(&file).await.map_err(IoError::on("look for", &file))? {
        let bytes = fs::read(&file).await.map_err(IoError::on("read", &file))?;
        return Format::decode(&bytes)
            .map(Some)
            .map_err(|error| DirsError::Format { path: path.to_owned(), error });
    }
    for entry in fs::read_dir(path).await.map_err(IoError::on("list", path))? {
        let ours = match entry.name.as_str() {
            LOCK | "lost+found" => true,
            name if entry.is_dir && FOLDERS.contains(&name) => {
                let folder = path.join(name);
                fs::read_dir(&folder).await.map_err(IoError::on("list", &folder))?.is_empty()
            }
            // What an interrupted write of the file leaves.
            name => name.starts_with(FORMAT) && !entry.is_dir,
        };
        if !ours {
            return Err(DirsError::Foreign(path.to_owned()));
        }
    }
    Ok(None)
}

fn check_formats(paths: &[&Path], formats: &[Option<Format>]) -> Result<(), DirsError> {
    let known: Vec<_> =
        paths.iter().zip(formats).filter_map(|(path, format)| Some((path, (*format)?))).collect();
    for (at, (path, format)) in known.iter().enumerate() {
        for (earlier, other) in &known[..at] {
            if format.store != other.store {
                return Err(DirsError::OtherStore(path.to_path_buf(), earlier.to_path_buf()));
            }
            if format.dir == other.dir {
                return Err(DirsError::Twice(path.to_path_buf(), earlier.to_path_buf()));
            }
        }
    }
    Ok(())
}

async fn make_format(path: &Path, store: [u8; 16]) -> Result<Format, IoError> {
    for folder in FOLDERS {
        make_folder(path, &path.join(folder)).await?;
    }
    let format = Format { store, dir: random_bytes() };
    let file = path.join(FORMAT);
    fs::write_atomically(&file, &format.encode()).await.map_err(IoError::on("write", &file))?;
    Ok(format)
}

/// An id as the names of files have it.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8; 16]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Hex<'_> {
    /// The id of this name.
    pub(crate) fn parse(name: &str) -> Option<[u8; 16]> {
        let is_ours = name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let value = if is_ours { u128::from_str_radix(name, 16).ok()? } else { return None };
        Some(value.to_be_bytes())
    }
}
