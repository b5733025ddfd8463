//! Clear headers of MLS messages.

use bytes::Bytes;

/// The content type of an application message.
pub const APPLICATION: u8 = 1;

/// The content type of a proposal.
pub const PROPOSAL: u8 = 2;

/// The content type of a commit.
pub const COMMIT: u8 = 3;

/// An MLS commit's clear header, as a PublicMessage by member 0; `salt` makes rivals differ.
pub fn commit(group: &str, epoch: u64, salt: u8) -> Bytes {
    handshake(group, epoch, COMMIT, salt)
}

/// An MLS proposal's clear header.
pub fn proposal(group: &str, epoch: u64, salt: u8) -> Bytes {
    handshake(group, epoch, PROPOSAL, salt)
}

/// An MLS message's clear header, as a PrivateMessage; `salt` makes rivals differ.
pub fn private(group: &str, epoch: u64, content: u8, salt: u8) -> Bytes {
    let mut message = start(2, group, epoch);
    message.extend([content, 0, salt, salt, salt]);
    message.into()
}

/// An external commit's clear header, as a PublicMessage of an agent that is no member yet; `salt` makes rivals differ.
pub fn external_commit(group: &str, epoch: u64, salt: u8) -> Bytes {
    let mut message = start(1, group, epoch);
    message.extend([4, 0, COMMIT, salt, salt]);
    message.into()
}

fn handshake(group: &str, epoch: u64, content: u8, salt: u8) -> Bytes {
    let mut message = start(1, group, epoch);
    message.extend([1, 0, 0, 0, 0, 0, content, salt, salt, salt]);
    message.into()
}

/// The beginning of a message of MLS 1.0: its wire format, group and epoch.
fn start(format: u8, group: &str, epoch: u64) -> Vec<u8> {
    let mut message = vec![0, 1, 0, format, group.len() as u8];
    message.extend(group.as_bytes());
    message.extend(epoch.to_be_bytes());
    message
}
