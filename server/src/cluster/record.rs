//! The records of the metadata log.
//!
//! A record's value is `version: u8 = 1, type: u8`, then its fields: integers little-endian, texts and lists with a u32
//! length before them. Its key is empty: the log is read whole. A type or version from the future refuses the start, with
//! its number: an older server must not go on with half of the truth.

use super::{Job, JobState};
use millrace_engine::plan::{LayoutError, StateLayout};
use millrace_record::TopicId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The format's version.
const VERSION: u8 = 1;

/// One change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A topic is made.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: String,
        /// Its number of partitions.
        partitions: i32,
        /// Its settings that differ from the server's.
        configs: BTreeMap<String, String>,
    },
    /// A topic gets more partitions.
    Partitions {
        /// The topic.
        id: TopicId,
        /// How many it has now.
        partitions: i32,
    },
    /// A topic's setting changes.
    Config {
        /// The topic.
        id: TopicId,
        /// The setting.
        name: String,
        /// Its value; `None` goes back to the server's.
        value: Option<String>,
    },
    /// A topic is removed.
    RemoveTopic {
        /// The topic.
        id: TopicId,
    },
    /// What cluster this is: the first record there is.
    Cluster {
        /// Its id.
        id: Uuid,
    },
    /// Producer ids below this were given out.
    ProducerIds {
        /// The first free one.
        next: i64,
    },
    /// A job is to run.
    Job(Job),
    /// A job is to do something else.
    JobState {
        /// The job.
        id: u64,
        /// What it is to do.
        state: JobState,
    },
    /// What a job's plan means for its state.
    JobLayout {
        /// The job.
        id: u64,
        /// Where which tables are.
        layout: StateLayout,
    },
}

/// Bytes that are not a metadata record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer server.
    #[error("metadata record of version {version}, type {kind}: written by a newer server")]
    Unknown {
        /// The record's version.
        version: u8,
        /// The record's type.
        kind: u8,
    },
    /// The layout of a job's state, of a format that only a newer server reads.
    #[error("metadata record of a job's layout, format {format}: written by a newer server")]
    Layout {
        /// The layout's format.
        format: u8,
    },
    /// Too short, too long, or not text where text should be.
    #[error("damaged metadata record")]
    Damaged,
}

impl MetadataRecord {
    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Topic { id, name, partitions, configs } => {
                out.push(1);
                put_id(&mut out, *id);
                put_text(&mut out, name);
                out.extend(partitions.to_le_bytes());
                put_len(&mut out, configs.len());
                for (name, value) in configs {
                    put_text(&mut out, name);
                    put_text(&mut out, value);
                }
            }
            Self::Partitions { id, partitions } => {
                out.push(2);
                put_id(&mut out, *id);
                out.extend(partitions.to_le_bytes());
            }
            Self::Config { id, name, value } => {
                out.push(3);
                put_id(&mut out, *id);
                put_text(&mut out, name);
                out.push(u8::from(value.is_some()));
                if let Some(value) = value {
                    put_text(&mut out, value);
                }
            }
            Self::RemoveTopic { id } => {
                out.push(4);
                put_id(&mut out, *id);
            }
            Self::ProducerIds { next } => {
                out.push(5);
                out.extend(next.to_le_bytes());
            }
            Self::Cluster { id } => {
                out.push(6);
                out.extend(id.as_bytes());
            }
            Self::Job(job) => {
                out.push(7);
                put_job(&mut out, job);
            }
            Self::JobState { id, state } => {
                out.push(8);
                out.extend(id.to_le_bytes());
                put_state(&mut out, state);
            }
            Self::JobLayout { id, layout } => {
                out.push(9);
                out.extend(id.to_le_bytes());
                out.extend(layout.encode());
            }
        }
        out
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut from = Fields(bytes);
        let (version, kind) = (from.byte()?, from.byte()?);
        if version != VERSION {
            return Err(RecordError::Unknown { version, kind });
        }
        let record = match kind {
            1 => {
                let (id, name, partitions) = (from.id()?, from.text()?, from.i32()?);
                let mut configs = BTreeMap::new();
                for _ in 0..from.len()? {
                    configs.insert(from.text()?, from.text()?);
                }
                Self::Topic { id, name, partitions, configs }
            }
            2 => Self::Partitions { id: from.id()?, partitions: from.i32()? },
            3 => {
                let (id, name) = (from.id()?, from.text()?);
                let value = match from.byte()? {
                    0 => None,
                    1 => Some(from.text()?),
                    _ => return Err(RecordError::Damaged),
                };
                Self::Config { id, name, value }
            }
            4 => Self::RemoveTopic { id: from.id()? },
            5 => Self::ProducerIds { next: i64::from_le_bytes(from.take()?) },
            6 => Self::Cluster { id: Uuid::from_bytes(from.take()?) },
            7 => Self::Job(from.job()?),
            8 => Self::JobState { id: from.u64()?, state: from.state()? },
            9 => Self::JobLayout { id: from.u64()?, layout: from.layout()? },
            _ => return Err(RecordError::Unknown { version, kind }),
        };
        if from.0.is_empty() { Ok(record) } else { Err(RecordError::Damaged) }
    }
}

