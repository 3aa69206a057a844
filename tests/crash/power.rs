//! The power of a real file system cut under load, again and again. kill -9 tells nothing of syncs, since the kernel lives
//! on; this does.

use crate::{
    chance::Chance,
    device::Device,
    load::{Load, read},
    process::Start,
};
use std::{thread::sleep, time::Duration};

/// The variable that says how often the power is cut; `cargo xtask soak power` sets it.
const TIMES: &str = "MILLRACE_SOAK_POWER_CUTS";

/// Cuts in a plain test run.
const TIMES_DEFAULT: u32 = 4;

/// The longest that the power lasts once something is acknowledged.
const LIFE: Duration = Duration::from_millis(500);

/// How the server ends when its disk does.
const STORAGE: i32 = 74;

/// Size of the file system.
const MEBIBYTES: u64 = 8192;

/// The whole log is read after each of the first cuts, and then after every so many.
const CHECK_EVERY: u32 = 5;

fn server(device: &Device, cut: u32) -> Start {
    Start::below(device.beside())
        .data(&device.path().join("data"))
        .shards([1, 8, 2][cut as usize % 3])
        .with_small_files()
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts() {
    let times = std::env::var(TIMES).map_or(TIMES_DEFAULT, |text| text.parse().unwrap());
    let Some(mut device) = Device::new(MEBIBYTES) else { return };
    let mut chance = Chance::new();
    let mut running = server(&device, 0).run();
    let address = running.address;
    let load = Load::start(address);
    for cut in 1..=times {
        let before = load.acknowledgements();
        load.go_on(1);
        sleep(chance.moment(LIFE));
        // It cannot write any more, says so, and ends: it does not try again. Unless it cannot even read what the next append to
        // each log needs: then it writes nothing, refuses, and says that.
        let refusals = |log: &str| log.matches("cannot append to a log").count();
        let before_cut = refusals(&running.log());
        device.cut_power();
        let exit = running.end_or_kill(|log| refusals(log) > before_cut);
        assert!(exit.is_none_or(|exit| exit.code() == Some(STORAGE)), "{exit:?}");
        let acknowledged = load.acknowledgements() - before;
        device.restore();
        running = server(&device, cut).listen(address).run();
        println!("cut {cut}: {acknowledged} acknowledged since the last");
        if cut <= TIMES_DEFAULT || cut % CHECK_EVERY == 0 {
            load.check(address);
        }
    }
    load.go_on(100);
    let ledger = load.stop();
    let logs = read(address);
    ledger.check(&logs);
    let acknowledged = ledger.acknowledgements();
    println!("{times} cuts, {acknowledged} records acknowledged, {} seen, none lost", ledger.seen.len());
    assert_eq!(running.stop().code(), Some(0));
}
