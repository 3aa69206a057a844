//! Every API at every version, in both directions: against itself, against another implementation, against hostility.

mod against_kafka_protocol;
mod golden;
mod hostile;
mod seeds;

use super::api::for_every_api;
use super::*;
use crate::wire::{
    Field, Format, Reader, Writer,
    sample::{Sample, Source},
};
use bytes::Bytes;
use proptest::prelude::*;

/// An arbitrary message of type `T`, encoded.
fn sample<T: Field + Sample>(bytes: &[u8], format: Format) -> (T, Bytes) {
    let message = T::sample(&mut Source(bytes), format);
    let encoded = Writer::value(&message, format).expect("samples are short");
    (message, encoded)
}

/// Decodes a whole value; bytes after it are an error as well.
fn decode<T: Field>(bytes: &Bytes, format: Format) -> Result<T, String> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader, format).map_err(|error| error.to_string())?;
    if reader.remaining() == 0 { Ok(value) } else { Err(format!("{} bytes left", reader.remaining())) }
}

fn round_trip<T: Field + Sample + PartialEq + std::fmt::Debug>(api: ApiKey, bytes: &[u8]) {
    for version in api.min_version()..=api.max_version() {
        let format = Format::new(version, api.flexible_from());
        let (message, encoded) = sample::<T>(bytes, format);
        assert_eq!(decode::<T>(&encoded, format).as_ref(), Ok(&message), "{api} version {version}");
    }
}

fn whole_frames<C>(bytes: &[u8])
where
    C: Call + Sample + Clone + PartialEq + std::fmt::Debug + Into<RequestBody>,
    C::Response: Sample + Clone + PartialEq + std::fmt::Debug + Into<Response>,
{
    let api = C::API;
    let mut writer = Writer::new();
    for version in api.min_version()..=api.max_version() {
        let format = Format::new(version, api.flexible_from());
        let source = &mut Source(bytes);
        let correlation_id = i32::sample(source, format);
        let client_id = Option::sample(source, format);
        let request = C::sample(source, format);
        let response = C::Response::sample(source, format);

        let pieces = encode_request(&mut writer, version, correlation_id, client_id.as_ref(), &request);
        let header = RequestHeader { api, version, correlation_id, client_id };
        let parsed = parse_request(&unframed(pieces.expect("samples are short")));
        assert_eq!(parsed, Ok(Request { header, body: request.into() }), "{api} version {version}");

        let pieces = encode_response(&mut writer, version, correlation_id, &response.clone().into());
        let frame = unframed(pieces.expect("samples are short"));
        assert_eq!(parse_response::<C>(&frame, version, correlation_id), Ok(response));
        let other = correlation_id.wrapping_add(1);
        assert!(parse_response::<C>(&frame, version, other).is_err());
    }
}

/// A frame's pieces, joined, the length checked and taken off.
fn unframed(pieces: Vec<Bytes>) -> Bytes {
    let frame = pieces.into_iter().collect::<crate::wire::RecordSet>().into_bytes();
    let (length, body) = frame.split_first_chunk().expect("a frame begins with its length");
    assert_eq!(u32::from_be_bytes(*length) as usize, body.len());
    frame.slice(4..)
}

/// Bytes that make a sample: enough for nested arrays, few enough to be quick.
fn seeds() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..700)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_message_survives_the_wire(bytes in seeds()) {
        macro_rules! check {
            ($api:ident, $request:ident, $response:ident) => {
                round_trip::<api::$request>(ApiKey::$api, &bytes);
                round_trip::<api::$response>(ApiKey::$api, &bytes);
            };
        }
        for_every_api!(check);
    }

    #[test]
    fn every_frame_survives_the_wire(bytes in seeds()) {
        macro_rules! check {
            ($api:ident, $request:ident, $response:ident) => { whole_frames::<api::$request>(&bytes); };
        }
        for_every_api!(check);
    }
}

#[test]
fn the_table_is_in_order_and_complete() {
    assert!(ApiKey::ALL.is_sorted());
    for &api in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(api.code()), Some(api));
        assert!(api.min_version() <= api.max_version());
        assert!(!api.serves(api.max_version() + 1) && !api.serves(api.min_version() - 1));
    }
    let served = api_versions::ApiVersionsResponse::served();
    assert_eq!(served.api_keys.len(), ApiKey::ALL.len());
    // Old librdkafka gives up compression where version 0 of Produce is missing.
    assert_eq!((served.api_keys[0].api_key, served.api_keys[0].min_version), (0, 0));
    assert!(served.finalized_features.is_empty());
}

#[test]
fn the_document_shows_the_table() {
    let document = include_str!("../../../docs/wire.md");
    let mut rows =
        document.lines().filter(|line| line.starts_with("| ")).skip_while(|line| !line.starts_with("| API"));
    assert_eq!(rows.next(), Some("| API | key | versions | flexible from |"));
    for api in ApiKey::ALL {
        let flexible_from = match api.flexible_from() {
            i16::MAX => "never".to_owned(),
            version => version.to_string(),
        };
        let versions = format!("{}-{}", api.min_version(), api.max_version());
        let row = format!("| {api} | {} | {versions} | {flexible_from} |", api.code());
        assert_eq!(rows.next(), Some(row.as_str()));
    }
}
