//! What a disk may lose, and what not: a rule each, over many seeds.

use crate::{DEVICES, one_node};
use millrace_runtime::{
    AlignedBuf, File, OpenOptions, fs,
    sim::{
        Crash, Device, DiskLatency, DiskOptions, Fault, IoStep, Killed, NodeId, NodeOptions, World,
        WorldOptions,
    },
    spawn, yield_now,
};
use std::{collections::BTreeSet, io, path::Path, time::Duration};

const BLOCK: usize = 4096;
const SEEDS: u64 = 60;

fn filled(byte: u8, blocks: usize) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(blocks * BLOCK);
    buffer.fill(byte);
    buffer
}

async fn write(file: &File, block: usize, byte: u8) {
    let position = (block * BLOCK) as u64;
    file.write_at(position, filled(byte, 1).freeze()).await.expect("a write");
}

async fn write_durable(file: &File, block: usize, byte: u8) {
    let position = (block * BLOCK) as u64;
    file.write_durable_at(position, filled(byte, 1), BLOCK).await.0.expect("a durable write");
}

/// A file of `blocks` durable blocks of `byte`, named durably.
async fn durable_file(path: &str, blocks: usize, byte: u8) -> File {
    let file = File::open(Path::new(path), OpenOptions::CREATE_NEW).await.expect("a new file");
    for block in 0..blocks {
        write(&file, block, byte).await;
    }
    file.sync_data().await.expect("a sync");
    fs::sync_dir(Path::new("/")).await.expect("a sync");
    file
}

/// Runs a workload, cuts the power, and gives what is found, over many seeds.
fn after_power_cut<T: Ord>(
    device: Device,
    torn_blocks: bool,
    workload: impl AsyncFn(),
    find: impl Fn(&World, NodeId) -> T,
) -> BTreeSet<T> {
    (0..SEEDS)
        .map(|seed| {
            let world = World::new(seed, WorldOptions::default());
            let disk = DiskOptions { device, torn_blocks, ..DiskOptions::default() };
            let node = world.add_node("a", NodeOptions { disk });
            world.block_on(node, workload());
            world.kill(node, Crash::PowerCut);
            find(&world, node)
        })
        .collect()
}

/// The distinct bytes of each block of a file.
fn bytes_of(world: &World, node: NodeId, path: &str) -> Vec<Vec<u8>> {
    let contents = world.disk(node).read(Path::new(path)).expect("the file is there");
    let distinct = |block: &[u8]| block.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    contents.chunks(BLOCK).map(distinct).collect()
}

#[test]
fn what_was_synced_or_written_durably_is_never_lost() {
    for device in DEVICES {
        let found = after_power_cut(
            device,
            true,
            async || {
                let file = durable_file("/a", 2, 1).await;
                write_durable(&file, 0, 2).await;
                write_durable(&file, 2, 3).await;
            },
            |world, node| bytes_of(world, node, "/a"),
        );
        assert_eq!(found, BTreeSet::from([vec![vec![2], vec![1], vec![3]]]), "{device:?}");
    }
}

#[test]
fn an_unsynced_overwrite_is_lost_or_not_block_by_block_where_there_is_a_cache() {
    for device in DEVICES {
        let found = after_power_cut(
            device,
            false,
            async || {
                let file = durable_file("/a", 2, 1).await;
                file.write_at(0, filled(2, 2).freeze()).await.expect("a write");
            },
            |world, node| bytes_of(world, node, "/a"),
        );
        let all = [[1, 1], [1, 2], [2, 1], [2, 2]].map(|blocks| blocks.map(|byte| vec![byte]).to_vec());
        match device {
            Device::NoCache => assert_eq!(found, BTreeSet::from([all[3].clone()])),
            Device::Fua | Device::FlushOnly => assert_eq!(found, BTreeSet::from(all), "{device:?}"),
        }
    }
}

