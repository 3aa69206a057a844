//! Names: directories, what they hold, and which of their changes survive a power cut.
//!
//! A change (a creation, a removal, a rename with both its names) survives whole or not at all, as on every journaling
//! file system. Changes of the same name survive in order; of different names, in any combination.

use super::inode::Fate;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path},
};

/// The root directory's number.
const ROOT: u64 = 0;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// A file, by its inode's number.
    File(u64),
    /// A directory, by its number.
    Dir(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    dirs: BTreeMap<u64, Dir>,
    /// Changes that are not durable, oldest first.
    pending: Vec<Change>,
    next_dir: u64,
}

#[derive(Clone, Debug, Default)]
struct Dir {
    current: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Change {
    seq: u64,
    edits: Vec<Edit>,
}

#[derive(Clone, Debug)]
struct Edit {
    dir: u64,
    name: String,
    entry: Option<Entry>,
    /// Its directory has been synced since.
    synced: bool,
}

impl Edit {
    fn new(place: Place, entry: Option<Entry>) -> Self {
        Self { dir: place.dir, name: place.name, entry, synced: false }
    }

    fn key(&self) -> (u64, &str) {
        (self.dir, &self.name)
    }

    fn apply_to(&self, names: &mut BTreeMap<String, Entry>) {
        match self.entry {
            Some(entry) => names.insert(self.name.clone(), entry),
            None => names.remove(&self.name),
        };
    }
}

/// A path's parent directory and last name.
struct Place {
    dir: u64,
    name: String,
}

impl Default for Tree {
    fn default() -> Self {
        Self { dirs: BTreeMap::from([(ROOT, Dir::default())]), pending: Vec::new(), next_dir: ROOT + 1 }
    }
}

impl Tree {
    /// What `path` stands for.
    pub(crate) fn find(&self, path: &Path) -> io::Result<Option<Entry>> {
        let mut at = Entry::Dir(ROOT);
        for name in names(path)? {
            let Entry::Dir(dir) = at else { return Err(io::ErrorKind::NotADirectory.into()) };
            match self.dirs[&dir].current.get(name) {
                Some(&entry) => at = entry,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// As [`Tree::find`], for what must be there and be a directory.
    pub(crate) fn find_dir(&self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Some(Entry::Dir(dir)) => Ok(dir),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// As [`Tree::find`], for what must be there and be a file.
    pub(crate) fn find_file(&self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Some(Entry::File(inode)) => Ok(inode),
            Some(Entry::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The names in a directory, in order, with whether each is a directory.
    pub(crate) fn list(&self, dir: u64) -> impl Iterator<Item = (&str, Entry)> {
        self.dirs[&dir].current.iter().map(|(name, &entry)| (name.as_str(), entry))
    }

    /// The path of every file, sorted.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        self.walk(ROOT, &mut String::new(), &mut files);
        files
    }

    fn walk(&self, dir: u64, path: &mut String, files: &mut Vec<(String, u64)>) {
        for (name, &entry) in &self.dirs[&dir].current {
            let outer = path.len();
            path.push('/');
            path.push_str(name);
            match entry {
                Entry::File(inode) => files.push((path.clone(), inode)),
                Entry::Dir(dir) => self.walk(dir, path, files),
            }
            path.truncate(outer);
        }
    }

    /// Names the file `inode`, which has no name yet.
    pub(crate) fn create(&mut self, seq: u64, path: &Path, inode: u64) -> io::Result<()> {
        let place = self.place(path)?;
        self.change(seq, vec![Edit::new(place, Some(Entry::File(inode)))]);
        Ok(())
    }

    /// Makes the directories of `path` that are missing.
    pub(crate) fn create_dirs(&mut self, seq: u64, path: &Path) -> io::Result<()> {
        let mut at = ROOT;
        for name in names(path)? {
            at = match self.dirs[&at].current.get(name) {
                Some(Entry::Dir(dir)) => *dir,
                Some(Entry::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    let dir = self.next_dir;
                    self.next_dir += 1;
                    self.dirs.insert(dir, Dir::default());
                    let place = Place { dir: at, name: name.to_owned() };
                    self.change(seq, vec![Edit::new(place, Some(Entry::Dir(dir)))]);
                    dir
                }
            };
        }
        Ok(())
    }

    /// Renames. Gives the file that lost its name by it, if one did.
    pub(crate) fn rename(&mut self, seq: u64, from: &Path, to: &Path) -> io::Result<Option<u64>> {
        let entry = self.find(from)?.ok_or(io::ErrorKind::NotFound)?;
        let (source, target) = (self.place(from)?, self.place(to)?);
        let replaced = match (entry, self.find(to)?) {
            (_, Some(same)) if same == entry => return Ok(None),
            (Entry::Dir(_), Some(Entry::Dir(dir))) if !self.dirs[&dir].current.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            (Entry::Dir(_), Some(Entry::File(_))) => return Err(io::ErrorKind::NotADirectory.into()),
            (Entry::File(_), Some(Entry::Dir(_))) => return Err(io::ErrorKind::IsADirectory.into()),
            (_, Some(Entry::File(inode))) => Some(inode),
            (_, Some(Entry::Dir(_)) | None) => None,
        };
        if matches!(entry, Entry::Dir(_)) && to.starts_with(from) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.change(seq, vec![Edit::new(source, None), Edit::new(target, Some(entry))]);
        Ok(replaced)
    }

    /// Removes the name of a file, and gives the file.
    pub(crate) fn remove_file(&mut self, seq: u64, path: &Path) -> io::Result<u64> {
        let inode = self.find_file(path)?;
        let place = self.place(path)?;
        self.change(seq, vec![Edit::new(place, None)]);
        Ok(inode)
    }

    /// Removes a directory and all below it, one change each, deepest first. Gives the files.
    pub(crate) fn remove_dirs(&mut self, seq: u64, path: &Path) -> io::Result<Vec<u64>> {
        let dir = self.find_dir(path)?;
        let place = self.place(path)?;
        let mut files = Vec::new();
        self.empty(seq, dir, &mut files);
        self.change(seq, vec![Edit::new(place, None)]);
        Ok(files)
    }

    fn empty(&mut self, seq: u64, dir: u64, files: &mut Vec<u64>) {
        for (name, entry) in self.dirs[&dir].current.clone() {
            match entry {
                Entry::File(inode) => files.push(inode),
                Entry::Dir(inner) => self.empty(seq, inner, files),
            }
            self.change(seq, vec![Edit::new(Place { dir, name }, None)]);
        }
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent: &Path = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Place { dir: self.find_dir(parent)?, name })
    }

    fn change(&mut self, seq: u64, edits: Vec<Edit>) {
        for edit in &edits {
            if let Some(dir) = self.dirs.get_mut(&edit.dir) {
                edit.apply_to(&mut dir.current);
            }
        }
        self.pending.push(Change { seq, edits });
    }

    /// Makes the changes of `dir` up to `as_of` durable. A rename between two directories takes a sync of both. What
    /// an older change did to a name of a change that becomes durable, becomes durable with it.
    pub(crate) fn sync(&mut self, dir: u64, as_of: u64) {
        for change in self.pending.iter_mut().filter(|change| change.seq <= as_of) {
            change.edits.iter_mut().filter(|edit| edit.dir == dir).for_each(|edit| edit.synced = true);
        }
        // From the youngest to the oldest: whose names does a durable change depend on?
        let mut durable = vec![false; self.pending.len()];
        let mut names = BTreeSet::new();
        for (index, change) in self.pending.iter().enumerate().rev() {
            durable[index] = change.edits.iter().all(|edit| edit.synced)
                || change.edits.iter().any(|edit| names.contains(&edit.key()));
            if durable[index] {
                names.extend(change.edits.iter().map(Edit::key));
            }
        }
        let mut kept = Vec::new();
        for (change, durable) in std::mem::take(&mut self.pending).into_iter().zip(durable) {
            match durable {
                true => change.edits.iter().for_each(|edit| self.make_durable(edit)),
                false => kept.push(change),
            }
        }
        self.pending = kept;
    }

    fn make_durable(&mut self, edit: &Edit) {
        if let Some(dir) = self.dirs.get_mut(&edit.dir) {
            edit.apply_to(&mut dir.durable);
        }
    }

    /// The power went and came back.
    pub(crate) fn power_cut(&mut self, fate: &mut impl Fate) {
        let mut lost_names: BTreeSet<(u64, String)> = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let keys = || change.edits.iter().map(|edit| (edit.dir, edit.name.clone()));
            let builds_on_lost = keys().any(|key| lost_names.contains(&key));
            if fate.survives() && !builds_on_lost {
                change.edits.iter().for_each(|edit| self.make_durable(edit));
            } else {
                lost_names.extend(keys());
            }
        }
        for dir in self.dirs.values_mut() {
            dir.current = dir.durable.clone();
        }
    }

    /// Forgets directories that can have no name again, and gives the files that have one or may after a power cut.
    pub(crate) fn collect(&mut self) -> BTreeSet<u64> {
        let mut edges: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
        for edit in self.pending.iter().flat_map(|change| &change.edits) {
            edges.entry(edit.dir).or_default().extend(edit.entry);
        }
        let (mut files, mut dirs, mut todo) = (BTreeSet::new(), BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(number) = todo.pop() {
            let dir = &self.dirs[&number];
            let named = dir.current.values().chain(dir.durable.values());
            for &entry in named.chain(edges.get(&number).into_iter().flatten()) {
                match entry {
                    Entry::File(inode) => drop(files.insert(inode)),
                    Entry::Dir(dir) => {
                        if dirs.insert(dir) {
                            todo.push(dir);
                        }
                    }
                }
            }
        }
        self.dirs.retain(|number, _| dirs.contains(number));
        for change in &mut self.pending {
            change.edits.retain(|edit| dirs.contains(&edit.dir));
        }
        self.pending.retain(|change| !change.edits.is_empty());
        files
    }
}

/// The names in `path` from the root on. Relative paths start at the root too: a simulated process has no directory.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or(io::ErrorKind::InvalidFilename)?),
            Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidFilename.into()),
        }
    }
    Ok(names)
}
