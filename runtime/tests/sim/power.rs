//! What a disk may lose, and what not: a rule each, over many seeds.

use crate::{
    DEVICES,
    disk::{BLOCK, bytes_of, durable_file, filled, write, write_durable},
    one_node,
};
use millrace_runtime::{
    File, OpenOptions, fs,
    sim::{
        Crash, Device, DiskLatency, DiskOptions, IoStep, Killed, NodeId, NodeOptions, World, WorldOptions,
    },
    spawn, yield_now,
};
use std::{collections::BTreeSet, path::Path, time::Duration};

const SEEDS: u64 = 60;

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
