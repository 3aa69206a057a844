//! What is left of a disk's content after a crash.

use super::{
    Crash, Disk, InFlight,
    inode::{Fate, Page},
    operation::Operation,
    volume::Volume,
};
use crate::{
    BLOCK_SIZE, OpenOptions,
    sim::{kernel::Kernel, random::Random, trace::What},
};
use std::rc::Rc;

/// Draws what survives. Each crash has a mood of its own, from "all is lost" to "all survives": independent even
/// chances would nearly never show the ends, where many mistakes hide.
struct Draw<'a> {
    random: &'a Random,
    survival_percent: u64,
    torn_percent: u64,
}

impl<'a> Draw<'a> {
    fn new(random: &'a Random, torn_blocks: bool) -> Self {
        const MOODS: [u64; 6] = [0, 10, 50, 50, 90, 100];
        let survival_percent = MOODS[random.index(MOODS.len())];
        Self { random, survival_percent, torn_percent: if torn_blocks { 30 } else { 0 } }
    }
}

impl Fate for Draw<'_> {
    fn survives(&mut self) -> bool {
        self.random.percent(self.survival_percent)
    }

    fn pick(&mut self, bound: usize) -> usize {
        self.random.index(bound)
    }

    fn tears(&mut self) -> bool {
        self.random.percent(self.torn_percent)
    }
}

impl Disk {
    /// Every process is gone, and with the power all that it held.
    pub(crate) fn crash(self: &Rc<Self>, kernel: &Kernel, crash: Crash) {
        self.life.set(self.life.get() + 1);
        let in_flight = std::mem::take(&mut *self.in_flight.borrow_mut());
        let mut draw = Draw::new(&kernel.random, self.torn_blocks);
        let mut volume = self.volume.borrow_mut();
        for (&number, interrupted) in &in_flight {
            kernel.note(What::DiskLost, [u64::from(self.node), number, 0, 0]);
            self.interrupt(&mut volume, interrupted, crash, &mut draw);
        }
        match crash {
            Crash::Process => volume.close_all(),
            Crash::PowerCut => volume.power_cut(&mut draw),
        }
        drop(volume);
        // Handles go last: dropping one looks at the disk.
        drop(in_flight);
    }

    /// An operation was in flight: it may have happened, or a part of it. If it fails nobody is there to be told.
    fn interrupt(
        self: &Rc<Self>,
        volume: &mut Volume,
        interrupted: &InFlight,
        crash: Crash,
        draw: &mut Draw<'_>,
    ) {
        let InFlight { operation, as_of, .. } = interrupted;
        match operation {
            Operation::Write { file, first, pages, len } => {
                interrupt_write(volume, file.file, (*first..).zip(pages), *len, crash, draw);
            }
            Operation::WriteDurable { file, first, pages } => {
                interrupt_write(volume, file.file, (*first..).zip(pages), u64::MAX, crash, draw);
            }
            _ if !operation.is_step() || !draw.survives() => {}
            // No handle is made in these two cases: it would belong to nobody.
            Operation::Open { path, options } => drop(volume.open(path, *options)),
            Operation::Lock { path } => {
                drop(volume.open(path, OpenOptions { create: true, ..OpenOptions::WRITE }));
            }
            _ => drop(operation.apply(self, volume, *as_of)),
        }
    }
}

/// Any of the blocks of a write in flight may have arrived. For a power cut that is not decided here: it draws for each
/// block that is not durable.
fn interrupt_write<'a>(
    volume: &mut Volume,
    file: u64,
    blocks: impl Iterator<Item = (u64, &'a Page)>,
    len: u64,
    crash: Crash,
    draw: &mut Draw<'_>,
) {
    for (number, page) in blocks {
        let len = len.min((number + 1) * BLOCK_SIZE as u64);
        match crash {
            Crash::PowerCut => volume.write_in_flight(file, number, page, len),
            Crash::Process if draw.survives() => {
                drop(volume.write(file, number, std::slice::from_ref(page), len));
            }
            Crash::Process => {}
        }
    }
}
