use super::*;
use crate::{
    data::Encode,
    key::KeyGroups,
    prelude::*,
    registry::{Parameters, build},
};
use proptest::prelude::*;
use std::time::Duration;

fn layout(version: u32, job: impl Fn(&mut JobBuilder)) -> StateLayout {
    build("job", version, &Parameters::new(), job).unwrap().into_state_layout().unwrap()
}

/// Why `now` can't go on with what `was` left.
fn changes(was: &StateLayout, now: &StateLayout) -> Vec<String> {
    now.changes_since(was).iter().map(ToString::to_string).collect()
}

/// Counts, or counts and sums, of one topic in windows.
fn counts(job: &mut JobBuilder, topic: &str, is_wide: bool) {
    let windows = job
        .source(topic)
        .parse(|record| Some((record.offset, record.timestamp)))
        .event_time(|(_, at)| *at, Watermarks::ascending())
        .key_by(|(offset, _)| *offset)
        .window(Tumbling::of(Duration::from_secs(1)));
    if is_wide {
        windows
            .aggregate_with(|of| (of.count(), of.sum(|item| item.1.to_native())))
            .named(topic)
            .sink(|_, _| ());
    } else {
        windows.aggregate(Count).named(topic).sink(|_, _| ());
    }
}

#[test]
fn what_keeps_nothing_may_change() {
    let plain = |job: &mut JobBuilder| counts(job, "in", false);
    let was = layout(1, plain);
    assert_eq!(was, layout(1, plain));
    let now = layout(1, |job| {
        let items = job.source("in").parse(|record| Some((record.offset, record.timestamp)));
        items
            .map(|item| *item)
            .event_time(|(_, at)| *at, Watermarks::ascending())
            .key_by(|(offset, _)| *offset)
            .window(Tumbling::of(Duration::from_secs(1)))
            .aggregate(Count)
            .named("in")
            .filter(|_| true)
            .to_topic("out", |_, _| ());
        counts(job, "more", false);
    });
    assert_eq!(changes(&was, &now), [""; 0], "operators without state, and a stream that was added behind");
}

#[test]
fn what_state_was_written_for_must_be_there() {
    let was = layout(1, |job| counts(job, "in", false));
    let now = layout(2, |job| counts(job, "in", false));
    assert_eq!(changes(&was, &now), ["version 1 wrote it, this is version 2"]);
    let now = layout(1, |job| {
        job.key_groups(KeyGroups::new(8).unwrap());
        counts(job, "in", false);
    });
    assert_eq!(changes(&was, &now), ["it had 1024 key groups and has 8"]);
    let now = layout(1, |job| counts(job, "in", true));
    let found = changes(&was, &now);
    assert!(found[0].starts_with("operator `in`: its table `panes` holds other types: "), "{found:?}");
    let now = layout(1, |job| counts(job, "other", false));
    let found = changes(&was, &now);
    assert_eq!(found[0], "the source of topic `in` is gone");
    assert!(found.contains(&"operator `in` is gone, and with it its table `panes`".to_owned()), "{found:?}");
    let now = layout(1, |job| {
        counts(job, "before", false);
        counts(job, "in", false);
    });
    let found = changes(&was, &now);
    assert_eq!(found[0], "the source of topic `in` has another place among the stages");
    let moved = "operator `in`: its table `panes` has another place among stages and tables";
    assert!(found.contains(&moved.to_owned()), "{found:?}");
    let now = layout(1, |job| job.source("in").parse(|record| Some(record.offset)).sink(|_, _| ()));
    assert!(changes(&was, &now).len() > 1, "what is gone is missed");
    assert_eq!(changes(&now, &was), [""; 0], "what is new finds nothing");
}

fn tables() -> impl Strategy<Value = TableLayout> {
    let width = || prop_oneof![Just(Width::Variable), (0..100u32).prop_map(Width::Fixed)];
    let types = prop::sample::subsequence(
        vec![u64::DESCRIPTOR.clone(), String::DESCRIPTOR.clone(), <(i64, Option<u8>)>::DESCRIPTOR.clone()],
        0..=3,
    );
    (".{0,10}", ".{0,10}", any::<bool>(), width(), width(), types).prop_map(
        |(operator, name, is_ordered, key, value, types)| TableLayout {
            operator,
            name,
            is_ordered,
            key,
            value,
            types,
        },
    )
}

fn layouts() -> impl Strategy<Value = StateLayout> {
    let inputs = || prop::collection::vec(any::<bool>(), 0..3);
    let stage = (".{0,10}", ".{0,10}", inputs(), prop::collection::vec(tables(), 0..3))
        .prop_map(|(name, source, inputs, tables)| StageLayout { name, source, inputs, tables });
    (any::<u32>(), any::<u16>(), prop::collection::vec(stage, 0..4))
        .prop_map(|(version, key_groups, stages)| StateLayout { version, key_groups, stages })
}

proptest! {
    #[test]
    fn what_is_written_is_read(layout in layouts(), cut in any::<prop::sample::Index>()) {
        let bytes = layout.encode();
        prop_assert_eq!(StateLayout::decode(&bytes), Ok(layout.clone()));
        prop_assert!(layout.changes_since(&layout).is_empty());
        prop_assert!(StateLayout::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(StateLayout::decode(&bytes));
    }
}

#[test]
fn layout_is_fixed() {
    let table = TableLayout {
        operator: "o".to_owned(),
        name: "t".to_owned(),
        is_ordered: true,
        key: Width::Fixed(8),
        value: Width::Variable,
        types: vec![u64::DESCRIPTOR.clone()],
    };
    let stage = StageLayout {
        name: "s".to_owned(),
        source: "in".to_owned(),
        inputs: vec![true],
        tables: vec![table],
    };
    let layout = StateLayout { version: 3, key_groups: 1024, stages: vec![stage] };
    let mut bytes = vec![1, 3, 0, 0, 0, 0, 4, 1, 0];
    bytes.extend([1, 0, b's', 2, 0, b'i', b'n', 1, 0, 1, 1, 0]);
    bytes.extend([1, 0, b'o', 1, 0, b't', 2, 8, 0, 0, 0, 255, 255, 255, 255, 1, 0]);
    u64::DESCRIPTOR.write_to(&mut bytes);
    assert_eq!(layout.encode(), bytes);
}
