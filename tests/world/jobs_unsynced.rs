//! Jobs over records that are acknowledged without a sync.

use crate::{
    flows::jobs,
    house::House,
    play::{create, has_not_failed, job, run, send, settles, try_run},
};
use millrace::{config::Durability, job::RunJob};
use millrace_runtime::sim::Device;

/// Only who keeps such records syncs them before what a job makes of them.
#[test]
fn a_job_does_not_read_on_one_shard_what_another_has_not_synced() {
    for durability in [Durability::Os, Durability::Fsync] {
        let house = House::with_jobs(31, Device::Fua, jobs());
        house.acknowledge(durability);
        house.start(2);
        create(&house, &["in", "out"]);
        let on_one = RunJob { shards: vec![1], ..job("running", &[]) };
        let id = match (durability, try_run(&house, on_one)) {
            (Durability::Fsync, id) => id.unwrap(),
            (Durability::Os, refused) => {
                let reason = refused.unwrap_err();
                assert!(reason.contains("run on all shards"), "{reason}");
                run(&house, job("running", &[]))
            }
        };
        send(&house, "in", vec![(0, "0 1".to_owned()), (1, "1 2".to_owned())]);
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.stop();
    }
}
