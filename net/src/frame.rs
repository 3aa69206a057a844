//! Cutting a stream of bytes into frames: four bytes of length, then as many bytes.
//!
//! Small frames are copied once, out of the chunk they came in. A frame above [`SMALL_FRAME_MAX`] is announced as soon
//! as its length is known, so that the caller can find room for it and receive the rest in place.

use bytes::{Bytes, BytesMut};

/// Frames up to this length are copied out of what was received; larger ones get a buffer of their own, in bytes.
pub const SMALL_FRAME_MAX: usize = 64 << 10;

/// The longest frame of a peer that has to authenticate and has not, in bytes.
pub const UNAUTHENTICATED_FRAME_MAX: usize = 64 << 10;

/// The longest frame unless the options say otherwise, in bytes: Kafka's default of `socket.request.max.bytes`.
pub const FRAME_MAX_DEFAULT: usize = 100 << 20;

/// The shortest frame that can be a message: a response's correlation id.
const FRAME_MIN: usize = 4;

/// When one part in so many of a small frame has come, memory is taken for all of it, so that it need not be moved as it grows. A
/// peer that has sent less is not believed yet.
const SHOWN_PART: usize = 4;

/// Bytes of a frame's length.
const LENGTH_SIZE: usize = 4;

/// A length that no frame of this stream may have. What follows cannot be understood: the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than the limit.
    #[error("a frame of {len} bytes announced, {max} allowed")]
    TooLong {
        /// The length announced.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Negative, or too short for any message.
    #[error("a frame of {len} bytes announced")]
    TooShort {
        /// The length announced.
        len: i32,
    },
}

/// Cuts received chunks into frames, the lengths taken off.
#[derive(Debug)]
pub struct FrameSplitter {
    frame_max: usize,
    length: [u8; LENGTH_SIZE],
    length_read: usize,
    /// The current small frame's length, once it is known.
    frame: Option<usize>,
    /// What came of the current small frame. Its memory is reused when the frames cut from it are gone.
    buffer: BytesMut,
}

/// What [`FrameSplitter::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Split {
    /// A whole frame.
    Frame(Bytes),
    /// The length of a frame above [`SMALL_FRAME_MAX`], none of which is consumed: it goes into a [`LargeFrame`].
    Large(usize),
}

impl FrameSplitter {
    /// Cuts frames of up to `frame_max` bytes.
    #[must_use]
    pub fn new(frame_max: usize) -> Self {
        Self { frame_max, length: [0; LENGTH_SIZE], length_read: 0, frame: None, buffer: BytesMut::new() }
    }

    /// Changes the limit, from the next frame on.
    pub fn set_frame_max(&mut self, frame_max: usize) {
        self.frame_max = frame_max;
    }

    /// Whether part of a frame was consumed, so that the stream should not end here.
    #[must_use]
    pub fn is_within_frame(&self) -> bool {
        self.length_read > 0
    }

    /// Consumes from `chunk` up to the end of the next frame, or all of it: then there is none yet.
    ///
    /// # Errors
    /// [`FrameError`]; nothing was allocated for such a frame.
    pub fn next(&mut self, chunk: &mut &[u8]) -> Result<Option<Split>, FrameError> {
        let len = match self.frame {
            Some(len) => len,
            None => match self.next_length(chunk)? {
                Some(len) if len > SMALL_FRAME_MAX => {
                    self.length_read = 0;
                    return Ok(Some(Split::Large(len)));
                }
                Some(len) => {
                    self.frame = Some(len);
                    len
                }
                None => return Ok(None),
            },
        };
        let bytes = take(chunk, len - self.buffer.len());
        let missing = len - self.buffer.len();
        if self.buffer.len() + bytes.len() >= len / SHOWN_PART {
            self.buffer.reserve(missing);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < len {
            return Ok(None);
        }
        self.frame = None;
        self.length_read = 0;
        Ok(Some(Split::Frame(self.buffer.split().freeze())))
    }

    fn next_length(&mut self, chunk: &mut &[u8]) -> Result<Option<usize>, FrameError> {
        let bytes = take(chunk, LENGTH_SIZE - self.length_read);
        self.length[self.length_read..][..bytes.len()].copy_from_slice(bytes);
        self.length_read += bytes.len();
        if self.length_read < LENGTH_SIZE {
            return Ok(None);
        }
        let announced = i32::from_be_bytes(self.length);
        match usize::try_from(announced) {
            Ok(len) if len > self.frame_max => Err(FrameError::TooLong { len, max: self.frame_max }),
            Ok(len) if len >= FRAME_MIN => Ok(Some(len)),
            _ => Err(FrameError::TooShort { len: announced }),
        }
    }
}

/// A frame above [`SMALL_FRAME_MAX`] that is arriving.
#[derive(Debug)]
pub struct LargeFrame {
    len: usize,
    /// What has come.
    filled: BytesMut,
    /// Memory behind it, in the same allocation; none before [`LargeFrame::next_piece`].
    spare: BytesMut,
}

impl LargeFrame {
    /// A frame of `len` bytes, for which no memory is taken yet.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { len, filled: BytesMut::new(), spare: BytesMut::new() }
    }

