//! What the tests of the disk share.

use millrace_runtime::{
    AlignedBuf, File, OpenOptions, fs,
    sim::{NodeId, World},
};
use std::{collections::BTreeSet, path::Path};

pub(crate) const BLOCK: usize = 4096;

pub(crate) fn filled(byte: u8, blocks: usize) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(blocks * BLOCK);
    buffer.fill(byte);
    buffer
}

pub(crate) async fn write(file: &File, block: usize, byte: u8) {
    let position = (block * BLOCK) as u64;
    file.write_at(position, filled(byte, 1).freeze()).await.expect("a write");
}

pub(crate) async fn write_durable(file: &File, block: usize, byte: u8) {
    let position = (block * BLOCK) as u64;
    file.write_durable_at(position, filled(byte, 1), BLOCK).await.0.expect("a durable write");
}

/// A file of `blocks` durable blocks of `byte`, named durably.
pub(crate) async fn durable_file(path: &str, blocks: usize, byte: u8) -> File {
    let file = File::open(Path::new(path), OpenOptions::CREATE_NEW).await.expect("a new file");
    for block in 0..blocks {
        write(&file, block, byte).await;
    }
    file.sync_data().await.expect("a sync");
    fs::sync_dir(Path::new("/")).await.expect("a sync");
    file
}

/// The distinct bytes of each block of a file.
pub(crate) fn bytes_of(world: &World, node: NodeId, path: &str) -> Vec<Vec<u8>> {
    let contents = world.disk(node).read(Path::new(path)).expect("the file is there");
    let distinct = |block: &[u8]| block.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    contents.chunks(BLOCK).map(distinct).collect()
}
