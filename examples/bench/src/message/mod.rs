//! The messages: made once, stamped for each sending, read without being decoded.

pub mod link;
pub mod slim;

use bytes::{Bytes, BytesMut};
use skytale_bench::native;
use skytale_core::generated::slim3::Name;

use link::LinkKey;

/// The words of a connection.
#[derive(Clone)]
pub enum Dialect {
    /// SLIM's, with the key of the link.
    Slim(LinkKey),
    /// The native extension's.
    Native,
}

/// A publish whose payload is filled in for each sending.
pub struct Template {
    frame: Bytes,
    payload: Payload,
    dialect: Dialect,
}

/// The place of a payload in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// So many bytes at the end.
    Last(usize),
    /// Whatever begins at an offset: a relay appends to native messages.
    From(usize),
}

/// The content of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the message, from 1.
    pub number: u64,
    /// When it was sent, or due, in nanoseconds of [`now`](skytale_bench::clock::now).
    pub at: u64,
}

const MARK: [u8; 8] = *b"SkyBench";

impl Template {
    /// Makes a template; native messages go to everybody on the channel, whatever the fan-out.
    pub fn new(dialect: &Dialect, source: &Name, destination: &Name, fanout: u32, bytes: usize) -> Self {
        let (frame, payload) = match dialect {
            Dialect::Slim(key) => {
                (slim::publish(key, source, destination, fanout, bytes), Payload::Last(bytes))
            }
            Dialect::Native => {
                let frame = native::publish(destination, bytes);
                let start = frame.len() - bytes;
                (frame, Payload::From(start))
            }
        };
        Self { frame, payload, dialect: dialect.clone() }
    }

    /// Returns the frame of a message.
    pub fn stamped(&self, stamp: Stamp) -> Bytes {
        let mut frame = BytesMut::from(&self.frame[..]);
        let start = self.payload.start(&self.frame).expect("a template has a payload");
        write_stamp(&mut frame[start..], stamp);
        let frame = frame.freeze();
        match self.dialect {
            Dialect::Slim(_) => frame,
            Dialect::Native => native::with_submission(&frame, stamp.number, rand::random()),
        }
    }
}

impl Payload {
    fn start(self, frame: &Bytes) -> Option<usize> {
        match self {
            Self::Last(bytes) => frame.len().checked_sub(bytes),
            Self::From(start) => Some(start).filter(|start| *start <= frame.len()),
        }
    }
}

/// Reads the stamps of one subscriber's messages, and checks their tags.
pub struct Reader {
    dialect: Dialect,
    payloads: Vec<Payload>,
    /// For each channel what a checked frame has before its payload; the next one has the same.
    checked: Vec<Vec<u8>>,
}

/// A frame that arrived, as it turned out.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    Stamped(Stamp),
    /// A message whose tag is wrong.
    Untrue,
    /// None of ours.
    Other,
}

impl Reader {
    /// Makes a reader of what is made of templates, one for each channel.
    pub fn new(dialect: Dialect, templates: &[Template]) -> Self {
        let mut payloads = Vec::new();
        for template in templates {
            if !payloads.contains(&template.payload) {
                payloads.push(template.payload);
            }
        }
        Self { dialect, payloads, checked: vec![Vec::new(); templates.len()] }
    }

    pub fn read(&mut self, frame: &Bytes) -> Arrived {
        let starts = self.payloads.iter().filter_map(|payload| payload.start(frame));
        let found = starts.filter_map(|start| Some((&frame[..start], read_stamp(&frame[start..])?))).next();
        let Some((before, stamp)) = found else { return Arrived::Other };
        let channel = stamp.number as usize % self.checked.len();
        if before != self.checked[channel] {
            if !self.is_true(frame) {
                return Arrived::Untrue;
            }
            self.checked[channel] = before.to_vec();
        }
        Arrived::Stamped(stamp)
    }

    fn is_true(&self, frame: &Bytes) -> bool {
        match &self.dialect {
            Dialect::Slim(key) => slim::is_true(frame, key),
            Dialect::Native => native::is_true(frame),
        }
    }
}

/// Fills in the beginning of a payload.
pub fn write_stamp(payload: &mut [u8], stamp: Stamp) {
    payload[..8].copy_from_slice(&MARK);
    payload[8..16].copy_from_slice(&stamp.number.to_le_bytes());
    payload[16..24].copy_from_slice(&stamp.at.to_le_bytes());
}

pub fn read_stamp(payload: &[u8]) -> Option<Stamp> {
    let rest = payload.strip_prefix(&MARK)?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (at, _) = rest.split_first_chunk::<8>()?;
    Some(Stamp { number: u64::from_le_bytes(*number), at: u64::from_le_bytes(*at) })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use skytale_core::generated::slim3::{Message, link::LinkType, message::MessageType};

    use super::link::Offer;
    use super::slim::name;
    use super::*;

    #[test]
    fn a_stamped_frame_reads_back_and_a_changed_header_does_not() {
        let answered = |frame: Bytes| {
            let mut answer = Message::decode(frame).expect("decodes");
            if let Some(MessageType::Link(link)) = &mut answer.message_type
                && let Some(LinkType::LinkNegotiation(offer)) = &mut link.link_type
            {
                offer.is_reply = true;
            }
            Bytes::from(answer.encode_to_vec())
        };
        let offer = Offer::new();
        let answer = answered(offer.frame());
        let key = offer.accept(answer).expect("a key");
        let (here, there) = (name(["a", "b", "c"], 1), name(["a", "b", "d"], 2));
        let dialect = Dialect::Slim(key);
        let template = [Template::new(&dialect, &here, &there, 1, 64)];
        let stamp = Stamp { number: 7, at: 9 };
        let frame = template[0].stamped(stamp);
        assert_eq!(Reader::new(dialect.clone(), &template).read(&frame), Arrived::Stamped(stamp));
        let mut changed = frame.to_vec();
        changed[20] ^= 1;
        assert_eq!(Reader::new(dialect, &template).read(&changed.into()), Arrived::Untrue);
    }

    #[test]
    fn a_native_message_reads_back_whatever_the_relay_appends() {
        let (here, room) = (name(["a", "b", "c"], 1), name(["a", "b", "room"], 1));
        let template = [Template::new(&Dialect::Native, &here, &room, 1, 64)];
        let stamp = Stamp { number: 7, at: 9 };
        let mut reader = Reader::new(Dialect::Native, &template);
        assert_eq!(reader.read(&template[0].stamped(stamp)), Arrived::Stamped(stamp));
        assert_eq!(reader.read(&native::first_commit(&room)), Arrived::Other);
    }
}
