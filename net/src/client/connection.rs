//! One connection: versions agreed on, typed calls, as many in flight as the caller likes.

use crate::{
    frame::{FRAME_MAX_DEFAULT, FrameError, FrameSplitter, LargeFrame, Split},
    kafka::{
        ApiKey, Call, ErrorCode, ResponseError,
        api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse},
        encode_request, parse_response,
        produce::{ACKS_NONE, ProduceRequest},
    },
    signal::{Flag, Waiters, unless},
    wire::{EncodeError, SharedStr, Writer},
};
use bytes::Bytes;
use millrace_runtime::{Stream, spawn, timeout};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt, io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

/// A large frame is received in steps of this many bytes.
const STEP: usize = 1 << 20;

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// What the client calls itself.
    pub client_id: SharedStr,
    /// How long connecting and agreeing on versions may take.
    pub connect_timeout: Duration,
    /// How long an answer may take. The connection is over after that: what comes later could be anything's.
    pub request_timeout: Duration,
    /// The longest response, in bytes.
    pub frame_bytes_max: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_id: SharedStr::from_static("millrace"),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            frame_bytes_max: FRAME_MAX_DEFAULT,
        }
    }
}

/// Why a call has no response. What the response itself says is for the caller to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection could be made.
    #[error("connecting to {address}: {cause}")]
    Connect {
        /// Whereto.
        address: SocketAddr,
        /// What the operating system said.
        cause: String,
    },
    /// The connection is over. Whether the request was acted upon is unknown.
    #[error("connection to {address}: {cause}")]
    Disconnected {
        /// Whereto.
        address: SocketAddr,
        /// Why.
        cause: String,
    },
    /// No answer came in time. Whether the request was acted upon is unknown.
    #[error("{api}: no answer within {} ms", .after.as_millis())]
    Timeout {
        /// What was called.
        api: ApiKey,
        /// How long was waited.
        after: Duration,
    },
    /// The broker serves no version that this client speaks.
    #[error("{api}: the broker serves {served}, this client speaks {}-{}", .api.min_version(), .api.max_version())]
    NotServed {
        /// What was called.
        api: ApiKey,
        /// What the broker serves.
        served: Served,
    },
    /// The request cannot be expressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The broker's answer cannot be understood.
    #[error(transparent)]
    Response(#[from] ResponseError),
}

impl CallError {
    /// Whether the same call may succeed over a new connection.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Disconnected { .. } | Self::Timeout { .. })
    }
}

/// The versions of an API that a broker serves, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served(pub Option<ApiVersion>);

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ApiVersion { min_version, max_version, .. }) => write!(f, "{min_version}-{max_version}"),
            None => f.write_str("none"),
        }
    }
}

/// A connection to a broker. Clones are the same connection; it closes with the last of them.
#[derive(Clone, Debug)]
pub struct Connection(Rc<Handle>);

/// Ends the connection's tasks, which hold `Shared` only.
#[derive(Debug)]
struct Handle(Rc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close("closed");
    }
}

#[derive(Debug)]
struct Shared {
    stream: Stream,
    address: SocketAddr,
    options: ConnectionOptions,
    versions: RefCell<BTreeMap<i16, ApiVersion>>,
    writer: RefCell<Writer>,
    next_correlation_id: Cell<i32>,
    /// Frames that wait for the sending task.
    outgoing: RefCell<Vec<Bytes>>,
    outgoing_changed: Waiters,
    /// Calls that wait for their responses, in order.
    pending: RefCell<VecDeque<Rc<Pending>>>,
    closed: Flag,
    cause: RefCell<Option<String>>,
}

/// A call's place for its response.
#[derive(Debug, Default)]
struct Pending {
    frame: RefCell<Option<Bytes>>,
    answered: Waiters,
}

