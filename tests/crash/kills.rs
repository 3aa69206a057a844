//! kill -9, again and again, with another number of shards each time.

use crate::{chance::Chance, load::Load, load::read, process::Start};
use std::{thread::sleep, time::Duration};

/// The variable that says how often the server is killed; `cargo xtask soak kill` sets it.
const TIMES: &str = "MILLRACE_SOAK_KILLS";

/// Kills in a plain test run.
const TIMES_DEFAULT: u32 = 6;

/// The longest that a server lives once it has acknowledged something.
const LIFE: Duration = Duration::from_millis(700);

/// The longest that a server which is killed at its start lives.
const SHORT_LIFE: Duration = Duration::from_millis(120);

/// The whole log is read after every so many kills, and after the last.
const CHECK_EVERY: u32 = 5;

fn server(directory: &std::path::Path, kill: u32) -> Start {
    Start::below(directory).shards([1, 2, 4][kill as usize % 3]).with_small_files()
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let times = std::env::var(TIMES).map_or(TIMES_DEFAULT, |text| text.parse().unwrap());
    let mut chance = Chance::new();
    let directory = tempfile::tempdir().unwrap();
    let mut running = server(directory.path(), 0).run();
    let address = running.address;
    let load = Load::start(address);
    for kill in 1..=times {
        let before = load.acknowledgements();
        load.go_on(1);
        sleep(chance.moment(LIFE));
        running.kill();
        let acknowledged = load.acknowledgements() - before;
        // Now and then the next is killed too, while it recovers.
        let while_recovering = chance.below(4) == 0;
        if while_recovering {
            let starting = server(directory.path(), kill + 1).listen(address).spawn();
            sleep(chance.moment(SHORT_LIFE));
            starting.kill();
        }
        running = server(directory.path(), kill).listen(address).run();
        println!("kill {kill}: {acknowledged} acknowledged since the last, once more: {while_recovering}");
        if kill % CHECK_EVERY == 0 {
            load.check(address);
        }
    }
    // Who was cut off has come back.
    load.go_on(100);
    let ledger = load.stop();
    let logs = read(address);
    ledger.check(&logs);
    let acknowledged = ledger.acknowledgements();
    println!("{times} kills, {acknowledged} records acknowledged, {} seen, none lost", ledger.seen.len());
    assert!(acknowledged > 100 * times as usize, "{acknowledged} are too few to tell anything");
    // A stop is clean, and what it leaves is the same again.
    assert_eq!(running.stop().code(), Some(0));
    let running = server(directory.path(), 2).listen(address).run();
    assert!(read(address) == logs, "a clean stop changes nothing");
    running.kill();
}
