//! The demo: a year of flights through Kafka's protocol into a job, and its result out again.
//!
//! | module | what |
//! |---|---|
//! | [`data`], [`flight`] | the flights, and what a line says |
//! | [`job`], [`row`] | which airport and carrier run late, and a row of the answer |
//! | [`replay`], [`feed`] | the year in order of departure, through several producers |
//! | [`watch`], [`results`] | the answer, read back, and how long it took |
//! | [`closings`] | from when on that is counted |
//! | [`utc`] | times as people read them |

pub mod closings;
pub mod data;
pub mod feed;
pub mod flight;
mod host;
pub mod job;
pub mod meter;
pub mod replay;
pub mod results;
pub mod row;
mod run;
pub mod screen;
pub mod summary;
pub mod topics;
pub mod utc;
mod voice;
pub mod watch;

pub use run::{Options, run};
