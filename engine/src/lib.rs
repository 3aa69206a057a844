//! The dataflow: streams of records from the topics of a log, through operators with state, to topics.
//!
//! A **job** is a function that builds a graph of streams ([`stream`]). The graph becomes a [`plan`](plan::Plan): stages, joined by edges. Each
//! shard of the job has one [`Task`](task::Task) for each stage; a [`Worker`](worker::Worker) holds the tasks of all jobs on its shard.
//! Records of one key meet on one shard, over an [`exchange`]; what operators remember is in [`table`]s; [`epoch`]s make state and
//! output appear exactly once.
//!
//! ```
//! use millrace_engine::prelude::*;
//! use std::time::Duration;
//!
//! #[derive(Data)]
//! struct Flight {
//!     origin: [u8; 3],
//!     carrier: [u8; 2],
//!     scheduled_ms: i64,
//!     delay_min: i32,
//! }
//!
//! fn parse(line: &[u8]) -> Option<Flight> {
//!     let mut fields = std::str::from_utf8(line).ok()?.split(',');
//!     Some(Flight {
//!         origin: fields.next()?.as_bytes().try_into().ok()?,
//!         carrier: fields.next()?.as_bytes().try_into().ok()?,
//!         scheduled_ms: fields.next()?.parse().ok()?,
//!         delay_min: fields.next()?.parse().ok()?,
//!     })
//! }
//!
//! fn delays(job: &mut JobBuilder) {
//!     let bound_h = job.parameter("bound_h", 3);
//!     job.source("flights")
//!         .parse(|record| parse(record.value?))
//!         .event_time(|flight| flight.scheduled_ms, Watermarks::bounded(Duration::from_hours(bound_h)))
//!         .key_by(|flight| (flight.origin, flight.carrier))
//!         .window(Tumbling::of(Duration::from_hours(1)))
//!         .aggregate_with(|of| (of.count(), of.average(|f| f.delay_min), of.percentile(95.0, |f| f.delay_min)))
//!         .to_topic("delays", |window, record| {
//!             record.key().extend_from_slice(&window.key.0);
//!             record.value().extend_from_slice(format!("{:?}", window.value).as_bytes());
//!         });
//! }
//!
//! let mut jobs = Registry::new();
//! jobs.add("delays", delays);
//! let plan = jobs.plan("delays", &Parameters::new().set("bound_h", 24)).unwrap();
//! let stages: Vec<_> = plan.stages().map(|(_, name)| name).collect();
//! assert_eq!(stages, ["flights -> event_time -> key_by", "window -> to_topic"]);
//! ```
//!
//! # Map
//!
//! | module | what |
//! |---|---|
//! | [`prelude`] | what a job needs |
//! | [`data`] | types with an archived form and a descriptor: `#[derive(Data)]` |
//! | [`registry`] | jobs by name, their parameters, [`JobBuilder`](registry::JobBuilder) |
//! | [`stream`] | the typed builder |
//! | [`operator`] | operators, one in each file; your own: [`Operator`](operator::Operator), [`Process`](operator::Process) |
//! | [`aggregate`], [`window`], [`watermark`] | what windows are made of |
//! | [`source`], [`sink`] | what passes between tasks and the log |
//! | [`plan`] | stages, edges, the hash that shards agree on |
//! | [`task`] | the type-erased unit of execution, and hand-built tasks |
//! | [`exchange`] | frames, channels, credits, the alignment of barriers |
//! | [`worker`] | all tasks of a shard; messages in and out |
//! | [`key`] | canonical key bytes, the hash, key groups, placement |
//! | [`table`], [`timer`] | state, and when to look at it |
//! | [`epoch`] | the protocol of exactly once |
//! | [`metrics`], [`failure`] | what can be seen, what went wrong |
//! | [`testing`] | jobs on simulated shards, in tests |
//!
//! # Invariants
//!
//! - The engine does no I/O, spawns nothing, never blocks and reads no clock: a shard delivers messages, calls
//!   [`Worker::step`](worker::Worker::step), and carries off what there is to say.
//! - Exchange, tables, timers and epochs never see a Rust type: bytes, descriptors, key bytes.
//! - What is not in a table does not survive. Clocks are state: watermarks, what they are made from, idleness.
//! - Every queue has a bound: frames by credits, what a record's processing produces beyond them by the spill budget, sources by
//!   demand, epochs by [`UNRESOLVED_MAX`](table::UNRESOLVED_MAX).
//! - User code runs inside `step` alone; if it panics, its job's attempt ends, and nothing else.

extern crate self as millrace_engine;

pub mod aggregate;
pub mod data;
pub mod epoch;
pub mod exchange;
pub mod failure;
#[doc(hidden)]
pub mod fuzzing;
pub mod key;
pub mod metrics;
pub mod operator;
pub mod plan;
pub mod prelude;
pub mod registry;
pub mod sink;
pub mod source;
pub mod stream;
pub mod table;
pub mod task;
pub mod testing;
pub mod timer;
pub mod watermark;
pub mod window;
pub mod worker;

pub use data::Data;
pub use rkyv;

/// The user's page, whose examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/dataflow.md")]
struct UsersPage;
