//! Frames on a byte stream: four bytes of length, big endian, then the envelope's bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::FrameError;

/// The length of a frame's prefix, in bytes.
pub const PREFIX: usize = 4;

/// Appends the prefix of a frame of `length` bytes.
///
/// # Panics
///
/// For a frame of 4 GiB or more, which no limit permits.
pub fn put_prefix(length: usize, target: &mut impl BufMut) {
    target.put_u32(u32::try_from(length).expect("limits keep frames below 4 GiB"));
}

/// Takes the next whole frame from a buffer; `None` if more bytes are needed.
///
/// # Errors
///
/// [`FrameError::TooLarge`] for a frame of more than `allowed` bytes, before its bytes are waited for.
pub fn take(buffer: &mut BytesMut, allowed: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<PREFIX>() else { return Ok(None) };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > allowed {
        return Err(FrameError::TooLarge { what: "frame bytes", found: length, allowed });
    }
    if buffer.len() < PREFIX + length {
        buffer.reserve(PREFIX + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_arrive() {
        let mut bytes = Vec::new();
        for frame in [&b"one"[..], b"", b"three"] {
            put_prefix(frame.len(), &mut bytes);
            bytes.extend(frame);
        }
        let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            buffer.put_u8(byte);
            frames.extend(take(&mut buffer, 5).expect("within the limit"));
        }
        assert_eq!(frames, [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_by_its_prefix() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 6][..]);
        assert!(matches!(take(&mut buffer, 5), Err(FrameError::TooLarge { found: 6, allowed: 5, .. })));
    }
}
