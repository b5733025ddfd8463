//! Choices between strictness and convenience that a host makes.

use skytale_store::{GroupEpoch, Precondition};

/// Whether native channels take external commits, by which an agent joins, or comes back, without an invitation.
///
/// They are PublicMessages, so that the relay sees who joins, and only members can tell whether one was due: an agent
/// needs [`Verb::Join`](skytale_core::Verb::Join) on the channel, and each account has one a minute there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalCommits {
    /// They are refused.
    #[default]
    Refuse,
    /// They are decided as every commit.
    Accept,
}

/// What an agent that subscribes is given of the archive, before what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayPolicy {
    /// Nothing.
    #[default]
    Off,
    /// What came since the last message that was handed to it; nothing if it was not here before.
    SinceLastDelivery,
    /// The last records of the channel, at most so many.
    Last(u64),
}

/// Whether sessions in the profile of the published SDK, which cannot refresh a token, end when their token does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacySdkExpiry {
    /// They go on; the token counts when the stream is opened.
    #[default]
    GoOn,
    /// They end, as every other session.
    End,
}

/// Which epochs native agents may send application messages in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EpochPolicy {
    /// The current one alone, so that a member that was removed is not heard again.
    #[default]
    Strict,
    /// The current one and the three before it, so that a message that a commit overtook need not be made again.
    /// Members have to keep the keys of past epochs.
    Lenient,
}

impl EpochPolicy {
    /// Returns what must hold for an application message.
    pub(crate) fn precondition(self, made_in: GroupEpoch) -> Precondition {
        match self {
            Self::Strict => Precondition::AtSole(made_in),
            Self::Lenient => Precondition::RecentSole(made_in, PAST_EPOCHS),
        }
    }
}

/// How many epochs a message may be late.
const PAST_EPOCHS: u64 = 3;
