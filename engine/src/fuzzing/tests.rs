use super::{
    seeds::{Seed, hold},
    *,
};
use crate::data::Encode;

fn written(value: &Anything) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes, &mut Scratch::new()).unwrap();
    bytes
}

/// Values whose texts are short enough to stand in place, and too long for it.
fn values() -> Vec<Anything> {
    let long = "a text that does not fit in place";
    let part = |id, note: Option<&str>| Part { id, note: note.map(str::to_owned) };
    vec![
        Anything::Nothing,
        Anything::Pair(-3, [1, 2, 3], true),
        Anything::Named { name: "short".into(), tags: Vec::new(), parent: None, mark: 'a' },
        Anything::Named {
            name: long.into(),
            tags: vec![long.into(), "t".into(), String::new()],
            parent: Some((7, long.into())),
            mark: '\u{10ffff}',
        },
        Anything::Many(Vec::new()),
        Anything::Many(vec![part(1, None), part(2, Some("x")), part(3, Some(long))]),
    ]
}

#[test]
fn seeds_are_as_made() {
    let name = |number: usize| format!("value_{number}");
    let seeds: Vec<Seed> =
        values().iter().enumerate().map(|(number, value)| (name(number), written(value))).collect();
    for (name, bytes) in &seeds {
        assert!(access::<ArchivedAnything>(bytes).is_ok(), "{name}");
    }
    hold("engine_data", seeds);
    let descriptors = [
        ("anything", Anything::DESCRIPTOR),
        ("part", Part::DESCRIPTOR),
        ("number", u64::DESCRIPTOR),
        ("texts", Vec::<String>::DESCRIPTOR),
        ("option", Option::<(u32, [i16; 4])>::DESCRIPTOR),
    ];
    hold(
        "engine_descriptor",
        descriptors.map(|(name, descriptor)| {
            let mut bytes = Vec::new();
            descriptor.write_to(&mut bytes);
            (name.to_owned(), bytes)
        }),
    );
}

/// Every flipped bit, and every cut: refused, or read without harm.
#[test]
fn damaged_values_do_no_harm() {
    for bytes in values().iter().map(written) {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            data(&damaged);
        }
        (0..bytes.len()).for_each(|len| data(&bytes[..len]));
    }
}
