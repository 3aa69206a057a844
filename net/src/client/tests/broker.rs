//! Two brokers with one memory: enough of Kafka for the client's tests, and faults on demand.

use crate::{
    connection::{Answer, ConnectionOptions, Handler},
    kafka::{
        ApiKey, ErrorCode, Request, RequestBody, Response,
        api_versions::ApiVersionsResponse,
        create_partitions::{CreatePartitionsResponse, CreatePartitionsTopicResult},
        create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse},
        delete_topics::{DeletableTopicResult, DeleteTopicsResponse},
        describe_configs::{DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult},
        fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
        heartbeat::HeartbeatResponse,
        init_producer_id::InitProducerIdResponse,
        list_offsets::{
            ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
        },
        metadata::{
            MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
            MetadataResponseTopic,
        },
        produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse},
    },
    listener::{Acceptor, AcceptorOptions},
    testing::world,
    wire::RecordSet,
};
use bytes::{Bytes, BytesMut};
use millrace_record::kafka::{Limits, Origin, validate};
use millrace_runtime::{
    Instant, ListenOptions, Listener,
    sim::{NodeId, World},
    sleep,
};
use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, rc::Rc, time::Duration};
use uuid::Uuid;

pub(super) struct Brokers {
    pub(super) world: World,
    pub(super) client: NodeId,
    nodes: [NodeId; 2],
    pub(super) addresses: [SocketAddr; 2],
    pub(super) state: Rc<RefCell<State>>,
}

#[derive(Default)]
pub(super) struct State {
    addresses: Vec<SocketAddr>,
    topics: BTreeMap<String, Topic>,
    next_producer_id: i64,
    /// The highest version of any API that is told to be served.
    pub(super) served_max: i16,
    pub(super) batch_bytes_max: usize,
    /// Requests to be answered with nothing, after they were acted upon: the connection looks dead.
    drop_answers: u32,
    /// Leaders moved, answers lost, connections broken.
    pub(super) disturbances: [u32; 3],
}

struct Topic {
    id: Uuid,
    configs: Vec<(String, Option<String>)>,
    partitions: Vec<Partition>,
}

struct Partition {
    leader: i32,
    epoch: i32,
    /// Last offset and bytes.
    batches: Vec<(i64, Bytes)>,
    end: i64,
    /// Next sequence, last base sequence and last base offset by producer.
    producers: BTreeMap<i64, (i32, i32, i64)>,
}

impl Brokers {
    pub(super) fn start(seed: u64) -> Self {
        let (world, [a, b, client]) = world(seed);
        let addresses = [a, b].map(|node| SocketAddr::new(world.ip(node), 9092));
        let state = Rc::new(RefCell::new(State {
            addresses: addresses.to_vec(),
            served_max: i16::MAX,
            batch_bytes_max: usize::MAX,
            ..State::default()
        }));
        for (node, id) in [(a, 0), (b, 1)] {
            let state = Rc::clone(&state);
            world.block_on(node, async move {
                let address = state.borrow().addresses[id];
                let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
                // A broker's restart would break connections; so do these.
                let stall_timeout = Duration::from_secs(5);
                let connection = ConnectionOptions { stall_timeout, ..ConnectionOptions::default() };
                let options = AcceptorOptions { connection, ..AcceptorOptions::default() };
                Acceptor::start(listener, options, move |_| Broker {
                    id: i32::try_from(id).unwrap(),
                    state: Rc::clone(&state),
                })
            });
        }
        Self { world, client, nodes: [a, b], addresses, state }
    }
}

impl Brokers {
    /// Moves a leader, loses an answer, or breaks connections.
    pub(super) fn disturb(&self) {
        let random = self.world.random_u64();
        let mut state = self.state.borrow_mut();
        // Each at least once, then mostly leaders.
        let kind = match (state.disturbances.iter().position(|&count| count == 0), random % 8) {
            (Some(kind), _) => kind,
            (None, 0) => 1,
            (None, 1 | 2) => 2,
            (None, _) => 0,
        };
        state.disturbances[kind] += 1;
        match kind {
            0 => state.move_leader(random / 8),
            1 => state.drop_answers = 1,
            _ => self.world.reset(self.nodes[(random / 8 % 2) as usize], self.client),
        }
    }
}

struct Broker {
    id: i32,
    state: Rc<RefCell<State>>,
}

impl Handler for Broker {
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + 'static {
        let (id, state) = (self.id, Rc::clone(&self.state));
        async move {
            let version = request.header.version;
            let response = match request.body {
                RequestBody::Heartbeat(heartbeat) => {
                    sleep(Duration::from_millis(u64::try_from(heartbeat.generation_id).unwrap())).await;
                    HeartbeatResponse::default().into()
                }
                RequestBody::Fetch(fetch) => fetch_response(&state, id, &fetch).await.into(),
                RequestBody::Produce(produce) => {
                    sleep(Duration::from_millis(2)).await;
                    let response = state.borrow_mut().produce(id, &produce);
                    if produce.acks == 0 {
                        return Answer::Nothing;
                    }
                    response.into()
                }
                body => state.borrow_mut().answer(body, version),
            };
            if state.borrow_mut().loses_answer() {
                // The client gives up after its timeout, and tries again.
                sleep(Duration::from_secs(600)).await;
            }
            Answer::Response(response)
        }
    }
}

