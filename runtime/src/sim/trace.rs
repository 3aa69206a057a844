//! What happened in a world, in order: a running hash always, the text on request.

use std::{
    cell::{Cell, RefCell},
    fmt::Write,
};

/// The kinds of entries. The label is the second word of an entry's line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Spawn,
    Poll,
    Finish,
    Timer,
    Bell,
    Launch,
    Kill,
    DiskSubmit,
    DiskEffect,
    DiskLost,
    Connect,
    Accept,
    Refuse,
    Segment,
    Acknowledge,
    Reset,
    Cut,
    Heal,
}

impl What {
    const fn label(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Poll => "poll",
            Self::Finish => "finish",
            Self::Timer => "timer",
            Self::Bell => "bell",
            Self::Launch => "launch",
            Self::Kill => "kill",
            Self::DiskSubmit => "disk-submit",
            Self::DiskEffect => "disk-effect",
            Self::DiskLost => "disk-lost",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Segment => "segment",
            Self::Acknowledge => "acknowledge",
            Self::Reset => "reset",
            Self::Cut => "cut",
            Self::Heal => "heal",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Trace {
    hash: Cell<u64>,
    text: Option<RefCell<String>>,
}

impl Trace {
    pub(crate) fn new(keep_text: bool) -> Self {
        Self { hash: Cell::new(0), text: keep_text.then(RefCell::default) }
    }

    /// Adds an entry: when, what, and its numbers (their meaning depends on what).
    pub(crate) fn note(&self, now: u64, what: What, numbers: [u64; 4]) {
        let mut hash = mix(mix(self.hash.get(), now), what as u64);
        for number in numbers {
            hash = mix(hash, number);
        }
        self.hash.set(hash);
        if let Some(text) = &self.text {
            let [a, b, c, d] = numbers;
            writeln!(text.borrow_mut(), "{now} {} {a} {b} {c} {d:x}", what.label())
                .expect("a string takes any text");
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }

    pub(crate) fn text(&self) -> String {
        self.text.as_ref().map(|text| text.borrow().clone()).unwrap_or_default()
    }
}

/// One step of a multiplicative hash: cheap, order-dependent, not for adversaries.
const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
