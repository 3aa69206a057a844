//! Files on whatever holds the temporary directory, and on a tmpfs if there is one.

use crate::{options, run, run_in};
use bytes::Bytes;
use millrace_runtime::{
    AlignedBuf, BLOCK_SIZE, File, OpenOptions, launch, random_u64, spawn, timeout, yield_now,
};
use proptest::prelude::*;
use std::{
    future::poll_fn,
    io::ErrorKind,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tempfile::TempDir;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// `blocks` blocks, each filled with a byte of its own.
fn pattern(first: u8, blocks: usize) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(blocks * BLOCK_SIZE);
    for (n, block) in buffer.chunks_mut(BLOCK_SIZE).enumerate() {
        block.fill(first.wrapping_add(n as u8));
    }
    buffer
}

/// A directory on each kind of file system at hand.
fn directories() -> Vec<TempDir> {
    let shm = Path::new("/dev/shm");
    let mut directories = vec![tempfile::tempdir().unwrap()];
    if shm.is_dir() {
        directories.extend(tempfile::tempdir_in(shm));
    }
    directories
}

#[test]
fn what_is_written_is_read_back() {
    for directory in directories() {
        run_in(&directory, async |root| {
            let path = root.join("file");
            let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 0);
            file.write_at(BLOCK, pattern(1, 4).freeze()).await.unwrap();
            let (written, buffer) = file.write_durable_at(5 * BLOCK, pattern(5, 3), 2 * BLOCK_SIZE).await;
            written.unwrap();
            assert_eq!(buffer.len(), 3 * BLOCK_SIZE, "the buffer comes back whole");
            file.sync_data().await.unwrap();
            assert_eq!(file.len().await.unwrap(), 7 * BLOCK);

            let other = File::open(&path, OpenOptions::READ).await.unwrap();
            let all = other.read_at(0, 7 * BLOCK_SIZE).await.unwrap();
            let expected: Vec<u8> = (0..7).flat_map(|n| [n; BLOCK_SIZE]).collect();
            assert!(all == expected);
            assert!(other.write_at(0, pattern(0, 1).freeze()).await.is_err(), "opened for reading");
            other.close().await.unwrap();
            file.clone().close().await.unwrap();
            assert_eq!(file.read_at(BLOCK, 1).await.unwrap(), [1u8][..], "another handle is open");
        });
    }
}

#[test]
fn reads_are_cut_at_the_end_of_the_file() {
    for directory in directories() {
        run_in(&directory, async |root| {
            let path = root.join("file");
            std::fs::write(&path, [7; 2 * BLOCK_SIZE + 100]).unwrap();
            let file = File::open(&path, OpenOptions::READ).await.unwrap();
            let end = 2 * BLOCK + 100;
            for (position, len, expected) in [
                (0, 0, 0),
                (0, 10 * BLOCK_SIZE, end as usize),
                (end - 1, 1, 1),
                (end - 1, 2, 1),
                (end, 1, 0),
                (end + 1, 1, 0),
                (end + 10 * BLOCK, BLOCK_SIZE, 0),
                (BLOCK - 1, 2, 2),
                // From a damaged length or position: no memory on credit.
                (10, usize::MAX, end as usize - 10),
                (u64::MAX, 1, 0),
                (u64::MAX - 5, usize::MAX, 0),
            ] {
                let read = file.read_at(position, len).await.unwrap();
                assert_eq!(read.len(), expected, "{len} bytes at {position}");
                assert!(read.iter().all(|&byte| byte == 7));
            }
        });
    }
}

#[test]
fn lengths_and_space() {
    for directory in directories() {
        run_in(&directory, async |root| {
            let path = root.join("file");
            let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
            file.allocate(0, 10 * BLOCK).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 10 * BLOCK);
            let zeros = file.read_at(0, 10 * BLOCK_SIZE).await.unwrap();
            assert!(zeros.iter().all(|&byte| byte == 0));
            let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
            assert!(blocks * 512 >= 10 * BLOCK, "space is reserved");
            file.set_len(3 * BLOCK + 5).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 3 * BLOCK + 5);
            assert_eq!(file.read_at(3 * BLOCK, 10).await.unwrap().len(), 5);
            let far = file.allocate(0, 1 << 60).await.unwrap_err();
            assert!(matches!(far.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge), "{far}");
        });
    }
}

#[test]
fn opening_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    run_in(&directory, async |root| {
        let path = root.join("file");
        let kind = async |path: &Path, options| File::open(path, options).await.unwrap_err().kind();
        assert_eq!(kind(&path, OpenOptions::READ).await, ErrorKind::NotFound);
        assert_eq!(kind(&path, OpenOptions::WRITE).await, ErrorKind::NotFound);
        File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
        assert_eq!(kind(&path, OpenOptions::CREATE_NEW).await, ErrorKind::AlreadyExists);
        let create = OpenOptions { create: true, ..OpenOptions::WRITE };
        File::open(&path, create).await.unwrap();
        assert_eq!(kind(Path::new("a\0b"), OpenOptions::READ).await, ErrorKind::InvalidInput);
    });
}

