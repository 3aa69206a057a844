//! Members of a consumer group, each a kcat that runs until it is told to leave.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::{Context, LIMIT};
use crate::broker::terminate;

/// Partitions that a group shares.
pub(super) const PARTITIONS: i32 = 4;

pub(super) struct Group {
    members: Vec<Member>,
    /// What members received that have left.
    past: BTreeSet<(i32, String)>,
}

struct Member {
    process: Child,
    out: NamedTempFile,
    log: NamedTempFile,
}

impl Group {
    /// Starts two members at once.
    pub(super) fn of_two(context: &Context<'_>) -> Result<Self, String> {
        let members = vec![Member::join(context)?, Member::join(context)?];
        Ok(Self { members, past: BTreeSet::new() })
    }

    /// Waits until all partitions are shared equally.
    pub(super) fn wait_until_shared(&self) -> Result<(), String> {
        let share = PARTITIONS.unsigned_abs() as usize / self.members.len();
        self.wait("the partitions to be shared", |group| {
            let assigned = group.members.iter().map(Member::assigned).collect::<Result<Vec<_>, _>>()?;
            let all: BTreeSet<&String> = assigned.iter().flatten().collect();
            Ok(all.len() == PARTITIONS.unsigned_abs() as usize
                && assigned.iter().all(|own| own.len() == share))
        })
    }

    /// Waits until the members together have received all that was sent.
    pub(super) fn wait_until_received(&self, sent: &[(i32, String)]) -> Result<(), String> {
        self.wait("records", |group| {
            let mut received = group.past.clone();
            for member in &group.members {
                received.extend(member.received()?);
            }
            Ok(sent.iter().all(|record| received.contains(record)))
        })
    }

    /// Has the youngest member leave.
    pub(super) fn leave(&mut self) -> Result<(), String> {
        let mut member = self.members.pop().ok_or("no member is left")?;
        terminate(&mut member.process)?;
        self.past.extend(member.received()?);
        Ok(())
    }

    fn wait(&self, what: &str, condition: impl Fn(&Self) -> Result<bool, String>) -> Result<(), String> {
        let end = Instant::now() + LIMIT;
        while !condition(self)? {
            if Instant::now() > end {
                let logs: Vec<String> =
                    self.members.iter().filter_map(|member| text(&member.log).ok()).collect();
                return Err(format!("timed out waiting for {what}\n{}", logs.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Member {
    fn join(context: &Context<'_>) -> Result<Self, String> {
        let start = || -> std::io::Result<Self> {
            let (out, log) = (NamedTempFile::new()?, NamedTempFile::new()?);
            let group = ["-u", "-X", "auto.offset.reset=earliest", "-f", "%p %s\n", "-G", &context.name];
            let process = context
                .kcat(&[&group[..], &[&context.name]].concat())
                .stdin(Stdio::null())
                .stdout(out.reopen()?)
                .stderr(log.reopen()?)
                .spawn()?;
            Ok(Self { process, out, log })
        };
        start().map_err(|error| format!("kcat -G: {error}"))
    }

    /// The partitions that the last rebalance gave to this member, as kcat logs them:
    /// `% Group NAME rebalanced (memberid ID): assigned: TOPIC [0], TOPIC [1]`.
    fn assigned(&self) -> Result<BTreeSet<String>, String> {
        let log = text(&self.log)?;
        let last = log.lines().rfind(|line| line.contains(" rebalanced "));
        let assigned = last.and_then(|line| line.split_once(": assigned: ")).map_or("", |(_, list)| list);
        Ok(assigned.split(", ").filter(|partition| !partition.is_empty()).map(str::to_owned).collect())
    }

    /// Partition and value of every record so far.
    fn received(&self) -> Result<BTreeSet<(i32, String)>, String> {
        let parse = |line: &str| {
            let (partition, value) = line.split_once(' ')?;
            Some((partition.parse().ok()?, value.to_owned()))
        };
        Ok(text(&self.out)?.lines().filter_map(parse).collect())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(reason) = terminate(&mut self.process) {
            eprintln!("a kcat did not end: {reason}");
        }
    }
}

fn text(file: &NamedTempFile) -> Result<String, String> {
    let mut text = String::new();
    file.reopen().and_then(|mut file| file.read_to_string(&mut text)).map_err(|error| error.to_string())?;
    Ok(text)
}
