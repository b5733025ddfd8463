//! The format of notifications between relays.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes};
use skytale_core::Dialect;

use crate::contract::backplane::{Delivery, Topic};

/// A message, or where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub id: MessageKey,
    pub topic: Topic,
    pub content: Content,
}

/// The sender and number of a message; no two have the same, so that PostgreSQL takes no two for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MessageKey {
    pub sender: i64,
    pub number: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The bytes themselves, for all.
    Inline(Bytes),
    /// As many bytes in the table of messages, for all or for the first that takes them.
    Kept { delivery: Delivery, size: u32 },
}

/// The most bytes that are sent in a notification, whose text must be shorter than 8,000.
pub(super) const MAX_INLINE: usize = 5_900;

/// Some of PostgreSQL's channels, each for many topics: every notification is compared with every channel that is
/// listened to, so there must not be one for each topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket(u16);

const BUCKET_BITS: u32 = 10;

impl Bucket {
    pub fn of(topic: &Topic) -> Self {
        let instance = topic.instance.unwrap_or_default();
        let [first, second, third] = topic.channel;
        let mixed = first ^ second.rotate_left(21) ^ third.rotate_left(42) ^ (instance >> 64) as u64;
        let spread = (mixed ^ instance as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((spread >> (u64::BITS - BUCKET_BITS)) as u16)
    }

    /// Returns PostgreSQL's name for it.
    pub fn name(self) -> String {
        format!("skytale_parcels_{:03x}", self.0)
    }
}

const INLINE: u8 = 0;
const KEPT_FOR_ALL: u8 = 1;
const KEPT_FOR_ONE: u8 = 2;

impl Notice {
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(64);
        bytes.put_i64(self.id.sender);
        bytes.put_i64(self.id.number);
        put_topic(&mut bytes, &self.topic);
        match &self.content {
            Content::Inline(body) => {
                bytes.put_u8(INLINE);
                bytes.extend_from_slice(body);
            }
            Content::Kept { delivery, size } => {
                bytes.put_u8(if *delivery == Delivery::All { KEPT_FOR_ALL } else { KEPT_FOR_ONE });
                bytes.put_u32(*size);
            }
        }
        STANDARD_NO_PAD.encode(bytes)
    }

    /// Restores what [`encode`](Self::encode) made; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let mut bytes = Bytes::from(STANDARD_NO_PAD.decode(text).ok()?);
        let id = MessageKey { sender: bytes.try_get_i64().ok()?, number: bytes.try_get_i64().ok()? };
        let topic = take_topic(&mut bytes)?;
        let content = match bytes.try_get_u8().ok()? {
            INLINE => Content::Inline(bytes),
            KEPT_FOR_ALL => Content::Kept { delivery: Delivery::All, size: bytes.try_get_u32().ok()? },
            KEPT_FOR_ONE => Content::Kept { delivery: Delivery::AnyOne, size: bytes.try_get_u32().ok()? },
            _ => return None,
        };
        Some(Self { id, topic, content })
    }
}

fn put_topic(bytes: &mut Vec<u8>, topic: &Topic) {
    topic.channel.iter().for_each(|component| bytes.put_u64(*component));
    bytes.put_u8(topic.dialect.number());
    bytes.put_u8(topic.instance.is_some().into());
    if let Some(instance) = topic.instance {
        bytes.put_u128(instance);
    }
}

fn take_topic(bytes: &mut Bytes) -> Option<Topic> {
    let mut component = || bytes.try_get_u64().ok();
    let channel = [component()?, component()?, component()?];
    let dialect = Dialect::from_number(bytes.try_get_u8().ok()?)?;
    let instance = match bytes.try_get_u8().ok()? {
        0 => None,
        _ => Some(bytes.try_get_u128().ok()?),
    };
    Some(Topic { channel, dialect, instance })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(instance: Option<u128>, content: Content) -> Notice {
        let topic = Topic { channel: [1, u64::MAX, 3], dialect: Dialect::Slim1, instance };
        Notice { id: MessageKey { sender: i64::MIN, number: 7 }, topic, content }
    }

    #[test]
    fn a_notice_is_restored() {
        for instance in [None, Some(u128::MAX - 1)] {
            let kept = |delivery| Content::Kept { delivery, size: 4_000_000_000 };
            for content in [Content::Inline("body".into()), kept(Delivery::All), kept(Delivery::AnyOne)] {
                let notice = notice(instance, content);
                assert_eq!(Notice::decode(&notice.encode()), Some(notice));
            }
        }
    }

    #[test]
    fn the_largest_notice_fits() {
        let content = Content::Inline(vec![0xff; MAX_INLINE].into());
        let length = notice(Some(1), content).encode().len();
        assert!(length < 8_000, "{length}");
    }

    #[test]
    fn what_is_cut_short_is_no_notice() {
        let text = notice(Some(1), Content::Kept { delivery: Delivery::All, size: 1 }).encode();
        for length in 0..text.len() {
            assert_eq!(Notice::decode(&text[..length]), None, "{length}");
        }
        assert_eq!(Notice::decode("no base64!"), None);
    }

    #[test]
    fn topics_are_spread_over_all_buckets() {
        let topic = |number: u64| Topic {
            channel: [9, 9, number.wrapping_mul(0x2545_f491_4f6c_dd1d)],
            dialect: Dialect::Slim3,
            instance: None,
        };
        let buckets: std::collections::HashSet<_> =
            (1..20_000).map(|number| Bucket::of(&topic(number))).collect();
        assert_eq!(buckets.len(), 1 << BUCKET_BITS);
        assert!(buckets.iter().all(|bucket| bucket.name().len() == "skytale_parcels_3ff".len()));
    }
}
