//! What a producer may count on by the acks that it asks for.

use crate::{
    answers::{connect, id_of_topic, produce},
    basics::{TOPIC, create, read_all},
    house::House,
};
use millrace::config::Durability;
use millrace_net::{
    client::CallError,
    kafka::{ErrorCode, metadata::MetadataRequest},
};
use millrace_record::Attributes;
use millrace_runtime::sim::{Crash, Device};

/// The values of the topic's one partition.
async fn values(house: &House) -> Vec<String> {
    let records = read_all(&house.cluster(), 1).await.remove(&0).unwrap();
    records.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect()
}

/// One broker is all replicas that there are. Without an acknowledgement, the answer to a later request of the connection is one:
/// answers come in the order of requests, and what has none is done when it is durable.
#[test]
fn one_ack_is_as_durable_as_all_and_a_later_answer_as_an_ack() {
    for (device, acks) in [
        (Device::FlushOnly, -1),
        (Device::FlushOnly, 1),
        (Device::Fua, 1),
        (Device::FlushOnly, 0),
        (Device::Fua, 0),
    ] {
        let house = House::new(21, device);
        house.start(2);
        house.client(async {
            create(&house.cluster(), 1).await;
            let connection = connect(house.address()).await;
            let request = produce(id_of_topic(&connection).await, acks, "value", Attributes::NONE);
            if acks == 0 {
                connection.send_unanswered(&request).unwrap();
                connection.call(&MetadataRequest::default()).await.unwrap();
            } else {
                let answer = connection.call_at(&request, 13).await.unwrap().responses.remove(0);
                assert_eq!(answer.partition_responses[0].error_code, ErrorCode::NONE);
            }
        });
        house.crash(Crash::PowerCut);
        house.start(1);
        assert_eq!(house.client(values(&house)), ["value"], "acks = {acks} on {device:?}");
        house.stop();
    }
}

/// What is written and not synced survives the process, and may be lost with the machine; the topic itself may not.
#[test]
fn an_acknowledgement_means_what_the_durability_says() {
    for (durability, crash, kept) in [
        (Durability::Fsync, Crash::PowerCut, 1),
        (Durability::Os, Crash::Process, 1),
        (Durability::Os, Crash::PowerCut, 0),
    ] {
        let house = House::new(24, Device::FlushOnly);
        house.acknowledge(durability);
        house.start(2);
        house.client(async {
            create(&house.cluster(), 1).await;
            let connection = connect(house.address()).await;
            let request = produce(id_of_topic(&connection).await, -1, "value", Attributes::NONE);
            let answer = connection.call_at(&request, 13).await.unwrap().responses.remove(0);
            assert_eq!(answer.partition_responses[0].error_code, ErrorCode::NONE);
        });
        house.crash(crash);
        house.start(1);
        assert_eq!(house.client(values(&house)).len(), kept, "{durability:?} over {crash:?}");
        house.stop();
    }
}

#[test]
fn requests_without_an_answer_keep_their_place_between_those_that_have_one() {
    const COUNT: i64 = 40;
    let house = House::new(22, Device::Fua);
    house.start(2);
    house.client(async {
        create(&house.cluster(), 1).await;
        let connection = connect(house.address()).await;
        let topic = id_of_topic(&connection).await;
        for number in 0..COUNT {
            let acks = i16::from(number % 5 == 0);
            let request = produce(topic, acks, &number.to_string(), Attributes::NONE);
            if acks == 0 {
                connection.send_unanswered(&request).unwrap();
            } else {
                let answer = connection.call_at(&request, 13).await.unwrap().responses.remove(0);
                assert_eq!(answer.partition_responses[0].base_offset, number, "all before it are there");
            }
            if number % 7 == 0 {
                let topics = connection.call(&MetadataRequest::default()).await.unwrap().topics;
                assert_eq!(topics[0].name.as_deref(), Some(TOPIC));
            }
        }
        connection.call(&MetadataRequest::default()).await.unwrap();
        let expected: Vec<_> = (0..COUNT).map(|number| number.to_string()).collect();
        assert_eq!(values(&house).await, expected);
    });
    house.stop();
}

#[test]
fn what_can_not_be_told_ends_the_connection_and_nothing_before_it_is_lost() {
    let house = House::new(23, Device::Fua);
    house.start(2);
    house.client(async {
        create(&house.cluster(), 1).await;
        let connection = connect(house.address()).await;
        let topic = id_of_topic(&connection).await;
        let refused = connection.call_at(&produce(topic, 2, "refused", Attributes::NONE), 13).await.unwrap();
        let code = refused.responses[0].partition_responses[0].error_code;
        assert_eq!(code, ErrorCode::INVALID_REQUIRED_ACKS, "that has an answer");
        for (value, attributes) in [
            ("first", Attributes::NONE),
            ("refused", Attributes::TRANSACTIONAL),
            ("second", Attributes::NONE),
        ] {
            connection.send_unanswered(&produce(topic, 0, value, attributes)).unwrap();
        }
        let next = connection.call(&MetadataRequest::default()).await;
        assert!(matches!(next, Err(CallError::Disconnected { .. })), "{next:?}");
        let found = values(&house).await;
        assert_eq!(found.first().map(String::as_str), Some("first"));
        assert!(!found.contains(&"refused".to_owned()));
    });
    house.stop();
}
