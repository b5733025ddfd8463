//! What a relay lets native agents do beyond the strictest.

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
