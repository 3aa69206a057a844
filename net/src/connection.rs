//! A connection that serves: frames in, requests to a [`Handler`], responses out in the order of the requests.
//!
//! One task does all of it. Several requests are in flight at a time, bounded by number and by bytes; their handlers
//! start in the order of the requests and finish as they like. A peer that breaks the protocol is told off by one
//! error for the log, and costs nobody else anything.

mod memory;
mod pipeline;
#[cfg(test)]
mod tests;
mod watch;

use crate::{
    budget::{Budget, Charge},
    frame::{FRAME_MAX_DEFAULT, FrameError, FrameSplitter, LargeFrame, Split, UNAUTHENTICATED_FRAME_MAX},
    kafka::{Request, RequestError, Response, encode_response, parse_request},
    signal::{Flag, Waiters, unless},
    wire::{EncodeError, Writer},
};
use bytes::Bytes;
pub(crate) use memory::Memory;
use memory::{Charges, PIECE_MIN};
use millrace_runtime::{Stream, sleep};
use pipeline::{Finished, Pipeline};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};
pub use watch::Traffic;
pub(crate) use watch::{Receiving, Watch};

/// Requests in flight per connection unless the options say otherwise. Kafka's own broker takes one at a time; clients
/// that pipeline send about five.
pub const IN_FLIGHT_MAX_DEFAULT: usize = 32;

/// Bytes of records that wait for one peer unless the options say otherwise: what the largest Fetch brings.
pub const UNSENT_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// A large frame is received, and a long response sent, in steps of this many bytes, so that progress shows.
const STEP: usize = 1 << 20;

/// Bounds of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// The longest request, in bytes.
    pub frame_bytes_max: usize,
    /// Whether requests are held to [`UNAUTHENTICATED_FRAME_MAX`] until [`Peer::authenticate`].
    pub authentication: bool,
    /// Requests in flight: received, and not yet answered down to the last byte.
    pub in_flight_max: usize,
    /// Bytes of requests in flight. One request of any size is let in alone.
    pub in_flight_bytes_max: usize,
    /// Bytes of records in responses that are being made or wait to be taken. A Fetch counts with all that it admits until
    /// it is answered, and with what it brings from then on; one of any size is let in alone.
    pub unsent_bytes_max: usize,
    /// How long a peer may ask for nothing.
    pub idle_timeout: Duration,
    /// How long a peer may neither send the rest of a request nor take the rest of a response.
    pub stall_timeout: Duration,
    /// How long requests in flight may take once nothing more is received: the peer has closed its side, broken the
    /// protocol, or the listener drains. Their handlers are dropped then.
    pub drain_timeout: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_MAX_DEFAULT,
            authentication: false,
            in_flight_max: IN_FLIGHT_MAX_DEFAULT,
            in_flight_bytes_max: FRAME_MAX_DEFAULT,
            unsent_bytes_max: UNSENT_BYTES_MAX_DEFAULT,
            idle_timeout: Duration::from_secs(600),
            stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// The two ends of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The address that the peer reached us at.
    pub local: SocketAddr,
    /// The peer's own address.
    pub remote: SocketAddr,
    authenticated: Cell<bool>,
}

impl Peer {
    pub(crate) fn of(stream: &Stream) -> Self {
        Self { local: stream.local_addr(), remote: stream.peer_addr(), authenticated: Cell::new(false) }
    }

