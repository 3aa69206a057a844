use millrace_record::*;
use millrace_runtime::sim::*;
use millrace_storage::*;
use std::path::PathBuf;

fn batch(values: &[&[u8]]) -> (BatchHeader, Vec<u8>) {
    let mut builder = ArchivedBatchBuilder::new(1 << 24);
    for v in values { builder.push(1, Some(b"k"), Some(v), Headers::EMPTY).unwrap(); }
    let mut image = Vec::new();
    let header = builder.finish(&BatchMeta::PLAIN, &mut image).unwrap();
    (header, image.split_off(HEADER_LEN))
}

async fn open() -> (Store, DirLocks, bool) {
    let (dirs, locks) = DataDirs::open(&[PathBuf::from("/data")], None).await.unwrap();
    let recovered = recover(&dirs).await.unwrap();
    let clean = recovered.is_clean();
    let (mut parts, old) = recovered.split(1, |_, _| 0);
    let options = StoreOptions { journal_file_bytes: 1 << 19, ..StoreOptions::default() };
    let (store, opened) = Store::open(options, parts.remove(0), |_| LogOptions::default()).await.unwrap();
    old.remove(&[opened]).await.unwrap();
    (store, locks, clean)
}

#[test]
fn smoke() {
    let world = World::new(1, WorldOptions::default());
    let node = world.add_node("a", NodeOptions::default());
    let key = LogKey::data(TopicId::METADATA, 3);
    for round in 0..6i64 {
        world.block_on(node, async move {
            let (store, _locks, clean) = open().await;
            println!("round {round} clean {clean}");
            let log = match store.log(key) { Some(log) => log, None => store.create(key, LogOptions::default()).await.unwrap() };
            println!("{log:?} {:?}", store.journal_stats());
            for i in 0..100 {
                let value = vec![i as u8; if i % 10 == 0 { 70_000 } else { 1000 }];
                let (h, p) = batch(&[&value, b"x"]);
                let a = log.append(&Batch::new(h, &p).unwrap(), None).await.unwrap();
                if i % 7 == 0 { a.durable.await.unwrap(); }
            }
            log.durable().await.unwrap();
            let mut at = 0;
            let mut n = 0;
            while at < log.high_watermark() {
                let r = log.read(&ReadRequest { offset: at, max_bytes: 100_000, at_least_one: true, isolation: Isolation::ReadUncommitted }).await.unwrap();
                assert!(!r.batches.is_empty());
                for b in r.batches { assert_eq!(b.header().base_offset, at); at = b.header().next_offset(); n += 1; b.as_batch().check().unwrap(); }
            }
            assert_eq!(n, 100 * (round + 1));
            println!("{log:?} {:?}", store.journal_stats());
            if round % 2 == 0 { store.close().await.unwrap(); } else { std::mem::forget(store) }
        });
        world.kill(node, if round % 3 == 0 { Crash::Process } else { Crash::PowerCut });
    }
}
