//! A peer that sends whatever bytes it likes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// How long the server may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(30);

/// The correlation id of every request.
pub(crate) const CORRELATION: i32 = 0x0bad_cafe;

pub(crate) struct Peer(TcpStream);

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Sends. The server may have closed already, and not read all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.0.write_all(bytes) {
            assert!(is_closed(error.kind()), "{error}");
        }
    }

    /// Says that nothing more will come.
    pub(crate) fn end(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// What the server sends until it closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        match self.0.read_to_end(&mut received) {
            Ok(_) => received,
            // It closed before it had read everything.
            Err(error) if is_closed(error.kind()) => received,
            Err(error) => panic!("neither an answer nor a close: {error}"),
        }
    }

    /// The answer to the request sent last, behind its length and correlation id.
    pub(crate) fn answer(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..4], CORRELATION.to_be_bytes());
        answer.split_off(4)
    }

    /// Sends a request and gives what is answered.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.send(request);
        self.answer()
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Bytes in Kafka's encoding, written by hand so that they can be wrong.
#[derive(Clone, Default)]
pub(crate) struct Wire(Vec<u8>);

impl Wire {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn i8(self, number: i8) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub(crate) fn i16(self, number: i16) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub(crate) fn i32(self, number: i32) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub(crate) fn i64(self, number: i64) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// An unsigned number of variable length, as flexible versions count with.
    pub(crate) fn varint(mut self, mut number: u32) -> Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    pub(crate) fn string(self, text: &str) -> Self {
        self.i16(text.len() as i16).raw(text.as_bytes())
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.i32(bytes.len() as i32).raw(bytes)
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// A request with this body and a header that is not flexible.
    pub(crate) fn request(self, api: i16, version: i16) -> Vec<u8> {
        Self::new().i16(api).i16(version).i32(CORRELATION).string("hostile").raw(&self.0).frame()
    }

    /// A request with this body and a flexible header.
    pub(crate) fn flexible_request(self, api: i16, version: i16) -> Vec<u8> {
        let header = Self::new().i16(api).i16(version).i32(CORRELATION).string("hostile").varint(0);
        header.raw(&self.0).frame()
    }

    /// These bytes behind their length.
    pub(crate) fn frame(self) -> Vec<u8> {
        Self::new().bytes(&self.0).0
    }
}

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const OFFSET_COMMIT: i16 = 8;
pub(crate) const JOIN_GROUP: i16 = 11;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const CREATE_TOPICS: i16 = 19;
