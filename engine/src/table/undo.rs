//! The way back: what entries were before their epochs touched them.

use std::collections::VecDeque;

/// How many before-images stand together. A log grows by chunks, so that no touch waits for a long log to be moved.
const CHUNK: usize = 1_024;

/// How many empty chunks a log keeps for its next generations.
const SPARE_MAX: usize = 64;

/// The before-images of one generation.
struct Generation<U> {
    number: u64,
    chunks: Vec<Vec<U>>,
}

/// The before-images of a pane, by generation, the latest last.
pub(super) struct UndoLog<U> {
    generations: VecDeque<Generation<U>>,
    spare: Vec<Vec<U>>,
}

impl<U> UndoLog<U> {
    pub(super) const fn new() -> Self {
        Self { generations: VecDeque::new(), spare: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Remembers a before-image of `generation`.
    #[inline]
    pub(super) fn push(&mut self, generation: u64, before: U) {
        if let Some(last) = self.generations.back_mut()
            && last.number == generation
            && let Some(chunk) = last.chunks.last_mut()
            && chunk.len() < CHUNK
        {
            chunk.push(before);
        } else {
            self.push_to_new_chunk(generation, before);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_to_new_chunk(&mut self, generation: u64, before: U) {
        let mut chunk = self.spare.pop().unwrap_or_default();
        chunk.push(before);
        match self.generations.back_mut() {
            Some(last) if last.number == generation => last.chunks.push(chunk),
            _ => self.generations.push_back(Generation { number: generation, chunks: vec![chunk] }),
        }
    }

    /// Forgets the generations up to and with `through`, chunk by chunk through `forget`, which may leave chunks empty to be used
    /// again.
    pub(super) fn commit(&mut self, through: u64, mut forget: impl FnMut(&mut Vec<U>)) {
        while let Some(done) = self.generations.pop_front_if(|generation| generation.number <= through) {
            for mut chunk in done.chunks {
                forget(&mut chunk);
                if chunk.is_empty() && chunk.capacity() > 0 && self.spare.len() < SPARE_MAX {
                    self.spare.push(chunk);
                }
            }
        }
    }

    /// Takes out the generations from `from` on, the latest before-image first.
    pub(super) fn undo(&mut self, from: u64) -> impl Iterator<Item = U> + use<U> {
        let mut undone = Vec::new();
        while let Some(generation) = self.generations.pop_back_if(|generation| generation.number >= from) {
            undone.extend(generation.chunks.into_iter().rev());
        }
        undone.into_iter().flat_map(|chunk| chunk.into_iter().rev())
    }
}
