//! Seeds of the fuzz targets: every API at its first and its last version, and what a coordinator keeps.

use super::*;
use crate::{
    fuzzing::seeds::{Seed, drawn, hold},
    kafka::consumer_offsets::{GroupKey, GroupMember, GroupValue, Key, OffsetKey, OffsetValue},
};

/// What samples are made of: enough for every list to have elements, and for every text to differ from the others.
fn material() -> Vec<u8> {
    let (_, material) = drawn(1, proptest::collection::vec(any::<u8>(), 160)).next().expect("one");
    material
}

/// A frame without its length.
fn request<C: Call + Sample>(version: i16) -> Bytes {
    let format = Format::new(version, C::API.flexible_from());
    let request = C::sample(&mut Source(&material()), format);
    let client_id = Some("seed".into());
    let pieces = encode_request(&mut Writer::new(), version, 7, client_id.as_ref(), &request);
    let frame = unframed(pieces.expect("samples are short"));
    assert!(parse_request(&frame).is_ok(), "a seed gets through the door");
    frame
}

fn response<C: Call>(version: i16) -> Vec<u8>
where
    C::Response: Sample + Into<Response>,
{
    let format = Format::new(version, C::API.flexible_from());
    let (_, body) = sample::<C::Response>(&material(), format);
    [&C::API.code().to_be_bytes(), &version.to_be_bytes(), &body[..]].concat()
}

fn of_every_api() -> (Vec<Seed>, Vec<Seed>) {
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    macro_rules! add {
        ($api:ident, $request:ident, $response:ident) => {
            for version in [ApiKey::$api.min_version(), ApiKey::$api.max_version()] {
                let name = format!("{}_{version:02}", ApiKey::$api);
                requests.push((name.clone(), request::<api::$request>(version).to_vec()));
                responses.push((name, response::<api::$request>(version)));
            }
        };
    }
    for_every_api!(add);
    (requests, responses)
}

/// Frames as they come out of a socket: a byte says how long the next chunk is.
fn stream(frames: &[Bytes], chunk_len: u8) -> Vec<u8> {
    let whole: Vec<u8> =
        frames.iter().flat_map(|frame| [&(frame.len() as u32).to_be_bytes(), &frame[..]].concat()).collect();
    let chunks = whole.chunks(chunk_len.into());
    chunks.flat_map(|chunk| [&[chunk.len() as u8], chunk].concat()).collect()
}

fn of_offsets() -> Vec<Seed> {
    let key = OffsetKey { group: "group".into(), topic: "topic".into(), partition: 3 };
    let value = OffsetValue { offset: 70, leader_epoch: 2, metadata: "m".into(), ..OffsetValue::default() };
    let member = GroupMember {
        member_id: "member-1".into(),
        group_instance_id: Some("instance".into()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: 60_000,
        session_timeout: 10_000,
        subscription: Bytes::from_static(b"subscription"),
        assignment: Bytes::from_static(b"assignment"),
    };
    let group = GroupValue {
        protocol_type: "consumer".into(),
        generation: 4,
        protocol: Some("range".into()),
        leader: Some("member-1".into()),
        current_state_timestamp: 1_700_000_000_000,
        members: vec![member.clone(), member],
    };
    [
        ("offset_key", Key::Offset(key).encode()),
        ("group_key", Key::Group(GroupKey { group: "group".into() }).encode()),
        ("offset_value", value.to_bytes()),
        ("group_value", group.to_bytes()),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), bytes.expect("samples are short").to_vec()))
    .collect()
}

#[test]
fn seeds_are_as_made() {
    let (requests, responses) = of_every_api();
    hold("net_request", requests);
    hold("net_response", responses);
    let frames = [
        request::<api::ApiVersionsRequest>(3),
        request::<api::ProduceRequest>(9),
        request::<api::FetchRequest>(12),
    ];
    let streams = [1, 3, 100, 255].map(|len| (format!("chunks_{len:03}"), stream(&frames, len)));
    hold("net_frames", streams);
    hold("net_consumer_offsets", of_offsets());
}
