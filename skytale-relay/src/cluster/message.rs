//! Messages between relays, as bytes.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use skytale_core::{Name, SequenceNumber};

use crate::replay_cursors::CursorOwner;

/// What one relay sends to others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClusterMessage {
    /// A message for their subscribers, once these have been given the channel's record `after`.
    Forward { after: SequenceNumber, number: Option<SequenceNumber>, frame: Bytes },
    /// A frame of the relay's own for native agents.
    Tell(Bytes),
    /// How far an agent that went away had got.
    Position(CursorOwner, SequenceNumber),
    /// That an agent is back, so that what others knew of it is out of date.
    Returned(CursorOwner),
}

const FORWARD: u8 = 1;
const TELL: u8 = 2;
const POSITION: u8 = 3;
const RETURNED: u8 = 4;

impl ClusterMessage {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        match self {
            Self::Forward { after, number, frame } => {
                bytes.reserve(17 + frame.len());
                bytes.put_u8(FORWARD);
                bytes.put_u64(after.0);
                bytes.put_u64(number.map_or(0, |number| number.0));
                bytes.put_slice(frame);
            }
            Self::Tell(frame) => {
                bytes.put_u8(TELL);
                bytes.put_slice(frame);
            }
            Self::Position(subscriber, position) => {
                bytes.put_u8(POSITION);
                bytes.put_u64(position.0);
                put_subscriber(subscriber, &mut bytes);
            }
            Self::Returned(subscriber) => {
                bytes.put_u8(RETURNED);
                put_subscriber(subscriber, &mut bytes);
            }
        }
        bytes.freeze()
    }

    /// Reads a message; `None` for bytes that are none.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            FORWARD => {
                let after = SequenceNumber(bytes.try_get_u64().ok()?);
                let number = Some(bytes.try_get_u64().ok()?).filter(|number| *number > 0);
                Some(Self::Forward { after, number: number.map(SequenceNumber), frame: bytes })
            }
            TELL => Some(Self::Tell(bytes)),
            POSITION => {
                let position = SequenceNumber(bytes.try_get_u64().ok()?);
                Some(Self::Position(subscriber(bytes)?, position))
            }
            RETURNED => Some(Self::Returned(subscriber(bytes)?)),
            _ => None,
        }
    }
}

fn put_subscriber(subscriber: &CursorOwner, bytes: &mut BytesMut) {
    put_name(&subscriber.source, bytes);
    put_name(&subscriber.destination, bytes);
    bytes.put_slice(subscriber.account.as_bytes());
}

fn subscriber(mut bytes: Bytes) -> Option<CursorOwner> {
    let (source, destination) = (name(&mut bytes)?, name(&mut bytes)?);
    let account = Arc::from(std::str::from_utf8(&bytes).ok()?);
    Some(CursorOwner { account, source, destination })
}

fn put_name(name: &Name, bytes: &mut BytesMut) {
    name.components.iter().for_each(|component| bytes.put_u64(*component));
    bytes.put_u8(name.id.is_some().into());
    bytes.put_u128(name.id.unwrap_or_default());
}

fn name(bytes: &mut Bytes) -> Option<Name> {
    let mut components = [0; 3];
    for component in &mut components {
        *component = bytes.try_get_u64().ok()?;
    }
    let has_id = bytes.try_get_u8().ok()? == 1;
    let id = bytes.try_get_u128().ok()?;
    Some(Name { components, id: has_id.then_some(id) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let source = Name { components: [1, 2, 3], id: Some(u128::MAX) };
        let destination = Name { components: [4, 5, 6], id: None };
        let subscriber = CursorOwner { account: "acme".into(), source, destination };
        let messages = [
            ClusterMessage::Forward { after: SequenceNumber(7), number: None, frame: "frame".into() },
            ClusterMessage::Forward {
                after: SequenceNumber(7),
                number: Some(SequenceNumber(8)),
                frame: Bytes::new(),
            },
            ClusterMessage::Tell("frame".into()),
            ClusterMessage::Position(subscriber.clone(), SequenceNumber(9)),
            ClusterMessage::Returned(subscriber),
        ];
        for message in messages {
            let bytes = message.encode();
            assert_eq!(ClusterMessage::decode(bytes.clone()), Some(message));
            for length in 0..bytes.len().min(8) {
                assert_eq!(ClusterMessage::decode(bytes.slice(1..length.max(1))), None, "no message");
            }
        }
    }
}
