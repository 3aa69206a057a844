//! Random worlds.

use super::world::{Config, World};
use proptest::prelude::*;

fn plain() -> Config {
    Config {
        shards: 3,
        jobs: 1,
        unresolved_max: 4,
        is_together: false,
        are_frames_split: false,
        delay: 0,
        disk_delay: 0,
        reads_ahead: false,
        rescales: false,
    }
}

fn any_config() -> impl Strategy<Value = Config> {
    let delays = (prop_oneof![Just(0), 0..90_usize], prop_oneof![Just(0), 0..95_usize]);
    (1..5_usize, 1..3_u64, 1..5_usize, any::<[bool; 4]>(), delays).prop_map(
        |(shards, jobs, unresolved_max, flags, (delay, disk_delay))| {
            let [is_together, are_frames_split, reads_ahead, rescales] = flags;
            Config {
                shards: if is_together { 1 } else { shards },
                jobs,
                unresolved_max,
                is_together,
                are_frames_split,
                delay,
                disk_delay,
                reads_ahead,
                rescales,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn committed_output_is_that_of_an_oracle(config in any_config(), seed in any::<u64>(), steps in 0..2_000_usize) {
        World::new(config, seed).run(steps);
    }

    #[test]
    fn also_with_one_epoch_at_a_time_and_every_message_late(seed in any::<u64>(), shards in 1..4_usize) {
        World::new(Config { shards, unresolved_max: 1, delay: 80, ..plain() }, seed).run(1_500);
    }

    #[test]
    fn also_when_sources_read_what_may_be_lost(seed in any::<u64>(), delay in 0..60_usize) {
        World::new(Config { reads_ahead: true, disk_delay: 97, delay, ..plain() }, seed).run(1_500);
    }

    #[test]
    fn also_when_commits_are_written_with_their_pieces(seed in any::<u64>(), are_frames_split in any::<bool>()) {
        World::new(Config { shards: 1, is_together: true, are_frames_split, disk_delay: 90, ..plain() }, seed).run(1_500);
    }
}

/// News of one partition may let an epoch be voted for and show that a later one has read what is gone.
#[test]
fn a_vote_may_come_with_the_failure_of_a_later_epoch() {
    let config = Config { shards: 1, is_together: true, disk_delay: 90, ..plain() };
    World::new(config, 11_691_129_414_218_814_326).run(1_500);
}

/// The worlds do what the laws are about: epochs are committed, aborted, spliced again, void.
#[test]
fn worlds_meet_what_they_are_for() {
    let (mut epochs, mut voids, mut resplices, mut discards) = (0, 0, 0, 0);
    for seed in 1..80_u64 {
        let is_together = seed % 4 != 0;
        let (shards, disk_delay) = if is_together { (1, 94) } else { (3, 60) };
        let config = Config { shards, is_together, are_frames_split: true, disk_delay, ..plain() };
        let mut world = World::new(config, seed * 77_777);
        world.run(1_500);
        epochs += world.epochs_seen;
        voids += world.voids;
        resplices += world.resplices;
        discards += world.discards;
    }
    assert!(epochs > 500, "{epochs} epochs");
    assert!(
        voids > 5 && resplices > 20 && discards > 20,
        "{voids} void, {resplices} spliced again, {discards} discarded"
    );
}
