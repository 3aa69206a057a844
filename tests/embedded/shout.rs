//! The example, as a program: what it prints, what its job does, and how it ends.

use crate::{
    PROGRAM, itself,
    process::{Guarded, Start, client, run, wait},
};
use millrace_net::client::{
    Admin, Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, producer::NewRecord,
};
use millrace_record::Scratch;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

/// The value of [`PROGRAM`] for it.
pub(crate) const EXAMPLE: &str = "embed";

struct Example {
    child: Guarded,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Example {
    /// Starts it, with its data below `temporary`.
    fn start(temporary: &Path) -> Self {
        let mut child = Command::new(itself())
            .env(PROGRAM, EXAMPLE)
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.strip_prefix("what is written to topic quiet at ");
        let address = address.and_then(|rest| rest.strip_suffix(" comes out of topic loud; Ctrl-C ends\n"));
        let address = address.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Self { child: Guarded(child), stdout, address }
    }

    /// As by Ctrl-C.
    fn end(mut self) {
        kill_process(Pid::from_child(&self.child.0), Signal::INT).unwrap();
        assert_eq!(wait(&mut self.child.0).and_then(|status| status.code()), Some(0));
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// Writes to one topic, and reads so many records of the other, from its beginning.
async fn shout(server: SocketAddr, quiet: &[&str], count: usize) -> Vec<String> {
    let cluster = Cluster::new(vec![server], ClusterOptions::default());
    let admin = Admin::new(cluster.clone(), Duration::from_secs(60));
    assert_eq!(admin.describe_topic("loud").await.unwrap().partitions.len(), 1);
    let producer = Producer::new(cluster.clone(), ProducerOptions::default()).await.unwrap();
    for text in quiet {
        let record = NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() };
        producer.send("quiet", Some(0), record).await.unwrap();
    }
    producer.flush().await.unwrap();
    let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
    consumer.assign("loud", 0, 0);
    let (mut loud, mut scratch) = (Vec::new(), Scratch::new(1 << 20));
    while loud.len() < count {
        for fetched in consumer.poll().await.unwrap() {
            let text = |record: millrace_record::RecordView<'_>| {
                loud.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            };
            fetched.for_each(&mut scratch, text).unwrap();
        }
    }
    loud
}

pub(crate) fn the_example_shouts_and_ends() {
    let temporary = tempfile::tempdir().unwrap();
    let example = Example::start(temporary.path());
    let address = example.address;
    let loud = client(move || shout(address, &["hush", "be quiet"], 2));
    assert_eq!(loud, ["HUSH", "BE QUIET"]);
    example.end();
    // The job goes on with the next start, behind what it has written.
    let example = Example::start(temporary.path());
    let address = example.address;
    let loud = client(move || shout(address, &["again"], 3));
    assert_eq!(loud, ["HUSH", "BE QUIET", "AGAIN"]);
    let (_, topics, _) = run(&["topic", "list", "--bootstrap", &address.to_string()]);
    assert!(topics.contains("quiet") && topics.contains("loud"), "{topics}");
    example.end();
    // It has left its data in order: who starts next says so.
    let server = Start::below(temporary.path()).data(&temporary.path().join("millrace-embed")).run();
    assert!(server.log().contains("\"is_clean\":true"), "{}", server.log());
}
