//! What is inside an application message: a kind, a length, what its sender had read, the bytes, and padding up to one of
//! few sizes.

use crate::error::{Error, Result};
use crate::machine::history::HistoryDigest;

/// The longest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// Where the mark begins: after the kind and the length.
const MARK: usize = 5;

const HEADER: usize = MARK + 40;

/// The sizes up to which short contents are padded, in bytes.
const BUCKETS: [usize; 5] = [256, 512, 1024, 2048, 4096];

/// The content of an application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// What an agent says.
    Message(Vec<u8>),
    /// Nothing: it only hides when agents speak.
    Cover,
}

/// Whether contents are padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding {
    /// Up to 256 B, 512 B, 1, 2 or 4 KiB; beyond, to a size of which the last bits are zero (Padmé), at most 12 % more.
    #[default]
    Buckets,
    /// Not at all: the relay sees each message's length.
    None,
}

impl Content {
    /// Encodes it, with room for the mark.
    pub fn encode(&self, padding: Padding) -> Result<Vec<u8>> {
        let (kind, body): (u8, &[u8]) = match self {
            Self::Message(body) => (3, body),
            Self::Cover => (4, &[]),
        };
        if body.len() > MAX_MESSAGE {
            return Err(Error::TooLarge { found: body.len(), allowed: MAX_MESSAGE });
        }
        let size = padded(HEADER + body.len(), padding);
        let mut encoded = Vec::with_capacity(size);
        encoded.push(kind);
        encoded.extend((body.len() as u32).to_be_bytes());
        encoded.resize(HEADER, 0);
        encoded.extend(body);
        encoded.resize(size, 0);
        Ok(encoded)
    }

    /// Decodes what [`encode`](Self::encode) made; `None` for anything else.
    pub fn decode(mut encoded: Vec<u8>) -> Option<(Self, HistoryDigest)> {
        let header = encoded.first_chunk::<HEADER>()?;
        let (kind, length, mark) = (header[0], *header[1..].first_chunk()?, read_mark(header)?);
        let length = u32::from_be_bytes(length) as usize;
        match kind {
            3 if length <= encoded.len() - HEADER => {
                encoded.truncate(HEADER + length);
                encoded.drain(..HEADER);
                Some((Self::Message(encoded), mark))
            }
            4 => Some((Self::Cover, mark)),
            _ => None,
        }
    }
}

/// Writes what the sender has read into an encoded content.
pub(crate) fn mark(encoded: &mut [u8], mark: &HistoryDigest) {
    if let Some(header) = encoded.get_mut(MARK..HEADER) {
        header[..8].copy_from_slice(&mark.through.to_be_bytes());
        header[8..24].copy_from_slice(&mark.head);
        header[24..].copy_from_slice(&mark.before);
    }
}

fn read_mark(header: &[u8; HEADER]) -> Option<HistoryDigest> {
    let (through, digests) = header[MARK..].split_first_chunk()?;
    let (head, before) = digests.split_first_chunk()?;
    Some(HistoryDigest { through: u64::from_be_bytes(*through), head: *head, before: *before.first_chunk()? })
}

fn padded(length: usize, padding: Padding) -> usize {
    match padding {
        Padding::None => length,
        Padding::Buckets => {
            BUCKETS.into_iter().find(|bucket| length <= *bucket).unwrap_or_else(|| padme(length))
        }
    }
}

/// Rounds up so that the size tells no more than its order of magnitude and a few bits.
fn padme(length: usize) -> usize {
    let exponent = length.ilog2();
    let free_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1usize << free_bits) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_come_back_at_every_length_around_a_bucket() {
        for length in [0, 1, 210, 211, 212, 4051, 4052, 5000, 70_000, MAX_MESSAGE] {
            for padding in [Padding::Buckets, Padding::None] {
                let content = Content::Message(vec![7; length]);
                let mut encoded = content.encode(padding).expect("fits");
                assert_eq!(encoded.len(), padded(HEADER + length, padding));
                assert_eq!(
                    Content::decode(encoded.clone()),
                    Some((content.clone(), HistoryDigest::default()))
                );
                let read = HistoryDigest { through: 7, head: [8; 16], before: [9; 16] };
                mark(&mut encoded, &read);
                assert_eq!(Content::decode(encoded), Some((content, read)));
            }
        }
        assert!(Content::Message(vec![0; MAX_MESSAGE + 1]).encode(Padding::None).is_err());
    }

    #[test]
    fn a_message_and_cover_look_alike_and_padding_costs_little() {
        let sizes = |content: Content| content.encode(Padding::Buckets).expect("fits").len();
        assert_eq!(sizes(Content::Cover), sizes(Content::Message(vec![1; 200])));
        for length in [4097, 10_000, 65_537, 900_000] {
            assert!(padme(length) >= length && padme(length) <= length + length / 8, "{length}");
        }
    }

    #[test]
    fn what_is_no_content_is_refused() {
        let with_header = |start: &[u8]| [start, &[0; HEADER][start.len()..]].concat();
        let (longer, unknown) = (with_header(&[3, 0, 0, 0, 1]), with_header(&[1]));
        let (longest, cut) = (with_header(&[3, 255, 255, 255, 255]), with_header(&[3])[1..].to_vec());
        for bytes in [Vec::new(), vec![3], vec![3, 0, 0, 0], longer, unknown, longest, cut] {
            assert_eq!(Content::decode(bytes.clone()), None, "{bytes:?}");
        }
    }
}
