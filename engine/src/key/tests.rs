use super::*;
use millrace_runtime::ShardId;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::fmt::Debug;

/// Round trip, order and self-delimitation of two keys of a type.
fn laws<T: Key + Debug>(a: &T, b: &T, order: Ordering) {
    let (ea, eb) = (a.to_key_bytes(), b.to_key_bytes());
    assert_eq!(ea.cmp(&eb), order, "{a:?} against {b:?}");
    assert!(order == Ordering::Equal || !ea.starts_with(&eb), "{b:?} is a prefix of {a:?}");
    for (key, bytes) in [(a, &ea), (b, &eb)] {
        let back = T::from_key_bytes(bytes).expect("canonical bytes decode");
        assert_eq!(back.to_key_bytes(), *bytes, "{key:?}");
        if let Some(width) = T::WIDTH {
            assert_eq!(bytes.len(), width);
        }
        for cut in 0..bytes.len() {
            assert!(T::from_key_bytes(&bytes[..cut]).is_err(), "{key:?} decodes from {cut} bytes");
        }
    }
}

/// Strings and byte strings full of the bytes that matter.
fn tricky_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(2), Just(255), any::<u8>()], 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn integers(a in any::<(u32, i64, i8, u128, i128)>(), b in any::<(u32, i64, i8, u128, i128)>()) {
        laws(&a, &b, a.cmp(&b));
        laws(&a.1, &b.1, a.1.cmp(&b.1));
        laws(&a.2, &b.2, a.2.cmp(&b.2));
        prop_assert_eq!(<(u32, i64, i8, u128, i128)>::from_key_bytes(&a.to_key_bytes()), Ok(a));
    }

    #[test]
    fn floats(a in any::<f64>(), b in any::<f64>(), c in any::<u64>(), d in any::<f32>(), e in any::<f32>()) {
        laws(&a, &b, a.total_cmp(&b));
        laws(&d, &e, d.total_cmp(&e));
        let c = f64::from_bits(c);
        laws(&a, &c, a.total_cmp(&c));
        prop_assert_eq!(f64::from_key_bytes(&c.to_key_bytes()).map(f64::to_bits), Ok(c.to_bits()));
    }

    #[test]
    fn strings(a in tricky_bytes(), b in tricky_bytes(), s in "\\PC{0,5}", t in "\\PC{0,5}") {
        laws(&a, &b, a.cmp(&b));
        laws(&s, &t, s.cmp(&t));
        prop_assert_eq!(Vec::from_key_bytes(&a.to_key_bytes()), Ok(a));
        prop_assert_eq!(String::from_key_bytes(&s.to_key_bytes()), Ok(s));
    }

    #[test]
    fn composed(
        a in (tricky_bytes(), any::<Option<i32>>(), any::<bool>(), any::<char>()),
        b in (tricky_bytes(), any::<Option<i32>>(), any::<bool>(), any::<char>()),
    ) {
        laws(&a, &b, a.cmp(&b));
        let mut c = b.clone();
        c.0 = a.0.clone();
        laws(&a, &c, a.cmp(&c));
    }

    #[test]
    fn decoding_anything_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        type Anything = (Vec<u8>, Option<String>, (bool, char), i16);
        if let Ok(key) = Anything::from_key_bytes(&bytes) {
            prop_assert_eq!(key.to_key_bytes(), bytes, "only canonical bytes decode");
        }
    }

    #[test]
    fn groups_are_contiguous_ranges_of_hashes(hash in any::<u64>(), count in 1..=KeyGroups::MAX) {
        let groups = KeyGroups::new(count).unwrap();
        let group = groups.group_of(KeyHash(hash));
        prop_assert!(groups.all().contains(group));
        let first = groups.first_hash(group.0).unwrap();
        prop_assert!(first.0 <= hash);
        prop_assert_eq!(groups.group_of(first), group);
        if first.0 > 0 {
            prop_assert_eq!(groups.group_of(KeyHash(first.0 - 1)).0 + 1, group.0);
        }
        if let Some(next) = groups.first_hash(group.0 + 1) {
            prop_assert!(hash < next.0);
        }
    }

    #[test]
    fn every_group_has_exactly_one_shard(
        count in 1..2_000_u16,
        shards in proptest::collection::vec(0..300_u16, 1..40),
        hash in any::<u64>(),
    ) {
        let groups = KeyGroups::new(count).unwrap();
        let placement = match Placement::new(groups, shards.iter().copied().map(ShardId)) {
            Ok(placement) => placement,
            Err(refused) => {
                let is_too_few = matches!(refused, PlacementError::TooFewGroups { .. });
                prop_assert!(is_too_few);
                return Ok(());
            }
        };
        let mut next = 0;
        for &shard in placement.shards() {
            let range = placement.range_of(shard).unwrap();
            prop_assert_eq!(range.start, next);
            prop_assert!(range.len() >= count / u16::try_from(placement.shards().len()).unwrap());
            next = range.end;
        }
        prop_assert_eq!(next, count);
        let owner = placement.shard_of(KeyHash(hash));
        prop_assert!(placement.range_of(owner).unwrap().contains(groups.group_of(KeyHash(hash))));
    }
}