#[test]
fn a_block_may_be_torn_at_sectors_but_only_if_asked() {
    let workload = async || {
        let file = durable_file("/a", 1, 1).await;
        write(&file, 0, 2).await;
    };
    let contents = |world: &World, node| world.disk(node).read(Path::new("/a")).expect("the file is there");
    let found = after_power_cut(Device::Fua, true, workload, contents);
    assert!(found.iter().any(|block| block.contains(&1) && block.contains(&2)), "none was torn");
    for sector in found.iter().flat_map(|block| block.chunks(512)) {
        assert!(sector.iter().all(|byte| byte == &sector[0]), "a sector was torn");
    }
}

#[test]
fn a_durable_write_covers_itself_alone_unless_the_device_only_flushes() {
    for device in DEVICES {
        let found = after_power_cut(
            device,
            false,
            async || {
                let file = durable_file("/a", 2, 1).await;
                write(&file, 0, 2).await;
                write_durable(&file, 1, 3).await;
            },
            |world, node| bytes_of(world, node, "/a")[0][0],
        );
        match device {
            Device::Fua => assert_eq!(found, BTreeSet::from([1, 2])),
            Device::NoCache | Device::FlushOnly => assert_eq!(found, BTreeSet::from([2]), "{device:?}"),
        }
    }
}

#[test]
fn syncing_one_file_does_not_save_another() {
    for device in DEVICES {
        let found = after_power_cut(
            device,
            false,
            async || {
                let (a, b) = (durable_file("/a", 1, 1).await, durable_file("/b", 1, 1).await);
                write(&b, 0, 2).await;
                // Into space that was never written before: a matter of the file's own metadata on every device.
                write(&b, 1, 2).await;
                write(&a, 0, 2).await;
                a.sync_data().await.expect("a sync");
                write_durable(&a, 0, 3).await;
            },
            |world, node| (bytes_of(world, node, "/a"), bytes_of(world, node, "/b")),
        );
        assert!(found.iter().all(|(a, _)| *a == [[3]]));
        let overwritten: BTreeSet<u8> = found.iter().map(|(_, b)| b[0][0]).collect();
        let appended: BTreeSet<Option<u8>> =
            found.iter().map(|(_, b)| b.get(1).map(|block| block[0])).collect();
        match device {
            Device::Fua => assert_eq!(overwritten, BTreeSet::from([1, 2])),
            Device::NoCache | Device::FlushOnly => {
                assert_eq!(overwritten, BTreeSet::from([2]), "{device:?}");
            }
        }
        assert_eq!(appended, BTreeSet::from([None, Some(0), Some(2)]), "{device:?}");
    }
}

#[test]
fn a_sync_covers_what_completed_before_its_call_and_no_more() {
    for device in [Device::Fua, Device::FlushOnly] {
        let found: BTreeSet<u8> = (0..SEEDS)
            .map(|seed| {
                let (world, node) = one_node(seed, device);
                let file = world.block_on(node, durable_file("/a", 1, 1));
                let sync = Duration::from_secs(1)..=Duration::from_secs(2);
                world.disk(node).set_latency(DiskLatency { sync, ..DiskLatency::default() });
                world.block_on(node, async {
                    write(&file, 0, 2).await;
                    let clone = file.clone();
                    let syncing = spawn(async move { clone.sync_data().await });
                    yield_now().await;
                    // More than are remembered.
                    for version in 3..9 {
                        write(&file, 0, version).await;
                    }
                    assert!(!syncing.is_finished());
                    syncing.await.expect("nobody cancels it").expect("a sync");
                });
                drop(file);
                world.kill(node, Crash::PowerCut);
                world.disk(node).read(Path::new("/a")).expect("it is there")[0]
            })
            .collect();
        assert!(!found.contains(&1), "{device:?}: what was synced is lost");
        assert!(found.len() > 2, "{device:?}: more than what was synced is safe, {found:?}");
    }
}

