//! `millrace serve`: its start, its refusals and its end.

use crate::process::{Start, client, run};
use millrace_net::{
    client::{Cluster, ClusterOptions},
    kafka::find_coordinator::FindCoordinatorRequest,
};
use millrace_runtime::Instant;
use std::{net::SocketAddr, os::unix::net::UnixDatagram, time::Duration};

#[test]
fn it_stops_cleanly_when_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).shards(2).run();
    assert_eq!(server.stop().code(), Some(0));
    let server = Start::below(directory.path()).run();
    assert!(server.log().contains("\"is_clean\":true"), "{}", server.log());
}

/// So many shards take a while to start.
#[test]
fn it_can_be_told_to_stop_while_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let starting = Start::below(directory.path()).shards(24).spawn();
    assert_eq!(starting.stop_at("recovered").code(), Some(0));
    assert_eq!(Start::below(directory.path()).run().stop().code(), Some(0));
}

#[test]
fn a_public_address_without_authentication_is_refused_unless_the_configuration_says_so() {
    for flag in ["--listen", "--admin-listen"] {
        let (code, _, stderr) = run(&["serve", flag, "0.0.0.0:0"]);
        assert_eq!(code, 78, "{stderr}");
        assert!(stderr.contains("server.allow_public_without_authentication = true"), "{stderr}");
    }
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path())
        .listen(([0, 0, 0, 0], 0).into())
        .set("server.allow_public_without_authentication", "true")
        .run();
    assert!(server.address.ip().is_unspecified());
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Start::below(directory.path()).run();
    let data = directory.path().join("data");
    let (code, _, stderr) =
        run(&["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(code, 65, "{stderr}");
}

#[test]
fn an_address_in_use_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let first = Start::below(directory.path()).run();
    let listen = first.address.to_string();
    let data = other.path().to_str().unwrap();
    let (code, _, stderr) = run(&["serve", "--listen", &listen, "--shards", "1", "--data-dir", data]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("cannot listen on {listen}")), "{stderr}");
}

#[test]
fn a_service_manager_hears_of_the_start_and_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut message = [0; 256];
        let len = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..len].to_vec()).unwrap()
    };
    let server = Start::below(directory.path()).variable("NOTIFY_SOCKET", path.to_str().unwrap()).run();
    assert_eq!(hear(), format!("READY=1\nSTATUS=listening on {}\n", server.address));
    assert_eq!(server.stop().code(), Some(0));
    assert!(hear().starts_with("STOPPING=1\n"));
}

/// The broker that a client is told of which connects to `address`, by Metadata and by FindCoordinator.
fn told_at(address: SocketAddr) -> [(String, i32); 2] {
    client(move || async move {
        let cluster = Cluster::new(vec![address], ClusterOptions::default());
        let metadata = cluster.metadata(None, false).await.unwrap();
        assert_eq!(metadata.brokers.len(), 1);
        let asked = FindCoordinatorRequest {
            key: "group".to_owned(),
            coordinator_keys: vec!["group".to_owned()],
            ..FindCoordinatorRequest::default()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let coordinator = cluster.call_any(deadline, &asked).await.unwrap().coordinators.remove(0);
        let broker = &metadata.brokers[0];
        [(broker.host.clone(), broker.port), (coordinator.host, coordinator.port)]
    })
}

#[test]
fn clients_are_told_to_come_back_to_the_advertised_address() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).flag("--advertise", "broker.example:19092").run();
    assert_eq!(
        told_at(server.address),
        [("broker.example".to_owned(), 19092), ("broker.example".to_owned(), 19092)]
    );
    let (code, _, stderr) = run(&["serve", "--advertise", "broker.example"]);
    assert_eq!(code, 78);
    assert!(stderr.contains("--advertise") && stderr.contains("no port"), "{stderr}");
}

/// A server that listens on several addresses has no other way to name the one that its client can reach.
#[test]
fn by_default_clients_are_told_the_address_that_they_have_reached() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path())
        .shards(2)
        .listen(([0, 0, 0, 0], 0).into())
        .set("server.allow_public_without_authentication", "true")
        .run();
    let port = server.address.port();
    for host in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let reached = SocketAddr::from((host, port));
        let told = (reached.ip().to_string(), i32::from(port));
        assert_eq!(told_at(reached), [told.clone(), told]);
    }
}

/// The shards of a server share its port. A second server must not, or clients would find now the one and now the other.
#[test]
fn two_servers_do_not_share_a_port() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Start::below(one.path()).shards(2).run();
    for shards in ["1", "2"] {
        let data = other.path().join(shards);
        let (listen, data) = (first.address.to_string(), data.to_str().unwrap());
        let (code, _, stderr) = run(&[
            "serve",
            "--listen",
            &listen,
            "--admin-listen",
            "127.0.0.1:0",
            "--shards",
            shards,
            "--data-dir",
            data,
        ]);
        assert_ne!(code, 0);
        assert!(stderr.contains("in use"), "{shards} shards: {stderr}");
    }
    assert_eq!(first.command(&["topic", "list"]).0, 0);
}
