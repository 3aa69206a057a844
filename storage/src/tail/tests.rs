use super::*;
use crate::sample;
use millrace_record::{HEADER_LEN, SharedBatch};
use proptest::{collection::vec, prelude::*};

/// A tail beside a plain copy of what it is the image of.
struct Model {
    tail: Tail,
    start: u64,
    image: Vec<u8>,
    /// Offset, position and end of every batch.
    batches: Vec<(Offset, u64, u64)>,
}

impl Model {
    fn new(start: u64) -> Self {
        Self { tail: Tail::default(), start, image: Vec::new(), batches: Vec::new() }
    }

    fn end(&self) -> u64 {
        self.start + self.image.len() as u64
    }

    fn append(&mut self, value_len: usize) {
        let offset = self.batches.len() as i64;
        let (header, payload) = sample::archived(offset, &[&vec![offset as u8; value_len]]);
        let mut bytes = header.pack().to_vec();
        bytes.extend(payload);
        let end = self.end();
        let (view, _) = self.tail.append(end, offset, bytes.len(), |slot| slot.copy_from_slice(&bytes));
        assert_eq!(view.as_ref(), bytes);
        self.image.extend(bytes);
        self.batches.push((offset, end, self.end()));
    }

    fn pad(&mut self) {
        let end = self.tail.pad(self.end());
        self.image.resize((end - self.start) as usize, millrace_record::PADDING);
    }

    fn read(&self, offset: Offset, max: usize) -> Vec<SharedBatch> {
        let mut found = Vec::new();
        let mut left = max;
        let mut wants = |_: &_| left.checked_sub(1).map(|less| left = less).is_some();
        let mut collector = Collector { offset, wants: &mut wants, found: &mut found, places: None };
        self.tail.read(0, &mut collector);
        found
    }
}

#[derive(Clone, Debug)]
enum Action {
    Append(usize),
    Pad,
    Evict(f64),
    Write(f64, f64),
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0usize..3000).prop_map(Action::Append),
        1 => (3000usize..300_000).prop_map(Action::Append),
        2 => Just(Action::Pad),
        2 => (0.0..1.0).prop_map(Action::Evict),
        2 => (0.0..1.0, 0.0..1.0).prop_map(|(from, to)| Action::Write(from, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_tail_is_the_image(start in 0u64..4, actions in vec(any_action(), 1..60)) {
        let mut model = Model::new(start * BLOCK);
        let mut evicted = start * BLOCK;
        for action in actions {
            match action {
                Action::Append(len) => model.append(len),
                Action::Pad => model.pad(),
                Action::Evict(part) => {
                    // Everything up to `written` is in the file, which ends at a block.
                    let written = (model.end() as f64 * part) as u64 / BLOCK * BLOCK;
                    while model.tail.evict(written).is_some() {}
                    evicted = evicted.max(written);
                }
                Action::Write(from, to) => {
                    let blocks = |part: f64| (model.end() as f64 * part) as u64 / BLOCK * BLOCK;
                    let range = blocks(from).max(evicted)..blocks(to);
                    let mut at = range.start;
                    for (position, bytes) in model.tail.pieces(range.clone()) {
                        prop_assert_eq!(position, at);
                        prop_assert!((bytes.as_ptr() as usize).is_multiple_of(BLOCK_SIZE));
                        let from = (at - model.start) as usize;
                        prop_assert_eq!(&bytes[..], &model.image[from..from + bytes.len()]);
                        at += bytes.len() as u64;
                    }
                    prop_assert!(at == range.end || range.is_empty());
                }
            }
        }
        let first = model.tail.first_offset().unwrap_or(model.batches.len() as i64);
        for &(offset, _, end) in &model.batches {
            // What is not in the file is in memory.
            prop_assert!(offset >= first || end <= evicted);
        }
        for offset in first..model.batches.len() as i64 {
            let found = model.read(offset, 3);
            prop_assert_eq!(found.len(), 3.min(model.batches.len() - offset as usize));
            for (batch, (at, position, _)) in found.iter().zip(&model.batches[offset as usize..]) {
                prop_assert_eq!(batch.header().base_offset, *at);
                let from = (position - model.start) as usize + HEADER_LEN;
                prop_assert_eq!(&batch.payload()[..], &model.image[from..from + batch.payload().len()]);
            }
        }
    }
}

#[test]
fn a_cut_leaves_the_begun_block() {
    let mut tail = Tail::default();
    tail.restart(BLOCK + 10, &[7; 10]);
    assert_eq!(tail.first_offset(), None);
    assert_eq!(tail.pad(BLOCK + 10), 2 * BLOCK);
    let pieces = tail.pieces(BLOCK..2 * BLOCK);
    assert_eq!(
        (pieces.len(), pieces[0].0, &pieces[0].1[..11]),
        (1, BLOCK, &[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0xb2][..])
    );
}
