//! Bytes that mean harm: never a panic, always an error that says what.

use super::*;
use crate::wire::DecodeErrorKind;

fn refuses_every_prefix<T: Field + Sample>(api: ApiKey, bytes: &[u8]) {
    for version in api.min_version()..=api.max_version() {
        let format = Format::new(version, api.flexible_from());
        let (_, encoded) = sample::<T>(bytes, format);
        for len in 0..encoded.len() {
            assert!(
                decode::<T>(&encoded.slice(..len), format).is_err(),
                "{api} version {version}: {len} bytes"
            );
        }
    }
}

fn survives<T: Field>(api: ApiKey, bytes: &Bytes) {
    for version in api.min_version()..=api.max_version() {
        drop(decode::<T>(bytes, Format::new(version, api.flexible_from())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_message_cut_anywhere_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        macro_rules! check {
            ($api:ident, $request:ident, $response:ident) => {
                refuses_every_prefix::<api::$request>(ApiKey::$api, &bytes);
                refuses_every_prefix::<api::$response>(ApiKey::$api, &bytes);
            };
        }
        for_every_api!(check);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..4], 0..300)) {
        let bytes = Bytes::from(bytes);
        macro_rules! check {
            ($api:ident, $request:ident, $response:ident) => {
                survives::<api::$request>(ApiKey::$api, &bytes);
                survives::<api::$response>(ApiKey::$api, &bytes);
            };
        }
        for_every_api!(check);
    }

    #[test]
    fn damaged_frames_are_survived(
        bytes in seeds(),
        api in proptest::sample::select(ApiKey::ALL),
        version in 0_i16..20,
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut frame = [api.code().to_be_bytes(), version.to_be_bytes(), [0, 0], [0, 1]].concat();
        frame.extend(bytes);
        let at = at.index(frame.len());
        frame[at] = byte;
        crate::fuzzing::request(&frame);
        crate::fuzzing::response(&frame);
        crate::fuzzing::frames(&frame);
    }
}

#[test]
fn twenty_million_topics_in_four_bytes() {
    let claim = 20_000_000_i32.to_be_bytes();
    let frame = [&[0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff], &claim[..]].concat().into();
    let error = parse_request(&frame).unwrap_err();
    let RequestError::Body { header, cause } = &error else { panic!("{error}") };
    assert_eq!(header.correlation_id, 7);
    assert_eq!(cause.kind, DecodeErrorKind::Count { count: 20_000_000, remaining: 0 });
    assert_eq!(
        error.to_string(),
        "Metadata version 1: MetadataRequest.topics, byte 14: 20000000 elements claimed with 0 bytes left"
    );
}

#[test]
fn a_bomb_of_empty_strings_ends_at_the_memory_limit() {
    // DeleteTopics 5: each empty name is one byte on the wire and 24 in memory.
    let names = 10_000_000_u32;
    let mut frame = vec![0, 20, 0, 5, 0, 0, 0, 7, 0xff, 0xff, 0];
    let mut count = names + 1;
    while count >= 0x80 {
        frame.push((count & 0x7f) as u8 | 0x80);
        count >>= 7;
    }
    frame.push(count as u8);
    frame.resize(frame.len() + names as usize, 1);
    let error = parse_request(&frame.into()).unwrap_err();
    let RequestError::Body { cause, .. } = error else { panic!("{error}") };
    assert_eq!(cause.kind, DecodeErrorKind::TooLarge);
}

#[test]
fn a_bomb_of_tagged_fields_is_refused_before_it_is_read() {
    // ApiVersions 3, before authentication: four billion tagged fields in its header, or in its body.
    for bomb in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let mut frame = [&[0, 18, 0, 3, 0, 0, 0, 7, 0xff, 0xff], bomb].concat();
        frame.resize(40_000, 0);
        let error = parse_request(&frame.into()).unwrap_err();
        let (RequestError::Header(cause) | RequestError::Body { cause, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(cause.kind, DecodeErrorKind::TaggedFields(u32::MAX));
    }
}

#[test]
fn each_fault_has_its_own_error() {
    let parse = |bytes: &[u8]| parse_request(&Bytes::copy_from_slice(bytes)).unwrap_err();
    assert!(matches!(parse(&[]), RequestError::Header(_)));
    assert!(matches!(parse(&[0, 3, 0, 1, 0, 0]), RequestError::Header(_)));
    assert_eq!(parse(&[0, 24, 0, 1]), RequestError::UnknownApi { api_key: 24, version: 1 });
    let unsupported = RequestError::UnsupportedVersion { api: ApiKey::Fetch, version: 3, correlation_id: 5 };
    assert_eq!(parse(&[0, 1, 0, 3, 0, 0, 0, 5]), unsupported);
    assert_eq!(unsupported.answer(), None);
    assert_eq!(unsupported.to_string(), "Fetch version 3 is not served, only 4-18");
    let list_groups = [0, 16, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    assert!(parse_request(&Bytes::copy_from_slice(&list_groups)).is_ok());
    let trailing = parse(&[&list_groups[..], b"abc"].concat());
    assert!(matches!(trailing, RequestError::TrailingBytes { len: 3, .. }));
}
