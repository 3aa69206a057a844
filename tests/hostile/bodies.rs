//! Requests whose bodies are not what their header says: counts and lengths above all.

use crate::{
    peer::{CREATE_TOPICS, FETCH, JOIN_GROUP, METADATA, OFFSET_COMMIT, PRODUCE, Wire},
    scene::Scene,
};

/// Far more than a frame of a few bytes holds, of anything.
const MANY: i32 = 20_000_000;

#[test]
fn counts_that_the_frame_cannot_hold() {
    let scene = Scene::new();
    for request in [
        Wire::new().i32(MANY).request(METADATA, 1),
        Wire::new().i32(i32::MAX).request(METADATA, 1),
        Wire::new().varint(MANY as u32).flexible_request(METADATA, 9),
        Wire::new().varint(u32::MAX).flexible_request(METADATA, 9),
        // Topics, and partitions of a topic.
        Wire::new().i16(-1).i16(-1).i32(1000).i32(MANY).request(PRODUCE, 3),
        Wire::new().i16(-1).i16(-1).i32(1000).i32(1).string("t").i32(MANY).request(PRODUCE, 3),
        Wire::new().i32(-1).i32(0).i32(0).i32(0).i8(0).i32(MANY).request(FETCH, 4),
        Wire::new().i32(MANY).request(CREATE_TOPICS, 2),
        // Protocols of a member.
        Wire::new().string("g").i32(10_000).string("").string("consumer").i32(MANY).request(JOIN_GROUP, 0),
    ] {
        scene.shuts_out(&request, "version");
    }
    scene.end();
}

#[test]
fn tagged_fields_without_end() {
    let scene = Scene::new();
    // A header with 20 million tagged fields, of which a few bytes are there.
    let header = Wire::new().i16(METADATA).i16(9).i32(7).string("hostile").varint(MANY as u32);
    scene.shuts_out(&header.raw(&[0; 64]).frame(), "no request header");
    // And a frame that holds a million empty ones: numbers must rise, so that nobody is kept busy with them.
    let body = Wire::new().varint(1).i8(0).i8(0).varint(1_000_000).raw(&vec![0; 2_000_000]);
    scene.shuts_out(&body.flexible_request(METADATA, 9), "Metadata version 9");
    // One of two billion bytes.
    let body = Wire::new().varint(1).i8(0).i8(0).varint(1).varint(5).varint(i32::MAX as u32);
    scene.shuts_out(&body.flexible_request(METADATA, 9), "Metadata version 9");
    scene.end();
}

#[test]
fn nulls_where_there_must_be_something() {
    let scene = Scene::new();
    for request in [
        // Names of topics.
        Wire::new().i32(1).i16(-1).request(METADATA, 1),
        Wire::new().i16(-1).i16(-1).i32(1000).i32(1).i16(-1).i32(0).request(PRODUCE, 3),
        Wire::new().i32(1).i16(-1).raw(&[0; 32]).request(CREATE_TOPICS, 2),
        Wire::new().i32(-1).i32(0).i32(0).i32(0).i8(0).i32(1).i16(-1).request(FETCH, 4),
        // A group's name, and a list of topics.
        Wire::new().i16(-1).i32(-1).string("").i64(-1).i32(0).request(OFFSET_COMMIT, 2),
        Wire::new().i32(-1).i32(0).i8(0).request(CREATE_TOPICS, 2),
    ] {
        scene.shuts_out(&request, "version");
    }
    scene.end();
}

#[test]
fn lengths_below_nothing() {
    let scene = Scene::new();
    for request in [
        Wire::new().i32(-7).request(METADATA, 1),
        Wire::new().i32(1).i16(-2).request(METADATA, 1),
        Wire::new().i32(1).i16(i16::MIN).request(METADATA, 1),
        Wire::new().i16(-1).i16(-1).i32(1000).i32(1).string("t").i32(1).i32(0).i32(-9).request(PRODUCE, 3),
    ] {
        scene.shuts_out(&request, "version");
    }
    scene.end();
}
