//! Peers that take their time, to hold what others need.

use crate::{
    peer::{API_VERSIONS, METADATA, Wire},
    scene::Scene,
};
use std::{thread::sleep, time::Duration};

#[test]
fn a_request_byte_by_byte_is_a_request() {
    let scene = Scene::new();
    let mut peer = scene.peer();
    for byte in Wire::new().request(API_VERSIONS, 0) {
        peer.send(&[byte]);
        sleep(Duration::from_millis(2));
    }
    assert_eq!(peer.answer()[..2], [0, 0]);
    scene.undisturbed();
    assert_eq!(scene.warnings(), Vec::<String>::new());
    scene.end();
}

#[test]
fn many_that_begin_requests_and_do_not_go_on() {
    let scene = Scene::new();
    let mut peers: Vec<_> = (0..200).map(|_| scene.peer()).collect();
    let request = Wire::new().i32(-1).request(METADATA, 1);
    for (index, peer) in peers.iter_mut().enumerate() {
        peer.send(&request[..1 + index % (request.len() - 1)]);
    }
    scene.undisturbed();
    scene.end();
}

/// Frames of 100 MiB are allowed. A few peers that announce them, and send next to nothing, must not use up what there is
/// for the requests of all.
#[test]
fn a_few_that_announce_large_requests() {
    let scene = Scene::new();
    let mut peers: Vec<_> = (0..20).map(|_| scene.peer()).collect();
    for peer in &mut peers {
        peer.send(&Wire::new().i32(100 << 20).raw(&[0; 10_000]).into_vec());
    }
    scene.undisturbed();
    // New connections are served too.
    let mut other = scene.peer();
    assert_eq!(other.ask(&Wire::new().request(API_VERSIONS, 0))[..2], [0, 0]);
    // And requests that are large themselves.
    scene.undisturbed();
    scene.end();
}

/// Asks, and never reads the answers.
#[test]
fn one_that_does_not_listen() {
    let scene = Scene::new();
    let mut deaf = scene.peer();
    let request = Wire::new().request(API_VERSIONS, 0);
    let many = request.repeat(2000);
    deaf.send(&many);
    scene.undisturbed();
    scene.end();
}
