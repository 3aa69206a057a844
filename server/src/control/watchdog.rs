//! Names the chain of operators and the record that hold a shard up: user code that runs long takes the whole shard's time. Which
//! operator of the chain it is can't be told: a chain is one loop, and a note at each step from one to the next would cost every record.

use super::Shards;
use std::time::Duration;

/// A call that takes as long is told of.
const PERIOD: Duration = Duration::from_millis(100);

/// Watches what shards' workers do, until the server stops. A call that is seen twice has run for a period at least.
pub async fn watch(shards: Shards) {
    let Ok(watches) = shards.on_all(|shard| shard.dataflow().watch()).await else { return };
    let mut seen = vec![(0, 0_u32); watches.len()];
    loop {
        tokio::time::sleep(PERIOD).await;
        for (shard, (watch, (since, times))) in watches.iter().zip(&mut seen).enumerate() {
            let Some(running) = watch.running() else {
                (*since, *times) = (0, 0);
                continue;
            };
            if running.since_ns != *since {
                (*since, *times) = (running.since_ns, 0);
                continue;
            }
            *times += 1;
            // Told of at once, and then less and less often.
            if times.is_power_of_two() {
                let millis = PERIOD.as_millis() * u128::from(*times);
                tracing::warn!(
                    shard,
                    task = running.task,
                    record = running.record,
                    millis,
                    "user code holds the shard up"
                );
            }
        }
    }
}
