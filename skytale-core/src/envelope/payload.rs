//! What little is read of a payload, and only where a kind asks for it.

use crate::dialect::Dialect;
use crate::envelope::Envelope;
use crate::kind::MessageKind;
use crate::reader::{Reader, Span, Value};

/// A view of SLIM's `ApplicationPayload`.
#[derive(Clone, Copy, Debug)]
pub struct AppPayload<'a> {
    /// The content type that the sender states.
    pub payload_type: &'a str,
    /// The bytes between the agents; ciphertext where MLS is on.
    pub blob: &'a [u8],
}

/// The MLS part of a group command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlsContent<'a> {
    /// The command carries none: the group does not use MLS.
    Absent,
    /// The bytes of an `MLSMessage`.
    Present(&'a [u8]),
}

impl Envelope {
    /// Returns the application payload of a message.
    pub fn app_payload(&self) -> Option<AppPayload<'_>> {
        let payload = self.find(self.publish()?.content?, 1)?;
        let payload_type = self.find(payload, 1).map_or("", |span| self.str(span));
        let blob = self.find(payload, 2).unwrap_or_default().of(&self.frame);
        Some(AppPayload { payload_type, blob })
    }

    /// Returns the MLS bytes that a group command carries.
    pub fn mls_content(&self) -> MlsContent<'_> {
        let found = self.publish().and_then(|publish| self.walk(publish.content?, self.mls_path()?));
        found.map_or(MlsContent::Absent, |span| MlsContent::Present(span.of(&self.frame)))
    }

    /// Returns a value of the message's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let mut reader = Reader::new(&self.frame);
        while let Ok(Some(field)) = reader.next() {
            if let (4, Value::Bytes(entry)) = (field.number, field.value)
                && self.find(entry, 1).is_some_and(|span| self.str(span) == key)
            {
                return Some(self.find(entry, 2).map_or("", |span| self.str(span)));
            }
        }
        None
    }

    /// Returns the field numbers that lead from the content to the MLS bytes of a group command.
    pub(super) fn mls_path(&self) -> Option<&'static [u32]> {
        Some(match (self.publish()?.session.kind, self.dialect) {
            (MessageKind::GroupAdd, Dialect::Slim1) => &[2, 7, 3, 2],
            (MessageKind::GroupRemove, Dialect::Slim1) => &[2, 8, 3, 2],
            (MessageKind::GroupWelcome, Dialect::Slim1) => &[2, 9, 2, 2],
            (MessageKind::GroupProposal, Dialect::Slim1) => &[2, 11, 2],
            (MessageKind::GroupUpdate, Dialect::Slim3) => &[2, 7, 4, 2],
            (MessageKind::GroupWelcome, Dialect::Slim3) => &[2, 8, 2, 2],
            (MessageKind::GroupProposal, Dialect::Slim3) => &[2, 10, 2],
            _ => return None,
        })
    }

    fn walk(&self, from: Span, path: &[u32]) -> Option<Span> {
        path.iter().try_fold(from, |within, number| self.find(within, *number))
    }

    fn find(&self, within: Span, number: u32) -> Option<Span> {
        let mut reader = Reader::within(&self.frame, within);
        while let Ok(Some(field)) = reader.next() {
            if let (true, Value::Bytes(span)) = (field.number == number, field.value) {
                return Some(span);
            }
        }
        None
    }

    fn str(&self, span: Span) -> &str {
        std::str::from_utf8(span.of(&self.frame)).unwrap_or_default()
    }
}
