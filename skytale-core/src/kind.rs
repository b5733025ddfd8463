//! The kinds of session messages and their numbers, which differ between the dialects.

use std::fmt;

use crate::dialect::Dialect;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $text:literal, $one:expr, $three:expr;)*) => {
        /// What a published message is for (SLIM's `SessionMessageType`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum MessageKind {
            $($(#[$doc])* $kind,)*
            /// A number that the dialect does not define.
            Unknown(u32),
        }

        impl MessageKind {
            /// Reads a kind's number in a dialect.
            pub fn from_number(number: u32, dialect: Dialect) -> Self {
                let defined: &[(MessageKind, Option<u32>)] = match dialect {
                    Dialect::Slim1 => &[$((Self::$kind, $one)),*],
                    Dialect::Slim3 => &[$((Self::$kind, $three)),*],
                };
                let found = defined.iter().find(|(_, defined)| *defined == Some(number));
                found.map_or(Self::Unknown(number), |(kind, _)| *kind)
            }

            /// Returns the kind's number in a dialect, or `None` where the dialect lacks the kind.
            pub const fn number(self, dialect: Dialect) -> Option<u32> {
                match (self, dialect) {
                    $((Self::$kind, Dialect::Slim1) => $one, (Self::$kind, Dialect::Slim3) => $three,)*
                    (Self::Unknown(number), _) => Some(number),
                }
            }
        }

        impl fmt::Display for MessageKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$kind => f.write_str($text),)*
                    Self::Unknown(number) => write!(f, "Unknown({number})"),
                }
            }
        }
    };
}

kinds! {
    /// Not specified by the sender.
    Unspecified = "Unspecified", Some(0), Some(0);
    /// Application data.
    Msg = "Msg", Some(1), Some(1);
    /// A receiver's receipt.
    MsgAck = "MsgAck", Some(2), Some(2);
    /// A receiver asks for a lost message.
    RtxRequest = "RtxRequest", Some(3), Some(3);
    /// The resent message.
    RtxReply = "RtxReply", Some(4), Some(4);
    /// Asks which instance stands behind a name.
    DiscoveryRequest = "DiscoveryRequest", Some(5), Some(5);
    /// Answers with the instance as source.
    DiscoveryReply = "DiscoveryReply", Some(6), Some(6);
    /// Invites to a session.
    JoinRequest = "JoinRequest", Some(7), Some(7);
    /// Accepts an invitation; carries the key package.
    JoinReply = "JoinReply", Some(8), Some(8);
    /// Asks a member to leave, or to be let go.
    LeaveRequest = "LeaveRequest", Some(9), Some(9);
    /// Confirms a leave.
    LeaveReply = "LeaveReply", Some(10), Some(10);
    /// Adds a member; carries the MLS commit.
    GroupAdd = "GroupAdd", Some(11), None;
    /// Removes a member; carries the MLS commit.
    GroupRemove = "GroupRemove", Some(12), None;
    /// Adds, removes or readmits a member; carries the MLS commit.
    GroupUpdate = "GroupUpdate", None, Some(11);
    /// The roster and the MLS Welcome for a new member.
    GroupWelcome = "GroupWelcome", Some(13), Some(12);
    /// The group ends.
    GroupClose = "GroupClose", Some(14), Some(13);
    /// An MLS proposal.
    GroupProposal = "GroupProposal", Some(15), Some(14);
    /// A member confirms a control message.
    GroupAck = "GroupAck", Some(16), Some(15);
    /// A control message was refused.
    GroupNack = "GroupNack", Some(17), Some(16);
    /// Probes whether the others are alive.
    Ping = "Ping", Some(18), None;
    /// Tells that the sender is alive.
    Heartbeat = "Heartbeat", None, Some(17);
    /// Announces a member online or offline.
    UpdateParticipantState = "UpdateParticipantState", None, Some(18);
    /// Asks to be readmitted to the MLS group.
    RejoinRequest = "RejoinRequest", None, Some(19);
    /// Readmits; carries an MLS Welcome.
    RejoinReply = "RejoinReply", None, Some(20);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_in_both_dialects() {
        for dialect in [Dialect::Slim1, Dialect::Slim3] {
            for number in 0..32 {
                assert_eq!(MessageKind::from_number(number, dialect).number(dialect), Some(number));
            }
        }
    }

    #[test]
    fn numbers_from_eleven_mean_different_kinds() {
        assert_eq!(MessageKind::from_number(12, Dialect::Slim1), MessageKind::GroupRemove);
        assert_eq!(MessageKind::from_number(12, Dialect::Slim3), MessageKind::GroupWelcome);
        assert_eq!(MessageKind::from_number(18, Dialect::Slim1), MessageKind::Ping);
        assert_eq!(MessageKind::from_number(19, Dialect::Slim1), MessageKind::Unknown(19));
    }
}