impl Connection {
    /// Connects and asks which versions are served.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn connect(address: SocketAddr, options: ConnectionOptions) -> Result<Self, CallError> {
        let failed = |cause: String| CallError::Connect { address, cause };
        let within = options.connect_timeout;
        let connected = timeout(within, async {
            let stream = Stream::connect(address).await.map_err(|error| failed(error.to_string()))?;
            let connection = Self::over(stream, address, options);
            connection.agree_on_versions().await?;
            Ok(connection)
        });
        connected.await.unwrap_or_else(|elapsed| Err(failed(elapsed.to_string())))
    }

    fn over(stream: Stream, address: SocketAddr, options: ConnectionOptions) -> Self {
        let shared = Rc::new(Shared {
            stream,
            address,
            options,
            versions: RefCell::new(BTreeMap::from([(
                ApiKey::ApiVersions.code(),
                ApiKey::ApiVersions.advertised(),
            )])),
            writer: RefCell::new(Writer::new()),
            next_correlation_id: Cell::new(0),
            outgoing: RefCell::new(Vec::new()),
            outgoing_changed: Waiters::default(),
            pending: RefCell::new(VecDeque::new()),
            closed: Flag::default(),
            cause: RefCell::new(None),
        });
        drop(spawn(send(Rc::clone(&shared))));
        drop(spawn(receive(Rc::clone(&shared))));
        Self(Rc::new(Handle(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// The broker's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared().address
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().closed.is_raised()
    }

    /// The version that calls of `api` are made in: the highest that both sides know.
    ///
    /// # Errors
    /// [`CallError::NotServed`].
    pub fn version(&self, api: ApiKey) -> Result<i16, CallError> {
        let served = self.shared().versions.borrow().get(&api.code()).copied();
        served
            .map(|served| (served, served.max_version.min(api.max_version())))
            .filter(|(served, version)| *version >= served.min_version.max(api.min_version()))
            .map(|(_, version)| version)
            .ok_or(CallError::NotServed { api, served: Served(served) })
    }

    /// A broker that does not know the version answers in version 0 and says which it knows.
    async fn agree_on_versions(&self) -> Result<(), CallError> {
        let request = ApiVersionsRequest {
            client_software_name: "millrace".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut version = ApiKey::ApiVersions.max_version();
        loop {
            let (correlation_id, frame) = self.exchange(&request, version).await?;
            let unsupported = frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes());
            let answered_in = if unsupported { 0 } else { version };
            let response: ApiVersionsResponse =
                parse_response::<ApiVersionsRequest>(&frame, answered_in, correlation_id)?;
            let served: BTreeMap<_, _> = response.api_keys.iter().map(|api| (api.api_key, *api)).collect();
            if !unsupported {
                self.shared().versions.replace(served);
                return Ok(());
            }
            let served = served.get(&ApiKey::ApiVersions.code()).copied();
            let lower = served.map_or(0, |served| served.max_version);
            if lower >= version {
                return Err(CallError::NotServed { api: ApiKey::ApiVersions, served: Served(served) });
            }
            version = lower.max(0);
        }
    }

    /// Sends a request and waits for its response. Calls may overlap; they reach the broker in the order in which this
    /// is first polled.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<C: Call>(&self, request: &C) -> Result<C::Response, CallError> {
        let version = self.version(C::API)?;
        self.call_at(request, version).await
    }

    /// As [`Connection::call`], in a version of the caller's choice.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_at<C: Call>(&self, request: &C, version: i16) -> Result<C::Response, CallError> {
        let (correlation_id, frame) = self.exchange(request, version).await?;
        let response = parse_response::<C>(&frame, version, correlation_id);
        if let Err(error) = &response {
            self.shared().close(&error.to_string());
        }
        Ok(response?)
    }

    /// Sends a Produce request that wants no answer.
    ///
    /// # Errors
    /// [`CallError`], if it is known at once that it cannot be sent.
    pub fn send_unanswered(&self, request: &ProduceRequest) -> Result<(), CallError> {
        debug_assert_eq!(request.acks, ACKS_NONE, "any other request is answered");
        let version = self.version(ApiKey::Produce)?;
        self.shared().enqueue(request, version).map(drop)
    }

    async fn exchange<C: Call>(&self, request: &C, version: i16) -> Result<(i32, Bytes), CallError> {
        let shared = self.shared();
        let correlation_id = shared.enqueue(request, version)?;
        let pending = Rc::<Pending>::default();
        shared.pending.borrow_mut().push_back(Rc::clone(&pending));
        let answered = pending.answered.until(|| pending.frame.take());
        let after = shared.options.request_timeout;
        match timeout(after, unless(&shared.closed, answered)).await {
            Ok(Some(frame)) => Ok((correlation_id, frame)),
            Ok(None) => Err(shared.disconnected()),
            Err(_) => {
                shared.close("an answer did not come in time");
                Err(CallError::Timeout { api: C::API, after })
            }
        }
    }
}