#[test]
fn a_write_into_allocated_space_reads_as_zeros_until_it_is_durable() {
    for device in DEVICES {
        let workload = async |durable: bool| {
            let path = Path::new("/a");
            let file = File::open(path, OpenOptions::CREATE_NEW).await.expect("a new file");
            file.allocate(0, 2 * BLOCK as u64).await.expect("space");
            file.sync_data().await.expect("a sync");
            fs::sync_dir(Path::new("/")).await.expect("a sync");
            assert_eq!(file.read_at(0, 2 * BLOCK).await.expect("a read"), vec![0; 2 * BLOCK]);
            write(&file, 1, 7).await;
            if durable {
                file.sync_data().await.expect("a sync");
            }
        };
        let find = |world: &World, node| bytes_of(world, node, "/a");
        let lost = after_power_cut(device, false, async || workload(false).await, find);
        assert_eq!(lost, BTreeSet::from([vec![vec![0], vec![0]], vec![vec![0], vec![7]]]), "{device:?}");
        let kept = after_power_cut(device, false, async || workload(true).await, find);
        assert_eq!(kept, BTreeSet::from([vec![vec![0], vec![7]]]), "{device:?}");
    }
}

#[test]
fn a_changed_length_without_a_sync_may_be_the_old_one_with_its_bytes() {
    for device in DEVICES {
        let found = after_power_cut(
            device,
            true,
            async || {
                let file = durable_file("/a", 2, 1).await;
                file.set_len(100).await.expect("a cut");
                file.set_len(3 * BLOCK as u64).await.expect("a growth");
            },
            |world, node| bytes_of(world, node, "/a"),
        );
        let cut_tail = vec![vec![0, 1], vec![0], vec![0]];
        let expected = BTreeSet::from([vec![vec![1], vec![1]], vec![vec![1]], cut_tail]);
        assert_eq!(found, expected, "{device:?}");
        let synced = after_power_cut(
            device,
            true,
            async || {
                let file = durable_file("/a", 2, 1).await;
                file.set_len(100).await.expect("a cut");
                file.sync_data().await.expect("a sync");
            },
            |world, node| world.disk(node).read(Path::new("/a")).expect("the file is there").len(),
        );
        assert_eq!(synced, BTreeSet::from([100]), "{device:?}");
    }
}

#[test]
fn a_lost_cut_does_not_take_back_a_later_write_of_the_block_it_cut() {
    let found = after_power_cut(
        Device::NoCache,
        true,
        async || {
            let file = durable_file("/a", 1, 1).await;
            file.set_len(100).await.expect("a cut");
            write(&file, 0, 2).await;
        },
        |world, node| {
            (world.disk(node).read(Path::new("/a")).expect("it is there").len(), bytes_of(world, node, "/a"))
        },
    );
    assert_eq!(found, BTreeSet::from([100, BLOCK].map(|len| (len, vec![vec![2]]))));
}

#[test]
fn names_without_a_directory_sync_survive_or_not_and_with_it_always_do() {
    let workload = async |sync: bool| {
        drop(durable_file("/kept", 1, 1).await);
        drop(durable_file("/old", 1, 2).await);
        drop(durable_file("/doomed", 1, 3).await);
        fs::create_dir_all(Path::new("/d/e")).await.expect("directories");
        let new = File::open(Path::new("/new"), OpenOptions::CREATE_NEW).await.expect("a new file");
        write(&new, 0, 4).await;
        new.sync_data().await.expect("a sync");
        fs::rename(Path::new("/old"), Path::new("/kept")).await.expect("a rename");
        fs::remove_file(Path::new("/doomed")).await.expect("a removal");
        if sync {
            fs::sync_dir(Path::new("/")).await.expect("a sync");
        }
    };
    let find = |world: &World, node: NodeId| -> Vec<(String, Vec<u8>)> {
        let disk = world.disk(node);
        let name = |path: &Path| path.to_string_lossy().into_owned();
        disk.files()
            .iter()
            .map(|path| (name(path), disk.read(path).expect("it is there")[..1].to_vec()))
            .collect()
    };
    let found = after_power_cut(Device::Fua, true, async || workload(false).await, find);
    let named = |names: &[(&str, u8)]| -> Vec<(String, Vec<u8>)> {
        names.iter().map(|&(name, byte)| (name.to_owned(), vec![byte])).collect()
    };
    // The rename is whole or absent: never both names, never none.
    let mut expected = BTreeSet::new();
    for new in [&[][..], &[("/new", 4)][..]] {
        for doomed in [&[][..], &[("/doomed", 3)][..]] {
            expected.insert(named(&[doomed, &[("/kept", 2)], new].concat()));
            expected.insert(named(&[doomed, &[("/kept", 1)], new, &[("/old", 2)]].concat()));
        }
    }
    assert_eq!(found, expected);
    let found = after_power_cut(Device::Fua, true, async || workload(true).await, find);
    assert_eq!(found, BTreeSet::from([named(&[("/kept", 2), ("/new", 4)])]));
}

