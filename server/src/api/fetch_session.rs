//! Fetch sessions (KIP-227): a consumer names its partitions once, and from then on only what changes.
//!
//! A session belongs to its connection: clients keep one for each broker they are connected to, and begin a new one when
//! the old is not found. So sessions need no eviction, and their memory ends with the connection.

use millrace_net::{
    kafka::{
        ErrorCode,
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
    },
    wire::SharedStr,
};
use std::collections::{BTreeMap, btree_map::Entry};
use uuid::Uuid;

/// A session holds this many partitions at most; a client with more is answered in full each time.
const PARTITIONS_MAX: usize = 100_000;

/// The epoch that begins a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch that wants no session, and ends the one that is named.
const FINAL_EPOCH: i32 = -1;

/// Names a partition as the request's version does: by topic name, or by topic id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) topic_id: Uuid,
    pub(super) partition: i32,
}

/// A partition to be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) fetch: FetchPartition,
}

/// The session of a connection, if it has one.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    id: i32,
    /// What the next request must say.
    epoch: i32,
    /// Whether it names topics by id. A request that does otherwise would mean other partitions.
    by_id: bool,
    partitions: BTreeMap<Place, Cached>,
    /// The partition that was last answered with records: the next answer begins behind it, so that a response's bound
    /// of bytes starves none.
    served: Option<Place>,
}

/// A partition of a session, and what the client knows of it.
#[derive(Clone, Debug, PartialEq)]
struct Cached {
    fetch: FetchPartition,
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
}

/// How a request is to be answered.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// What to read, in this order.
    pub(super) wanted: Vec<Wanted>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sessionless,
    /// Everything is answered.
    Full,
    /// Only what has news.
    Incremental,
}