impl Shared {
    fn enqueue<C: Call>(&self, request: &C, version: i16) -> Result<i32, CallError> {
        if self.closed.is_raised() {
            return Err(self.disconnected());
        }
        let correlation_id = self.next_correlation_id.get();
        let client_id = Some(&self.options.client_id);
        let mut writer = self.writer.borrow_mut();
        let mut frame = encode_request(&mut writer, version, correlation_id, client_id, request)?;
        self.next_correlation_id.set(correlation_id.wrapping_add(1));
        self.outgoing.borrow_mut().append(&mut frame);
        self.outgoing_changed.wake_all();
        Ok(correlation_id)
    }

    fn close(&self, cause: &str) {
        self.cause.borrow_mut().get_or_insert_with(|| cause.to_owned());
        self.closed.raise();
        self.stream.shutdown();
    }

    fn disconnected(&self) -> CallError {
        let cause = self.cause.borrow().clone().unwrap_or_default();
        CallError::Disconnected { address: self.address, cause }
    }

    /// Gives a response to the oldest call. A call that gave up waiting has closed the connection.
    fn answer(&self, frame: Bytes) -> Result<(), ReceiveError> {
        let pending = self.pending.borrow_mut().pop_front().ok_or(ReceiveError::Unasked)?;
        *pending.frame.borrow_mut() = Some(frame);
        pending.answered.wake_all();
        Ok(())
    }
}

/// Why nothing more is received.
#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("an answer that nobody asked for")]
    Unasked,
    #[error("closed by the broker")]
    Ended,
}

async fn send(shared: Rc<Shared>) {
    let outgoing = || {
        let frames = shared.outgoing.take();
        (!frames.is_empty()).then_some(frames)
    };
    loop {
        let sent = unless(&shared.closed, async {
            let frames = shared.outgoing_changed.until(outgoing).await;
            shared.stream.send(frames).await
        });
        match sent.await {
            Some(Ok(())) => {}
            Some(Err(error)) => return shared.close(&error.to_string()),
            None => return,
        }
    }
}

async fn receive(shared: Rc<Shared>) {
    if let Some(Err(error)) = unless(&shared.closed, receive_frames(&shared)).await {
        shared.close(&error.to_string());
    }
}

async fn receive_frames(shared: &Shared) -> Result<(), ReceiveError> {
    let mut splitter = FrameSplitter::new(shared.options.frame_bytes_max);
    loop {
        let mut large = None;
        {
            let received = shared.stream.recv().await?;
            if received.is_empty() {
                return Err(ReceiveError::Ended);
            }
            let mut chunk = &received[..];
            while !chunk.is_empty() {
                match splitter.next(&mut chunk)? {
                    Some(Split::Frame(frame)) => shared.answer(frame)?,
                    Some(Split::Large(len)) => {
                        let mut frame = LargeFrame::new(len);
                        frame.fill(&mut chunk);
                        match frame.missing() {
                            0 => shared.answer(frame.finish())?,
                            _ => large = Some(frame),
                        }
                    }
                    None => {}
                }
            }
        }
        if let Some(mut frame) = large {
            while let Some(piece) = frame.next_piece(STEP) {
                frame.put(shared.stream.recv_exact(piece).await?);
            }
            shared.answer(frame.finish())?;
        }
    }
}