fn put_id(out: &mut Vec<u8>, id: TopicId) {
    out.extend(id.0.as_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(
        u32::try_from(len).expect("texts and lists of metadata are bounded at the door").to_le_bytes(),
    );
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend(text.as_bytes());
}

fn put_job(out: &mut Vec<u8>, job: &Job) {
    out.extend(job.id.to_le_bytes());
    put_text(out, &job.name);
    out.extend(job.version.to_le_bytes());
    put_len(out, job.parameters.len());
    for (name, value) in &job.parameters {
        put_text(out, name);
        put_text(out, value);
    }
    put_len(out, job.shards.len());
    job.shards.iter().for_each(|shard| out.extend(shard.to_le_bytes()));
    put_id(out, job.changelog);
    put_state(out, &job.state);
}

fn put_state(out: &mut Vec<u8>, state: &JobState) {
    match state {
        JobState::Running => out.push(1),
        JobState::Stopped => out.push(2),
        JobState::Failed { reason } => {
            out.push(3);
            put_text(out, reason);
        }
    }
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn slice(&mut self, len: usize) -> Result<&[u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.slice(N)?.try_into().map_err(|_| RecordError::Damaged)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.take().map(u64::from_le_bytes)
    }

    fn state(&mut self) -> Result<JobState, RecordError> {
        match self.byte()? {
            1 => Ok(JobState::Running),
            2 => Ok(JobState::Stopped),
            3 => Ok(JobState::Failed { reason: self.text()? }),
            _ => Err(RecordError::Damaged),
        }
    }

    fn job(&mut self) -> Result<Job, RecordError> {
        let (id, name) = (self.u64()?, self.text()?);
        let version = u32::from_le_bytes(self.take()?);
        let mut parameters = BTreeMap::new();
        for _ in 0..self.len()? {
            parameters.insert(self.text()?, self.text()?);
        }
        let mut shards = Vec::new();
        for _ in 0..self.len()? {
            shards.push(u16::from_le_bytes(self.take()?));
        }
        let (changelog, state) = (self.id()?, self.state()?);
        Ok(Job { id, name, version, parameters, shards, changelog, state, layout: None })
    }

    /// What is left is a layout.
    fn layout(&mut self) -> Result<StateLayout, RecordError> {
        StateLayout::decode(std::mem::take(&mut self.0)).map_err(|error| match error {
            LayoutError::Format(format) => RecordError::Layout { format },
            LayoutError::Damaged | LayoutError::Descriptor(_) => RecordError::Damaged,
        })
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        self.take().map(i32::from_le_bytes)
    }

    fn len(&mut self) -> Result<usize, RecordError> {
        usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| RecordError::Damaged)
    }

    fn id(&mut self) -> Result<TopicId, RecordError> {
        self.take().map(|bytes| TopicId(Uuid::from_bytes(bytes)))
    }

    fn text(&mut self) -> Result<String, RecordError> {
        let len = self.len()?;
        let bytes = self.slice(len)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| RecordError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_engine::{prelude::*, registry::build};
    use proptest::prelude::*;
    use std::time::Duration;

    fn ids() -> impl Strategy<Value = TopicId> {
        any::<u128>().prop_map(|id| TopicId(Uuid::from_u128(id)))
    }

    fn states() -> impl Strategy<Value = JobState> {
        prop_oneof![
            Just(JobState::Running),
            Just(JobState::Stopped),
            ".{0,20}".prop_map(|reason| JobState::Failed { reason }),
        ]
    }

    fn jobs() -> impl Strategy<Value = Job> {
        let parameters = prop::collection::btree_map(".{0,9}", ".{0,9}", 0..4);
        let shards = prop::collection::vec(any::<u16>(), 0..4);
        (any::<u64>(), ".{0,20}", any::<u32>(), parameters, shards, ids(), states()).prop_map(
            |(id, name, version, parameters, shards, changelog, state)| Job {
                id,
                name,
                version,
                parameters,
                shards,
                changelog,
                state,
                layout: None,
            },
        )
    }

    /// That of a job that counts a topic.
    fn job_layout() -> StateLayout {
        let plan = build("count", 2, &Parameters::new(), |job| {
            let keyed = job
                .source("in")
                .parse(|record| Some(record.offset))
                .record_time(Watermarks::ascending())
                .key_by(|offset| *offset);
            keyed
                .window(Tumbling::of(Duration::from_secs(1)))
                .aggregate(Count)
                .named("count")
                .sink(|_, _| ());
        });
        plan.unwrap().into_state_layout().unwrap()
    }

    fn records() -> impl Strategy<Value = MetadataRecord> {
        let configs = prop::collection::btree_map(".{0,9}", ".{0,9}", 0..4);
        prop_oneof![
            (ids(), ".{0,20}", any::<i32>(), configs).prop_map(|(id, name, partitions, configs)| {
                MetadataRecord::Topic { id, name, partitions, configs }
            }),
            (ids(), any::<i32>()).prop_map(|(id, partitions)| MetadataRecord::Partitions { id, partitions }),
            (ids(), ".{0,9}", prop::option::of(".{0,9}"))
                .prop_map(|(id, name, value)| MetadataRecord::Config { id, name, value }),
            ids().prop_map(|id| MetadataRecord::RemoveTopic { id }),
            any::<i64>().prop_map(|next| MetadataRecord::ProducerIds { next }),
            any::<u128>().prop_map(|id| MetadataRecord::Cluster { id: Uuid::from_u128(id) }),
            jobs().prop_map(MetadataRecord::Job),
            (any::<u64>(), states()).prop_map(|(id, state)| MetadataRecord::JobState { id, state }),
            any::<u64>().prop_map(|id| MetadataRecord::JobLayout { id, layout: job_layout() }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in records()) {
            prop_assert_eq!(MetadataRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn cut_records_are_damaged(record in records(), cut in any::<prop::sample::Index>()) {
            let bytes = record.encode();
            let cut = cut.index(bytes.len());
            prop_assert!(MetadataRecord::decode(&bytes[..cut]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(MetadataRecord::decode(&bytes));
        }
    }

    #[test]
    fn layout_of_jobs_is_fixed() {
        let job = Job {
            id: 1,
            name: "a".to_owned(),
            version: 2,
            parameters: [("b".to_owned(), "c".to_owned())].into(),
            shards: vec![3],
            changelog: TopicId(Uuid::from_u128(4)),
            state: JobState::Failed { reason: "d".to_owned() },
            layout: None,
        };
        let mut bytes = vec![1, 7, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'a', 2, 0, 0, 0];
        bytes.extend([1, 0, 0, 0, 1, 0, 0, 0, b'b', 1, 0, 0, 0, b'c', 1, 0, 0, 0, 3, 0]);
        bytes.extend([0; 15]);
        bytes.extend([4, 3, 1, 0, 0, 0, b'd']);
        assert_eq!(MetadataRecord::Job(job).encode(), bytes);
    }

    #[test]
    fn the_future_is_named() {
        assert_eq!(MetadataRecord::decode(&[2, 1]), Err(RecordError::Unknown { version: 2, kind: 1 }));
        assert_eq!(MetadataRecord::decode(&[1, 77]), Err(RecordError::Unknown { version: 1, kind: 77 }));
        let mut bytes = MetadataRecord::JobLayout { id: 1, layout: job_layout() }.encode();
        // Behind the record's version and type, and the job's number.
        bytes[10] += 1;
        assert_eq!(MetadataRecord::decode(&bytes), Err(RecordError::Layout { format: 2 }));
        // A count of four billion settings in a few bytes ends where the bytes end.
        let mut bytes = vec![1, 1];
        bytes.extend([0; 16]);
        bytes.extend([0; 4]);
        bytes.extend([0; 4]);
        bytes.extend([0xff; 4]);
        assert_eq!(MetadataRecord::decode(&bytes), Err(RecordError::Damaged));
    }

    #[test]
    fn seeds_are_as_made() {
        let seeds = crate::fuzzing::seeds::drawn(32, records());
        crate::fuzzing::seeds::hold("server_metadata", seeds.map(|(name, record)| (name, record.encode())));
    }
}
