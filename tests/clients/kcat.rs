//! The cases of kcat 1.7.1, which is librdkafka 2.0 behind a command line.

mod member;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::command::{self, Input};
use crate::create_topic::create_topic;
use crate::install;
use crate::suite::Outcome;

use member::{Group, PARTITIONS};

/// What kcat is able to be tested for.
pub(crate) const CASES: &[&str] = &[
    "roundtrip_none",
    "roundtrip_gzip",
    "roundtrip_snappy",
    "roundtrip_lz4",
    "roundtrip_zstd",
    "idempotent_producer",
    "seek_mid_batch",
    "group_of_two",
    "restart",
    "commit_and_resume",
    "offsets_by_timestamp",
    "describe",
];

/// How long one kcat may run.
const LIMIT: Duration = Duration::from_secs(40);

/// A key or a value, which may be null.
type Bytes = Option<Vec<u8>>;

/// Between key and value, and after a record, in what kcat reads.
const KEY_END: u8 = 0x1f;
const RECORD_END: u8 = 0x1e;

#[derive(Default)]
pub(crate) struct Kcat {
    installed: OnceLock<Result<(), String>>,
}

impl Kcat {
    pub(crate) fn run(
        &self,
        case: &str,
        bootstrap: &str,
        run: &str,
        restart: &dyn Fn() -> Result<(), String>,
    ) -> Outcome {
        if let Err(reason) = self.installed.get_or_init(install::kcat) {
            return Outcome::Skipped(format!("kcat can't be had: {reason}"));
        }
        let context = Context { bootstrap, name: format!("kcat.{case}.{run}") };
        let result = match case.split_once('_') {
            Some(("roundtrip", codec)) => context.roundtrip(codec),
            _ => match case {
                "idempotent_producer" => context.idempotent_producer(),
                "seek_mid_batch" => context.seek_mid_batch(),
                "group_of_two" => context.group_of_two(),
                "restart" => context.restart(restart),
                "commit_and_resume" => context.commit_and_resume(),
                "offsets_by_timestamp" => context.offsets_by_timestamp(),
                "describe" => context.describe(),
                _ => Err("no such case".to_owned()),
            },
        };
        result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }
}

/// A case: the broker's address, and a name that no other case or run uses, for the topic and the group.
struct Context<'a> {
    bootstrap: &'a str,
    name: String,
}

/// A record as kcat shows it.
#[derive(Debug, PartialEq)]
struct Received {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: String,
}

/// Offset, timestamp and lengths in a line, then key and value as they are, then the headers in a line.
const FORMAT: &str = "%o %T %K %S\n%k%s\n%h\n";

fn equal<T: PartialEq + std::fmt::Debug>(actual: &T, expected: &T, what: &str) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    let clip = |value: &T| format!("{value:?}").chars().take(600).collect::<String>();
    Err(format!("{what}: got {}, want {}", clip(actual), clip(expected)))
}