#[test]
fn a_rename_between_directories_takes_a_sync_of_both() {
    let workload = async |dirs: &[&str]| {
        for dir in ["/from", "/to"] {
            fs::create_dir_all(Path::new(dir)).await.expect("a directory");
        }
        fs::sync_dir(Path::new("/")).await.expect("a sync");
        drop(File::open(Path::new("/from/a"), OpenOptions::CREATE_NEW).await.expect("a new file"));
        fs::sync_dir(Path::new("/from")).await.expect("a sync");
        fs::rename(Path::new("/from/a"), Path::new("/to/b")).await.expect("a rename");
        for dir in dirs {
            fs::sync_dir(Path::new(dir)).await.expect("a sync");
        }
    };
    let find = |world: &World, node| world.disk(node).files();
    for (dirs, outcomes) in [(&["/to"][..], 2), (&["/from"], 2), (&["/from", "/to"], 1)] {
        let found = after_power_cut(Device::NoCache, true, async || workload(dirs).await, find);
        assert_eq!(found.len(), outcomes, "{dirs:?}: {found:?}");
        assert!(found.contains(&vec!["/to/b".into()]));
    }
}

#[test]
fn changes_of_one_name_survive_in_order() {
    let workload = async || {
        drop(durable_file("/x", 1, 1).await);
        drop(durable_file("/y", 1, 2).await);
        fs::rename(Path::new("/x"), Path::new("/y")).await.expect("a rename");
        let new = File::open(Path::new("/x"), OpenOptions::CREATE_NEW).await.expect("a new file");
        write(&new, 0, 3).await;
        new.sync_data().await.expect("a sync");
    };
    let first_byte =
        |world: &World, node, path: &str| world.disk(node).read(Path::new(path)).ok().map(|bytes| bytes[0]);
    let found = after_power_cut(Device::Fua, true, workload, |world, node| {
        (first_byte(world, node, "/x"), first_byte(world, node, "/y"))
    });
    // The new file under the old name without the rename would have lost what the rename moved.
    let expected = [(Some(1), Some(2)), (None, Some(1)), (Some(3), Some(1))];
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn what_a_durable_change_builds_on_is_durable() {
    let workload = async || {
        for dir in ["/from", "/to"] {
            fs::create_dir_all(Path::new(dir)).await.expect("a directory");
        }
        fs::sync_dir(Path::new("/")).await.expect("a sync");
        drop(File::open(Path::new("/from/a"), OpenOptions::CREATE_NEW).await.expect("a new file"));
        fs::sync_dir(Path::new("/from")).await.expect("a sync");
        fs::rename(Path::new("/from/a"), Path::new("/to/b")).await.expect("a rename");
        fs::rename(Path::new("/to/b"), Path::new("/to/c")).await.expect("a rename");
        fs::sync_dir(Path::new("/to")).await.expect("a sync");
    };
    let found = after_power_cut(Device::Fua, true, workload, |world, node| world.disk(node).files());
    assert_eq!(found, BTreeSet::from([vec!["/to/c".into()]]));
}

#[test]
fn a_removed_tree_comes_back_in_part_or_is_gone_with_a_sync() {
    let workload = async |sync: bool| {
        fs::create_dir_all(Path::new("/d/e")).await.expect("directories");
        for path in ["/d/a", "/d/e/b"] {
            drop(File::open(Path::new(path), OpenOptions::CREATE_NEW).await.expect("a new file"));
        }
        for dir in ["/", "/d", "/d/e"] {
            fs::sync_dir(Path::new(dir)).await.expect("a sync");
        }
        fs::remove_dir_all(Path::new("/d")).await.expect("a removal");
        assert!(!fs::exists(Path::new("/d/a")).await.expect("an answer"));
        if sync {
            fs::sync_dir(Path::new("/")).await.expect("a sync");
        }
    };
    let find = |world: &World, node| world.disk(node).files().len();
    let found = after_power_cut(Device::Fua, true, async || workload(false).await, find);
    assert!(found.contains(&0) && found.contains(&2), "{found:?}");
    let found = after_power_cut(Device::Fua, true, async || workload(true).await, find);
    assert_eq!(found, BTreeSet::from([0]));
}

#[test]
fn a_killed_process_loses_no_completed_write() {
    for seed in 0..20 {
        let (world, node) = one_node(seed, Device::Fua);
        world.block_on(node, async {
            let file = File::open(Path::new("/a"), OpenOptions::CREATE_NEW).await.expect("a new file");
            file.allocate(0, 4 * BLOCK as u64).await.expect("space");
            write(&file, 1, 1).await;
            write(&file, 2, 2).await;
        });
        world.kill(node, Crash::Process);
        assert_eq!(bytes_of(&world, node, "/a"), [[0], [1], [2], [0]]);
    }
}

#[test]
fn any_part_of_a_write_in_flight_may_arrive() {
    for (crash, device) in [
        (Crash::Process, Device::NoCache),
        (Crash::PowerCut, Device::NoCache),
        (Crash::PowerCut, Device::Fua),
        (Crash::PowerCut, Device::FlushOnly),
    ] {
        let found: BTreeSet<_> = (0..SEEDS)
            .map(|seed| {
                let world = World::new(seed, WorldOptions::default());
                let disk = DiskOptions { device, torn_blocks: false, ..DiskOptions::default() };
                let node = world.add_node("a", NodeOptions { disk });
                world.block_on(node, async { drop(durable_file("/a", 2, 1).await) });
                world.crash_at_io(node, IoStep::Before(world.io_steps(node)), crash);
                let killed = world.try_block_on(node, async {
                    let file = File::open(Path::new("/a"), OpenOptions::WRITE).await.expect("the file");
                    file.write_durable_at(0, filled(2, 2), 2 * BLOCK).await.0
                });
                assert!(matches!(killed, Err(Killed(at)) if at == node));
                bytes_of(&world, node, "/a")
            })
            .collect();
        let all = [[1, 1], [1, 2], [2, 1], [2, 2]].map(|blocks| blocks.map(|byte| vec![byte]).to_vec());
        assert_eq!(found, BTreeSet::from(all), "{crash:?} {device:?}");
    }
}

#[test]
fn a_crash_strikes_exactly_at_its_step() {
    let workload = async || {
        let file = File::open(Path::new("/a"), OpenOptions::CREATE_NEW).await.expect("a new file");
        for block in 0..4 {
            write_durable(&file, block, 1).await;
            assert_eq!(file.read_at(0, 1).await.expect("a read").len(), 1, "reads are not steps");
        }
    };
    let (world, node) = one_node(1, Device::NoCache);
    world.block_on(node, workload());
    assert_eq!(world.io_steps(node), 5);
    for step in 0..5 {
        let (world, node) = one_node(1, Device::NoCache);
        world.crash_at_io(node, IoStep::After(step), Crash::Process);
        let running = world.launch(node, 1, |_| workload());
        assert_eq!(world.join(running), Err(Killed(node)));
        assert_eq!(world.io_steps(node), step + 1);
        let contents = world.disk(node).read(Path::new("/a")).expect("it was created");
        assert_eq!(contents.len() as u64, step * BLOCK as u64);
        // The order was carried out once; the node can start again.
        world.block_on(node, async { fs::sync_dir(Path::new("/")).await }).expect("a sync");
    }
}

#[test]
fn a_failed_sync_drops_what_it_should_have_saved() {
    for device in [Device::Fua, Device::FlushOnly] {
        let (world, node) = one_node(3, device);
        let file = world.block_on(node, durable_file("/a", 2, 1));
        world.disk(node).inject(Fault::FailSync { path: "/a".into() });
        world.block_on(node, async {
            write(&file, 0, 2).await;
            write(&file, 2, 2).await;
            let error = file.sync_data().await.expect_err("the fault strikes");
            assert_eq!(error.raw_os_error(), Some(5));
            assert_eq!(file.read_at(0, BLOCK).await.expect("a read"), vec![1; BLOCK]);
            assert_eq!(file.read_at(2 * BLOCK as u64, BLOCK).await.expect("a read"), vec![0; BLOCK]);
            file.sync_data().await.expect("the fault struck once, and the kernel forgets");
        });
        drop(file);
        world.kill(node, Crash::PowerCut);
        assert_eq!(bytes_of(&world, node, "/a")[..2], [[1], [1]]);
    }
}

#[test]
fn writes_fail_get_lost_and_go_astray_once_each() {
    let (world, node) = one_node(4, Device::Fua);
    let file = world.block_on(node, durable_file("/a", 4, 1));
    let disk = world.disk(node);
    disk.inject(Fault::LoseWrite { path: "/a".into() });
    disk.inject(Fault::MisdirectWrite { path: "/a".into(), to_block: 3 });
    disk.inject(Fault::FailWrite { path: "/a".into() });
    world.block_on(node, async {
        write(&file, 0, 2).await;
        write_durable(&file, 1, 3).await;
        assert!(file.write_at(2 * BLOCK as u64, filled(4, 1).freeze()).await.is_err());
        write(&file, 0, 5).await;
    });
    let mut found = bytes_of(&world, node, "/a");
    assert!([vec![1], vec![4]].contains(&found.remove(2)));
    assert_eq!(found, [[5], [1], [3]]);
}

#[test]
fn unreadable_ranges_fail_until_healed() {
    let (world, node) = one_node(5, Device::Fua);
    let file = world.block_on(node, durable_file("/a", 4, 1));
    world.disk(node).inject(Fault::FailReads { path: "/a".into(), range: 5000..5001 });
    world.block_on(node, async {
        assert_eq!(file.read_at(0, 5000).await.expect("before it").len(), 5000);
        assert!(file.read_at(4990, 20).await.is_err());
        assert!(file.read_at(5000, 1).await.is_err());
        assert_eq!(file.read_at(5001, 50_000).await.expect("behind it").len(), 4 * BLOCK - 5001);
    });
    world.disk(node).heal();
    world.block_on(node, file.read_at(5000, 1)).expect("it is healed");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let world = World::new(6, WorldOptions::default());
    let disk = DiskOptions { capacity: 8 * BLOCK as u64, ..DiskOptions::default() };
    let node = world.add_node("a", NodeOptions { disk });
    let full = |result: io::Result<()>| {
        assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
    };
    world.block_on(node, async {
        let space = async || fs::space(Path::new("/")).await.expect("figures").available / BLOCK as u64;
        let a = durable_file("/a", 3, 1).await;
        let b = durable_file("/b", 1, 1).await;
        full(a.allocate(0, 9 * BLOCK as u64).await);
        a.allocate(0, 7 * BLOCK as u64).await.expect("just enough");
        assert_eq!(space().await, 0);
        full(b.write_at(BLOCK as u64, filled(1, 1).freeze()).await);
        full(b.write_durable_at(BLOCK as u64, filled(1, 1), BLOCK).await.0);
        write(&a, 6, 2).await;
        write(&b, 0, 2).await;
        a.set_len(5 * BLOCK as u64).await.expect("a cut");
        assert_eq!(space().await, 2);
        fs::remove_file(Path::new("/a")).await.expect("a removal");
        assert_eq!(space().await, 2, "it is still open");
        a.close().await.expect("a close");
        assert_eq!(space().await, 7);
        write(&b, 1, 1).await;
    });
    world.disk(node).set_capacity(2 * BLOCK as u64);
    world.block_on(node, async {
        let file = File::open(Path::new("/b"), OpenOptions::WRITE).await.expect("the file");
        full(file.allocate(0, 3 * BLOCK as u64).await);
    });
}

#[test]
fn a_read_only_disk_can_be_read() {
    let (world, node) = one_node(7, Device::Fua);
    let file = world.block_on(node, durable_file("/a", 1, 1));
    world.disk(node).set_read_only(true);
    let refused = |result: io::Result<()>| {
        assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::ReadOnlyFilesystem));
    };
    world.block_on(node, async {
        refused(file.write_at(0, filled(2, 1).freeze()).await);
        refused(file.set_len(0).await);
        refused(fs::remove_file(Path::new("/a")).await);
        refused(File::open(Path::new("/b"), OpenOptions::CREATE_NEW).await.map(drop));
        refused(File::open(Path::new("/a"), OpenOptions::WRITE).await.map(drop));
        assert_eq!(fs::read(Path::new("/a")).await.expect("a read"), vec![1; BLOCK]);
    });
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let (path, contents) = (Path::new("/a"), vec![7; 5000]);
    for device in DEVICES {
        let (world, node) = one_node(0, device);
        world.block_on(node, fs::write_atomically(path, b"old")).expect("a write");
        let steps = world.io_steps(node);
        world.block_on(node, fs::write_atomically(path, &contents)).expect("a write");
        let crashes =
            (steps..world.io_steps(node)).flat_map(|step| [IoStep::Before(step), IoStep::After(step)]);
        for (crash, seed) in crashes.flat_map(|crash| (0..10).map(move |seed| (crash, seed))) {
            let (world, node) = one_node(seed, device);
            world.block_on(node, fs::write_atomically(path, b"old")).expect("a write");
            world.crash_at_io(node, crash, Crash::PowerCut);
            let killed = world.try_block_on(node, fs::write_atomically(path, &contents));
            assert!(killed.is_err(), "{crash:?} was never reached");
            let found = world.disk(node).read(path).expect("it is always there");
            assert!(found == b"old" || found == contents, "seed {seed}, {crash:?}");
            world.block_on(node, fs::write_atomically(path, b"again")).expect("a write");
            world.kill(node, Crash::PowerCut);
            assert_eq!(world.disk(node).read(path).expect("it is there"), b"again");
        }
    }
}

