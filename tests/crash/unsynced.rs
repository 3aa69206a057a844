//! The same file system under the log alone, so that a sync can be left out: the check must see what that loses, or it would
//! not see it of the server either.
//!
//! Only the journal's sync is left out here. Names that were not made durable are not missed on ext4, whose own journal
//! brings them along with any other sync; simulated worlds miss them.

use crate::{device::Device, process::client};
use millrace_record::{Batch, BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder, TopicId};
use millrace_storage::{
    DataDirs, DirLocks, Fault, Isolation, LogKey, LogOptions, ReadRequest, Store, StoreOptions, recover,
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use uuid::Uuid;

/// Appends that are acknowledged before the power is cut.
const APPENDS: u64 = 300;

const MEBIBYTES: u64 = 256;

fn key() -> LogKey {
    LogKey::data(TopicId(Uuid::from_u128(7)), 0)
}

fn options(fault: Fault) -> StoreOptions {
    StoreOptions { journal_file_bytes: 1 << 20, journal_files: 4, fault, ..StoreOptions::default() }
}

async fn open(directory: PathBuf, fault: Fault) -> (Store, DirLocks) {
    let (dirs, locks) = DataDirs::open(&[directory], None).await.unwrap();
    let mut recovered = recover(&dirs).await.unwrap();
    recovered.set_aside(|_| true).await.unwrap();
    let (parts, old) = recovered.split(1, |_, _| 0);
    let part = parts.into_iter().next().unwrap();
    let (store, opened) = Store::open(options(fault), part, |_| LogOptions::default()).await.unwrap();
    old.remove(&[opened]).await.unwrap();
    (store, locks)
}

/// Appends one record after the other, each acknowledged before the next, until the disk is gone.
async fn append(directory: PathBuf, fault: Fault, acknowledged: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    let (store, _locks) = open(directory, fault).await;
    let log = store.create(key(), LogOptions::default()).await.unwrap();
    while !over.load(Ordering::Relaxed) {
        let mut builder = KafkaBatchBuilder::new(1 << 20);
        let value = acknowledged.load(Ordering::Relaxed).to_be_bytes();
        builder.push(0, None, Some(&value), Headers::EMPTY).unwrap();
        let mut bytes = Vec::new();
        let header =
            builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut bytes).unwrap();
        let Ok(appended) = log.append(&Batch::new(header, &bytes).unwrap(), None).await else { break };
        if appended.durable.await.is_err() {
            break;
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many of the appends that were acknowledged are gone after a power cut.
fn lost(device: &mut Device, name: &str, fault: Fault) -> u64 {
    let directory = device.path().join(name);
    std::fs::create_dir(&directory).unwrap();
    let (acknowledged, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let appending = {
        let (directory, acknowledged, over) =
            (directory.clone(), Arc::clone(&acknowledged), Arc::clone(&over));
        thread::spawn(move || client(move || append(directory, fault, acknowledged, over)))
    };
    while acknowledged.load(Ordering::Relaxed) < APPENDS {
        assert!(!appending.is_finished(), "it has failed");
        thread::sleep(Duration::from_millis(1));
    }
    // What is acknowledged from here on may come too late.
    let before = acknowledged.load(Ordering::Relaxed);
    device.cut_power();
    over.store(true, Ordering::Relaxed);
    appending.join().unwrap();
    device.restore();
    before.saturating_sub(recovered(&directory))
}

/// The end of the log after recovery; 0 if there is none.
fn recovered(directory: &Path) -> u64 {
    let directory = directory.to_owned();
    client(move || async move {
        if !directory.exists() {
            return 0;
        }
        let (store, _locks) = open(directory, Fault::NONE).await;
        let Some(log) = store.log(key()) else { return 0 };
        let all = ReadRequest {
            offset: log.start_offset(),
            max_bytes: 1 << 20,
            at_least_one: true,
            isolation: Isolation::ReadUncommitted,
        };
        assert!(log.end_offset() == 0 || !log.read(&all).await.unwrap().batches.is_empty());
        u64::try_from(log.end_offset()).unwrap()
    })
}

#[test]
fn what_a_missing_sync_loses_is_seen() {
    let Some(mut device) = Device::new(MEBIBYTES) else { return };
    for life in 0..3 {
        assert_eq!(lost(&mut device, &format!("whole-{life}"), Fault::NONE), 0);
    }
    let fault = Fault { skip_journal_sync: true, ..Fault::NONE };
    let lost: Vec<u64> = (0..5).map(|life| lost(&mut device, &format!("unsynced-{life}"), fault)).collect();
    println!("without the journal's sync, power cuts lose {lost:?} of {APPENDS} appends and more");
    assert!(lost.iter().any(|lost| *lost > 0), "the check does not see a missing sync");
}
