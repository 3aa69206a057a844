//! The demo: a year of flights through Kafka's protocol into a job, and its result out again.

pub mod data;
pub mod flight;
pub mod job;
pub mod row;
pub mod utc;
