//! Keys whose hashes are equal: rare by chance, easy for whoever wants them.

use super::{Dump, Subject, spec};
use crate::epoch::Epoch;
use crate::key::{EncodeKey, KEY_HASH_SEED, KeyHash};
use crate::table::{OrderedTable, PointTable, Width};

/// Keys of 32 bytes with one hash: XXH3 multiplies the second eight bytes by nothing if the first equal its secret.
fn colliding(count: u64) -> impl Iterator<Item = [u8; 32]> {
    const SECRET: u64 = u64::from_le_bytes([0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe]);
    (0..count).map(|number| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&SECRET.wrapping_add(KEY_HASH_SEED).to_le_bytes());
        key[8..16].copy_from_slice(&number.to_le_bytes());
        key
    })
}

/// Three segments' worth of keys in one place, added, changed, half of them removed, undone and rebuilt.
fn colliding_keys_are_kept_apart<T: Subject>() {
    let spec = spec(Width::Fixed(32), Width::Variable);
    let mut table = T::make(spec);
    let mut expected = Dump::new();
    let order = |number: usize| if T::IS_ORDERED { number.to_key_order() } else { Vec::new() };
    for (number, key) in colliding(2_000).enumerate() {
        table.put(0, &key, &order(number), &key[8..10 + number % 3]);
        expected.insert((0, key.to_vec(), order(number)), key[8..10 + number % 3].to_vec());
    }
    assert_eq!(table.dump(), expected);
    let first = table.seal(Epoch(1));
    for (number, key) in colliding(2_000).enumerate().step_by(2) {
        assert!(table.remove(0, &key, &order(number)));
    }
    assert_eq!(table.len(0), 1_000);
    table.rollback(Epoch(1));
    assert_eq!(table.dump(), expected);
    let mut copy = T::make(spec);
    for run in &first.runs {
        copy.apply(&run.bytes).unwrap();
    }
    assert_eq!(copy.dump(), expected);
}

trait ToKeyOrder {
    fn to_key_order(&self) -> Vec<u8>;
}

impl ToKeyOrder for usize {
    /// A third of the elements share an order key, so that only the keys tell them apart.
    fn to_key_order(&self) -> Vec<u8> {
        ((*self % 700) as u64).to_key_bytes()
    }
}

#[test]
fn the_keys_do_collide() {
    let hashes: std::collections::BTreeSet<_> = colliding(100).map(|key| KeyHash::of(&key)).collect();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn in_a_point_table() {
    colliding_keys_are_kept_apart::<PointTable>();
}

#[test]
fn in_an_ordered_table() {
    colliding_keys_are_kept_apart::<OrderedTable>();
}
