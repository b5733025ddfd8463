//! What one hop changes in a message on its way: a few header fields, never the payload.

use bytes::{BufMut, Bytes, BytesMut};

use crate::dialect::Dialect;
use crate::envelope::{Envelope, Header, Publish};
use crate::reader::{Reader, Span, Value};

/// The changes of one hop towards one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The hops left after this one (SLIM 2.x/3.x).
    pub ttl: u32,
    /// The link integrity tag of the outbound link (SLIM 2.x/3.x).
    pub mac: Option<[u8; 32]>,
}

const PUBLISH_TAG: u8 = 3 << 3 | 2;
const HEADER_TAG: u8 = 1 << 3 | 2;
const TTL_TAG: u8 = 6 << 3;
const MAC_TAG: u8 = 11 << 3 | 2;

impl Envelope {
    /// Returns how many bytes [`Envelope::put`] writes.
    pub fn len_after(&self, hop: &Hop) -> usize {
        match self.rewritten() {
            None => self.frame.len(),
            Some(publish) => Lengths::of(self.dialect, publish, hop).frame(&self.frame, publish),
        }
    }

    /// Writes the message as it leaves towards one receiver.
    ///
    /// The fields that belong to a hop (time to live, incoming connection, routing overrides, link integrity tag) are
    /// replaced; every other byte is the sender's own.
    pub fn put(&self, hop: &Hop, target: &mut impl BufMut) {
        let Some(publish) = self.rewritten() else {
            return target.put_slice(&self.frame);
        };
        let lengths = Lengths::of(self.dialect, publish, hop);
        let header = &publish.header;
        target.put_slice(&self.frame[..publish.whole.start as usize]);
        target.put_u8(PUBLISH_TAG);
        put_varint(lengths.publish as u64, target);
        target.put_slice(&self.frame[publish.span.start as usize..header.whole.start as usize]);
        target.put_u8(HEADER_TAG);
        put_varint(lengths.header as u64, target);
        put_header(&self.frame, self.dialect, header, hop, target);
        target.put_slice(&self.frame[header.whole.end as usize..]);
    }

    /// Returns the message with `suffix` after the bytes that MLS produced: the blob of an application payload, or
    /// the MLS content of a group command. The published SDK cuts such a suffix off.
    pub fn with_suffix(&self, hop: &Hop, suffix: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(self.len_after(hop) + suffix.len() + 16);
        self.put(hop, &mut frame);
        let path = self.mls_path().unwrap_or(&[1, 2]);
        let path: Vec<u32> = [3, 3].into_iter().chain(path.iter().copied()).collect();
        append_at(&frame, &path, suffix).into()
    }

    /// Returns the message if this hop has to rewrite it.
    fn rewritten(&self) -> Option<&Publish> {
        self.publish().filter(|publish| self.dialect == Dialect::Slim3 || publish.header.hop_fields)
    }
}

/// The lengths of the rewritten parts.
struct Lengths {
    header: usize,
    publish: usize,
}

impl Lengths {
    fn of(dialect: Dialect, publish: &Publish, hop: &Hop) -> Self {
        let kept: usize = publish.header.kept.iter().map(|span| span.len()).sum();
        let header = kept + hop_fields_len(dialect, hop);
        let body = publish.span.len() - publish.header.whole.len() + 1 + varint_len(header as u64) + header;
        Self { header, publish: body }
    }

    fn frame(&self, frame: &[u8], publish: &Publish) -> usize {
        frame.len() - publish.whole.len() + 1 + varint_len(self.publish as u64) + self.publish
    }
}

fn hop_fields_len(dialect: Dialect, hop: &Hop) -> usize {
    match dialect {
        Dialect::Slim1 => 0,
        Dialect::Slim3 => 1 + varint_len(hop.ttl.into()) + hop.mac.map_or(0, |mac| 2 + mac.len()),
    }
}

fn put_header(frame: &[u8], dialect: Dialect, header: &Header, hop: &Hop, target: &mut impl BufMut) {
    for span in header.kept {
        target.put_slice(span.of(frame));
    }
    if dialect == Dialect::Slim3 {
        target.put_u8(TTL_TAG);
        put_varint(hop.ttl.into(), target);
        if let Some(mac) = hop.mac {
            target.put_u8(MAC_TAG);
            target.put_u8(mac.len() as u8);
            target.put_slice(&mac);
        }
    }
}

/// Copies a message with `suffix` appended to the field at the end of `path`; unchanged where there is none.
fn append_at(message: &[u8], path: &[u32], suffix: &[u8]) -> Vec<u8> {
    let Some((number, rest)) = path.split_first() else {
        return [message, suffix].concat();
    };
    let mut copy = Vec::with_capacity(message.len() + suffix.len() + 8);
    let mut reader = Reader::new(message);
    while let Ok(Some(field)) = reader.next() {
        match field.value {
            Value::Bytes(span) if field.number == *number => {
                put_field(&mut copy, *number, span, message, rest, suffix)
            }
            _ => copy.extend_from_slice(field.whole.of(message)),
        }
    }
    copy
}

fn put_field(copy: &mut Vec<u8>, number: u32, span: Span, message: &[u8], rest: &[u32], suffix: &[u8]) {
    let value = append_at(span.of(message), rest, suffix);
    put_varint(u64::from(number << 3 | 2), copy);
    put_varint(value.len() as u64, copy);
    copy.extend_from_slice(&value);
}

fn put_varint(mut value: u64, target: &mut impl BufMut) {
    while value >= 0x80 {
        target.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    target.put_u8(value as u8);
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
