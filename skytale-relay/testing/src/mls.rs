//! Clear headers of MLS messages.

use bytes::Bytes;

/// An MLS commit's clear header, as a PublicMessage by member 0; `salt` makes rivals differ.
pub fn commit(group: &str, epoch: u64, salt: u8) -> Bytes {
    handshake(group, epoch, 3, salt)
}

/// An MLS proposal's clear header.
pub fn proposal(group: &str, epoch: u64, salt: u8) -> Bytes {
    handshake(group, epoch, 2, salt)
}

fn handshake(group: &str, epoch: u64, content: u8, salt: u8) -> Bytes {
    let mut message = vec![0, 1, 0, 1, group.len() as u8];
    message.extend(group.as_bytes());
    message.extend(epoch.to_be_bytes());
    message.extend([1, 0, 0, 0, 0, 0, content, salt, salt, salt]);
    message.into()
}