impl Context<'_> {
    fn kcat(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-b", self.bootstrap]).args(arguments);
        command
    }

    fn text(&self, arguments: &[&str]) -> Result<String, String> {
        let out = command::run(self.kcat(arguments), Input::None, LIMIT)?;
        String::from_utf8(out).map_err(|error| error.to_string())
    }

    /// Produces what `input` holds, one value a line unless the arguments say otherwise.
    fn produce(&self, partition: i32, arguments: &[&str], input: &[u8]) -> Result<(), String> {
        let partition = partition.to_string();
        let produce = ["-P", "-t", &self.name, "-p", &partition];
        command::run(self.kcat(&[&produce, arguments].concat()), Input::Bytes(input), LIMIT).map(|_| ())
    }

    /// The next `count` records of partition 0, from where `offset` says.
    fn read(&self, offset: &str, count: usize) -> Result<Vec<Received>, String> {
        let count = count.to_string();
        let read = ["-C", "-q", "-t", &self.name, "-p", "0", "-o", offset, "-c", &count, "-f", FORMAT];
        let out = command::run(self.kcat(&read), Input::None, LIMIT)?;
        parse(&out).ok_or_else(|| format!("cannot parse {}", String::from_utf8_lossy(&out)))
    }

    fn values(&self, offset: &str, count: usize) -> Result<Vec<(i64, String)>, String> {
        let text = |value: Option<Vec<u8>>| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
        Ok(self.read(offset, count)?.into_iter().map(|r| (r.offset, text(r.value))).collect())
    }

    /// Creates a topic that a group can share, and waits until kcat sees it.
    fn create(&self) -> Result<(), String> {
        create_topic(self.bootstrap, &self.name, PARTITIONS)?;
        let end = Instant::now() + LIMIT;
        while self.metadata()?["topics"][0]["partitions"].as_array().is_none_or(Vec::is_empty) {
            if Instant::now() > end {
                return Err("timed out waiting for metadata of the new topic".to_owned());
            }
        }
        Ok(())
    }

    /// What kcat knows of the cluster and the topic.
    fn metadata(&self) -> Result<serde_json::Value, String> {
        let out = self.text(&["-L", "-J", "-t", &self.name])?;
        serde_json::from_str(&out).map_err(|error| error.to_string())
    }

    fn roundtrip(&self, codec: &str) -> Result<(), String> {
        let records = corpus();
        let mut input = Vec::new();
        for (key, value) in &records {
            input.extend(key.iter().flatten());
            input.push(KEY_END);
            input.extend(value.iter().flatten());
            input.push(RECORD_END);
        }
        let started = unix_millis();
        let headers =
            ["-H", "trace=a\u{2603}", "-H", "empty=", "-H", "twice=1", "-H", "twice=2", "-H", "null"];
        // With -Z an empty key or value is sent as null.
        let shape = ["-z", codec, "-Z", "-K", "\u{1f}", "-D", "\u{1e}"];
        self.produce(0, &[&shape[..], &headers[..]].concat(), &input)?;
        let received = self.read("beginning", records.len())?;
        equal(&received.len(), &records.len(), "count of records")?;
        for (at, (record, (key, value))) in received.into_iter().zip(records).enumerate() {
            let expected = Received {
                offset: i64::try_from(at).expect("few records"),
                timestamp: record.timestamp,
                key,
                value,
                headers: "trace=a\u{2603},empty=,twice=1,twice=2,null=NULL".to_owned(),
            };
            equal(&record, &expected, "record")?;
            equal(&(started..=unix_millis()).contains(&record.timestamp), &true, "the timestamp is of now")?;
        }
        Ok(())
    }

    fn idempotent_producer(&self) -> Result<(), String> {
        self.produce(0, &["-X", "enable.idempotence=true"], &lines("v", 5000))?;
        let expected: Vec<_> = (0..5000).map(|number| (number, format!("v{number}"))).collect();
        equal(&self.values("beginning", 5000)?, &expected, "records")
    }

    fn seek_mid_batch(&self) -> Result<(), String> {
        for codec in ["none", "gzip"] {
            self.produce(0, &["-z", codec, "-X", "linger.ms=500"], &lines("v", 10))?;
        }
        for (asked, start) in [("5", 5), ("9", 9), ("10", 10), ("13", 13), ("19", 19), ("0", 0), ("-3", 17)] {
            let expected: Vec<_> = (start..20).map(|offset| (offset, format!("v{}", offset % 10))).collect();
            let received = self.values(asked, expected.len())?;
            equal(&received, &expected, &format!("records from {asked}"))?;
        }
        Ok(())
    }

    fn commit_and_resume(&self) -> Result<(), String> {
        self.produce(0, &[], &lines("v", 30))?;
        let session = |until: &[&str], expected: std::ops::Range<i64>| {
            let group = ["-q", "-X", "auto.offset.reset=earliest", "-f", "%o\n", "-G", &self.name];
            let received = self.text(&[until, &group, &[&self.name]].concat())?;
            equal(&received, &expected.map(|offset| format!("{offset}\n")).collect(), "offsets of a session")
        };
        session(&["-c", "7"], 0..7)?;
        session(&["-e"], 7..30)?;
        self.produce(0, &[], b"last\n")?;
        session(&["-e"], 30..31)
    }

    fn group_of_two(&self) -> Result<(), String> {
        self.create()?;
        let mut group = Group::of_two(self)?;
        let mut sent = self.send_each("first")?;
        group.wait_until_shared()?;
        sent.extend(self.send_each("second")?);
        group.wait_until_received(&sent)?;
        group.leave()?;
        group.wait_until_shared()?;
        sent.extend(self.send_each("third")?);
        group.wait_until_received(&sent)?;
        group.leave()
    }

    /// kcat ends itself when its only broker is gone, so what must outlive the restart is the group's progress.
    fn restart(&self, restart: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
        self.create()?;
        let before = self.send_each("before")?;
        let mut group = Group::of_two(self)?;
        group.wait_until_shared()?;
        group.wait_until_received(&before)?;
        // A member commits as it leaves.
        group.leave()?;
        group.leave()?;

        restart()?;

        let after = self.send_each("after")?;
        let again =
            ["-q", "-e", "-X", "auto.offset.reset=earliest", "-f", "%p %s\n", "-G", &self.name, &self.name];
        let received = self.text(&again)?;
        let mut received: Vec<&str> = received.lines().collect();
        received.sort_unstable();
        let mut expected: Vec<String> =
            after.iter().map(|(partition, value)| format!("{partition} {value}")).collect();
        expected.sort_unstable();
        equal(
            &received,
            &expected.iter().map(String::as_str).collect(),
            "records of the group that starts again",
        )
    }

    /// Sends three values to each partition; returns them as partition and value.
    fn send_each(&self, prefix: &str) -> Result<Vec<(i32, String)>, String> {
        let mut sent = Vec::new();
        for partition in 0..PARTITIONS {
            let prefix = format!("{prefix}-{partition}-");
            self.produce(partition, &[], &lines(&prefix, 3))?;
            sent.extend((0..3).map(|number| (partition, format!("{prefix}{number}"))));
        }
        Ok(sent)
    }

    fn offsets_by_timestamp(&self) -> Result<(), String> {
        for codec in ["none", "gzip"] {
            self.produce_slowly(codec)?;
        }
        let received = self.read("beginning", 20)?;
        equal(&received.len(), &20, "count of records")?;
        let first_from = |timestamp: i64| {
            received.iter().find(|r| r.timestamp >= timestamp).map_or(-1, |record| record.offset)
        };
        let (first, last) = (received[0].timestamp, received[19].timestamp);
        equal(&(last > first), &true, "time passes between the records")?;
        let asked =
            received.iter().flat_map(|r| [r.timestamp, r.timestamp + 1]).chain([first - 1000, last + 1000]);
        for timestamp in asked {
            let found = self.query(timestamp)?;
            equal(&found, &first_from(timestamp), &format!("first offset from {timestamp} on"))?;
        }
        equal(&self.query(-2)?, &0, "earliest")?;
        equal(&self.query(-1)?, &20, "latest")?;
        let middle = received[7].timestamp;
        let read = self.read(&format!("s@{middle}"), 1)?;
        equal(&read[0].offset, &first_from(middle), "start of a consumer at a timestamp")
    }

    /// One batch whose records differ in time.
    fn produce_slowly(&self, codec: &str) -> Result<(), String> {
        let arguments = ["-P", "-t", &self.name, "-p", "0", "-z", codec, "-X", "linger.ms=1000"];
        let mut process = self
            .kcat(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut input = process.stdin.take().ok_or("kcat has no standard input")?;
        for number in 0..10 {
            writeln!(input, "v{number}").map_err(|error| error.to_string())?;
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(input);
        let end = Instant::now() + LIMIT;
        loop {
            match process.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("kcat -P: {status}")),
                None if Instant::now() > end => {
                    process.kill().and_then(|()| process.wait()).map_err(|error| error.to_string())?;
                    return Err("kcat -P: took too long".to_owned());
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// What `kcat -Q` finds for a timestamp.
    fn query(&self, timestamp: i64) -> Result<i64, String> {
        let out = self.text(&["-Q", "-t", &format!("{}:0:{timestamp}", self.name)])?;
        let offset = out.trim().rsplit(' ').next().and_then(|offset| offset.parse().ok());
        offset.ok_or_else(|| format!("kcat -Q: {out}"))
    }

    fn describe(&self) -> Result<(), String> {
        self.create()?;
        let cluster = self.metadata()?;
        equal(&cluster["brokers"][0]["name"].as_str(), &Some(self.bootstrap), "address of the broker")?;
        let broker = &cluster["brokers"][0]["id"];
        equal(&&cluster["controllerid"], &broker, "controller")?;
        let partitions = cluster["topics"][0]["partitions"].as_array().map_or(&[][..], Vec::as_slice);
        equal(&partitions.len(), &4, "count of partitions")?;
        for partition in partitions {
            equal(&&partition["leader"], &broker, "leader")?;
            equal(&&partition["isrs"][0]["id"], &broker, "replica in sync")?;
        }
        Ok(())
    }
}

fn parse(mut out: &[u8]) -> Option<Vec<Received>> {
    fn line<'a>(out: &mut &'a [u8]) -> Option<&'a str> {
        let end = out.iter().position(|&byte| byte == b'\n')?;
        let line = std::str::from_utf8(&out[..end]).ok()?;
        *out = &out[end + 1..];
        Some(line)
    }
    fn bytes(out: &mut &[u8], length: i64) -> Option<Option<Vec<u8>>> {
        let Ok(length) = usize::try_from(length) else { return Some(None) };
        let (bytes, rest) = out.split_at_checked(length)?;
        *out = rest;
        Some(Some(bytes.to_vec()))
    }
    let mut received = Vec::new();
    while !out.is_empty() {
        let numbers: Vec<i64> = line(&mut out)?.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let &[offset, timestamp, key, value] = numbers.as_slice() else { return None };
        let (key, value) = (bytes(&mut out, key)?, bytes(&mut out, value)?);
        line(&mut out).filter(|rest| rest.is_empty())?;
        let headers = line(&mut out)?.to_owned();
        received.push(Received { offset, timestamp, key, value, headers });
    }
    Some(received)
}

/// Keys and values that are null, binary, long, hard and easy to compress; without the two delimiters.
fn corpus() -> Vec<(Bytes, Bytes)> {
    let plain = |byte: &u8| *byte != KEY_END && *byte != RECORD_END;
    let binary: Vec<u8> = (0..=255).filter(plain).collect();
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let values = [
        Some(b"v".to_vec()),
        None,
        Some(binary.clone()),
        Some(b"easy ".repeat(800)),
        Some(noise.filter(plain).take(3000).collect()),
    ];
    let keys = [Some(b"key".to_vec()), None, Some(binary)];
    (0..30).map(|at| (keys[at % keys.len()].clone(), values[at % values.len()].clone())).collect()
}

fn lines(prefix: &str, count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("{prefix}{number}\n").into_bytes()).collect()
}

fn unix_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(now.as_millis()).expect("the clock is before the year 292 million")
}