    /// Lets the peer send requests of full length from the next one on.
    pub fn authenticate(&self) {
        self.authenticated.set(true);
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// It is answered.
    Response(Response),
    /// It is answered, out of memory that is given back when its peer has taken the answer.
    Charged(Response, Charge),
    /// It wants no answer: a Produce with acks = 0.
    Nothing,
    /// It wants no answer, and its peer is to know all the same that it failed: the connection is closed when its turn
    /// has come, as Kafka does.
    Close,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<Option<Response>> for Answer {
    fn from(response: Option<Response>) -> Self {
        response.map_or(Self::Nothing, Self::Response)
    }
}

/// What answers a connection's requests.
pub trait Handler {
    /// Answers a request.
    ///
    /// Called in the order of the requests. The futures are polled together, each for the first time in the order of
    /// the requests, so that what a handler does before it first waits happens in that order. A future may be dropped
    /// before it is ready, when [`ConnectionOptions::drain_timeout`] has passed.
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + 'static;
}

impl<F, R> Handler for F
where
    F: Fn(Request) -> R,
    R: Future<Output: Into<Answer>> + 'static,
{
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + 'static {
        let work = self(request);
        async move { work.await.into() }
    }
}

/// Why a connection ended other than by its peer closing it between requests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Receiving failed.
    #[error("receiving: {0}")]
    Receive(#[source] io::Error),
    /// Sending failed.
    #[error("sending: {0}")]
    Send(#[source] io::Error),
    /// The peer closed its side within a request.
    #[error("the peer closed within a request")]
    EndedWithinRequest,
    /// A frame that cannot be.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A request that cannot be served.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A response that Kafka's encoding cannot express.
    #[error("encoding a response: {0}")]
    Response(#[from] EncodeError),
    /// A request that wants no answer failed: closing is the only way to tell.
    #[error("closed, to tell of a request without an answer that failed")]
    Refused,
    /// The peer asked for nothing for too long.
    #[error("idle")]
    Idle,
    /// The peer did not send the rest of a request.
    #[error("the rest of a request did not come")]
    StalledRequest,
    /// The peer did not take the rest of a response.
    #[error("the rest of a response was not taken")]
    StalledResponse,
    /// Handlers did not finish in time, and were dropped.
    #[error("{in_flight} requests were not answered in time")]
    DrainTimeout {
        /// How many.
        in_flight: usize,
    },
}

impl ConnectionError {
    /// Whether an operator should hear of it: the peer broke the protocol or stopped in the middle, or the server
    /// failed. A network that breaks and a peer that has nothing to ask are everyday.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        !matches!(self, Self::Receive(_) | Self::Send(_) | Self::Idle | Self::Refused)
    }
}

/// How others reach into a connection while it is served.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Nothing more is received.
    stop: Flag,
    /// Nothing more is sent.
    broken: Flag,
    /// Why.
    cause: RefCell<Option<ConnectionError>>,
    /// What can be seen from outside.
    pub(crate) watch: Watch,
}

impl Control {
    /// Finishes what is in flight, then closes.
    pub(crate) fn drain(&self) {
        self.stop.raise();
    }

    /// Finishes what is in flight without answers, then closes with `cause`.
    pub(crate) fn give_up(&self, cause: ConnectionError) {
        self.cause.borrow_mut().get_or_insert(cause);
        self.broken.raise();
        self.stop.raise();
    }
}

/// Serves `stream` until its peer closes it, something goes wrong, or `control` says so.
pub(crate) async fn serve<H: Handler>(
    stream: &Stream,
    peer: &Peer,
    handler: &H,
    control: &Control,
    options: &ConnectionOptions,
    memory: &Memory,
    traffic: &Cell<Traffic>,
) -> Result<(), ConnectionError> {
    let pipeline = RefCell::new(Pipeline::new(|request| handler.handle(request)));
    let connection = Connection {
        stream,
        peer,
        control,
        options,
        memory,
        traffic,
        own_memory: Budget::new(options.in_flight_bytes_max),
        unsent: Budget::new(options.unsent_bytes_max),
        pipeline: &pipeline,
        less_in_flight: Waiters::default(),
        received_all: Cell::new(false),
        told_of_trailing_bytes: Cell::new(false),
    };
    let mut receive = pin!(connection.receive());
    let mut send = pin!(connection.send());
    let mut received = None;
    let mut deadline = None;
    let sent = poll_fn(|cx| {
        if received.is_none()
            && let Poll::Ready(outcome) = receive.as_mut().poll(cx)
        {
            received = Some(outcome);
            connection.received_all.set(true);
            deadline = Some(Box::pin(sleep(options.drain_timeout)));
        }
        pipeline.borrow_mut().poll(cx);
        if let Poll::Ready(outcome) = send.as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        match &mut deadline {
            Some(deadline) => deadline
                .as_mut()
                .poll(cx)
                .map(|()| Err(ConnectionError::DrainTimeout { in_flight: control.watch.in_flight.get() })),
            None => Poll::Pending,
        }
    })
    .await;
    let cause = control.cause.take();
    cause.map_or(Ok(()), Err).and(received.unwrap_or(Ok(()))).and(sent)
}

/// What a request in flight holds: its own bytes, and what its response may bring.
struct Held {
    _request: Charges,
    response: Charge,
}

impl pipeline::Held for Held {
    fn answered(&mut self, answer: &Answer) {
        let len = match answer {
            Answer::Response(response) | Answer::Charged(response, _) => response.records_len(),
            Answer::Nothing | Answer::Close => 0,
        };
        self.response.shrink_to(len);
    }
}

/// What one chunk brought.
enum Arrived {
    Frame(Bytes),
    /// Whole, or cut off at the chunk's end; with what it is charged to begin with, if that could be had at once.
    Large(LargeFrame, Option<Charges>),
}

struct Connection<'a, P> {
    stream: &'a Stream,
    peer: &'a Peer,
    control: &'a Control,
    options: &'a ConnectionOptions,
    memory: &'a Memory,
    traffic: &'a Cell<Traffic>,
    own_memory: Budget,
    unsent: Budget,
    pipeline: &'a RefCell<P>,
    /// For those who wait until less is in flight.
    less_in_flight: Waiters,
    received_all: Cell<bool>,
    told_of_trailing_bytes: Cell<bool>,
}

