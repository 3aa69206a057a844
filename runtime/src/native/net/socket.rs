//! Sockets and addresses, as the kernel wants them.

use crate::{ListenOptions, PortSharing, native::fd::Fd};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, getpeername, getsockname, ipproto, listen,
    socket_with, sockopt,
};
use std::{
    io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::AsFd,
    ptr,
    rc::Rc,
};

/// An address in the kernel's form, at a place that does not move.
#[derive(Debug)]
pub(crate) enum Address {
    V4(Box<libc::sockaddr_in>),
    V6(Box<libc::sockaddr_in6>),
}

impl Address {
    pub(super) fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(Box::new(v4(address))),
            SocketAddr::V6(address) => Self::V6(Box::new(v6(address))),
        }
    }

    /// Where it lies, and its length in bytes.
    pub(super) fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::V4(address) => (ptr::from_ref(&**address).cast(), size_of::<libc::sockaddr_in>() as u32),
            Self::V6(address) => (ptr::from_ref(&**address).cast(), size_of::<libc::sockaddr_in6>() as u32),
        }
    }
}

fn v4(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
        sin6_scope_id: address.scope_id(),
    }
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn tcp(address: SocketAddr) -> io::Result<Rc<Fd>> {
    let socket = socket_with(family(address), SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    Ok(Fd::socket(socket))
}

/// A listening socket.
pub(super) fn listening(address: SocketAddr, options: ListenOptions) -> io::Result<Rc<Fd>> {
    let socket = tcp(address)?;
    // A restarted server takes its port back although connections of its former self linger in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&*socket, true)?;
    if options.sharing == PortSharing::Joins {
        sockopt::set_socket_reuseport(&*socket, true)?;
    }
    bind(&*socket, &address)?;
    if options.sharing == PortSharing::First {
        // Only now: with it, the binding would have joined those of another process.
        sockopt::set_socket_reuseport(&*socket, true)?;
    }
    listen(&*socket, i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// A socket that is to connect to `address`.
pub(super) fn connecting(address: SocketAddr) -> io::Result<Rc<Fd>> {
    tcp(address)
}

/// Small responses leave at once.
pub(super) fn set_no_delay(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, true)?)
}

/// The socket's own address.
pub(super) fn local(socket: impl AsFd) -> io::Result<SocketAddr> {
    ip(getsockname(socket)?)
}

/// The peer's address.
pub(super) fn peer(socket: impl AsFd) -> io::Result<SocketAddr> {
    ip(getpeername(socket)?.ok_or(io::ErrorKind::NotConnected)?)
}

fn ip(address: SocketAddrAny) -> io::Result<SocketAddr> {
    SocketAddr::try_from(address).map_err(io::Error::from)
}
