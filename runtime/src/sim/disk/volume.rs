//! A disk's whole content: names, files, space, locks. Operations apply to it at an instant.

use super::{
    Device, DiskOptions,
    inode::{Fate, Inode, Page},
    tree::{Entry, Tree},
};
use crate::{
    BLOCK_SIZE, OpenOptions,
    fs::{DirEntry, Space},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

const BLOCK: u64 = BLOCK_SIZE as u64;

#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) device: Device,
    pub(crate) capacity: u64,
    pub(crate) read_only: bool,
    /// Nothing can be opened.
    pub(crate) out_of_files: bool,
    tree: Tree,
    files: BTreeMap<u64, FileState>,
    next_file: u64,
    /// Files of which bytes are not surely on the medium.
    volatile: BTreeSet<u64>,
    /// Counts completed changes. What a sync covers is everything up to a point of it.
    seq: u64,
    used_blocks: u64,
    /// A name was taken from a file or directory since the last collection.
    garbage: bool,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    inode: Inode,
    /// It has a name.
    named: bool,
    /// Handles that are open on it.
    open: u32,
    /// The lock's holder.
    locked_by: Option<u64>,
}

impl FileState {
    /// Whether its space is still taken.
    fn is_live(&self) -> bool {
        self.named || self.open > 0
    }
}

impl Volume {
    pub(crate) fn new(options: &DiskOptions) -> Self {
        Self {
            device: options.device,
            capacity: options.capacity,
            read_only: false,
            out_of_files: false,
            tree: Tree::default(),
            files: BTreeMap::new(),
            next_file: 0,
            volatile: BTreeSet::new(),
            seq: 0,
            used_blocks: 0,
            garbage: false,
        }
    }

