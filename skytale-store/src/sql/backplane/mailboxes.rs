//! Messages that wait to be read in this process.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::contract::backplane::BackplaneMessage;

/// The most messages, and bytes of them, that wait in one mailbox; further ones are lost.
const MESSAGES: usize = 4_096;
const BYTES: usize = 64 * 1024 * 1024;

/// The mailboxes of all readers. A reader that falls behind loses messages and keeps nobody waiting.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(Mutex<Vec<Mailbox>>);

#[derive(Debug)]
struct Mailbox {
    waiting: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// A message and the room that it takes until it is read.
#[derive(Debug)]
struct Waiting {
    message: BackplaneMessage,
    _room: OwnedSemaphorePermit,
}

impl Mailboxes {
    /// Streams what is delivered from now on, until the mailboxes are dropped.
    pub fn open(&self) -> BoxStream<'static, BackplaneMessage> {
        let (waiting, receiver) = mpsc::channel(MESSAGES);
        let mailbox = Mailbox { waiting, room: Arc::new(Semaphore::new(BYTES)) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mailbox);
        let next = |mut receiver: mpsc::Receiver<Waiting>| async move {
            receiver.recv().await.map(|waiting| (waiting.message, receiver))
        };
        stream::unfold(receiver, next).boxed()
    }

    pub fn deliver(&self, message: &BackplaneMessage) {
        let mut mailboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.retain(|mailbox| !mailbox.waiting.is_closed());
        let lost = mailboxes.iter().filter(|mailbox| !mailbox.put(message)).count();
        if lost > 0 {
            tracing::warn!(readers = lost, "a message of another relay was lost: its readers are behind");
        }
    }
}

impl Mailbox {
    /// Tells whether there was room.
    fn put(&self, message: &BackplaneMessage) -> bool {
        let size = message.body.len().min(BYTES) as u32;
        let Ok(room) = self.room.clone().try_acquire_many_owned(size) else { return false };
        self.waiting.try_send(Waiting { message: message.clone(), _room: room }).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use skytale_core::Dialect;
    use tokio::task::unconstrained;

    use super::*;
    use crate::contract::backplane::Topic;

    fn message(body: Bytes) -> BackplaneMessage {
        BackplaneMessage {
            topic: Topic { channel: [1, 2, 3], dialect: Dialect::Slim3, instance: None },
            body,
        }
    }

    /// Reads what waits.
    fn read(stream: &mut BoxStream<'static, BackplaneMessage>) -> usize {
        std::iter::from_fn(|| unconstrained(stream.next()).now_or_never().flatten()).count()
    }

    #[tokio::test]
    async fn a_reader_that_is_behind_loses_what_is_too_many() {
        let mailboxes = Mailboxes::default();
        let (mut slow, mut quick) = (mailboxes.open(), mailboxes.open());
        for _ in 0..MESSAGES + 10 {
            mailboxes.deliver(&message("x".into()));
            assert_eq!(read(&mut quick), 1);
        }
        assert_eq!(read(&mut slow), MESSAGES);
        mailboxes.deliver(&message("x".into()));
        assert_eq!(read(&mut slow), 1, "there is room again");
    }

    #[tokio::test]
    async fn a_reader_that_is_behind_loses_what_is_too_much() {
        let mailboxes = Mailboxes::default();
        let mut slow = mailboxes.open();
        let large = Bytes::from(vec![0; BYTES / 4]);
        for _ in 0..6 {
            mailboxes.deliver(&message(large.clone()));
        }
        assert_eq!(read(&mut slow), 4);
        mailboxes.deliver(&message(vec![0; BYTES + 1].into()));
        assert_eq!(read(&mut slow), 1, "one that is larger than all the room is delivered alone");
    }

    #[tokio::test]
    async fn streams_end_with_the_mailboxes() {
        let mailboxes = Mailboxes::default();
        let mut stream = mailboxes.open();
        mailboxes.deliver(&message("last".into()));
        drop(mailboxes);
        assert!(stream.next().await.is_some());
        assert!(stream.next().await.is_none());
    }
}
