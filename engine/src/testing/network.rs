//! What is on its way: rings between shards, and between shards and the log. Each is in order; which one moves next is
//! chance.

use super::random::Random;
use crate::worker::Inbound;
use std::collections::VecDeque;

/// One ring for each ordered pair of shards, and one from the log to each shard.
#[derive(Debug)]
pub(super) struct Network {
    shards: usize,
    rings: Vec<VecDeque<Inbound>>,
    /// The most messages that were on one ring between shards.
    pub(super) longest: usize,
}

impl Network {
    pub(super) fn new(shards: usize) -> Self {
        let rings = (0..shards * (shards + 1)).map(|_| VecDeque::new()).collect();
        Self { shards, rings, longest: 0 }
    }

    /// From a shard to a shard.
    pub(super) fn send(&mut self, from: usize, to: usize, message: Inbound) {
        let ring = &mut self.rings[from * self.shards + to];
        ring.push_back(message);
        self.longest = self.longest.max(ring.len());
    }

    /// From the log, or the epochs' coordinator, to a shard.
    pub(super) fn tell(&mut self, to: usize, message: Inbound) {
        self.rings[self.shards * self.shards + to].push_back(message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rings.iter().all(VecDeque::is_empty)
    }

    /// The next message of a ring chosen by chance, and the shard it is for.
    pub(super) fn deliver(&mut self, random: &mut Random) -> Option<(usize, Inbound)> {
        let full: Vec<usize> = (0..self.rings.len()).filter(|ring| !self.rings[*ring].is_empty()).collect();
        let ring = *full.get(random.below(full.len().max(1)))?;
        Some((ring % self.shards, self.rings[ring].pop_front()?))
    }

    pub(super) fn clear(&mut self) {
        for ring in &mut self.rings {
            ring.clear();
        }
    }
}
