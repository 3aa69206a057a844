//! The ways between nodes.

use crate::sim::{kernel::Kernel, trace::What};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

/// What is not as the options say, by direction.
#[derive(Debug, Default)]
pub(crate) struct Links {
    cut: BTreeSet<(u16, u16)>,
    latency: BTreeMap<(u16, u16), RangeInclusive<Duration>>,
}

impl Links {
    pub(crate) fn cut(&mut self, kernel: &Kernel, from: u16, to: u16) {
        assert_ne!(from, to, "a node's way to itself can't be cut");
        kernel.note(What::Cut, [u64::from(from), u64::from(to), 0, 0]);
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self, kernel: &Kernel, from: u16, to: u16) {
        kernel.note(What::Heal, [u64::from(from), u64::from(to), 0, 0]);
        self.cut.remove(&(from, to));
    }

    pub(crate) fn is_cut(&self, from: u16, to: u16) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn set_latency(&mut self, from: u16, to: u16, latency: Option<RangeInclusive<Duration>>) {
        match latency {
            Some(latency) => self.latency.insert((from, to), latency),
            None => self.latency.remove(&(from, to)),
        };
    }

    /// Draws how long something takes, in nanoseconds.
    pub(crate) fn delay(&self, kernel: &Kernel, from: u16, to: u16) -> u64 {
        let options = &kernel.options.net;
        let usual = if from == to { &options.loopback_latency } else { &options.latency };
        kernel.random.delay_ns(self.latency.get(&(from, to)).unwrap_or(usual))
    }
}
