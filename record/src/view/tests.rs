use super::*;
use proptest::{collection::vec, option, prelude::*};

/// Headers as a test writes them.
pub(crate) type Owned = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub(crate) fn any_headers() -> impl Strategy<Value = Owned> {
    vec((vec(any::<u8>(), 0..6), option::of(vec(any::<u8>(), 0..80))), 0..4)
}

pub(crate) fn encode(headers: &Owned) -> HeadersBuf {
    let mut buf = HeadersBuf::new();
    for (key, value) in headers {
        buf.push(key, value.as_deref());
    }
    buf
}

pub(crate) fn decode(headers: Headers<'_>) -> Owned {
    headers.iter().map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))).collect()
}

#[test]
fn counts_of_every_width_lie_right_before_the_headers() {
    let mut buf = HeadersBuf::new();
    assert!(buf.as_headers().is_empty());
    for count in 1..300 {
        buf.push(b"k", None);
        let headers = buf.as_headers();
        assert_eq!(headers.len(), count);
        assert_eq!(Headers::parse(headers.block()), Ok(headers));
    }
    buf.clear();
    assert_eq!(buf.as_headers(), Headers::EMPTY);
    assert_eq!(buf.push(b"a", Some(b"")).as_headers().block(), [2, 2, b'a', 0]);
}

#[test]
fn the_last_of_a_name_counts() {
    let mut buf = HeadersBuf::new();
    buf.push(b"a", Some(b"1")).push(b"b", None).push(b"a", Some(b"2"));
    assert_eq!(buf.as_headers().last(b"a"), Some(Some(&b"2"[..])));
    assert_eq!(buf.as_headers().last(b"b"), Some(None));
    assert_eq!(buf.as_headers().last(b"c"), None);
}

#[test]
fn bad_blocks_are_refused() {
    let bad: [&[u8]; 8] = [
        &[],
        &[1],
        &[2],
        &[2, 0],
        &[2, 1, 0],
        &[2, 0, 3],
        &[2, 0, 0, 0],
        // A count of 20 million in 4 bytes.
        &[0x80, 0xb4, 0x89, 0x13],
    ];
    for block in bad {
        assert_eq!(Headers::parse(block), Err(RecordFault::Headers), "{block:?}");
    }
    assert_eq!(Headers::parse(&[0]), Ok(Headers::EMPTY));
    assert_eq!(Headers::parse(&[0x80, 0]), Ok(Headers::EMPTY));
}

proptest! {
    #[test]
    fn round_trip(headers in any_headers()) {
        let buf = encode(&headers);
        prop_assert_eq!(decode(buf.as_headers()), headers.clone());
        prop_assert_eq!(buf.as_headers().len(), headers.len());
        if !headers.is_empty() {
            prop_assert_eq!(Headers::parse(buf.as_headers().block()), Ok(buf.as_headers()));
        }
    }

    #[test]
    fn what_parses_yields_all_its_headers(block in vec(0u8..12, 0..40)) {
        if let Ok(headers) = Headers::parse(&block) {
            prop_assert_eq!(headers.iter().count(), headers.len());
        }
    }
}