impl State {
    fn move_leader(&mut self, random: u64) {
        let Some(topic) = self.topics.values_mut().next() else { return };
        let count = topic.partitions.len() as u64;
        let partition = &mut topic.partitions[(random % count) as usize];
        partition.leader = 1 - partition.leader;
        partition.epoch += 1;
    }

    fn loses_answer(&mut self) -> bool {
        let loses = self.drop_answers > 0;
        self.drop_answers = self.drop_answers.saturating_sub(1);
        loses
    }

    /// Batches of a topic.
    pub(super) fn batches(&self, topic: &str) -> usize {
        self.topics[topic].partitions.iter().map(|partition| partition.batches.len()).sum()
    }

    fn answer(&mut self, body: RequestBody, version: i16) -> Response {
        match body {
            RequestBody::ApiVersions(_) => {
                let mut response = ApiVersionsResponse::served();
                for api in &mut response.api_keys {
                    if api.api_key != ApiKey::ApiVersions.code() {
                        api.max_version = api.max_version.min(self.served_max);
                        api.min_version = api.min_version.min(api.max_version).min(0);
                    }
                }
                response.into()
            }
            RequestBody::Metadata(request) => self.metadata(&request, version).into(),
            RequestBody::InitProducerId(_) => {
                self.next_producer_id += 1;
                InitProducerIdResponse { producer_id: self.next_producer_id, ..Default::default() }.into()
            }
            RequestBody::ListOffsets(request) => self.list_offsets(&request).into(),
            RequestBody::CreateTopics(request) => self.create(&request).into(),
            RequestBody::DeleteTopics(request) => {
                let responses = request.topics.iter().map(|topic| DeletableTopicResult {
                    name: topic.name.clone(),
                    error_code: match self.topics.remove(topic.name.as_ref().unwrap()) {
                        Some(_) => ErrorCode::NONE,
                        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    },
                    ..Default::default()
                });
                DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }.into()
            }
            RequestBody::CreatePartitions(request) => {
                let topic = &request.topics[0];
                let partitions = &mut self.topics.get_mut(&topic.name).unwrap().partitions;
                partitions.resize_with(usize::try_from(topic.count).unwrap(), Partition::new);
                let result = CreatePartitionsTopicResult { name: topic.name.clone(), ..Default::default() };
                CreatePartitionsResponse { results: vec![result], ..Default::default() }.into()
            }
            RequestBody::DescribeConfigs(request) => {
                let configs = &self.topics[&request.resources[0].resource_name].configs;
                let configs = configs.iter().map(|(name, value)| DescribeConfigsResourceResult {
                    name: name.clone(),
                    value: value.clone(),
                    ..Default::default()
                });
                let result = DescribeConfigsResult { configs: configs.collect(), ..Default::default() };
                DescribeConfigsResponse { results: vec![result], ..Default::default() }.into()
            }
            body => panic!("{body:?}"),
        }
    }

    fn metadata(&self, request: &MetadataRequest, version: i16) -> MetadataResponse {
        let names: Vec<String> = match &request.topics {
            Some(topics) if !request.wants_all_topics(version) => {
                topics.iter().filter_map(|topic| topic.name.clone()).collect()
            }
            _ => self.topics.keys().cloned().collect(),
        };
        let brokers = (0..).zip(&self.addresses).map(|(node_id, address)| MetadataResponseBroker {
            node_id,
            host: address.ip().to_string(),
            port: address.port().into(),
            rack: None,
        });
        let topics = names.into_iter().map(|name| match self.topics.get(&name) {
            None => MetadataResponseTopic {
                name: Some(name),
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ..Default::default()
            },
            Some(topic) => MetadataResponseTopic {
                name: Some(name),
                topic_id: topic.id,
                partitions: (0..)
                    .zip(&topic.partitions)
                    .map(|(partition_index, partition)| MetadataResponsePartition {
                        partition_index,
                        leader_id: partition.leader,
                        leader_epoch: partition.epoch,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            },
        });
        MetadataResponse { brokers: brokers.collect(), topics: topics.collect(), ..Default::default() }
    }

    fn create(&mut self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let topics = request.topics.iter().map(|topic| {
            let mut result = CreatableTopicResult { name: topic.name.clone(), ..Default::default() };
            if self.topics.contains_key(&topic.name) {
                result.error_code = ErrorCode::TOPIC_ALREADY_EXISTS;
                result.error_message = Some("there is one of that name".to_owned());
                return result;
            }
            let count = usize::try_from(topic.num_partitions).unwrap();
            let configs = topic.configs.iter().map(|config| (config.name.clone(), config.value.clone()));
            let created = Topic {
                id: Uuid::from_u128(1000 + self.topics.len() as u128),
                configs: configs.collect(),
                partitions: (0..count).map(|_| Partition::new()).collect(),
            };
            self.topics.insert(topic.name.clone(), created);
            result
        });
        CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| ListOffsetsPartitionResponse {
                    partition_index: asked.partition_index,
                    offset: self.topics[&topic.name].partitions[asked.partition_index as usize].end,
                    ..Default::default()
                })
                .collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn partition(&mut self, id: Uuid, broker: i32, index: i32) -> Result<&mut Partition, ErrorCode> {
        let topic =
            self.topics.values_mut().find(|topic| topic.id == id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        let partition = &mut topic.partitions[index as usize];
        if partition.leader == broker { Ok(partition) } else { Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) }
    }

    fn produce(&mut self, broker: i32, request: &ProduceRequest) -> ProduceResponse {
        let batch_bytes_max = self.batch_bytes_max;
        let responses = request.topic_data.iter().map(|topic| TopicProduceResponse {
            topic_id: topic.topic_id,
            partition_responses: topic
                .partition_data
                .iter()
                .map(|data| {
                    let batch = data.records.clone().unwrap().into_bytes();
                    let appended = if batch.len() > batch_bytes_max {
                        Err(ErrorCode::MESSAGE_TOO_LARGE)
                    } else {
                        let partition = self.partition(topic.topic_id, broker, data.index);
                        partition.and_then(|partition| partition.append(&batch))
                    };
                    PartitionProduceResponse {
                        index: data.index,
                        error_code: appended.err().unwrap_or_default(),
                        base_offset: appended.unwrap_or(-1),
                        ..Default::default()
                    }
                })
                .collect(),
            ..Default::default()
        });
        ProduceResponse { responses: responses.collect(), ..Default::default() }
    }

    fn fetch(&mut self, broker: i32, request: &FetchRequest) -> FetchResponse {
        let responses = request.topics.iter().map(|topic| FetchableTopicResponse {
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let read =
                        self.partition(topic.topic_id, broker, asked.partition).and_then(|partition| {
                            if asked.current_leader_epoch != partition.epoch {
                                return Err(ErrorCode::FENCED_LEADER_EPOCH);
                            }
                            if asked.fetch_offset > partition.end {
                                return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
                            }
                            let from = asked.fetch_offset;
                            let batches = partition.batches.iter().filter(|(last, _)| *last >= from);
                            Ok(batches.map(|(_, batch)| batch.clone()).collect::<RecordSet>())
                        });
                    PartitionData {
                        partition_index: asked.partition,
                        error_code: read.as_ref().err().copied().unwrap_or_default(),
                        records: Some(read.unwrap_or_default()),
                        ..Default::default()
                    }
                })
                .collect(),
            ..Default::default()
        });
        FetchResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Partition {
    fn new() -> Self {
        Self { leader: 0, epoch: 0, batches: Vec::new(), end: 0, producers: BTreeMap::new() }
    }

    fn append(&mut self, batch: &Bytes) -> Result<i64, ErrorCode> {
        let limits = Limits { batch_len_max: usize::MAX, origin: Origin::Producer };
        let header = validate(batch, &limits).map_err(|_| ErrorCode::CORRUPT_MESSAGE)?.header;
        if header.producer_id >= 0 {
            let next = header.base_sequence + i32::try_from(header.record_count).unwrap();
            let (expected, last, last_offset) =
                self.producers.get(&header.producer_id).copied().unwrap_or((0, -1, -1));
            if header.base_sequence == last {
                return Ok(last_offset);
            }
            if header.base_sequence != expected {
                return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            self.producers.insert(header.producer_id, (next, header.base_sequence, self.end));
        }
        let mut stored = BytesMut::from(&batch[..]);
        stored[..8].copy_from_slice(&self.end.to_be_bytes());
        stored[12..16].copy_from_slice(&self.epoch.to_be_bytes());
        let base = self.end;
        self.end += i64::from(header.record_count);
        self.batches.push((self.end - 1, stored.freeze()));
        Ok(base)
    }
}

/// Waits for records, as a broker does; also for an error.
async fn fetch_response(state: &Rc<RefCell<State>>, broker: i32, request: &FetchRequest) -> FetchResponse {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap());
    loop {
        let response = state.borrow_mut().fetch(broker, request);
        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let something = partitions.any(|partition| {
            !partition.error_code.is_none()
                || partition.records.as_ref().is_some_and(|records| !records.is_empty())
        });
        if something || Instant::now() >= deadline {
            return response;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
