//! Frames in and out without decoding them.

use bytes::{Buf, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::channel::Frame;

/// A codec whose messages are frames as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameCodec;

/// How much is gathered into one write, in bytes; buffers start small, since most connections are idle.
const GATHER: usize = 64 * 1024;
const BUFFER: usize = 4 * 1024;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for FrameCodec {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.reserve(frame.len());
        frame.put(target);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, GATHER)
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, GATHER)
    }
}