impl FetchSession {
    /// Works out what a request wants, which names topics by id or by name. `new_id` names a session that it begins.
    ///
    /// # Errors
    /// The code that tells the client to begin anew.
    pub(super) fn plan(
        &mut self,
        request: &FetchRequest,
        by_id: bool,
        new_id: i32,
    ) -> Result<Plan, ErrorCode> {
        match (request.session_id, request.session_epoch) {
            (id, FINAL_EPOCH) => {
                if id != 0 {
                    *self = Self::default();
                }
                Ok(Plan { wanted: named(request), kind: Kind::Sessionless })
            }
            (_, INITIAL_EPOCH) => Ok(self.begin(request, by_id, new_id)),
            (id, _) if id == 0 || id != self.id => Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
            (_, epoch) if epoch != self.epoch => Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH),
            _ if by_id != self.by_id => Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR),
            _ => Ok(self.go_on(request)),
        }
    }

    fn begin(&mut self, request: &FetchRequest, by_id: bool, new_id: i32) -> Plan {
        *self = Self::default();
        let wanted = named(request);
        if wanted.len() > PARTITIONS_MAX {
            return Plan { wanted, kind: Kind::Sessionless };
        }
        self.id = new_id;
        self.epoch = 1;
        self.by_id = by_id;
        for partition in &wanted {
            self.partitions.insert(partition.place.clone(), Cached::new(partition.fetch.clone()));
        }
        Plan { wanted, kind: Kind::Full }
    }

    fn go_on(&mut self, request: &FetchRequest) -> Plan {
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                let topic_name = topic.topic.as_str().to_owned();
                self.partitions.remove(&Place {
                    topic: topic_name,
                    topic_id: topic.topic_id,
                    partition: *partition,
                });
            }
        }
        for partition in named(request) {
            let full = self.partitions.len() >= PARTITIONS_MAX;
            match self.partitions.entry(partition.place) {
                Entry::Occupied(known) => known.into_mut().fetch = partition.fetch,
                Entry::Vacant(new) if !full => {
                    new.insert(Cached::new(partition.fetch));
                }
                Entry::Vacant(_) => {}
            }
        }
        let wanted =
            |(place, cached): (&Place, &Cached)| Wanted { place: place.clone(), fetch: cached.fetch.clone() };
        let mut all: Vec<Wanted> = self.partitions.iter().map(wanted).collect();
        if let Some(served) = &self.served {
            let first = all.partition_point(|partition| partition.place <= *served);
            all.rotate_left(first);
        }
        Plan { wanted: all, kind: Kind::Incremental }
    }

    /// The response out of what was read, in the order of the plan. A session's client is told only of partitions that
    /// have records, an error, or watermarks that it does not know.
    pub(super) fn answer(&mut self, plan: Plan, read: Vec<PartitionData>) -> FetchResponse {
        let session_id = if plan.kind == Kind::Sessionless { 0 } else { self.id };
        let mut responses: Vec<FetchableTopicResponse> = Vec::new();
        let mut topics: BTreeMap<(String, Uuid), usize> = BTreeMap::new();
        for (wanted, data) in plan.wanted.into_iter().zip(read) {
            let news = plan.kind == Kind::Sessionless || self.note(&wanted.place, &data);
            if plan.kind == Kind::Incremental && !news {
                continue;
            }
            let key = (wanted.place.topic, wanted.place.topic_id);
            let index = *topics.entry(key.clone()).or_insert_with(|| {
                let topic = SharedStr::from(key.0.as_str());
                responses.push(FetchableTopicResponse { topic, topic_id: key.1, partitions: Vec::new() });
                responses.len() - 1
            });
            responses[index].partitions.push(data);
        }
        FetchResponse { session_id, responses, ..Default::default() }
    }

    /// Notes what the client is about to learn, and whether there is anything new in it.
    fn note(&mut self, place: &Place, data: &PartitionData) -> bool {
        let Some(cached) = self.partitions.get_mut(place) else { return true };
        let records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let known = (cached.high_watermark, cached.last_stable_offset, cached.log_start_offset);
        let now = (data.high_watermark, data.last_stable_offset, data.log_start_offset);
        if records {
            self.served = Some(place.clone());
        }
        if data.error_code != ErrorCode::NONE {
            // An error is told again until the client mends it.
            cached.high_watermark = -1;
            return true;
        }
        (cached.high_watermark, cached.last_stable_offset, cached.log_start_offset) = now;
        let diverges = data.diverging_epoch.epoch >= 0;
        records || diverges || known != now
    }
}

impl Cached {
    fn new(fetch: FetchPartition) -> Self {
        Self { fetch, high_watermark: -1, last_stable_offset: -1, log_start_offset: -1 }
    }
}

