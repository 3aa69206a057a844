//! Against the crate kafka-protocol, which is generated from Kafka's schemas.

use super::*;
use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable, Message},
};
use std::{collections::BTreeMap, fmt::Debug};

/// Fields of an InitProducerId version that Kafka has not released.
const UNRELEASED: [&str; 4] =
    ["enable_2_pc", "keep_prepared_txn", "ongoing_txn_producer_id", "ongoing_txn_producer_epoch"];

/// Ours, read by them and written again, gives the same bytes, and they find the same numbers and texts under the
/// same names.
fn agree<O, T>(api: ApiKey, bytes: &[u8])
where
    O: Field + Sample + Debug + PartialEq,
    T: Encodable + Decodable + Message + Debug,
{
    for version in api.min_version().max(T::VERSIONS.min)..=api.max_version().min(T::VERSIONS.max) {
        let format = Format::new(version, api.flexible_from());
        let (ours, encoded) = sample::<O>(bytes, format);
        let at = format!("{api} version {version}: {ours:?}");
        let mut input = encoded.clone();
        let theirs = T::decode(&mut input, version).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(input.is_empty(), "{at}: {} bytes left", input.len());
        let mut their_leaves = leaves(&format!("{theirs:?}"));
        their_leaves.retain(|name, _| !UNRELEASED.contains(&&**name));
        assert_eq!(leaves(&format!("{ours:?}")), their_leaves, "{at}");
        let mut output = bytes::BytesMut::new();
        theirs.encode(&mut output, version).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(output.freeze(), encoded, "{at}");
    }
}

/// The numbers, truth values and texts that a structure's debug form shows under a field's name, in order. Arrays of
/// numbers have no names for their elements; uuids, bytes, nulls and empty texts (theirs, for a text that the version
/// does not have) are left out.
fn leaves(debug: &str) -> BTreeMap<String, Vec<String>> {
    let mut leaves = BTreeMap::<String, Vec<String>>::new();
    let mut rest = debug;
    while let Some(colon) = rest.find(": ") {
        let name = rest[..colon].rsplit([' ', '{', ',', '(']).next().unwrap_or_default().to_owned();
        rest = &rest[colon + 2..];
        // Through `Some(`, newtypes, and an error code's name: `NAME (4)` and `error code 4`.
        let mut value = rest.strip_prefix("error code ").unwrap_or(rest);
        while let Some(open) = value.find('(') {
            let wrapper = value[..open].trim_end();
            if wrapper.is_empty() || !wrapper.chars().all(|c| c.is_alphanumeric() || c == '_') {
                break;
            }
            value = &value[open + 1..];
        }
        let leaf = match value.strip_prefix('"') {
            Some(text) => &text[..text.find('"').unwrap_or(text.len())],
            None => value.split([',', ' ', '}', ')', ']', '{', '[']).next().unwrap_or_default(),
        };
        let text = value.starts_with('"') && !leaf.is_empty();
        let comparable = text || matches!(leaf, "true" | "false") || leaf.parse::<i64>().is_ok();
        if comparable && name != "records" {
            leaves.entry(name).or_default().push(leaf.to_owned());
        }
    }
    leaves
}

#[test]
fn leaves_are_found() {
    let debug =
        r#"A { x: BrokerId(7), t: [T { name: Some(TopicName("abc")), ok: true }], e: NONE (0), u: None }"#;
    let expected = [("e", "0"), ("name", "abc"), ("ok", "true"), ("x", "7")];
    let expected = expected.map(|(name, leaf)| (name.to_owned(), vec![leaf.to_owned()]));
    assert_eq!(leaves(debug), BTreeMap::from(expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_message_is_kafkas(bytes in seeds()) {
        macro_rules! check {
            ($api:ident, $request:ident, $response:ident) => {
                agree::<api::$request, theirs::$request>(ApiKey::$api, &bytes);
                agree::<api::$response, theirs::$response>(ApiKey::$api, &bytes);
            };
        }
        for_every_api!(check);
    }
}

/// The cross-check covers all but these versions, which have bytes of their own in `golden`.
#[test]
fn what_they_do_not_know_is_named() {
    let mut unknown = Vec::new();
    macro_rules! check {
        ($api:ident, $request:ident, $response:ident) => {
            let versions = theirs::$request::VERSIONS;
            for version in ApiKey::$api.min_version()..=ApiKey::$api.max_version() {
                if version < versions.min || version > versions.max {
                    unknown.push((ApiKey::$api, version));
                }
            }
        };
    }
    for_every_api!(check);
    use ApiKey::{ListOffsets, OffsetCommit, OffsetFetch, Produce};
    let golden =
        [(Produce, 0), (Produce, 1), (Produce, 2), (ListOffsets, 11), (OffsetCommit, 10), (OffsetFetch, 10)];
    assert_eq!(unknown, golden);
}
