//! Frames that cannot be, and bytes that are no frames.

use crate::{
    peer::{API_VERSIONS, METADATA, Wire},
    scene::Scene,
};

#[test]
fn lengths_that_no_frame_has() {
    let scene = Scene::new();
    for (length, told) in [
        (i32::MAX, "a frame of 2147483647 bytes announced, 104857600 allowed"),
        (104_857_601, "a frame of 104857601 bytes announced, 104857600 allowed"),
        (0, "a frame of 0 bytes announced"),
        (3, "a frame of 3 bytes announced"),
        (-1, "a frame of -1 bytes announced"),
        (i32::MIN, "a frame of -2147483648 bytes announced"),
    ] {
        scene.shuts_out(&Wire::new().i32(length).raw(&[0; 64]).into_vec(), told);
    }
    scene.end();
}

#[test]
fn what_is_not_kafka() {
    let scene = Scene::new();
    let http = b"GET / HTTP/1.1\r\nHost: millrace\r\n\r\n";
    // A client that expects TLS: its hello, in a record of 512 bytes.
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    let ssh = b"SSH-2.0-OpenSSH_9.2\r\n";
    let noise: Vec<u8> = (0..4096u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    for bytes in [&http[..], &tls, ssh, &noise] {
        scene.shuts_out(bytes, "bytes announced");
    }
    scene.end();
}

#[test]
fn frames_that_end_too_soon() {
    let scene = Scene::new();
    let whole = Wire::new().i32(-1).request(METADATA, 1);
    for kept in [1, 4, 5, whole.len() - 1] {
        let mut peer = scene.peer();
        peer.send(&whole[..kept]);
        peer.end();
        scene.is_shut_out(peer, "the peer closed within a request");
    }
    // A frame of 100 MiB is allowed. Whoever announces it and leaves has cost nothing.
    let mut peer = scene.peer();
    peer.send(&Wire::new().i32(100 << 20).raw(&[0; 1000]).into_vec());
    peer.end();
    scene.is_shut_out(peer, "the peer closed within a request");
    scene.end();
}

#[test]
fn headers_that_are_too_short() {
    let scene = Scene::new();
    for header in [
        Wire::new().i16(METADATA).i16(1),
        Wire::new().i16(METADATA).i16(1).i32(7),
        // A client id that is longer than the frame, and one of a length that no string has.
        Wire::new().i16(METADATA).i16(1).i32(7).i16(1000).raw(b"short"),
        Wire::new().i16(METADATA).i16(1).i32(7).i16(-2),
    ] {
        scene.shuts_out(&header.frame(), "no request header");
    }
    scene.end();
}

#[test]
fn apis_and_versions_that_are_not_served() {
    let scene = Scene::new();
    for (api, version, told) in [
        (999, 0, "API 999 (version 0) is not served"),
        (-7, 3, "API -7 (version 3) is not served"),
        (METADATA, 99, "Metadata version 99 is not served, only 0-13"),
        (METADATA, -1, "Metadata version -1 is not served, only 0-13"),
    ] {
        scene.shuts_out(&Wire::new().raw(&[0; 32]).request(api, version), told);
    }
    let warnings = scene.warnings().len();
    // So that a client of the future finds out what there is: UNSUPPORTED_VERSION, and the versions of ApiVersions.
    let mut peer = scene.peer();
    let answer = peer.ask(&Wire::new().raw(&[0xff; 32]).request(API_VERSIONS, 77));
    assert_eq!(answer, Wire::new().i16(35).i32(1).i16(API_VERSIONS).i16(0).i16(4).into_vec());
    // The connection goes on.
    assert_eq!(peer.ask(&Wire::new().request(API_VERSIONS, 0))[..2], [0, 0]);
    assert_eq!(scene.warnings().len(), warnings);
    scene.end();
}
