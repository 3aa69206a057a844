//! Fetch: reads on the shards that own the partitions, and waits there for more if there is too little.
//!
//! A fetch that waits is woken by the advance of what its reader may see, never by a timer of its own; it then reads again.
//! Records travel as slices of tails and segments, by reference up to the socket.

use super::{
    Asker,
    errors::Code,
    fetch_session::{FetchSession, Wanted},
    topic_names,
};
use crate::shard::{Isolation, ReadFrom, ReadOutcome};
use futures_util::future::{join_all, select_all};
use millrace_net::{
    budget::{Budget, Charge},
    connection::Answer,
    kafka::{
        ErrorCode,
        fetch::{EpochEndOffset, FetchRequest, FetchResponse, PartitionData},
    },
    wire::RecordSet,
};
use millrace_record::TopicId;
use millrace_runtime::{Instant, ShardId, random_u64, timeout};
use std::{cell::RefCell, collections::BTreeMap, time::Duration};

/// From this version on topics are named by id.
const IDS_FROM: i16 = 13;

/// The isolation level that sees no records of open or aborted transactions.
const READ_COMMITTED: i8 = 1;

/// The most bytes of records in a response, whatever the client says: what is queued for a socket is memory.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// The most bytes of records in a response when too much waits for slow readers already. Small enough for thousands of
/// connections, large enough that who reads on notices little.
const SHORT_RESPONSE_BYTES_MAX: usize = 256 << 10;

/// A partition to be read on its owner, and its place in the plan.
#[derive(Clone, Debug)]
struct Part {
    at: usize,
    from: ReadFrom,
}

/// What a fetch may read and how long it waits.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    bytes_max: usize,
    bytes_min: usize,
    isolation: Isolation,
    deadline: Instant,
}

