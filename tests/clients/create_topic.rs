//! Creates a topic over a bare socket: kcat has no administration, and a group needs more than one partition.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// CreateTopics, at the lowest version that Kafka 4 serves; its layout has no compact types.
const API_KEY: i16 = 19;
const API_VERSION: i16 = 2;
const CORRELATION_ID: i32 = 7;

/// Creates a topic of one replica, with the broker's settings.
pub(crate) fn create_topic(bootstrap: &str, name: &str, partitions: i32) -> Result<(), String> {
    let answer =
        exchange(bootstrap, &request(name, partitions)).map_err(|error| format!("CreateTopics: {error}"))?;
    // Correlation id, throttle time, count of topics, name, error code, message.
    let error = answer.get(4 + 4 + 4 + 2 + name.len()..).and_then(|rest| rest.first_chunk());
    match error.copied().map(i16::from_be_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(format!("CreateTopics {name}: error {code}")),
        None => Err(format!("CreateTopics {name}: an answer of {} bytes", answer.len())),
    }
}

fn request(name: &str, partitions: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(API_KEY.to_be_bytes());
    body.extend(API_VERSION.to_be_bytes());
    body.extend(CORRELATION_ID.to_be_bytes());
    string(&mut body, "millrace-tests");
    body.extend(1_i32.to_be_bytes());
    string(&mut body, name);
    body.extend(partitions.to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    // No assignments, no settings, a limit of ten seconds, and not a mere trial.
    body.extend(0_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(10_000_i32.to_be_bytes());
    body.push(0);
    body
}

fn string(body: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("names in this suite are short");
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

fn exchange(bootstrap: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(bootstrap)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = i32::try_from(request.len()).expect("the request is short");
    socket.write_all(&[&length.to_be_bytes()[..], request].concat())?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut answer = Vec::new();
    socket.take(u64::from(u32::from_be_bytes(length))).read_to_end(&mut answer)?;
    Ok(answer)
}