    /// The point up to which changes have completed.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn inode(&self, file: u64) -> &Inode {
        &self.files[&file].inode
    }

    pub(crate) fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<u64> {
        self.take_descriptor()?;
        let file = match self.tree.find(path)? {
            Some(Entry::Dir(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Entry::File(_)) if options.create_new => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(Entry::File(_)) if options.write && self.read_only => {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            Some(Entry::File(file)) => file,
            None if options.create || options.create_new => self.create(path)?,
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        self.state(file).open += 1;
        Ok(file)
    }

    fn take_descriptor(&self) -> io::Result<()> {
        if self.out_of_files { Err(io::Error::from_raw_os_error(libc::EMFILE)) } else { Ok(()) }
    }

    fn create(&mut self, path: &Path) -> io::Result<u64> {
        let (seq, file) = (self.change()?, self.next_file);
        self.tree.create(seq, path, file)?;
        self.next_file += 1;
        self.files.insert(file, FileState { named: true, ..FileState::default() });
        Ok(file)
    }

    /// Closes one handle.
    pub(crate) fn close(&mut self, file: u64) {
        if let Some(state) = self.files.get_mut(&file) {
            state.open -= 1;
            if !state.is_live() {
                self.used_blocks -= state.inode.space();
                self.garbage = true;
            }
        }
    }

    pub(crate) fn write(&mut self, file: u64, first: u64, pages: &[Page], len: u64) -> io::Result<u64> {
        let seq = self.change()?;
        self.take_space(file, first * BLOCK, pages.len() as u64 * BLOCK)?;
        let device = self.device;
        self.state(file).inode.write(seq, device, first, pages, len);
        self.mark_volatile(file);
        Ok(seq)
    }

    /// A write that returns when it is on the medium.
    pub(crate) fn write_durable(
        &mut self,
        file: u64,
        first: u64,
        pages: &[Page],
        as_of: u64,
    ) -> io::Result<()> {
        let seq = self.write(file, first, pages, (first + pages.len() as u64) * BLOCK)?;
        if self.device == Device::FlushOnly {
            self.flush_device(as_of);
        }
        self.state(file).inode.write_durable(seq, first, pages);
        self.mark_volatile(file);
        Ok(())
    }

    pub(crate) fn sync(&mut self, file: u64, as_of: u64) {
        if self.device == Device::FlushOnly {
            self.flush_device(as_of);
        }
        self.state(file).inode.sync(as_of);
        self.mark_volatile(file);
    }

    fn flush_device(&mut self, as_of: u64) {
        for file in self.volatile.clone() {
            self.state(file).inode.flush(as_of);
            self.mark_volatile(file);
        }
    }

    /// A sync that failed: what the file had not made durable is gone.
    pub(crate) fn drop_dirty(&mut self, file: u64) {
        self.state(file).inode.drop_dirty();
        self.mark_volatile(file);
    }

    pub(crate) fn allocate(&mut self, file: u64, position: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let seq = self.change()?;
        self.take_space(file, position, len)?;
        self.state(file).inode.allocate(seq, position, len);
        Ok(())
    }

    pub(crate) fn set_len(&mut self, file: u64, len: u64) -> io::Result<()> {
        if len > FILE_LEN_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let seq = self.change()?;
        let inode = &mut self.state(file).inode;
        let before = inode.space();
        inode.resize(seq, len);
        self.used_blocks -= before - self.inode(file).space();
        self.mark_volatile(file);
        Ok(())
    }

    /// Takes the space for a byte range, or refuses with nothing taken.
    fn take_space(&mut self, file: u64, position: u64, len: u64) -> io::Result<()> {
        if position.checked_add(len).is_none_or(|end| end > FILE_LEN_MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let missing = self.inode(file).missing_space(position, len);
        // What has its space needs none, also where the capacity was set below what is used.
        if missing > 0 && (self.used_blocks + missing) * BLOCK > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.used_blocks += missing;
        Ok(())
    }

    pub(crate) fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        // Nothing to do is no change, even on a disk that allows none.
        if self.tree.find_dir(path).is_ok() {
            return Ok(());
        }
        let seq = self.change()?;
        self.tree.create_dirs(seq, path)
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let names = self.tree.list(self.tree.find_dir(path)?);
        Ok(names
            .map(|(name, entry)| DirEntry { name: name.to_owned(), is_dir: matches!(entry, Entry::Dir(_)) })
            .collect())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let seq = self.change()?;
        if let Some(replaced) = self.tree.rename(seq, from, to)? {
            self.unname(replaced);
        }
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let seq = self.change()?;
        let file = self.tree.remove_file(seq, path)?;
        self.unname(file);
        Ok(())
    }

    pub(crate) fn remove_dirs(&mut self, path: &Path) -> io::Result<()> {
        let seq = self.change()?;
        for file in self.tree.remove_dirs(seq, path)? {
            self.unname(file);
        }
        self.garbage = true;
        Ok(())
    }

    pub(crate) fn sync_dir(&mut self, path: &Path, as_of: u64) -> io::Result<()> {
        self.take_descriptor()?;
        let dir = self.tree.find_dir(path)?;
        self.tree.sync(dir, as_of);
        if self.garbage {
            self.collect();
        }
        Ok(())
    }

    pub(crate) fn space(&self) -> Space {
        Space { total: self.capacity, available: self.capacity.saturating_sub(self.used_blocks * BLOCK) }
    }

    /// Locks a file for `holder`, creating it if need be.
    pub(crate) fn lock(&mut self, path: &Path, holder: u64) -> io::Result<u64> {
        let file = self.open(path, OpenOptions { write: true, create: true, create_new: false })?;
        let state = self.state(file);
        if state.locked_by.is_some() {
            self.close(file);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked_by = Some(holder);
        Ok(file)
    }

    /// Releases what [`Volume::lock`] took.
    pub(crate) fn unlock(&mut self, file: u64, holder: u64) {
        let state = self.state(file);
        if state.locked_by == Some(holder) {
            state.locked_by = None;
            self.close(file);
        }
    }

    /// Whether a file is open.
    pub(crate) fn is_in_use(&self) -> bool {
        self.files.values().any(|state| state.open > 0)
    }

    /// Whether a process has this file open.
    pub(crate) fn is_open(&self, file: u64) -> bool {
        self.files.get(&file).is_some_and(|state| state.open > 0)
    }

    /// Every process is gone: so are their handles and locks.
    pub(crate) fn close_all(&mut self) {
        for state in self.files.values_mut() {
            state.open = 0;
            state.locked_by = None;
        }
        self.collect();
    }

    /// A block of a write that was in flight when the power went.
    pub(crate) fn write_in_flight(&mut self, file: u64, number: u64, page: &Page, len: u64) {
        // A write that the disk would have refused is refused without anybody being told.
        if let Ok(seq) = self.change() {
            self.state(file).inode.write_in_flight(seq, number, page, len);
        }
    }

    /// The power went and came back.
    pub(crate) fn power_cut(&mut self, fate: &mut impl Fate) {
        self.tree.power_cut(fate);
        for state in self.files.values_mut() {
            state.inode.power_cut(fate);
        }
        self.volatile.clear();
        self.close_all();
    }

    /// Changes bytes of a file behind everyone's back.
    pub(crate) fn tamper(&mut self, file: u64, position: u64, bytes: &[u8]) {
        let inode = &mut self.state(file).inode;
        let before = inode.space();
        inode.tamper(position, bytes);
        self.used_blocks += self.inode(file).space() - before;
    }

    /// The next point of the sequence, if changes are allowed.
    fn change(&mut self) -> io::Result<u64> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.seq += 1;
        Ok(self.seq)
    }

    fn state(&mut self, file: u64) -> &mut FileState {
        self.files.get_mut(&file).expect("a file stays while a handle or a name refers to it")
    }

    fn mark_volatile(&mut self, file: u64) {
        match self.inode(file).is_volatile() {
            true => self.volatile.insert(file),
            false => self.volatile.remove(&file),
        };
    }

    fn unname(&mut self, file: u64) {
        self.garbage = true;
        let state = self.state(file);
        state.named = false;
        if !state.is_live() {
            let space = state.inode.space();
            self.used_blocks -= space;
        }
    }

    /// Forgets files that nothing refers to and no power cut can bring back, and counts the space anew.
    fn collect(&mut self) {
        let remembered = self.tree.collect();
        self.files.retain(|file, state| state.open > 0 || remembered.contains(file));
        let files = &self.files;
        self.volatile.retain(|file| files.contains_key(file));
        for state in self.files.values_mut() {
            state.named = false;
        }
        for (_, file) in self.tree.files() {
            self.state(file).named = true;
        }
        let live = self.files.values().filter(|state| state.is_live());
        self.used_blocks = live.map(|state| state.inode.space()).sum();
        self.garbage = false;
    }
}

/// The longest file: what ext4 allows with 4 KiB blocks.
const FILE_LEN_MAX: u64 = 1 << 44;
