//! Finding out what an agent may do on the room.

use skytale_core::MessageKind;

use super::{Agent, Content, Say, room};
use crate::mls::commit;

/// An attempt of an agent on the [`room`].
#[derive(Clone, Copy, Debug)]
pub enum Attempt {
    /// Subscribes to it.
    Subscribe,
    /// Sends an application message.
    Publish,
    /// Commits to a group of its own.
    Commit,
}

impl Agent {
    /// Negotiates, and tells whether the relay lets the agent do something; `id` tells its group from other agents'.
    ///
    /// A session that the relay ends on the way, as one whose token is revoked, may do nothing.
    pub async fn may(&mut self, attempt: Attempt, id: u64) -> bool {
        if self.try_negotiate().await.is_err() {
            return false;
        }
        match attempt {
            Attempt::Subscribe => return self.try_subscribe(&room()).await.is_ok(),
            Attempt::Publish => self.say(Say::msg(room(), "hello")).await,
            Attempt::Commit => {
                let bytes = commit(&format!("group {id}"), 0, 0);
                self.say(Say::new(MessageKind::GroupUpdate, room(), Content::Mls(Some(bytes)))).await;
            }
        }
        // A session that goes on can unsubscribe, whatever it holds.
        self.unsubscribe(&room(), None).await.is_ok()
    }
}
