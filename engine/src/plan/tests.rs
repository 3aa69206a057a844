use super::*;
use crate::{
    prelude::*,
    registry::{RegistryError, build},
};
use std::time::Duration;

fn errors(job: impl Fn(&mut JobBuilder)) -> Vec<String> {
    match build("job", 1, &Parameters::new().set("bound", "x"), job) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.errors.iter().map(ToString::to_string).collect(),
    }
}

fn hash(job: impl Fn(&mut JobBuilder)) -> u64 {
    build("job", 1, &Parameters::new(), job).unwrap().hash()
}

fn counts(job: &mut JobBuilder, topic: &str, window_s: u64, name: Option<&str>) {
    let counts = job
        .source(topic)
        .parse(|record| Some(record.timestamp))
        .record_time(Watermarks::ascending())
        .key_by(|n| *n)
        .window(Tumbling::of(Duration::from_secs(window_s)))
        .aggregate(Count);
    let counts = match name {
        Some(name) => counts.named(name),
        None => counts,
    };
    counts.sink(|_, _| ());
}

#[test]
fn two_states_of_one_name_are_refused_with_the_stages() {
    let errors = errors(|job| {
        job.parameter("bound", String::new());
        counts(job, "a", 1, None);
        counts(job, "b", 1, None);
    });
    assert_eq!(
        errors,
        [
            "2 operators that keep state are called `window`, in stages `window -> sink`, `window -> sink`: their state is \
          found again by name, so give each its own with `.named(..)`"
        ]
    );
    hash(|job| {
        counts(job, "a", 1, Some("by a"));
        counts(job, "b", 1, None);
    });
}

#[test]
fn no_name_is_longer_than_a_layout_holds() {
    let named = |bytes: usize| {
        let name = "n".repeat(bytes);
        build("job", 1, &Parameters::new(), |job| counts(job, &name, 1, Some(&name)))
    };
    let layout = named(NAME_BYTES_MAX).unwrap().into_state_layout().unwrap();
    assert_eq!(StateLayout::decode(&layout.encode()), Ok(layout));
    let start = "n".repeat(NAME_SHOWN_CHARS);
    let too_long = |what, len| BuildError::NameTooLong { what, start: start.clone(), len, max: 255 };
    // The source's operator, its topic, and the window.
    let expected = ["operator", "topic", "operator"].map(|what| too_long(what, 256));
    assert_eq!(named(256).unwrap_err().errors, expected);
    let errors = named(70_000).unwrap_err();
    assert_eq!(errors.errors[0], too_long("operator", 70_000));
    assert!(errors.to_string().contains("operator `nnnn"), "{errors}");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let errors = errors(|job| {
        let _: u64 = job.parameter("bounds", 1);
        let stream = job.source("a").parse(|record| Some(record.offset));
        let [left, right] = stream.branch();
        right
            .key_by(|n| n.to_native())
            .window(Tumbling::of(Duration::from_secs(1)))
            .aggregate(Count)
            .sink(|_, _| ());
        drop(left.event_time(|n| n.to_native(), Watermarks::ascending()));
        drop(job.source("b"));
    });
    assert_eq!(
        errors,
        [
            "`window` would never fire: no watermark reaches it; call `.event_time(..)` on the source's stream",
            "`event_time` belongs to a source's own stream, before `key_by`, `branch` and `union`",
            "a branch ends nowhere: give it a sink (`to_topic`, `sink`), or remove it",
            "the stream of topic `b` ends nowhere: give it a sink (`to_topic`, `sink`), or remove it",
            "unknown parameter `bound`; the job has bounds"
        ]
    );
}

#[test]
fn a_parameter_of_the_wrong_type_is_named() {
    let errors = errors(|job| {
        let bound: u64 = job.parameter("bound", 3);
        assert_eq!(bound, 3, "the default stands in, so that the build goes on");
        counts(job, "a", bound, None);
    });
    assert_eq!(errors, ["parameter `bound`: `x` is not a u64"]);
}

#[test]
fn an_empty_job_is_refused() {
    assert!(build("job", 1, &Parameters::new(), |_| ()).unwrap_err().to_string().contains("has no stream"));
}

#[test]
fn equal_jobs_have_equal_hashes_and_others_have_not() {
    let base = hash(|job| counts(job, "a", 1, None));
    assert_eq!(base, hash(|job| counts(job, "a", 1, None)));
    assert_ne!(base, hash(|job| counts(job, "b", 1, None)), "another topic");
    assert_ne!(base, hash(|job| counts(job, "a", 1, Some("c"))), "another name");
    assert_ne!(base, build("job", 2, &Parameters::new(), |job| counts(job, "a", 1, None)).unwrap().hash());
    let passes_on = |filters: bool| {
        hash(move |job: &mut JobBuilder| {
            let stream = job.source("a").parse(|record| record.value.map(<[u8]>::len));
            if filters { stream.filter(|_| true).sink(|_, _| ()) } else { stream.sink(|_, _| ()) }
        })
    };
    assert_ne!(passes_on(true), passes_on(false));
}

#[test]
fn a_plan_tells_what_it_reads_and_writes() {
    let mut registry = Registry::new();
    registry.add("copy", |job| {
        let suffix: String = job.parameter("suffix", "_copy".to_owned());
        job.source("in").archived::<u64>().to_archived_topic(
            &format!("in{suffix}"),
            SinkOptions::default(),
            |_, _| (),
        );
    });
    assert_eq!(registry.jobs().collect::<Vec<_>>(), [("copy", 1)]);
    let plan = registry.plan("copy", &Parameters::new().set("suffix", "_2")).unwrap();
    let sources: Vec<_> =
        plan.sources().map(|(_, source)| (source.topic.as_str(), source.values.is_some())).collect();
    assert_eq!(sources, [("in", true)]);
    assert_eq!(plan.topics().map(|topic| topic.topic.as_str()).collect::<Vec<_>>(), ["in_2"]);
    assert_eq!(plan.stages().map(|(_, name)| name).collect::<Vec<_>>(), ["in -> to_archived_topic"]);
    assert_eq!(plan.ring_frames(), 0, "nothing crosses");
    let error = registry.plan("copi", &Parameters::new()).unwrap_err();
    assert!(matches!(error, RegistryError::Unknown { .. }));
    assert_eq!(error.to_string(), "no job `copi` is linked into this binary; there are: copy");
}

#[test]
fn a_dynamic_stream_of_another_type_is_refused_with_the_field() {
    #[derive(Data)]
    struct Before {
        id: u32,
    }
    #[derive(Data)]
    struct After {
        id: u16,
    }
    let errors = errors(|job| {
        job.parameter("bound", String::new());
        let stream = job.source("a").parse(|record| Some(Before { id: record.offset as u32 })).into_dynamic();
        stream.typed::<After>().map(|after| after.id.to_native()).sink(|_, _| ());
    });
    assert_eq!(
        errors,
        ["a stream of `Before` is read as `After`: After.id: written as `u32`, this program reads `u16`"]
    );
}