#[test]
fn a_lock_has_one_holder_and_ends_with_its_process() {
    let (world, node) = one_node(8, Device::Fua);
    let path = Path::new("/lock");
    let held = world.block_on(node, fs::lock(path)).expect("it is free");
    let refused = |world: &World| {
        let error = world.block_on(node, fs::lock(path)).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    };
    refused(&world);
    world.kill(node, Crash::Process);
    let again = world.block_on(node, fs::lock(path)).expect("a crash releases it");
    drop(held);
    refused(&world);
    drop(again);
    world.block_on(node, fs::lock(path)).expect("it was released");
}

#[test]
fn a_handle_of_an_earlier_life_does_nothing() {
    let (world, node) = one_node(9, Device::Fua);
    let file = world.block_on(node, durable_file("/a", 1, 1));
    world.kill(node, Crash::Process);
    world.block_on(node, async {
        assert!(file.write_at(0, filled(2, 1).freeze()).await.is_err());
        assert!(file.read_at(0, 1).await.is_err());
    });
    drop(file);
    assert_eq!(bytes_of(&world, node, "/a"), [[1]]);
}

#[test]
fn a_cancelled_write_happens_all_the_same() {
    let (world, node) = one_node(10, Device::Fua);
    let file = world.block_on(node, durable_file("/a", 1, 1));
    world.block_on(node, async {
        let write = file.write_at(0, filled(2, 1).freeze());
        let timeout = millrace_runtime::timeout(Duration::ZERO, write).await;
        assert!(timeout.is_err(), "no write is as fast as this");
    });
    drop(file);
    world.run_until_idle();
    assert_eq!(bytes_of(&world, node, "/a"), [[2]]);
}