pub(super) async fn answer(asker: &Asker, session: &RefCell<FetchSession>, request: FetchRequest) -> Answer {
    let by_id = asker.version >= IDS_FROM;
    let planned = session.borrow_mut().plan(&request, by_id, new_session_id());
    let plan = match planned {
        Ok(plan) => plan,
        Err(error_code) => {
            return Answer::Response(FetchResponse { error_code, ..Default::default() }.into());
        }
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let bounds = Bounds {
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(RESPONSE_BYTES_MAX),
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
        isolation: if request.isolation_level == READ_COMMITTED {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        },
        deadline: Instant::now() + wait,
    };
    let (read, memory) = read_enough(asker, &plan.wanted, bounds).await;
    let response = session.borrow_mut().answer(plan, read).into();
    match memory {
        Some(memory) => Answer::Charged(response, memory),
        None => Answer::Response(response),
    }
}

/// Takes memory for what a fetch may bring, for as long as it waits to be taken. Without it a fetch is still answered, but
/// with less: slow readers hold up nobody else.
fn charge(unsent: &Budget, bounds: Bounds, wanted: &[Wanted]) -> (Option<Charge>, Bounds) {
    let all: usize =
        wanted.iter().map(|one| usize::try_from(one.fetch.partition_max_bytes).unwrap_or(0)).sum();
    let memory = unsent.try_charge(bounds.bytes_max.min(all));
    let bytes_max = match &memory {
        Some(_) => bounds.bytes_max,
        None => bounds.bytes_max.min(SHORT_RESPONSE_BYTES_MAX),
    };
    (memory, Bounds { bytes_max, bytes_min: bounds.bytes_min.min(bytes_max), ..bounds })
}

/// Reads, and reads again whenever there is more, until there is enough, something is wrong, or the time is over.
async fn read_enough(
    asker: &Asker,
    wanted: &[Wanted],
    allowed: Bounds,
) -> (Vec<PartitionData>, Option<Charge>) {
    let (parts, mut answers) = locate(asker, wanted);
    let refused = answers.iter().any(|answer| answer.error_code != ErrorCode::NONE);
    loop {
        let (mut memory, bounds) = charge(asker.shard.unsent(), allowed, wanted);
        let mut outcomes = read_once(asker, &parts, bounds).await;
        outcomes.sort_by_key(|(at, _)| *at);
        let mut left = bounds.bytes_max;
        let mut first = true;
        let mut read = 0;
        let mut failed = false;
        let mut seen: BTreeMap<usize, i64> = BTreeMap::new();
        for (at, outcome) in outcomes {
            seen.insert(at, outcome.visible_end(bounds.isolation));
            let answer = &mut answers[at];
            fill(answer, outcome);
            // Shards read beside each other, each with the whole budget; what is too much is left for the next fetch.
            let len = answer.records.as_ref().map_or(0, RecordSet::len);
            if len > left && !first {
                answer.records = Some(RecordSet::new());
            } else {
                left = left.saturating_sub(len);
                read += len;
                first &= len == 0;
            }
            failed |= answer.error_code != ErrorCode::NONE || answer.diverging_epoch.epoch >= 0;
        }
        let enough = read >= bounds.bytes_min.max(1) || bounds.bytes_min == 0;
        if enough || failed || refused || parts.is_empty() || Instant::now() >= bounds.deadline {
            count(asker, wanted, &answers);
            if let Some(memory) = &mut memory {
                memory.shrink_to(read);
            }
            return (answers, memory);
        }
        drop(memory);
        wait_for_more(asker, &parts, &seen, bounds).await;
    }
}

/// Counts what is handed out.
fn count(asker: &Asker, wanted: &[Wanted], answers: &[PartitionData]) {
    let image = asker.shard.image();
    for (Wanted { place, .. }, answer) in wanted.iter().zip(answers) {
        let bytes = answer.records.as_ref().map_or(0, RecordSet::len);
        let by_name = || image.topic(&place.topic).map(|topic| topic.id);
        let topic = if place.topic.is_empty() { Some(TopicId(place.topic_id)) } else { by_name() };
        if let (Some(topic), true) = (topic, bytes > 0) {
            asker.shard.counters().fetched(topic, bytes as u64);
        }
    }
}

/// The owner of each partition that can be read; the others' answers say why not.
fn locate(asker: &Asker, wanted: &[Wanted]) -> (BTreeMap<ShardId, Vec<Part>>, Vec<PartitionData>) {
    let mut parts: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(wanted.len());
    for (at, wanted) in wanted.iter().enumerate() {
        let place = &wanted.place;
        let mut answer = PartitionData { partition_index: place.partition, ..Default::default() };
        let found = topic_names::find(&asker.shard, &place.topic, place.topic_id);
        let unknown_id = found.is_none() && place.topic.is_empty();
        match found.filter(|topic| (0..topic.partitions).contains(&place.partition)) {
            Some(topic) => {
                let from = ReadFrom {
                    topic: topic.id,
                    partition: place.partition,
                    offset: wanted.fetch.fetch_offset,
                    bytes_max: usize::try_from(wanted.fetch.partition_max_bytes).unwrap_or(0),
                    current_leader_epoch: wanted.fetch.current_leader_epoch,
                    last_fetched_epoch: wanted.fetch.last_fetched_epoch,
                };
                parts
                    .entry(asker.shard.owner(topic.id, place.partition))
                    .or_default()
                    .push(Part { at, from });
            }
            None => {
                answer.high_watermark = -1;
                answer.error_code = if unknown_id {
                    ErrorCode::UNKNOWN_TOPIC_ID
                } else {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                };
            }
        }
        answers.push(answer);
    }
    (parts, answers)
}

async fn read_once(
    asker: &Asker,
    parts: &BTreeMap<ShardId, Vec<Part>>,
    bounds: Bounds,
) -> Vec<(usize, ReadOutcome)> {
    let reads = parts.iter().map(|(owner, parts)| {
        let parts = parts.clone();
        asker.shard.on(*owner, move |there| async move {
            let mut left = bounds.bytes_max;
            let mut outcomes = Vec::with_capacity(parts.len());
            let mut first = true;
            for part in parts {
                let outcome = there.partitions().read(&part.from, left, first, bounds.isolation).await;
                left = left.saturating_sub(outcome.records.len());
                first &= outcome.records.is_empty();
                outcomes.push((part.at, outcome));
            }
            outcomes
        })
    });
    join_all(reads).await.into_iter().flatten().collect()
}

/// Waits until some partition has more for its reader than it saw, at the latest until the deadline.
async fn wait_for_more(
    asker: &Asker,
    parts: &BTreeMap<ShardId, Vec<Part>>,
    seen: &BTreeMap<usize, i64>,
    bounds: Bounds,
) {
    let watches = parts.iter().map(|(owner, parts)| {
        let ends: Vec<_> = parts
            .iter()
            .map(|part| (part.from.topic, part.from.partition, seen.get(&part.at).copied().unwrap_or(0)))
            .collect();
        Box::pin(asker.shard.on(*owner, move |there| async move {
            there.partitions().advanced(ends, bounds.isolation).await;
        }))
    });
    let left = bounds.deadline - Instant::now();
    // Whether there is more or the time is over, the caller looks again.
    timeout(left, select_all(watches)).await.ok();
}

/// A partition's answer out of what was read.
fn fill(answer: &mut PartitionData, outcome: ReadOutcome) {
    answer.error_code = outcome.error.map_or(ErrorCode::NONE, |error| error.code());
    answer.high_watermark = outcome.high_watermark;
    answer.last_stable_offset = outcome.last_stable_offset;
    answer.log_start_offset = outcome.log_start_offset;
    answer.diverging_epoch =
        outcome.diverging.map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset }).unwrap_or_default();
    answer.records = Some(outcome.records);
}