    /// Takes memory for the whole frame: the caller has made sure that there is room for it.
    pub fn reserve(&mut self) {
        if self.filled.capacity() + self.spare.capacity() < self.len {
            let mut exact = BytesMut::with_capacity(self.len);
            exact.extend_from_slice(&self.filled);
            self.filled = exact;
        }
    }

    /// Consumes from `chunk` what belongs to the frame.
    pub fn fill(&mut self, chunk: &mut &[u8]) {
        let bytes = take(chunk, self.missing());
        if self.spare.capacity() == 0 {
            self.filled.extend_from_slice(bytes);
        } else if let Some(mut piece) = self.next_piece(bytes.len()) {
            piece.extend_from_slice(bytes);
            self.put(piece);
        }
    }

    /// Bytes that have not come yet.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.len - self.filled.len()
    }

    /// Takes out memory for the next `max` bytes, or for all that are missing if they are fewer. Once it is filled to
    /// its capacity it goes back with [`LargeFrame::put`]. None if nothing is missing.
    pub fn next_piece(&mut self, max: usize) -> Option<BytesMut> {
        if self.missing() == 0 {
            return None;
        }
        self.reserve();
        if self.spare.capacity() == 0 {
            self.spare = self.filled.split_off(self.filled.len());
        }
        let behind = self.spare.split_off(max.min(self.missing()));
        Some(std::mem::replace(&mut self.spare, behind))
    }

    /// Gives back a piece, filled.
    pub fn put(&mut self, piece: BytesMut) {
        self.filled.unsplit(piece);
    }

    /// The whole frame's length, in bytes.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.len
    }

    /// The frame.
    ///
    /// # Panics
    /// If something is missing.
    #[must_use]
    pub fn finish(self) -> Bytes {
        assert_eq!(self.missing(), 0, "a large frame is finished when nothing is missing");
        self.filled.freeze()
    }
}