#[test]
fn tampering_and_snapshots_work_from_outside() {
    let (world, node) = one_node(11, Device::Fua);
    world.block_on(node, async {
        let file = durable_file("/a", 2, 1).await;
        write(&file, 0, 2).await;
    });
    world.kill(node, Crash::Process);
    let disk = world.disk(node);
    let before = disk.snapshot();
    disk.flip(Path::new("/a"), 5000, 0x81).expect("the byte is there");
    disk.write(Path::new("/a"), 2 * BLOCK as u64, b"tail").expect("the file is there");
    let contents = disk.read(Path::new("/a")).expect("the file is there");
    assert_eq!((contents[4999], contents[5000], &contents[2 * BLOCK..]), (1, 0x80, &b"tail"[..]));
    assert!(disk.flip(Path::new("/a"), 90_000, 1).is_err());
    // What was not durable when the snapshot was taken is not durable in what it brings back.
    let found: BTreeSet<u8> = (0..40)
        .map(|_| {
            disk.restore(&before);
            world.kill(node, Crash::PowerCut);
            let contents = disk.read(Path::new("/a")).expect("the file is there");
            assert_eq!((contents.len(), contents[5000]), (2 * BLOCK, 1));
            contents[0]
        })
        .collect();
    assert_eq!(found, BTreeSet::from([1, 2]));
}

