//! Frames in and out without decoding them.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::outbound::frame::Frame;
use crate::session::publisher::DETACH_BELOW;

/// A codec whose messages are frames as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameCodec;

/// Reads frames out of the receive buffer.
#[derive(Debug, Default)]
pub(super) struct FrameDecoder {
    /// The longest frame whose buffer the next ones may be in, in bytes.
    longest: usize,
    /// How much more of that buffer there may be, in bytes.
    left: usize,
}

/// Writes frames into the buffer that the transport is given.
#[derive(Debug)]
pub(super) struct FrameEncoder {
    /// How much is reserved at once, in bytes.
    step: usize,
    /// When the buffer was full last.
    full: Instant,
    /// How much of the buffer is left, in bytes.
    room: usize,
    /// What the last frame took of it, in bytes.
    last: usize,
}

/// How much is gathered into one write, in bytes; buffers start small, since most connections are idle.
const GATHER: usize = 64 * 1024;
const BUFFER: usize = 4 * 1024;

/// What gRPC puts before each message, in bytes.
const PREFIX: usize = 5;

/// How soon a buffer that is full again was too small: one that grows while it is filled is copied each time.
const SOON: Duration = Duration::from_millis(5);

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = Bytes;
    type Encoder = FrameEncoder;
    type Decoder = FrameDecoder;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder { step: BUFFER, full: Instant::now(), room: BUFFER, last: 0 }
    }

    fn decoder(&mut self) -> FrameDecoder {
        FrameDecoder::default()
    }
}

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let length = frame.len();
        if target.chunk_mut().len() < length {
            let (now, before) = (Instant::now(), self.full);
            self.step = if now - before < SOON { (self.step * 2).min(GATHER) } else { BUFFER };
            self.full = now;
            target.reserve(self.step.max(length));
        }
        self.room = target.chunk_mut().len().saturating_sub(length);
        self.last = length + PREFIX;
        frame.put(target);
        Ok(())
    }

    /// Is asked before each write is gathered, which ends where another frame like the last one would not fit.
    fn buffer_settings(&self) -> BufferSettings {
        let room = if self.room < self.last { self.step } else { self.room };
        BufferSettings::new(BUFFER, room.saturating_sub(self.last).clamp(1, GATHER))
    }
}

impl FrameDecoder {
    /// Tells whether keeping a frame could keep a buffer of so much more, since a longer frame was in it before.
    fn is_beside_longer(&mut self, length: usize) -> bool {
        if length >= self.longest || self.left < length {
            (self.longest, self.left) = (length, length.max(GATHER));
            return false;
        }
        self.left -= length;
        length >= DETACH_BELOW && length.saturating_mul(GATHER / DETACH_BELOW) < self.longest
    }
}

impl Decoder for FrameDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let frame = source.copy_to_bytes(source.remaining());
        let moves = self.is_beside_longer(frame.len());
        Ok(Some(if moves { Bytes::copy_from_slice(&frame) } else { frame }))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_would_keep_a_much_longer_ones_buffer_is_moved() {
        let mut decoder = FrameDecoder::default();
        assert!(!decoder.is_beside_longer(4 << 20), "nothing was before it");
        assert!(decoder.is_beside_longer(DETACH_BELOW));
        assert!(!decoder.is_beside_longer(100), "that is copied when it is kept");
        assert!(!decoder.is_beside_longer(1 << 20), "it keeps four times its own length");
        assert!(decoder.is_beside_longer(GATHER));
    }

    #[test]
    fn a_long_frame_is_forgotten_once_its_buffer_is_used_up() {
        let mut decoder = FrameDecoder::default();
        decoder.is_beside_longer(1 << 20);
        let moved = (0..1_000).take_while(|_| decoder.is_beside_longer(DETACH_BELOW)).count();
        assert_eq!(moved, (1 << 20) / DETACH_BELOW);
    }
}