#[test]
fn the_bytes_are_the_documented_ones() {
    assert_eq!(1_i16.to_key_bytes(), [0x80, 1]);
    assert_eq!((-1_i16).to_key_bytes(), [0x7f, 0xff]);
    assert_eq!(258_u32.to_key_bytes(), [0, 0, 1, 2]);
    assert_eq!("a\0b".to_key_bytes(), [b'a', 0, 1, b'b', 0, 0]);
    assert_eq!((Some(true), None::<u8>).to_key_bytes(), [1, 1, 0]);
    assert_eq!(1.0_f64.to_key_bytes(), [0xbf, 0xf0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((-1.0_f64).to_key_bytes(), [0x40, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
}

#[test]
fn damage_is_named() {
    assert_eq!(u32::from_key_bytes(&[1, 2, 3]), Err(KeyError::Truncated { missing: 1 }));
    assert_eq!(u8::from_key_bytes(&[1, 2, 3]), Err(KeyError::Trailing { extra: 2 }));
    assert_eq!(bool::from_key_bytes(&[7]), Err(KeyError::Tag { found: 7 }));
    assert_eq!(Vec::<u8>::from_key_bytes(&[1, 0, 9]), Err(KeyError::Escape { found: 9 }));
    assert_eq!(String::from_key_bytes(&[0xff, 0, 0]), Err(KeyError::Utf8));
    assert_eq!(char::from_key_bytes(&[0, 0, 0xd8, 0]), Err(KeyError::Char { found: 0xd800 }));
}

#[test]
fn placement_refuses_what_cannot_be() {
    let groups = KeyGroups::new(2).unwrap();
    assert_eq!(Placement::new(groups, []), Err(PlacementError::Empty));
    let three = [ShardId(0), ShardId(1), ShardId(2)];
    assert_eq!(Placement::new(groups, three), Err(PlacementError::TooFewGroups { shards: 3, groups: 2 }));
    assert_eq!(Placement::new(groups, [ShardId(5)]).unwrap().range_of(ShardId(0)), None);
    assert_eq!(KeyGroups::new(0), None);
    assert_eq!(KeyGroups::default().count(), 1_024);
}

/// Computed with another implementation (the C library behind Python's `xxhash`).
#[test]
fn the_hash_is_the_named_one() {
    let counted = |n: u32, step: u32| (0..n).map(|i| (i * step) as u8).collect::<Vec<_>>();
    let vectors: [(&[u8], u64, u16); 9] = [
        (b"", 0xbcc7_13b0_da11_2bae, 755),
        (b"\0", 0x8273_8bef_1511_288a, 521),
        (b"a", 0x043b_687a_faab_9a82, 16),
        (&1_u64.to_key_bytes(), 0xb113_3fa4_56d2_ab59, 708),
        (&0_i64.to_key_bytes(), 0xcf48_6968_7c0c_e1cd, 829),
        (&("JFK", "AA").to_key_bytes(), 0x0056_9ff8_1401_f574, 1),
        (&counted(32, 1), 0x7004_4d3d_b77a_4ab1, 448),
        (&counted(200, 1), 0x8cc6_5d06_2ffd_3d08, 563),
        (&counted(1_000, 7), 0x60c6_eb76_c7ee_2a1e, 387),
    ];
    for (key, hash, group) in vectors {
        assert_eq!(KeyHash::of(key), KeyHash(hash), "{key:?}");
        assert_eq!(KeyGroups::default().group_of(KeyHash(hash)), KeyGroup(group), "{key:?}");
    }
}