#[test]
fn many_operations_are_in_flight_together() {
    let directory = tempfile::tempdir().unwrap();
    run_in(&directory, async |root| {
        let path = root.join("file");
        const WRITES: u64 = 600; // More than the submission queue takes.
        let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
        file.allocate(0, WRITES * BLOCK).await.unwrap();
        let writes: Vec<_> = (0..WRITES)
            .map(|n| {
                let file = file.clone();
                spawn(async move {
                    let block = pattern(n as u8, 1);
                    match n % 3 {
                        0 => file.write_durable_at(n * BLOCK, block, BLOCK_SIZE).await.0.unwrap(),
                        1 => file.write_at(n * BLOCK, block.freeze()).await.unwrap(),
                        _ => {
                            file.write_at(n * BLOCK, block.freeze()).await.unwrap();
                            file.sync_data().await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for write in writes {
            write.await.expect("not cancelled");
        }
        let reads: Vec<_> = (0..WRITES)
            .map(|n| {
                let file = file.clone();
                spawn(async move { file.read_at(n * BLOCK + n, 3).await.unwrap() })
            })
            .collect();
        for (n, read) in reads.into_iter().enumerate() {
            assert_eq!(read.await.expect("not cancelled"), [n as u8; 3][..]);
        }
    });
}

/// Operations that are started together, in one poll: the ring is not entered meanwhile.
struct Together<T>(Vec<Pin<Box<dyn Future<Output = T>>>>);

impl<T> Together<T> {
    fn new<F: Future<Output = T> + 'static>(operations: impl Iterator<Item = F>) -> Self {
        Self(operations.map(|operation| Box::pin(operation) as _).collect())
    }

    /// Starts all, and expects none to be over at once.
    async fn start(&mut self) {
        let start = |cx: &mut Context<'_>| {
            for operation in &mut self.0 {
                assert!(operation.as_mut().poll(cx).is_pending(), "nothing is submitted yet");
            }
            Poll::Ready(())
        };
        poll_fn(start).await;
    }

    async fn finish(self) -> Vec<T> {
        let mut outputs = Vec::new();
        for operation in self.0 {
            outputs.push(operation.await);
        }
        outputs
    }
}

/// More at once than the submission queue takes (256): the rest waits in the backlog, in order, whether it is still wanted when its
/// turn comes or not.
#[test]
fn what_the_submission_queue_does_not_take_follows() {
    const OPERATIONS: u64 = 1500;
    for directory in directories() {
        run_in(&directory, async |root| {
            let path = root.join("file");
            let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
            file.allocate(0, OPERATIONS * BLOCK).await.unwrap();
            let write = |n: u64| {
                let file = file.clone();
                async move { file.write_at(n * BLOCK, pattern(n as u8, 1).freeze()).await.unwrap() }
            };
            let mut writes = Together::new((0..OPERATIONS).map(write));
            writes.start().await;
            writes.finish().await;

            let read = |n: u64| {
                let file = file.clone();
                async move { (n, file.read_at(n * BLOCK + n % 100, 3).await.unwrap()) }
            };
            let mut reads = Together::new((0..OPERATIONS).map(read));
            reads.start().await;
            // Some are given up before they are submitted: their memory stays until the kernel has had its turn with them.
            let mut n = 0;
            reads.0.retain(|_| {
                n += 1;
                n % 5 != 0
            });
            let read = reads.finish().await;
            assert_eq!(read.len() as u64, OPERATIONS - OPERATIONS / 5);
            for (n, bytes) in read {
                assert_eq!(bytes, [n as u8; 3][..], "block {n}");
            }
        });
    }
}

/// A shard that ends with a full backlog waits for all of it.
#[test]
fn a_shard_stops_with_a_backlog() {
    const OPERATIONS: u64 = 1500;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    run_in(&directory, async |root| {
        let path = root.join("file");
        let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
        file.allocate(0, OPERATIONS * BLOCK).await.unwrap();
        let write = |n: u64| {
            let file = file.clone();
            async move { file.write_at(n * BLOCK, pattern(1, 1).freeze()).await }
        };
        let mut writes = Together::new((0..OPERATIONS).map(write));
        writes.start().await;
        spawn(writes.finish());
    });
    // What was not cancelled was written; whatever became of it, nothing of it is open any more.
    assert_eq!(descriptors_of(&path), 0);
}

/// Registered buffers are few: some are had, some refused, all work, also after they went through another thread.
#[test]
fn registered_buffers_go_round() {
    let directory = tempfile::tempdir().unwrap();
    run_in(&directory, async |root| {
        let path = root.join("file");
        let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
        for round in 0..5u8 {
            let mut buffers: Vec<_> = (0..8).map(|_| AlignedBuf::registered(3 * BLOCK_SIZE)).collect();
            for (n, buffer) in buffers.iter_mut().enumerate() {
                assert!(buffer.iter().all(|&byte| byte == 0), "a buffer is zeroed, whoever had it");
                assert_eq!(buffer.len(), 3 * BLOCK_SIZE);
                buffer.fill(round * 8 + n as u8);
            }
            for (n, buffer) in buffers.into_iter().enumerate() {
                let position = n as u64 * 3 * BLOCK;
                let (written, buffer) = file.write_durable_at(position, buffer, 3 * BLOCK_SIZE).await;
                written.unwrap();
                if n % 2 == 0 {
                    let bytes = buffer.freeze();
                    std::thread::spawn(move || drop(bytes)).join().unwrap();
                }
                let read = file.read_at(position + 1, 2 * BLOCK_SIZE).await.unwrap();
                assert!(read.iter().all(|&byte| byte == round * 8 + n as u8));
            }
        }
        // Larger than any registered one.
        let large = AlignedBuf::registered(2 << 20);
        let (written, large) = file.write_durable_at(0, large, 2 << 20).await;
        written.unwrap();
        assert_eq!(large.len(), 2 << 20);
    });
}

/// A dropped future leaves its memory to the kernel until the operation is over; the file stays usable.
#[test]
fn operations_can_be_dropped_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    run_in(&directory, async |root| {
        let path = root.join("file");
        let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
        file.allocate(0, 64 * BLOCK).await.unwrap();
        for n in 0..500u64 {
            let block = BLOCK * (n % 64);
            let buffer = AlignedBuf::registered(BLOCK_SIZE);
            let patience = Duration::from_micros(random_u64() % 300);
            // Whether it is done in time or not, memory is neither lost nor freed early.
            let written = timeout(patience, file.write_durable_at(block, buffer, BLOCK_SIZE)).await;
            assert!(written.is_err() || written.is_ok_and(|(result, _)| result.is_ok()));
            drop(timeout(patience, file.read_at(block, 100_000)).await);
            drop(timeout(Duration::ZERO, file.sync_data()).await);
            // Opened and dropped: no descriptor may leak.
            drop(timeout(Duration::ZERO, File::open(&path, OpenOptions::READ)).await);
            let task = spawn({
                let file = file.clone();
                async move { file.write_at(block, pattern(3, 1).freeze()).await }
            });
            yield_now().await;
            task.cancel();
        }
        file.write_at(0, pattern(9, 1).freeze()).await.unwrap();
        assert_eq!(file.read_at(5, 1).await.unwrap(), [9u8][..]);
    });
}

/// Main ends with writes in flight: the shard waits for the kernel before it frees anything.
#[test]
fn a_shard_stops_with_operations_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for _ in 0..20 {
        run_in(&directory, async |root| {
            let path = root.join("file");
            let create = OpenOptions { create: true, ..OpenOptions::WRITE };
            let file = File::open(&path, create).await.unwrap();
            for n in 0..50 {
                let file = file.clone();
                spawn(async move {
                    file.write_durable_at(n * BLOCK, AlignedBuf::registered(BLOCK_SIZE), BLOCK_SIZE).await
                });
            }
            yield_now().await;
        });
    }
    assert_eq!(descriptors_of(&path), 0, "descriptors are closed when their operations are done");
}

/// How many descriptors of the process are open on a file.
fn descriptors_of(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).filter(|at| *at == path).count()
}

#[test]
#[should_panic(expected = "not aligned")]
fn an_unaligned_write_asserts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let launched = launch(&options(1), move |_| {
        let path = path.clone();
        async move {
            let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
            file.write_at(0, Bytes::from_static(b"seven")).await.unwrap();
        }
    });
    let panic = launched.unwrap().join().unwrap_err();
    panic!("{panic}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Against a vector of bytes: writes of blocks, reads of anything.
    #[test]
    fn like_a_vector_of_bytes(
        steps in prop::collection::vec((any::<bool>(), 0..40u64, 0..8usize, 0..5000usize, any::<u8>()), 1..60),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        run(move |_| {
            let (path, steps) = (path.clone(), steps.clone());
            async move {
                let file = File::open(&path, OpenOptions::CREATE_NEW).await.unwrap();
                let mut model: Vec<u8> = Vec::new();
                for (write, block, blocks, odd, fill) in steps {
                    if write {
                        let mut data = AlignedBuf::zeroed(blocks.max(1) * BLOCK_SIZE);
                        data.fill(fill);
                        let start = block as usize * BLOCK_SIZE;
                        model.resize(model.len().max(start + data.len()), 0);
                        model[start..start + data.len()].fill(fill);
                        file.write_at(block * BLOCK, data.freeze()).await.unwrap();
                    } else {
                        let position = block as usize * BLOCK_SIZE + odd;
                        let len = blocks * BLOCK_SIZE + odd / 2;
                        let expected = model.get(position..).unwrap_or_default();
                        let expected = &expected[..len.min(expected.len())];
                        let read = file.read_at(position as u64, len).await.unwrap();
                        assert!(read == expected, "{len} bytes at {position}");
                    }
                    assert_eq!(file.len().await.unwrap(), model.len() as u64);
                }
            }
        });
    }
}