impl<C, F> Connection<'_, Pipeline<C, F, Held>>
where
    C: Fn(Request) -> F,
    F: Future<Output = Answer>,
{
    fn frame_max(&self) -> usize {
        if self.options.authentication && !self.peer.authenticated.get() {
            self.options.frame_bytes_max.min(UNAUTHENTICATED_FRAME_MAX)
        } else {
            self.options.frame_bytes_max
        }
    }

    async fn receive(&self) -> Result<(), ConnectionError> {
        let watch = &self.control.watch;
        let mut splitter = FrameSplitter::new(self.frame_max());
        let mut arrived = Vec::new();
        loop {
            let within = splitter.is_within_frame();
            watch.receiving.set(if within { Receiving::Rest } else { Receiving::Nothing });
            let Some(chunk) = unless(&self.control.stop, self.stream.recv()).await else { return Ok(()) };
            let chunk = chunk.map_err(ConnectionError::Receive)?;
            if chunk.is_empty() {
                return if within { Err(ConnectionError::EndedWithinRequest) } else { Ok(()) };
            }
            self.note_received(chunk.len());
            let split = self.split(&mut splitter, &chunk, &mut arrived);
            // The chunk is on loan from the shard's few: it goes back before anything is waited for.
            drop(chunk);
            watch.receiving.set(Receiving::Room);
            let admitted = unless(&self.control.stop, async {
                for arrived in arrived.drain(..) {
                    self.admit(arrived).await?;
                }
                Ok::<_, ConnectionError>(())
            });
            match admitted.await {
                Some(admitted) => admitted?,
                None => return Ok(()),
            }
            split?;
            splitter.set_frame_max(self.frame_max());
        }
    }

    /// Cuts a chunk into frames.
    fn split(
        &self,
        splitter: &mut FrameSplitter,
        mut chunk: &[u8],
        arrived: &mut Vec<Arrived>,
    ) -> Result<(), FrameError> {
        while !chunk.is_empty() {
            match splitter.next(&mut chunk)? {
                Some(Split::Frame(frame)) => arrived.push(Arrived::Frame(frame)),
                Some(Split::Large(len)) => {
                    let mut frame = LargeFrame::new(len);
                    // Not ahead of requests that are still to be charged for: they would wait for this one's bytes,
                    // and this one for its turn.
                    let next = arrived.is_empty() && self.room().is_some();
                    let charges =
                        if next { self.memory.try_begin_large(&self.own_memory, len) } else { None };
                    if charges.is_some() {
                        frame.reserve();
                    }
                    frame.fill(&mut chunk);
                    arrived.push(Arrived::Large(frame, charges));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn note_received(&self, len: usize) {
        let received = &self.control.watch.received;
        received.set(received.get() + 1);
        self.count(|traffic| traffic.received_bytes += len as u64);
    }

    fn count(&self, change: impl FnOnce(&mut Traffic)) {
        let mut traffic = self.traffic.get();
        change(&mut traffic);
        self.traffic.set(traffic);
    }

    /// Whether one more request may be in flight.
    fn room(&self) -> Option<()> {
        (self.control.watch.in_flight.get() < self.options.in_flight_max).then_some(())
    }

    /// Waits for room, receives what is missing of a large frame, and starts the request.
    async fn admit(&self, arrived: Arrived) -> Result<(), ConnectionError> {
        self.less_in_flight.until(|| self.room()).await;
        let (frame, charges) = match arrived {
            Arrived::Frame(frame) => {
                let charges = self.memory.charge_small(&self.own_memory, frame.len()).await;
                (frame, charges)
            }
            Arrived::Large(frame, charges) => {
                let mut charges = match charges {
                    Some(charges) => charges,
                    None => self.memory.begin_large(&self.own_memory, frame.frame_len()).await,
                };
                (self.receive_rest(frame, &mut charges).await?, charges)
            }
        };
        match parse_request(&frame).or_else(|error| self.serve_trailing(error)) {
            Ok(request) => {
                let response = self.unsent.charge(request.records_len_max()).await;
                self.pipeline.borrow_mut().start(request, Held { _request: charges, response });
            }
            Err(error) => {
                let (correlation_id, response) = error.answer().ok_or(error)?;
                let held = Held { _request: charges, response: self.unsent.charge(0).await };
                self.pipeline.borrow_mut().answer(correlation_id, response, held);
            }
        }
        let in_flight = &self.control.watch.in_flight;
        in_flight.set(in_flight.get() + 1);
        self.count(|traffic| traffic.requests += 1);
        Ok(())
    }

    /// A request with bytes behind it is served, as by Kafka; an operator hears of the first on a connection.
    fn serve_trailing(&self, error: RequestError) -> Result<Request, RequestError> {
        if matches!(error, RequestError::TrailingBytes { .. }) && !self.told_of_trailing_bytes.replace(true) {
            tracing::warn!(peer = %self.peer.remote, %error, "a client sends more than its requests");
        }
        match error {
            RequestError::TrailingBytes { request, .. } => Ok(*request),
            error => Err(error),
        }
    }

    async fn receive_rest(
        &self,
        mut frame: LargeFrame,
        charges: &mut Charges,
    ) -> Result<Bytes, ConnectionError> {
        let watch = &self.control.watch;
        loop {
            // As much again as has come: nobody is believed more than what it has shown.
            let received = frame.frame_len() - frame.missing();
            let Some(piece) = frame.next_piece(received.clamp(PIECE_MIN, STEP)) else { break };
            let len = piece.capacity();
            watch.receiving.set(Receiving::Room);
            self.memory.grow(charges, received + len).await;
            watch.receiving.set(Receiving::Rest);
            frame.put(self.stream.recv_exact(piece).await.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => ConnectionError::EndedWithinRequest,
                _ => ConnectionError::Receive(error),
            })?);
            self.note_received(len);
        }
        watch.receiving.set(Receiving::Room);
        Ok(frame.finish())
    }

    async fn send(&self) -> Result<(), ConnectionError> {
        let mut writer = Writer::new();
        let mut outcome = Ok(());
        loop {
            // Woken together with the pipeline, which is polled before this.
            let finished = poll_fn(|_| match self.pipeline.borrow_mut().take_finished() {
                finished if !finished.is_empty() => Poll::Ready(Some(finished)),
                _ if self.received_all.get() && self.control.watch.in_flight.get() == 0 => Poll::Ready(None),
                _ => Poll::Pending,
            });
            let Some(finished) = finished.await else { return outcome };
            if outcome.is_ok() && !self.control.broken.is_raised() {
                outcome = self.send_responses(&mut writer, &finished).await;
                if outcome.is_err() {
                    // Handlers finish all the same: what they do matters even if nobody hears of it.
                    self.control.stop.raise();
                }
            }
            let in_flight = &self.control.watch.in_flight;
            in_flight.set(in_flight.get() - finished.len());
            drop(finished);
            self.less_in_flight.wake_all();
        }
    }

    async fn send_responses(
        &self,
        writer: &mut Writer,
        finished: &[Finished<Held>],
    ) -> Result<(), ConnectionError> {
        let mut pieces = Vec::new();
        let mut refused = false;
        for Finished { version, correlation_id, answer, .. } in finished {
            match answer {
                Answer::Response(response) | Answer::Charged(response, _) => {
                    pieces.append(&mut encode_response(writer, *version, *correlation_id, response)?);
                }
                Answer::Nothing => {}
                Answer::Close => {
                    refused = true;
                    break;
                }
            }
        }
        let watch = &self.control.watch;
        watch.sending.set(true);
        while !pieces.is_empty() {
            let rest = split_off(&mut pieces, STEP);
            let len = pieces.iter().map(Bytes::len).sum::<usize>();
            let Some(sent) = unless(&self.control.broken, self.stream.send(pieces)).await else { break };
            sent.map_err(ConnectionError::Send)?;
            watch.sent.set(watch.sent.get() + 1);
            self.count(|traffic| traffic.sent_bytes += len as u64);
            pieces = rest;
        }
        watch.sending.set(false);
        if refused { Err(ConnectionError::Refused) } else { Ok(()) }
    }
}

/// Leaves the first `len` bytes in `pieces` and gives the rest.
fn split_off(pieces: &mut Vec<Bytes>, mut len: usize) -> Vec<Bytes> {
    for at in 0..pieces.len() {
        if pieces[at].len() > len {
            let mut rest = pieces.split_off(at);
            let head = rest[0].split_to(len);
            if !head.is_empty() {
                pieces.push(head);
            }
            return rest;
        }
        len -= pieces[at].len();
    }
    Vec::new()
}
