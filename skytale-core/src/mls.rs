//! The clear header of an MLS message; decrypts nothing and links no MLS library.

use crate::numbers::Epoch;

/// What an `MLSMessage` shows without keys ([RFC 9420 §6](https://www.rfc-editor.org/rfc/rfc9420#section-6)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlsHeader<'a> {
    /// A `PublicMessage` or `PrivateMessage`.
    Framed {
        /// The group the message belongs to, at most 255 bytes.
        group: &'a [u8],
        /// The epoch it was made in.
        epoch: Epoch,
        /// What it contains.
        content: ContentType,
        /// By whom it is, which a `PrivateMessage` hides.
        sender: SenderKind,
    },
    /// A `Welcome`.
    Welcome,
    /// A `GroupInfo`.
    GroupInfo,
    /// A `KeyPackage`.
    KeyPackage,
}

/// RFC 9420's `ContentType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Application data.
    Application,
    /// A proposal.
    Proposal,
    /// A commit.
    Commit,
}

/// By whom a framed message is; RFC 9420's `SenderType`, where it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// The content is encrypted, and so is the sender: a `PrivateMessage`.
    Hidden,
    /// A member.
    Member,
    /// Somebody outside of the group whose key the group knows.
    External,
    /// Somebody who proposes to be added.
    NewMemberProposal,
    /// Somebody who adds itself by an external commit.
    NewMemberCommit,
}

/// The longest group id that is read, in bytes.
pub const MAX_GROUP_ID: usize = 255;

impl<'a> MlsHeader<'a> {
    /// Reads the header of an `MLSMessage` of MLS 1.0; `None` if the bytes are none.
    ///
    /// Allocates nothing and reads no further than the content type.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(message);
        if cursor.u16()? != 1 {
            return None;
        }
        match cursor.u16()? {
            1 => cursor.public_message(),
            2 => cursor.private_message(),
            3 => Some(Self::Welcome),
            4 => Some(Self::GroupInfo),
            5 => Some(Self::KeyPackage),
            _ => None,
        }
    }
}

/// The unread rest of a message in TLS presentation language.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn public_message(&mut self) -> Option<MlsHeader<'a>> {
        let (group, epoch) = self.group_and_epoch()?;
        let sender = self.sender()?;
        self.vector()?;
        let content = self.content_type()?;
        Some(MlsHeader::Framed { group, epoch, content, sender })
    }

    fn private_message(&mut self) -> Option<MlsHeader<'a>> {
        let (group, epoch) = self.group_and_epoch()?;
        let content = self.content_type()?;
        Some(MlsHeader::Framed { group, epoch, content, sender: SenderKind::Hidden })
    }

    fn group_and_epoch(&mut self) -> Option<(&'a [u8], Epoch)> {
        let group = self.vector().filter(|group| group.len() <= MAX_GROUP_ID)?;
        let epoch = u64::from_be_bytes(self.take(8)?.try_into().ok()?);
        Some((group, Epoch(epoch)))
    }

    /// Reads a `Sender`: members and external senders carry an index, new members nothing.
    fn sender(&mut self) -> Option<SenderKind> {
        match self.u8()? {
            1 => self.take(4).map(|_| SenderKind::Member),
            2 => self.take(4).map(|_| SenderKind::External),
            3 => Some(SenderKind::NewMemberProposal),
            4 => Some(SenderKind::NewMemberCommit),
            _ => None,
        }
    }

    fn content_type(&mut self) -> Option<ContentType> {
        match self.u8()? {
            1 => Some(ContentType::Application),
            2 => Some(ContentType::Proposal),
            3 => Some(ContentType::Commit),
            _ => None,
        }
    }

    /// Reads a vector with its variable-size length header
    /// ([RFC 9420 §2.1.2](https://www.rfc-editor.org/rfc/rfc9420#section-2.1.2)).
    fn vector(&mut self) -> Option<&'a [u8]> {
        let first = self.u8()?;
        let more = match first >> 6 {
            0 => 0,
            1 => 1,
            2 => 3,
            _ => return None,
        };
        let mut length = usize::from(first & 0x3F);
        for byte in self.take(more)? {
            length = length << 8 | usize::from(*byte);
        }
        let minimal = match more {
            0 => 0,
            1 => 1 << 6,
            _ => 1 << 14,
        };
        if length < minimal { None } else { self.take(length) }
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(wire_format: u16, sender: &[u8], content: u8) -> Vec<u8> {
        let mut message = vec![0, 1];
        message.extend(wire_format.to_be_bytes());
        message.extend([3, b'g', b'i', b'd']);
        message.extend(7u64.to_be_bytes());
        if wire_format == 1 {
            message.extend(sender);
            message.extend([2, 0xAA, 0xBB]);
        }
        message.push(content);
        message
    }

    fn commit(sender: SenderKind) -> Option<MlsHeader<'static>> {
        Some(MlsHeader::Framed { group: b"gid", epoch: Epoch(7), content: ContentType::Commit, sender })
    }

    #[test]
    fn reads_public_messages_of_every_sender() {
        for (sender, kind) in [
            (&[1, 0, 0, 0, 5][..], SenderKind::Member),
            (&[2, 0, 0, 0, 0], SenderKind::External),
            (&[3], SenderKind::NewMemberProposal),
            (&[4], SenderKind::NewMemberCommit),
        ] {
            assert_eq!(MlsHeader::read(&framed(1, sender, 3)), commit(kind));
        }
        assert_eq!(MlsHeader::read(&framed(1, &[5], 3)), None, "no such sender");
    }

    #[test]
    fn reads_private_messages() {
        assert_eq!(MlsHeader::read(&framed(2, &[], 3)), commit(SenderKind::Hidden));
    }

    #[test]
    fn reads_long_group_ids_and_refuses_longer_ones() {
        let message = |length: usize| {
            let mut message = vec![0, 1, 0, 2, 0x40 | (length >> 8) as u8, length as u8];
            message.extend(vec![1; length]);
            message.extend(1u64.to_be_bytes());
            message.push(1);
            message
        };
        assert!(
            matches!(MlsHeader::read(&message(255)), Some(MlsHeader::Framed { group, .. }) if group.len() == 255)
        );
        assert_eq!(MlsHeader::read(&message(256)), None);
    }

    #[test]
    fn refuses_what_is_no_mls_message() {
        let good = framed(1, &[1, 0, 0, 0, 5], 3);
        for end in 0..good.len() {
            assert_eq!(MlsHeader::read(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(MlsHeader::read(&framed(2, &[], 4)), None, "content type");
        assert_eq!(MlsHeader::read(&framed(9, &[], 3)), None, "wire format");
        assert_eq!(MlsHeader::read(&[0, 2, 0, 2]), None, "version");
        assert_eq!(MlsHeader::read(&[0, 1, 0, 2, 0x40, 3, 1, 2, 3]), None, "length not minimal");
    }
}
