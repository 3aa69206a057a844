//! A program that has a whole Millrace in it: `cargo run --release --example embed`, then Kafka clients on the port it prints.
use millrace::{config::Config, embed::Server, prelude::*};
use std::error::Error;
use tokio::signal::unix::{SignalKind, signal};

fn shout(job: &mut JobBuilder) {
    job.source("quiet")
        .parse(|record| Some(String::from_utf8_lossy(record.value?).to_uppercase()))
        .to_topic("loud", |text, record| record.value().extend_from_slice(text.as_bytes()));
}

/// The program. It is public for the test that runs it: yours need not be.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let (mut config, mut jobs) = (Config::default(), Registry::new());
    config.server.data_dirs = vec![std::env::temp_dir().join("millrace-embed")];
    // Port 0: whichever is free.
    config.server.listen.set_port(0);
    config.server.admin_listen.set_port(0);
    jobs.add("shout", shout);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(config, jobs).await?;
    if server.jobs(std::time::Duration::ZERO).await?.is_empty() {
        server.run_job("shout", []).await?;
    }
    println!("what is written to topic quiet at {} comes out of topic loud; Ctrl-C ends", server.address());
    interrupt.recv().await;
    Ok(server.stop().await?)
}