/// Splits up to `len` bytes off the front of `chunk`.
fn take<'a>(chunk: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, tail) = chunk.split_at(len.min(chunk.len()));
    *chunk = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The frames of `stream`, cut where `cuts` say, large ones received in pieces of up to `piece` bytes.
    fn split(stream: &[u8], cuts: &[usize], piece: usize) -> Vec<Bytes> {
        let mut splitter = FrameSplitter::new(1 << 20);
        let (mut frames, mut large) = (Vec::new(), None::<LargeFrame>);
        let mut rest = stream;
        for cut in cuts.iter().chain([&stream.len()]) {
            let mut chunk = take(&mut rest, *cut);
            loop {
                if let Some(mut frame) = large.take() {
                    // Before anything was received in place, and after.
                    frame.fill(&mut chunk);
                    let len = piece.min(chunk.len());
                    if let Some(mut place) = frame.next_piece(len) {
                        assert_eq!(place.capacity(), len);
                        place.extend_from_slice(take(&mut chunk, len));
                        frame.put(place);
                    }
                    match frame.missing() {
                        0 => frames.push(frame.finish()),
                        _ => large = Some(frame),
                    }
                }
                if chunk.is_empty() {
                    break;
                }
                match splitter.next(&mut chunk).unwrap() {
                    Some(Split::Frame(frame)) => frames.push(frame),
                    Some(Split::Large(len)) => large = Some(LargeFrame::new(len)),
                    None => {}
                }
            }
        }
        assert!(large.is_none() && !splitter.is_within_frame());
        frames
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_fragmentation_gives_the_same_frames(
            lens in proptest::collection::vec(
                prop_oneof![4 => 4_usize..300, 1 => SMALL_FRAME_MAX - 2..SMALL_FRAME_MAX + 3, 1 => 150_000_usize..150_010],
                0..8,
            ),
            cuts in proptest::collection::vec(prop_oneof![0_usize..8, 0_usize..400, 0_usize..90_000], 0..60),
            piece in 1_usize..50_000,
        ) {
            let body = |n: usize, len: usize| (0..len).map(move |at| (n * 31 + at) as u8);
            let mut stream = Vec::new();
            for (n, &len) in lens.iter().enumerate() {
                stream.extend(u32::try_from(len).unwrap().to_be_bytes());
                stream.extend(body(n, len));
            }
            let frames = split(&stream, &cuts, piece);
            prop_assert_eq!(frames.len(), lens.len());
            for (n, frame) in frames.iter().enumerate() {
                prop_assert!(frame.iter().copied().eq(body(n, lens[n])), "frame {}", n);
            }
        }
    }

    #[test]
    fn impossible_lengths_are_errors_at_once() {
        let next = |length: i32| FrameSplitter::new(1000).next(&mut &length.to_be_bytes()[..]);
        assert_eq!(next(i32::MAX), Err(FrameError::TooLong { len: i32::MAX as usize, max: 1000 }));
        assert_eq!(next(1001), Err(FrameError::TooLong { len: 1001, max: 1000 }));
        assert_eq!(next(-1), Err(FrameError::TooShort { len: -1 }));
        assert_eq!(next(3), Err(FrameError::TooShort { len: 3 }));
        assert_eq!(next(1000), Ok(None));
    }

    #[test]
    fn memory_for_a_small_frame_follows_what_has_come() {
        let mut splitter = FrameSplitter::new(1 << 20);
        assert_eq!(splitter.next(&mut &(60_000_u32).to_be_bytes()[..]), Ok(None));
        assert_eq!(splitter.buffer.capacity(), 0, "the length is a claim");
        let frame = [7; 60_000];
        for (from, to) in [(0, 1), (1, 5000), (5000, 14_999)] {
            assert_eq!(splitter.next(&mut &frame[from..to]), Ok(None));
            let capacity = splitter.buffer.capacity();
            assert!(capacity < 3 * to + 100, "{capacity} bytes for {to} of 60,000");
        }
        assert_eq!(splitter.next(&mut &frame[14_999..15_000]), Ok(None));
        let start = splitter.buffer.as_ptr();
        assert_eq!(splitter.next(&mut &frame[15_000..40_000]), Ok(None));
        let Ok(Some(Split::Frame(whole))) = splitter.next(&mut &frame[40_000..]) else {
            panic!("it is whole")
        };
        assert!(whole == frame[..] && whole.as_ptr() == start, "it stays where it is");
    }

    #[test]
    fn small_frames_reuse_their_memory() {
        let mut splitter = FrameSplitter::new(1000);
        let stream = [&100_u32.to_be_bytes()[..], &[7; 100]].concat();
        let mut next = || match splitter.next(&mut &stream[..]) {
            Ok(Some(Split::Frame(frame))) => frame,
            other => panic!("{other:?}"),
        };
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            places.insert(next().as_ptr() as usize);
        }
        assert!(places.len() < 100, "{} places", places.len());
    }

    #[test]
    fn a_large_frame_is_received_in_place() {
        let mut frame = LargeFrame::new(100_000);
        frame.fill(&mut &[1; 1000][..]);
        let mut first = frame.next_piece(60_000).unwrap();
        let start = first.as_ptr() as usize - 1000;
        first.resize(first.capacity(), 2);
        frame.put(first);
        let mut second = frame.next_piece(60_000).unwrap();
        assert_eq!(second.capacity(), 39_000);
        second.resize(39_000, 3);
        frame.put(second);
        assert_eq!(frame.next_piece(1), None);
        let frame = frame.finish();
        assert_eq!(frame.as_ptr() as usize, start);
        assert_eq!((frame[999], frame[1000], frame[61_000], frame.len()), (1, 2, 3, 100_000));
    }
}