#[test]
#[should_panic(expected = "not block-aligned")]
fn a_write_at_an_odd_position_asserts() {
    let (world, node) = one_node(12, Device::Fua);
    let file = world.block_on(node, durable_file("/a", 1, 1));
    let wrote = world.block_on(node, file.write_at(512, filled(2, 1).freeze()));
    drop(wrote);
}

#[test]
fn opening_and_names_follow_the_operating_system() {
    let (world, node) = one_node(13, Device::Fua);
    world.block_on(node, async {
        let kind = |result: io::Result<()>| result.expect_err("it must fail").kind();
        let open = async |path: &str, options| File::open(Path::new(path), options).await.map(drop);
        assert_eq!(kind(open("/a", OpenOptions::READ).await), io::ErrorKind::NotFound);
        assert_eq!(kind(open("/no/a", OpenOptions::CREATE_NEW).await), io::ErrorKind::NotFound);
        open("/a", OpenOptions::CREATE_NEW).await.expect("it is new");
        assert_eq!(kind(open("/a", OpenOptions::CREATE_NEW).await), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(open("/a/b", OpenOptions::READ).await), io::ErrorKind::NotADirectory);
        fs::create_dir_all(Path::new("d/e")).await.expect("relative to the root");
        fs::create_dir_all(Path::new("/d/e")).await.expect("they are there");
        assert_eq!(kind(open("/d", OpenOptions::READ).await), io::ErrorKind::IsADirectory);
        assert_eq!(kind(fs::rename(Path::new("/x"), Path::new("/y")).await), io::ErrorKind::NotFound);
        assert_eq!(kind(fs::rename(Path::new("/a"), Path::new("/d")).await), io::ErrorKind::IsADirectory);
        let entries = fs::read_dir(Path::new("/")).await.expect("the root");
        let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
        assert_eq!(names, [("a", false), ("d", true)]);
        let read_only = File::open(Path::new("/a"), OpenOptions::READ).await.expect("it is there");
        let error = read_only.write_at(0, filled(1, 1).freeze()).await.expect_err("it is read only");
        assert_eq!(error.raw_os_error(), Some(9));
        assert_eq!(read_only.read_at(0, 10).await.expect("a read").len(), 0);
        fs::remove_dir_all(Path::new("/d")).await.expect("a removal");
        assert!(!fs::exists(Path::new("/d/e")).await.expect("an answer"));
    });
}
