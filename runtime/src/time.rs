//! Clocks and timers.

use crate::context::{Backend, current};
use std::{
    fmt,
    future::Future,
    ops::{Add, AddAssign, Sub},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// A point on the backend's monotonic clock, in nanoseconds since an arbitrary origin (the process's start, or the
/// world's). Only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The monotonic clock's reading: real, or the world's virtual time.
    #[must_use]
    pub fn now() -> Self {
        match current() {
            Backend::Native => Self(crate::native::time::monotonic_ns()),
            #[cfg(feature = "sim")]
            Backend::Sim(shard) => Self(shard.now_ns()),
        }
    }

    /// An instant `nanos` after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since this instant; zero if it lies in the future.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since the Unix epoch: what Kafka calls a timestamp. May jump in either direction.
#[must_use]
pub fn unix_millis() -> i64 {
    match current() {
        Backend::Native => crate::native::time::unix_millis(),
        #[cfg(feature = "sim")]
        Backend::Sim(shard) => shard.unix_millis(),
    }
}

/// Waits until the monotonic clock has passed `deadline`.
pub async fn sleep_until(deadline: Instant) {
    match current() {
        Backend::Native => crate::native::time::sleep_until(deadline).await,
        #[cfg(feature = "sim")]
        Backend::Sim(shard) => shard.sleep_until(deadline).await,
    }
}

/// Waits for `span`.
pub async fn sleep(span: Duration) {
    sleep_until(Instant::now() + span).await;
}

/// The deadline of [`timeout`] passed before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for Elapsed {}

/// Runs `future` for at most `span`.
///
/// # Errors
/// [`Elapsed`] if it was not ready by then; the future is dropped.
pub async fn timeout<F: Future>(span: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut deadline = pin!(sleep(span));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        deadline.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
