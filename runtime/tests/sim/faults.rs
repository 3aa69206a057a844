//! Disks that fail, fill up, and are looked at from outside; and the rules of names, handles and locks.

use crate::{
    disk::{BLOCK, bytes_of, durable_file, filled, write, write_durable},
    one_node,
};
use millrace_runtime::{
    File, OpenOptions, fs,
    sim::{Crash, Device, DiskOptions, DiskRead, Fault, NodeOptions, World, WorldOptions},
};
use std::{collections::BTreeSet, io, path::Path, time::Duration};

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
    assert_eq!(disk.file_len(Path::new("/a")).expect("the file is there"), 2 * BLOCK as u64 + 4);
    assert_eq!(
        disk.read_at(Path::new("/a"), 2 * BLOCK as u64 - 1, 4).expect("the file is there"),
        b"\x01tai"
    );
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

#[test]
fn what_is_open_and_what_is_read_can_be_seen() {
    let (world, node) = one_node(6, Device::Fua);
    let disk = world.disk(node);
    let file = world.block_on(node, durable_file("/a", 4, 1));
    world.block_on(node, durable_file("/b", 1, 1));
    assert_eq!(disk.open_files(), [Path::new("/a")]);
    let read = async |position, len| drop(file.read_at(position, len).await.expect("a read"));
    world.block_on(node, read(0, 1));
    assert_eq!(disk.reads(), [], "nobody asked");
    disk.note_reads();
    world.block_on(node, async {
        read(10, 5000).await;
        read(4096, 1).await;
    });
    let read = |position, len| DiskRead { path: "/a".into(), position, len };
    assert_eq!(disk.reads(), [read(10, 5000), read(4096, 1)]);
    drop(file);
    assert_eq!(disk.open_files(), [] as [&Path; 0]);
}
