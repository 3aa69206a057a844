//! Entry points for fuzz targets: any bytes in, no panic, bounded memory. What can be read is written at the same
//! version and read again, to the same; anything else is a defect, and a panic.

#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
pub(crate) mod seeds;

use crate::{
    frame::{FrameSplitter, Split, UNAUTHENTICATED_FRAME_MAX},
    kafka::{
        ApiKey, Response,
        consumer_offsets::{GroupValue, Key, OffsetValue},
        parse_request,
    },
    wire::{Reader, Writer},
};
use bytes::Bytes;

/// Parses a request's frame.
pub fn request(frame: &[u8]) {
    let Ok(request) = parse_request(&Bytes::copy_from_slice(frame)) else { return };
    let version = request.header.version;
    let again = written(|writer| {
        request.header.encode(writer);
        request.body.encode(writer, version);
    });
    assert_eq!(parse_request(&again).as_ref(), Ok(&request));
}

/// Reads a response's body. The first two bytes choose the API, the next two the version.
pub fn response(bytes: &[u8]) {
    let Some((&[a, b, c, d], body)) = bytes.split_first_chunk() else { return };
    let Some(api) = ApiKey::from_code(i16::from_be_bytes([a, b])) else { return };
    let version = i16::from_be_bytes([c, d]);
    if !api.serves(version) {
        return;
    }
    let read = |body: &Bytes| Response::decode(&mut Reader::new(body), api, version);
    let Ok(response) = read(&Bytes::copy_from_slice(body)) else { return };
    assert_eq!(read(&written(|writer| response.encode(writer, version))), Ok(response));
}

fn written(write: impl FnOnce(&mut Writer)) -> Bytes {
    let pieces = Writer::new().frame(write).expect("what was read at a version can be written at it");
    Bytes::from(pieces.concat()).slice(4..)
}

/// Cuts a stream into frames. Every chunk is as long as a byte of the stream before it says.
pub fn frames(stream: &[u8]) {
    let mut splitter = FrameSplitter::new(UNAUTHENTICATED_FRAME_MAX);
    let mut rest = stream;
    while let Some((&len, tail)) = rest.split_first() {
        let (mut chunk, tail) = tail.split_at(tail.len().min(len.into()));
        rest = tail;
        while !chunk.is_empty() {
            match splitter.next(&mut chunk) {
                Ok(Some(Split::Frame(frame))) => request(&frame),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// The keys and values of `__consumer_offsets`, which any client may write.
pub fn consumer_offsets(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let short = "what was read can be written";
    if let Ok(key) = Key::decode(&bytes) {
        assert_eq!(Key::decode(&key.encode().expect(short)), Ok(key));
    }
    if let Ok(mut value) = OffsetValue::from_bytes(&bytes) {
        // Only an older version has it.
        value.expire_timestamp = -1;
        assert_eq!(OffsetValue::from_bytes(&value.to_bytes().expect(short)), Ok(value));
    }
    if let Ok(value) = GroupValue::from_bytes(&bytes) {
        assert_eq!(GroupValue::from_bytes(&value.to_bytes().expect(short)), Ok(value));
    }
}
