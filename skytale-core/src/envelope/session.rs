//! The session header of a message.

use crate::dialect::Dialect;
use crate::error::FrameError;
use crate::kind::MessageKind;
use crate::reader::{Once, Reader, Span};

/// SLIM's `SessionHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHeader {
    /// Between two, or in a group.
    pub session_type: SessionType,
    /// What the message is for.
    pub kind: MessageKind,
    /// The session, as its members number it.
    pub session_id: u32,
    /// The message within its session.
    pub message_id: u32,
}

/// SLIM's `SessionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionType {
    /// Between two agents.
    PointToPoint,
    /// In a group.
    Multicast,
    /// Not specified, or a number that SLIM does not define.
    Other(u32),
}

pub(super) fn read(frame: &[u8], span: Span, dialect: Dialect) -> Result<SessionHeader, FrameError> {
    let mut numbers = [0u32; 4];
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if let 1..=4 = field.number {
            once.see(field.number, "a session header field")?;
            numbers[field.number as usize - 1] = field.varint("the session header")? as u32;
        }
    }
    let [session_type, kind, session_id, message_id] = numbers;
    Ok(SessionHeader {
        session_type: SessionType::from(session_type),
        kind: MessageKind::from_number(kind, dialect),
        session_id,
        message_id,
    })
}

impl From<u32> for SessionType {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::PointToPoint,
            2 => Self::Multicast,
            other => Self::Other(other),
        }
    }
}

impl SessionType {
    /// Returns the number of the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::PointToPoint => 1,
            Self::Multicast => 2,
            Self::Other(number) => number,
        }
    }
}
