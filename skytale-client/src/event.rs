//! What happens on a channel, as an agent is told.

use serde::{Deserialize, Serialize};

/// Something that happened on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// Another member said something.
    Message(Message),
    /// An agent became a member.
    Joined {
        /// Its name.
        agent: String,
        /// The number of the commit.
        sequence: u64,
    },
    /// An agent is no longer a member.
    Left {
        /// Its name.
        agent: String,
        /// The number of the commit.
        sequence: u64,
    },
    /// The group has new keys.
    Epoch {
        /// The epoch that has begun.
        epoch: u64,
        /// The number of the commit.
        sequence: u64,
    },
    /// This agent was removed. Nothing follows.
    Evicted {
        /// The number of the commit.
        sequence: u64,
    },
    /// Records are gone from the archive before this agent had read them.
    Gap {
        /// The first number that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// A message of the group could not be read: it is no member's, or this agent's group is not the others'.
    Undecryptable {
        /// Its number.
        sequence: u64,
        /// Why.
        reason: String,
    },
    /// The sender of a message has read other records of the channel than this agent, or in another order: the relay shows
    /// its members different histories, or that member lies. Told once an epoch; messages go on as before.
    HistoryDiffers {
        /// The name of the member.
        sender: String,
        /// The number of its message.
        sequence: u64,
        /// The number of the record up to which the histories were compared.
        through: u64,
        /// The digest of what this agent has read.
        own: [u8; 16],
        /// The digest of what the sender had read.
        theirs: [u8; 16],
    },
    /// The group went on without this agent: its state is of another history. It comes back by itself where the relay
    /// permits external commits; else it has to be removed and added again.
    Forked {
        /// The number of the commit that this agent cannot follow; the archive's last one, where that is gone.
        sequence: u64,
        /// The agent's own epoch.
        epoch: u64,
    },
    /// This agent is back in the group, after [`Forked`](Self::Forked) or a gap. Messages between are lost to it.
    Rejoined {
        /// The epoch it came back in.
        epoch: u64,
        /// The number of its commit.
        sequence: u64,
    },
    /// A message that was accepted by [`send`](crate::channel::Channel::send) before the agent was started anew will not be sent.
    NotSent(Unsent),
    /// An agent that was to be added or removed before this one was started anew will not be.
    NotChanged {
        /// The name of the agent that was to be added or removed.
        agent: String,
        /// Why.
        reason: String,
    },
    /// What happens here cannot be stored, or the state not be read: nothing is sent or told until it can. It is tried again
    /// each second.
    StateFailed {
        /// What went wrong.
        reason: String,
    },
    /// Events wait unread in the state; the agent reads more slowly than others write.
    Lagging {
        /// How many wait.
        waiting: u64,
    },
    /// The relay is gone; what is sent meanwhile waits.
    Disconnected,
    /// The relay is back, and what was missed comes.
    Reconnected,
    /// The relay does not accept the agent's credentials; it is asked again, later each time.
    TokenRefused {
        /// What it said.
        reason: String,
    },
}

/// A message of another member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// The channel.
    pub channel: String,
    /// The name of the agent that sent it, which MLS has verified.
    pub sender: String,
    /// Its number in the channel.
    pub sequence: u64,
    /// Its id, by which a repetition is recognised.
    pub id: [u8; 16],
    /// The epoch it was sent in.
    pub epoch: u64,
    /// What was said.
    pub body: Vec<u8>,
}

/// A message that will not be sent, whose caller is gone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unsent {
    /// What was to be said.
    pub body: Vec<u8>,
    /// Why it is given up.
    pub reason: String,
}

impl std::fmt::Debug for Unsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bytes, reason) = (self.body.len(), &self.reason);
        f.debug_struct("Unsent").field("bytes", &bytes).field("reason", reason).finish_non_exhaustive()
    }
}

impl Message {
    /// Returns the body as text, with what is no UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Says how long the body is; what it says is nobody's business in a log.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("channel", &self.channel)
            .field("sender", &self.sender)
            .field("sequence", &self.sequence)
            .field("epoch", &self.epoch)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
