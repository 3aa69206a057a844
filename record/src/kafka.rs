//! The kafka encoding: batches of Kafka's message format 2, as producers send and consumers expect them.
//!
//! | file | what |
//! |---|---|
//! | `fields` | the 61 bytes before the records |
//! | `validate` | the door: what a batch must be to be appended |
//! | `records` | the records, read in place |
//! | `build` | the way out: records written as Kafka writes them |
//! | `set` | several batches behind each other |

pub(crate) mod build;
pub(crate) mod fields;
pub(crate) mod records;
mod set;
mod validate;

pub use build::KafkaBatchBuilder;
pub use fields::{FORMAT, KAFKA_HEADER_LEN, claims_transaction, format_of};
pub use records::KafkaRecords;
pub use set::RecordSet;
pub use validate::{KafkaBatchInfo, Limits, Origin, validate, validate_deep};

#[cfg(test)]
mod tests;
