//! Messages in parts that the servers take.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// One part of a message, or the offer of one that is in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// A piece of the body.
    Piece { message: MessageKey, index: u16, count: u16, body: Bytes },
    /// Whoever gets it asks for the pieces.
    Offer { message: MessageKey },
}

/// A sender, and which of its messages.
pub(super) type MessageKey = (u64, u64);

const PIECE: u8 = 1;
const OFFER: u8 = 2;

/// The bytes of a piece beside the body.
pub(super) const OVERHEAD: usize = 1 + 8 + 8 + 2 + 2;

/// The largest message, in bytes.
pub(super) const LARGEST: usize = 64 * 1024 * 1024;

impl Chunk {
    /// Cuts a body into pieces; `None` where there would be too many.
    pub fn pieces(message: MessageKey, mut body: Bytes, most: usize) -> Option<Vec<Self>> {
        let most = most.max(1);
        let count = u16::try_from(body.len().div_ceil(most).max(1)).ok()?;
        let cut = |index| Self::Piece { message, index, count, body: body.split_to(most.min(body.len())) };
        Some((0..count).map(cut).collect())
    }

    pub fn encode(&self) -> Bytes {
        let (kind, message) = match self {
            Self::Piece { message, .. } => (PIECE, message),
            Self::Offer { message } => (OFFER, message),
        };
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        bytes.put_u64(message.0);
        bytes.put_u64(message.1);
        if let Self::Piece { index, count, body, .. } = self {
            bytes.reserve(4 + body.len());
            bytes.put_u16(*index);
            bytes.put_u16(*count);
            bytes.put_slice(body);
        }
        bytes.freeze()
    }

    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        let message = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        match kind {
            PIECE => {
                let (index, count) = (bytes.try_get_u16().ok()?, bytes.try_get_u16().ok()?);
                (index < count).then_some(Self::Piece { message, index, count, body: bytes })
            }
            OFFER => Some(Self::Offer { message }),
            _ => None,
        }
    }
}

/// Puts pieces together.
#[derive(Debug, Default)]
pub(super) struct Assembly(VecDeque<Partial>);

#[derive(Debug)]
struct Partial {
    message: MessageKey,
    count: u16,
    pieces: Vec<Bytes>,
    bytes: usize,
}

/// How many messages may be incomplete at once; the oldest one gives way.
const INCOMPLETE: usize = 16;

impl Assembly {
    /// Adds a piece and returns the body that is complete now. Pieces of one message come in their order, or the message is
    /// lost.
    pub fn add(&mut self, part: Chunk) -> Option<Bytes> {
        let Chunk::Piece { message, index, count, body } = part else { return None };
        if count == 1 {
            return Some(body);
        }
        if index == 0 {
            self.0.push_back(Partial { message, count, pieces: Vec::new(), bytes: 0 });
        }
        let place = self.0.iter().position(|partial| partial.message == message)?;
        let partial = &mut self.0[place];
        if partial.count != count || partial.pieces.len() != usize::from(index) {
            self.0.remove(place);
            return None;
        }
        partial.bytes += body.len();
        partial.pieces.push(body);
        let is_complete = partial.pieces.len() == usize::from(count);
        self.make_room();
        let place = self.0.iter().position(|partial| is_complete && partial.message == message)?;
        let whole = self.0.remove(place)?;
        Some(whole.pieces.concat().into())
    }

    fn make_room(&mut self) {
        let bytes =
            |partials: &VecDeque<Partial>| partials.iter().map(|partial| partial.bytes).sum::<usize>();
        while self.0.len() > INCOMPLETE || bytes(&self.0) > LARGEST {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(message: MessageKey, body: &'static [u8]) -> Vec<Chunk> {
        Chunk::pieces(message, Bytes::from_static(body), 3).expect("few")
    }

    #[test]
    fn parts_read_back_and_cut_ones_do_not() {
        let offer = Chunk::Offer { message: (1, 2) };
        assert_eq!(Chunk::decode(offer.encode()), Some(offer));
        for piece in pieces((1, 2), b"seven b") {
            let bytes = piece.encode();
            assert_eq!(Chunk::decode(bytes.clone()), Some(piece));
            for end in 0..OVERHEAD {
                assert_eq!(Chunk::decode(bytes.slice(..end)), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn interleaved_messages_are_put_together() {
        let mut assembly = Assembly::default();
        let (one, other) = (pieces((1, 1), b"abcdefg"), pieces((2, 1), b"hijklmn"));
        let whole: Vec<_> = one
            .into_iter()
            .zip(other)
            .flat_map(|(one, other)| [one, other])
            .filter_map(|piece| assembly.add(piece))
            .collect();
        assert_eq!(whole, ["abcdefg", "hijklmn"]);
        assert_eq!(assembly.add(pieces((3, 1), b"").remove(0)), Some(Bytes::new()));
    }

    #[test]
    fn a_missing_piece_loses_its_message_and_no_other() {
        let mut assembly = Assembly::default();
        let mut broken = pieces((1, 1), b"abcdefg");
        broken.remove(1);
        assert!(broken.into_iter().all(|piece| assembly.add(piece).is_none()));
        let whole: Vec<_> =
            pieces((1, 2), b"hijk").into_iter().filter_map(|piece| assembly.add(piece)).collect();
        assert_eq!((whole, assembly.0.len()), (vec![Bytes::from_static(b"hijk")], 0));
    }

    #[test]
    fn what_stays_incomplete_is_bounded() {
        let mut assembly = Assembly::default();
        for number in 0..1_000 {
            assembly.add(pieces((1, number), b"abcdefg").remove(0));
        }
        assert!(assembly.0.len() <= INCOMPLETE);
    }
}
