//! Telling the service manager, if one started the server and asked for it: the protocol of sd_notify(3).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Clients can connect.
pub(super) fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}\n"));
}

/// The server was told to stop.
pub(super) fn stopping() {
    tell("STOPPING=1\nSTATUS=finishing what was asked\n");
}

/// A manager that does not hear gives up by itself: the server goes on.
fn tell(state: &str) {
    if let Err(error) = send(state) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}

fn send(state: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os(SOCKET) else { return Ok(()) };
    let address = match name.as_bytes() {
        // How the abstract namespace is written.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
