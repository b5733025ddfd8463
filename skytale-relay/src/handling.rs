//! The table of message kinds, with the handling of each.

use skytale_core::MessageKind;

/// What a relay does with a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handling {
    /// Archives it with its channel's next sequence number, then relays it.
    Archive,
    /// Reads its MLS bytes: a commit is archived and relayed if it is the first of its epoch, and refused otherwise.
    Order,
    /// Relays it untouched, in its sender's order, to whoever is subscribed now.
    Forward,
    /// Answers it at once, and relays it.
    Pong,
}

impl Handling {
    /// Returns the handling of a kind; the same in both dialects, which differ in the kinds they have.
    pub const fn of(kind: MessageKind) -> Self {
        use MessageKind as Kind;
        match kind {
            Kind::Msg => Self::Archive,
            Kind::GroupProposal | Kind::GroupAdd | Kind::GroupRemove | Kind::GroupUpdate => Self::Order,
            Kind::GroupWelcome => Self::Forward,
            Kind::JoinRequest | Kind::JoinReply | Kind::LeaveRequest | Kind::LeaveReply => Self::Forward,
            Kind::DiscoveryRequest | Kind::DiscoveryReply | Kind::GroupClose => Self::Forward,
            Kind::Ping => Self::Pong,
            _ => Self::Forward,
        }
    }
}
