use super::*;
use crate::journal::frame::tests::{build, sample_header};
use proptest::{collection::vec, prelude::*};

const JOURNAL: [u8; 16] = [2; 16];
const FILE_BLOCKS: usize = 5;
const FILES: usize = 3;

/// A journal in memory, written as the writer does: files in a ring, one frame in flight.
struct Journal {
    files: Vec<Vec<u8>>,
    /// First sequence of each file's present use, in order of use: (file, sequence).
    live: Vec<(usize, u64)>,
    block: usize,
    runs: u8,
    last: (u64, u32),
    durable: u64,
    /// Where each frame lies: (sequence, file, position).
    places: Vec<(u64, usize, usize)>,
}

impl Journal {
    fn new() -> Self {
        let files = vec![vec![0; FILE_BLOCKS * BLOCK_SIZE]; FILES];
        Self { files, live: vec![(0, 1)], block: 0, runs: 1, last: (0, 0), durable: 0, places: Vec::new() }
    }

    /// Writes one frame; it becomes durable unless it is the crash's victim.
    fn write(&mut self, free_oldest: bool, closing: bool, durable: bool) {
        let mut freed = free_oldest && self.live.len() > 1;
        if self.block == FILE_BLOCKS && self.live.len() == FILES {
            freed = true;
        }
        if freed {
            self.live.remove(0);
        }
        if self.block == FILE_BLOCKS {
            // That a file is free must be durable before it is written over.
            if freed {
                self.tell_live();
            }
            let used: Vec<usize> = self.live.iter().map(|(file, _)| *file).collect();
            let free = (0..FILES).find(|file| !used.contains(file)).unwrap();
            self.live.push((free, self.last.0 + 1));
            self.block = 0;
            self.runs += 1;
        }
        self.put(closing, durable);
    }

    /// Replaces the last frame by one that frees the oldest file: stands for the frame that the writer puts there.
    fn tell_live(&mut self) {
        let (sequence, file, position) = self.places.pop().unwrap();
        let previous = Frame::parse(&self.files[file][position..]).unwrap().header.previous;
        self.last = (sequence - 1, previous);
        self.durable = sequence - 1;
        self.block -= 1;
        self.put(false, true);
    }

    fn put(&mut self, closing: bool, durable: bool) {
        let file = self.live.last().unwrap().0;
        let header = FrameHeader {
            run: [self.runs; 16],
            journal: JOURNAL,
            sequence: self.last.0 + 1,
            durable_through: self.durable,
            live_from: self.live[0].1,
            previous: self.last.1,
            block: self.block as u32,
            closing,
            ..sample_header()
        };
        let (bytes, checksum) = build(header, &[]);
        let position = self.block * BLOCK_SIZE;
        self.files[file][position..position + bytes.len()].copy_from_slice(&bytes);
        self.places.push((header.sequence, file, position));
        self.block += 1;
        self.last = (header.sequence, checksum);
        if durable {
            self.durable = header.sequence;
        }
    }

    fn recover(&self) -> Result<Chain, ChainDamage> {
        let found = self.files.iter().enumerate();
        verify(found.flat_map(|(file, bytes)| scan(file, bytes, &JOURNAL).unwrap()).collect())
    }

    fn is_needed(&self, sequence: u64) -> bool {
        sequence >= self.live[0].1
    }
}

fn written(steps: &[(bool, u8)]) -> Journal {
    let mut journal = Journal::new();
    for &(free, _) in steps {
        journal.write(free, false, true);
    }
    journal
}

#[test]
fn an_empty_journal_is_an_empty_chain() {
    assert_eq!(Journal::new().recover(), Ok(Chain { frames: Vec::new(), closed: false, cut: 0 }));
}

#[test]
fn a_closing_frame_closes_and_a_second_one_is_its_witness() {
    let mut journal = written(&[(false, 0); 3]);
    journal.write(false, true, true);
    journal.write(false, true, true);
    assert!(journal.recover().unwrap().closed);
    for victim in [1, 2, 3, 4] {
        let mut damaged = Journal { files: journal.files.clone(), ..Journal::new() };
        damaged.files[0][(victim - 1) * BLOCK_SIZE + 50] ^= 1;
        assert_eq!(damaged.recover().unwrap_err().sequence, victim as u64);
    }
    journal.files[0][4 * BLOCK_SIZE + 50] ^= 1;
    assert!(journal.recover().unwrap().closed, "one closing frame is enough");
}