/// The partitions that a request names, in its order.
fn named(request: &FetchRequest) -> Vec<Wanted> {
    let topics = request.topics.iter();
    let partitions = topics.flat_map(|topic| topic.partitions.iter().map(move |fetch| (topic, fetch)));
    let wanted = partitions.map(|(topic, fetch)| Wanted {
        place: Place {
            topic: topic.topic.as_str().to_owned(),
            topic_id: topic.topic_id,
            partition: fetch.partition,
        },
        fetch: fetch.clone(),
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use millrace_net::{
        kafka::fetch::{FetchTopic, ForgottenTopic},
        wire::RecordSet,
    };

    fn request(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let fetch = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            ..Default::default()
        };
        let partitions: Vec<FetchPartition> = partitions.iter().map(fetch).collect();
        let topics = if partitions.is_empty() {
            Vec::new()
        } else {
            vec![FetchTopic { topic: "t".into(), partitions, ..Default::default() }]
        };
        FetchRequest { session_id: id, session_epoch: epoch, topics, ..Default::default() }
    }

    fn data(partition: i32, high_watermark: i64, records: bool) -> PartitionData {
        let mut set = RecordSet::new();
        if records {
            set.push(Bytes::from_static(b"batch"));
        }
        PartitionData { partition_index: partition, high_watermark, records: Some(set), ..Default::default() }
    }

    fn answered(response: &FetchResponse) -> Vec<i32> {
        let topics = response.responses.iter();
        topics.flat_map(|topic| topic.partitions.iter().map(|data| data.partition_index)).collect()
    }

    #[test]
    fn a_session_answers_only_what_is_new_and_takes_turns() {
        let mut session = FetchSession::default();
        let plan = session.plan(&request(0, 0, &[(0, 5), (1, 6), (2, 7)]), false, 77).unwrap();
        let response = session.answer(plan, vec![data(0, 5, false), data(1, 6, false), data(2, 7, false)]);
        assert_eq!((response.session_id, answered(&response)), (77, vec![0, 1, 2]));

        let plan = session.plan(&request(77, 1, &[]), false, 0).unwrap();
        let response = session.answer(plan, vec![data(0, 5, false), data(1, 8, true), data(2, 7, false)]);
        assert_eq!(answered(&response), [1]);

        let plan = session.plan(&request(77, 2, &[(1, 8)]), false, 0).unwrap();
        let order: Vec<i32> = plan.wanted.iter().map(|wanted| wanted.place.partition).collect();
        assert_eq!(order, [2, 0, 1], "the one that was served comes last");
        assert_eq!(plan.wanted[2].fetch.fetch_offset, 8, "what changed is taken up");
        let response = session.answer(plan, vec![data(2, 9, false), data(0, 5, false), data(1, 8, false)]);
        assert_eq!(answered(&response), [2], "a watermark alone is news");
    }

    #[test]
    fn partitions_are_forgotten_and_added() {
        let mut session = FetchSession::default();
        session.plan(&request(0, 0, &[(0, 0), (1, 0)]), false, 9).unwrap();
        let mut next = request(9, 1, &[(3, 4)]);
        next.forgotten_topics_data =
            vec![ForgottenTopic { topic: "t".into(), partitions: vec![0], ..Default::default() }];
        let plan = session.plan(&next, false, 0).unwrap();
        let places: Vec<i32> = plan.wanted.iter().map(|wanted| wanted.place.partition).collect();
        assert_eq!(places, [1, 3]);
    }

    #[test]
    fn strangers_and_repeats_are_told_to_begin_anew() {
        let mut session = FetchSession::default();
        assert_eq!(session.plan(&request(5, 1, &[]), false, 1), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        session.plan(&request(0, 0, &[(0, 0)]), false, 5).unwrap();
        assert_eq!(session.plan(&request(6, 1, &[]), false, 1), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert_eq!(session.plan(&request(5, 2, &[]), false, 1), Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        session.plan(&request(5, 1, &[]), false, 1).unwrap();
        assert_eq!(session.plan(&request(5, 1, &[]), false, 1), Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        session.plan(&request(5, -1, &[(0, 0)]), false, 1).unwrap();
        assert_eq!(
            session.plan(&request(5, 2, &[]), false, 1),
            Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
            "it was closed"
        );
    }

    #[test]
    fn a_session_does_not_change_how_topics_are_named() {
        let mut session = FetchSession::default();
        session.plan(&request(0, 0, &[(0, 0)]), true, 5).unwrap();
        let error = Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        assert_eq!(session.plan(&request(5, 1, &[]), false, 0), error);
        session.plan(&request(5, 1, &[]), true, 0).unwrap();
    }

    #[test]
    fn an_error_is_told_until_it_is_mended() {
        let mut session = FetchSession::default();
        session.plan(&request(0, 0, &[(0, 0)]), false, 5).unwrap();
        for epoch in 1..3 {
            let plan = session.plan(&request(5, epoch, &[]), false, 0).unwrap();
            let error = PartitionData { error_code: ErrorCode::OFFSET_OUT_OF_RANGE, ..Default::default() };
            assert_eq!(answered(&session.answer(plan, vec![error])), [0]);
        }
    }
}