/// A positive number that a client can't confuse with one of an earlier connection.
fn new_session_id() -> i32 {
    i32::try_from(random_u64() >> 33).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fetch_session::Place;
    use millrace_net::kafka::fetch::FetchPartition;

    /// What a fetch of two partitions, of so many bytes each, may read and holds meanwhile.
    fn charged(unsent: &Budget, bytes_max: usize, each: i32) -> (usize, Option<Charge>) {
        let wanted = [0, 1].map(|partition| Wanted {
            place: Place { topic: "t".to_owned(), topic_id: uuid::Uuid::nil(), partition },
            fetch: FetchPartition { partition, partition_max_bytes: each, ..Default::default() },
        });
        let deadline = Instant::from_nanos(0);
        let bounds =
            Bounds { bytes_max, bytes_min: bytes_max, isolation: Isolation::ReadUncommitted, deadline };
        let (memory, bounds) = charge(unsent, bounds, &wanted);
        assert!(bounds.bytes_min <= bounds.bytes_max, "it can have enough");
        (bounds.bytes_max, memory)
    }

    #[test]
    fn a_fetch_holds_what_it_may_bring_and_is_short_when_others_hold_all() {
        let unsent = Budget::new(100 << 20);
        let (bytes_max, first) = charged(&unsent, 50 << 20, 1 << 20);
        assert_eq!((bytes_max, unsent.in_use()), (50 << 20, 2 << 20), "its partitions bound it too");
        let (bytes_max, second) = charged(&unsent, 50 << 20, 90 << 20);
        assert_eq!((bytes_max, unsent.in_use()), (50 << 20, 52 << 20));
        let (bytes_max, third) = charged(&unsent, 50 << 20, 90 << 20);
        assert_eq!((bytes_max, third.is_none(), unsent.in_use()), (SHORT_RESPONSE_BYTES_MAX, true, 52 << 20));
        let (bytes_max, _) = charged(&unsent, 1000, 90 << 20);
        assert_eq!(bytes_max, 1000, "there is room for that");
        drop((first, second));
        assert!(charged(&unsent, 50 << 20, 90 << 20).1.is_some());
        assert_eq!(unsent.in_use(), 0);
    }
}
