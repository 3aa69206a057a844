//! What the first shard finds out before any store opens: what is on disk, which topics there are, and who gets what.

use super::{MetadataError, ShardError};
use crate::{
    cluster::{COMMIT_TOPIC, Image, METADATA_TOPIC, MetadataRecord, owner},
    config::Config,
    shard::{
        ServerOptions,
        partitions::{changelog_options, staged_options},
    },
};
use millrace_record::Scratch;
use millrace_runtime::sleep;
use millrace_storage::{
    Class, DataDirs, DirLocks, LogKey, LogKind, LogOptions, OldJournals, RecoverError, Recovered, ShardPart,
    StoreOptions, recover,
};
use std::{sync::Arc, time::Duration};

/// The largest batch of the metadata log, decompressed.
const METADATA_BATCH_MAX: usize = 64 << 20;

/// How long a start that found no space waits before it tries again.
const SPACE_RETRY: Duration = Duration::from_millis(500);

/// What the first shard finds out before any store opens.
pub(super) struct Plan {
    pub(super) parts: Vec<ShardPart>,
    pub(super) old: OldJournals,
    pub(super) records: Arc<Vec<MetadataRecord>>,
    pub(super) locks: DirLocks,
}

pub(super) async fn plan(config: &Config, shards: u16) -> Result<Plan, ShardError> {
    let (dirs, locks) = DataDirs::open(&config.server.data_dirs, None).await?;
    let mut recovered = recover_when_there_is_space(&dirs).await?;
    let records = read_metadata(&recovered).await.map_err(ShardError::Metadata)?;
    let mut image = Image::default();
    records.iter().for_each(|record| image.apply(record));
    let is_changelog = |topic| image.jobs().any(|job| job.changelog == topic);
    let is_known = |topic| {
        topic == METADATA_TOPIC
            || topic == COMMIT_TOPIC
            || image.topic_by_id(topic).is_some()
            || is_changelog(topic)
    };
    for topic in recovered.set_aside(is_known).await? {
        tracing::warn!(%topic, "the metadata knows no such topic: its folder was set aside");
    }
    let (parts, old) =
        recovered.split(usize::from(shards), |topic, partition| owner(topic, partition, shards).index());
    Ok(Plan { parts, old, records: Arc::new(records), locks })
}

/// Recovers what is on disk. What was acknowledged has its space there, so that a full disk is no obstacle; should the file
/// system see that differently, the start waits, and says so.
async fn recover_when_there_is_space(dirs: &DataDirs) -> Result<Recovered, RecoverError> {
    let mut has_told = false;
    loop {
        match recover(dirs).await {
            Err(RecoverError::Io(error)) if error.is_full() => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::error!(%error, "the disk is full: the start waits for space to recover what is in the journals");
                }
                sleep(SPACE_RETRY).await;
            }
            recovered => return recovered,
        }
    }
}

async fn read_metadata(recovered: &Recovered) -> Result<Vec<MetadataRecord>, MetadataError> {
    let mut records = Vec::new();
    let Some(mut reader) = recovered.reader(LogKey::data(METADATA_TOPIC, 0)) else { return Ok(records) };
    let mut scratch = Scratch::new(METADATA_BATCH_MAX);
    loop {
        let batches = reader.read().await?;
        if batches.is_empty() {
            return Ok(records);
        }
        for batch in &batches {
            for record in batch.as_batch().records(&mut scratch)? {
                records.push(MetadataRecord::decode(record?.value.unwrap_or_default())?);
            }
        }
    }
}

/// How a log that was recovered behaves: as it did when it was made. Its class above all is for good.
pub(super) fn recovered_options(key: LogKey, image: &Image, options: &ServerOptions) -> LogOptions {
    match (key.kind, image.topic_by_id(key.topic)) {
        (LogKind::Staged, _) => staged_options(),
        (LogKind::Data, Some(topic)) => options.log_options(topic),
        (LogKind::Data, None) if [METADATA_TOPIC, COMMIT_TOPIC].contains(&key.topic) => {
            LogOptions { class: Class::Control, ..LogOptions::default() }
        }
        (LogKind::Data, None) => changelog_options(),
    }
}

pub(super) fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        journal_file_bytes: config.journal.file_bytes.0,
        journal_files: config.journal.files_max as usize,
        memory_bytes: usize::try_from(config.memory.log_bytes.0).unwrap_or(usize::MAX),
        ..StoreOptions::default()
    }
}