#[test]
fn a_frame_of_a_later_release_stops_everything() {
    let mut journal = written(&[(false, 0); 3]);
    let mut frame = journal.files[0][..BLOCK_SIZE].to_vec();
    frame[4] = 9;
    let checksum = millrace_record::checksum::crc32c(&frame[..100]);
    frame[100..104].copy_from_slice(&checksum.to_le_bytes());
    journal.files[0][BLOCK_SIZE..2 * BLOCK_SIZE].copy_from_slice(&frame);
    assert_eq!(scan(0, &journal.files[0], &JOURNAL), Err((BLOCK_SIZE as u64, FrameError::Version(9))));
}

proptest! {
    /// Whatever is acknowledged comes back, and nothing but a prefix of what was written.
    #[test]
    fn a_torn_last_frame_is_cut(steps in vec((any::<bool>(), any::<u8>()), 1..40), torn: bool) {
        let mut journal = written(&steps);
        let acknowledged = journal.durable;
        journal.write(false, false, false);
        if torn {
            let &(_, file, position) = journal.places.last().unwrap();
            journal.files[file][position + 90..position + BLOCK_SIZE].fill(0xee);
        }
        let chain = journal.recover().unwrap();
        let last = chain.frames.last().map_or(0, |frame| frame.header.sequence);
        prop_assert_eq!(last, if torn { acknowledged } else { acknowledged + 1 });
        prop_assert_eq!(chain.frames[0].header.sequence, journal.live[0].1);
        prop_assert!(!chain.closed);
    }

    /// Rot in any frame that another one vouches for is refused by name, and in any that is not needed it is harmless.
    #[test]
    fn rot_is_named(steps in vec((any::<bool>(), any::<u8>()), 2..40), pick: prop::sample::Index, at in 0usize..104) {
        let mut journal = written(&steps);
        let &(sequence, file, position) = pick.get(&journal.places);
        let overwritten = journal.places.iter().any(|&(later, f, p)| later > sequence && (f, p) == (file, position));
        prop_assume!(!overwritten);
        journal.files[file][position + at] ^= 0x10;
        match journal.recover() {
            Err(damage) => {
                prop_assert!(journal.is_needed(sequence));
                prop_assert_eq!(damage.sequence, sequence);
            }
            Ok(chain) => {
                let last = chain.frames.last().map_or(0, |frame| frame.header.sequence);
                if sequence == journal.last.0 {
                    prop_assert_eq!(last, sequence - 1, "only the last frame has no witness");
                } else {
                    prop_assert!(!journal.is_needed(sequence));
                    prop_assert_eq!(last, journal.last.0);
                }
            }
        }
    }

    /// A naive rule would bring these back: frames behind a torn one that were never acknowledged.
    #[test]
    fn frames_behind_a_gap_are_not_taken(steps in vec((any::<bool>(), any::<u8>()), 1..12), behind in 1usize..3) {
        let mut journal = written(&steps);
        let acknowledged = journal.durable;
        for _ in 0..=behind {
            journal.write(false, false, false);
        }
        let &(_, file, position) = &journal.places[journal.places.len() - 1 - behind];
        journal.files[file][position + 20] ^= 1;
        let chain = journal.recover().unwrap();
        prop_assert_eq!(chain.frames.last().map_or(0, |frame| frame.header.sequence), acknowledged);
    }

    #[test]
    fn any_bytes_are_scanned(mut bytes in vec(any::<u8>(), 0..3 * BLOCK_SIZE), place in 0usize..3) {
        let (frame, _) = build(FrameHeader { block: place as u32, ..sample_header() }, &[]);
        if let Some(slot) = bytes.get_mut(place * BLOCK_SIZE..(place + 1) * BLOCK_SIZE) {
            slot.copy_from_slice(&frame);
        }
        let found = scan(0, &bytes, &JOURNAL).unwrap();
        prop_assert!(found.len() <= 1);
        // The sample says that frames 2 to 4 are durable and needed.
        prop_assert_eq!(verify(found.clone()).is_ok(), found.is_empty());
    }
}
