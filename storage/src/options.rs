//! What can be chosen about a store and its logs.

/// How a shard's store behaves. The defaults are for a server; tests choose smaller figures.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Length of a journal file, in bytes; whole blocks. Longer files mean fewer syncs of segments and a longer recovery.
    pub journal_file_bytes: u64,
    /// Journal files at most; at least 3. All are full when appends outrun write-behind.
    pub journal_files: usize,
    /// Batches of this length and more go to their segment at once instead of through the journal, in bytes.
    pub direct_append_bytes: usize,
    /// A log's bytes that are not in its segment file before they are written there without need.
    pub write_behind_bytes: u64,
    /// Bytes that may wait for the journal or for their own sync before appends wait.
    pub queue_bytes: usize,
    /// Budget for tails, caches and indexes, in bytes. What is not in a segment yet is kept beyond it: at most what
    /// fits the journal and the queue.
    pub memory_bytes: usize,
    /// Syncs of segments in flight at once.
    pub syncs_in_flight: usize,
    /// Space kept for commits and deletes on a full disk, in bytes per data directory; 0 for none.
    pub reserve_bytes: u64,
    /// Whether a frame may hold entries of several logs. Nobody may rely on it, and simulated worlds switch it off.
    pub frame_scope: FrameScope,
    /// For tests that show what a missing sync loses.
    #[doc(hidden)]
    pub fault: Fault,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            journal_file_bytes: 16 << 20,
            journal_files: 8,
            direct_append_bytes: 64 << 10,
            write_behind_bytes: 1 << 20,
            queue_bytes: 16 << 20,
            memory_bytes: 256 << 20,
            syncs_in_flight: 16,
            reserve_bytes: 4 << 20,
            frame_scope: FrameScope::Shard,
            fault: Fault::NONE,
        }
    }
}

/// What one journal frame may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameScope {
    /// Entries of any of the shard's logs: one sync for all.
    #[default]
    Shard,
    /// Entries of one log: what replication of single partitions will make of it.
    Log,
}

/// Syncs that are left out. Only tests set one, to see their checks fail.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Journal frames are written but not synced.
    pub skip_journal_sync: bool,
    /// Segments are written but not synced.
    pub skip_segment_sync: bool,
    /// New files are not named durably.
    pub skip_dir_sync: bool,
}

impl Fault {
    /// All syncs are done.
    pub const NONE: Self = Self { skip_journal_sync: false, skip_segment_sync: false, skip_dir_sync: false };
}

/// How one log behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Its share of the journal.
    pub class: Class,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Length at which a segment is sealed and the next one begun, in bytes.
    pub segment_bytes: u64,
    /// The longest batch, header included, in bytes.
    pub batch_bytes_max: usize,
    /// A producer that has been silent for so long is forgotten, in milliseconds.
    pub producer_expiration_ms: i64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            class: Class::Produce,
            durability: Durability::Fsync,
            segment_bytes: 1 << 30,
            batch_bytes_max: 64 << 20,
            producer_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// Who gets the journal first. All entries of a log are of one class, so that they stay in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Coordinators, metadata, commits: little, and others wait for it.
    Control,
    /// What clients produce.
    Produce,
    /// What jobs stage: state deltas and uncommitted output.
    Delta,
}

impl Class {
    /// All of them, first come first.
    pub(crate) const ALL: [Self; 3] = [Self::Control, Self::Produce, Self::Delta];

    /// What a class is sure of in a frame when all have more than fits, in 64ths.
    pub(crate) const fn share(self) -> usize {
        match self {
            Self::Control => 16,
            Self::Produce => 32,
            Self::Delta => 16,
        }
    }
}

/// What survives of an acknowledged append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything: it is on stable storage.
    #[default]
    Fsync,
    /// It survives the death of the process, not that of the machine: written, but not synced.
    Os,
}
