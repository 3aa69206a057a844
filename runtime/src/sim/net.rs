use crate::ListenOptions;
use bytes::{Bytes, BytesMut};
use std::{io, net::SocketAddr};
#[derive(Debug)]
pub(crate) struct Listener;
impl Listener {
    pub(crate) async fn bind(
        _shard: &super::ShardContext,
        _address: SocketAddr,
        _options: ListenOptions,
    ) -> io::Result<Self> {
        todo!()
    }
    pub(crate) fn local_addr(&self) -> SocketAddr {
        todo!()
    }
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        todo!()
    }
}
#[derive(Clone, Debug)]
pub(crate) struct Stream;
impl Stream {
    pub(crate) async fn connect(_shard: &super::ShardContext, _address: SocketAddr) -> io::Result<Self> {
        todo!()
    }
    pub(crate) fn local_addr(&self) -> SocketAddr {
        todo!()
    }
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        todo!()
    }
    pub(crate) async fn recv(&self) -> io::Result<Bytes> {
        todo!()
    }
    pub(crate) async fn recv_exact(&self, _buffer: BytesMut) -> io::Result<BytesMut> {
        todo!()
    }
    pub(crate) async fn send(&self, _slices: Vec<Bytes>) -> io::Result<()> {
        todo!()
    }
    pub(crate) fn shutdown(&self) {
        todo!()
    }
}
pub(crate) enum NetEvent {}
#[derive(Default)]
pub(crate) struct Network;
impl Network {
    pub(crate) fn handle(_kernel: &std::rc::Rc<super::kernel::Kernel>, _event: NetEvent) {}
    pub(crate) fn node_killed(
        _kernel: &std::rc::Rc<super::kernel::Kernel>,
        _node: u16,
        _crash: super::disk::Crash,
    ) {
    }
}
