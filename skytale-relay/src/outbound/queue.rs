//! The bounded queue of frames that wait for one session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use skytale_core::extension::{Content, Drain, Extension};
use skytale_core::{Envelope, LinkKey, MessageKind, Name, SequenceNumber};
use tokio_util::sync::CancellationToken;

use super::budget::{Allowed, Amount};
use super::cursor::Cursor;
use super::session_id::SessionId;
use crate::close_reason::CloseReason;
use crate::limits::Limits;

/// The bounded queue between those who publish and one session's transport. Offering never waits.
#[derive(Debug)]
pub(crate) struct Outbox {
    session: SessionId,
    pub(super) allowed: Allowed,
    state: Mutex<State>,
    ended: CancellationToken,
    /// The key that outgoing headers are tagged with, once the link has agreed on one.
    pub key: OnceLock<LinkKey>,
    /// Set for the profile of the published SDK, which names everything by strings and wants the sequence number
    /// appended to what MLS produced.
    pub strings_only: OnceLock<()>,
    /// Set for the native profile, which is told each message's number.
    pub native: OnceLock<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub queue: VecDeque<Queued>,
    archived: Amount,
    unarchived: Amount,
    answers: Amount,
    /// What the archive can give again, of what waited when the session was closed for reading too slowly.
    unsent: Vec<Queued>,
    /// Subscriptions that have to read the archive.
    pub lagging: VecDeque<Arc<Cursor>>,
    pub closed: Option<CloseReason>,
    /// Who waits for more; nobody while the transport has yet to send what it took.
    pub waker: Option<Waker>,
    /// How often the transport has asked for more.
    pub polls: u64,
    /// The names that the session speaks as.
    sources: Vec<Name>,
    /// The Pings that were queued last.
    pings: VecDeque<(u32, u32)>,
}

/// A frame that waits.
#[derive(Debug)]
pub(super) enum Queued {
    Control(Bytes),
    /// With the message's number, and the one given on its subscription before.
    Archived(Arc<Envelope>, SequenceNumber, SequenceNumber),
    /// The place of a message of the session's own, and the number given before.
    Own(Option<[u8; 16]>, SequenceNumber, SequenceNumber),
    Unarchived(Arc<Envelope>, Option<SequenceNumber>),
}

/// How many source names of a session are remembered, and how many Pings.
const SOURCES: usize = 64;
const PINGS: usize = 64;

impl Outbox {
    pub fn new(limits: &Limits) -> Self {
        Self {
            session: SessionId::next(),
            allowed: Allowed::by(limits),
            state: Mutex::default(),
            ended: CancellationToken::new(),
            key: OnceLock::new(),
            strings_only: OnceLock::new(),
            native: OnceLock::new(),
        }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Queues a frame of the relay's own; a session that asks and lets too many answers wait is closed.
    pub fn send(&self, frame: Bytes) {
        let mut state = self.lock();
        let size = frame.len();
        if let Some(slow) = state.answers.excess(size, &self.allowed.answers, ["answers", "bytes of answers"])
        {
            return self.give_up(state, slow);
        }
        state.answers.add(size);
        self.push(state, Queued::Control(frame));
    }

    /// Queues an answer to a native request.
    pub fn answer(&self, request: u64, content: Content) {
        if request != 0 {
            self.send(Extension::new(content).with_request(request).into_frame());
        }
    }

    /// Tells a native agent that its stream ends, and when to come back.
    pub fn tell_of_drain(&self, retry_after: Duration) {
        if self.native.get().is_some() {
            let retry_after_ms = retry_after.as_millis() as u64;
            self.send(Extension::new(Content::Drain(Drain { retry_after_ms })).into_frame());
        }
    }

    /// Queues an archived message, or lets its subscription fall back to the archive.
    pub fn offer_archived(&self, cursor: &Arc<Cursor>, envelope: &Arc<Envelope>, number: SequenceNumber) {
        self.offer(cursor, number, envelope.frame().len(), |previous| {
            Queued::Archived(envelope.clone(), number, previous)
        });
    }

    /// Queues the place of a message that the session itself has sent, for agents that are told numbers.
    pub fn offer_own(&self, cursor: &Arc<Cursor>, id: Option<[u8; 16]>, number: SequenceNumber) {
        if self.native.get().is_some() {
            self.offer(cursor, number, 0, |previous| Queued::Own(id, number, previous));
        }
    }

    fn offer(
        &self,
        cursor: &Arc<Cursor>,
        number: SequenceNumber,
        size: usize,
        queued: impl FnOnce(SequenceNumber) -> Queued,
    ) {
        let mut state = self.lock();
        if state.closed.is_some() || cursor.is_behind() || number <= cursor.last() {
            return;
        }
        if state.archived.is_full_for(size, &self.allowed.archived) {
            return self.fall_behind(state, cursor, number);
        }
        cursor.reach(number);
        state.archived.add(size);
        let previous = cursor.give(number);
        self.push(state, queued(previous));
    }

    /// Lets a subscription fall back to the archive, from before `missed` on.
    pub fn let_lag(&self, cursor: &Arc<Cursor>, missed: SequenceNumber) {
        let state = self.lock();
        if state.closed.is_none() && !cursor.is_behind() {
            self.fall_behind(state, cursor, missed);
        }
    }

    fn fall_behind(&self, mut state: MutexGuard<'_, State>, cursor: &Arc<Cursor>, missed: SequenceNumber) {
        cursor.fall_behind(missed);
        state.lagging.push_back(cursor.clone());
        self.wake(state);
    }

    /// Counts an archived message as given that the session gets by another of its subscriptions.
    pub fn pass(&self, cursor: &Cursor, number: SequenceNumber) {
        let _state = self.lock();
        if !cursor.is_behind() {
            cursor.reach(number);
        }
    }

    /// Queues a message that the archive cannot give again; a session that lets too many wait is closed.
    pub fn offer_unarchived(&self, envelope: &Arc<Envelope>, number: Option<SequenceNumber>) {
        let mut state = self.lock();
        state.note_ping(envelope);
        self.push_unarchived(state, envelope, number);
    }

    /// Queues the relay's own message to the session, such as a Pong, which is no Ping to be answered.
    pub fn offer_own_message(&self, envelope: &Arc<Envelope>) {
        self.push_unarchived(self.lock(), envelope, None);
    }

    fn push_unarchived(
        &self,
        mut state: MutexGuard<'_, State>,
        envelope: &Arc<Envelope>,
        number: Option<SequenceNumber>,
    ) {
        if state.closed.is_some() {
            return;
        }
        let size = envelope.frame().len();
        let what = ["unarchived messages", "unarchived bytes"];
        if let Some(slow) = state.unarchived.excess(size, &self.allowed.unarchived, what) {
            return self.give_up(state, slow);
        }
        state.unarchived.add(size);
        self.push(state, Queued::Unarchived(envelope.clone(), number));
    }

    /// Lets a subscription read the archive first.
    pub fn catch_up(&self, cursor: Arc<Cursor>) {
        let mut state = self.lock();
        state.lagging.push_back(cursor);
        self.wake(state);
    }

    /// Ends the session after what is queued; the first reason counts.
    pub fn close(&self, close: CloseReason) {
        self.close_with(self.lock(), close);
    }

    /// Waits until the session is closed.
    pub async fn closed(&self) {
        self.ended.cancelled().await;
    }

    /// Tells whether the session is closed.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Returns why the session was closed.
    pub fn reason(&self) -> Option<CloseReason> {
        self.lock().closed.clone()
    }

    /// Remembers a name that the session speaks as.
    pub fn add_source(&self, source: Name) {
        let mut state = self.lock();
        if !state.sources.contains(&source) && state.sources.len() < SOURCES {
            state.sources.push(source);
        }
    }

    /// Tells whether the session itself sent a message that comes from the archive.
    pub(super) fn is_own(&self, envelope: &Envelope) -> bool {
        let state = self.lock();
        envelope.publish().is_some_and(|publish| state.sources.contains(&publish.header.source.name))
    }

    /// Tells whether a Ping was lately queued for the session, so that one with its numbers is the answer to it.
    pub fn had_ping(&self, session_id: u32, message_id: u32) -> bool {
        self.lock().pings.contains(&(session_id, message_id))
    }

    /// Returns, of what the archive could give again, the first number for a subscription that still waits.
    pub fn first_waiting(&self, cursor: &Cursor) -> Option<SequenceNumber> {
        let state = self.lock();
        let archived = state.queue.iter().chain(&state.unsent).filter_map(|queued| match queued {
            Queued::Archived(envelope, number, _) if cursor.wants(envelope) => Some(*number),
            _ => None,
        });
        archived.min()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut state: MutexGuard<'_, State>, queued: Queued) {
        state.queue.push_back(queued);
        self.wake(state);
    }

    /// Closes a session that reads too slowly, without what waits for it.
    pub(super) fn give_up(&self, mut state: MutexGuard<'_, State>, slow: CloseReason) {
        let waited = std::mem::take(&mut state.queue).into_iter();
        state.unsent.extend(waited.filter(|queued| matches!(queued, Queued::Archived(..))));
        self.close_with(state, slow);
    }

    fn close_with(&self, mut state: MutexGuard<'_, State>, close: CloseReason) {
        state.closed.get_or_insert(close);
        self.ended.cancel();
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Takes what waits longest, or leaves a waker.
    pub fn poll(&mut self, waker: &Waker) -> Option<Queued> {
        self.polls += 1;
        let queued = self.pop();
        match queued {
            Some(_) => self.waker = None,
            None => self.wait(waker),
        }
        queued
    }

    /// Notes that the transport was given something to send.
    pub fn given(&mut self) {
        self.waker = None;
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        match &queued {
            Queued::Control(frame) => self.answers.subtract(frame.len()),
            Queued::Own(..) => self.archived.subtract(0),
            Queued::Archived(envelope, ..) => self.archived.subtract(envelope.frame().len()),
            Queued::Unarchived(envelope, _) => self.unarchived.subtract(envelope.frame().len()),
        }
        Some(queued)
    }

    pub fn wait(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn note_ping(&mut self, envelope: &Envelope) {
        let Some(session) = envelope.publish().map(|publish| publish.session) else { return };
        if session.kind == MessageKind::Ping {
            if self.pings.len() == PINGS {
                self.pings.pop_front();
            }
            self.pings.push_back((session.session_id, session.message_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use prost::Message;
    use skytale_core::generated::slim1;
    use skytale_core::{ChannelName, Dialect, FrameLimits, Name};

    use super::*;
    use crate::outbound::cursor::LiveChannel;

    /// The type of a channel that is gone.
    #[derive(Debug)]
    enum Gone {}

    impl LiveChannel for Gone {
        fn name(&self) -> &ChannelName {
            match *self {}
        }

        fn delivered(&self) -> SequenceNumber {
            match *self {}
        }
    }

    /// Makes a message whose frame has so many bytes.
    fn message(bytes: usize) -> Arc<Envelope> {
        let [component_0, component_1, component_2] = Name::of(["org", "ns", "room"]).components;
        let name = slim1::EncodedName { component_0, component_1, component_2, component_3: u64::MAX };
        let destination = Some(slim1::Name { name: Some(name), str_name: None });
        let header = Some(slim1::SlimHeader { destination, fanout: 256, ..Default::default() });
        let frame = |padding: usize| {
            let blob = vec![1; padding].into();
            let payload = slim1::ApplicationPayload { payload_type: "x".into(), blob };
            let content = slim1::content::ContentType::AppPayload(payload);
            let msg = Some(slim1::Content { content_type: Some(content) });
            let session = Some(slim1::SessionHeader { session_message_type: 1, ..Default::default() });
            let publish = slim1::Publish { header: header.clone(), session, msg };
            let message_type = Some(slim1::message::MessageType::Publish(publish));
            slim1::Message { message_type, ..Default::default() }.encode_to_vec()
        };
        let found = (0..bytes).map(frame).find(|frame| frame.len() == bytes).expect("a padding that fits");
        Arc::new(Envelope::parse_first(found.into(), &FrameLimits::default()).expect("a frame"))
    }

    fn outbox(set: impl FnOnce(&mut Limits)) -> Outbox {
        let mut limits = Limits::default();
        set(&mut limits);
        Outbox::new(&limits)
    }

    #[test]
    fn unarchived_messages_and_one_more() {
        let outbox = outbox(|limits| limits.queued_unarchived = 3);
        let message = message(100);
        (0..3).for_each(|_| outbox.offer_unarchived(&message, None));
        assert_eq!(outbox.reason(), None);
        outbox.offer_unarchived(&message, None);
        let slow = CloseReason::SlowConsumer { what: "unarchived messages", allowed: 3 };
        assert_eq!(outbox.reason(), Some(slow));
    }

    #[test]
    fn unarchived_bytes_and_one_more() {
        let outbox = outbox(|limits| limits.queued_bytes = 50);
        (0..4).for_each(|_| outbox.offer_unarchived(&message(100), None));
        assert_eq!(outbox.reason(), None, "eight times the bytes of archived messages");
        outbox.offer_unarchived(&message(90), None);
        let slow = CloseReason::SlowConsumer { what: "unarchived bytes", allowed: 400 };
        assert_eq!(outbox.reason(), Some(slow));
    }

    #[test]
    fn what_was_not_sent_is_known_after_the_session_was_closed_for_it() {
        let outbox = Arc::new(outbox(|limits| limits.queued_unarchived = 1));
        let channel = Weak::<Gone>::new();
        let cursor = Arc::new(Cursor::live(channel, Dialect::Slim1, None, SequenceNumber::START));
        let message = message(100);
        for number in 5..8 {
            outbox.offer_archived(&cursor, &message, SequenceNumber(number));
        }
        outbox.lock().pop().expect("it waits");
        (0..2).for_each(|_| outbox.offer_unarchived(&message, None));
        assert!(outbox.has_ended());
        assert_eq!(outbox.first_waiting(&cursor), Some(SequenceNumber(6)));
    }

    #[test]
    fn answers_and_one_more() {
        let outbox = outbox(|limits| limits.queued_answers = 3);
        (0..3).for_each(|_| outbox.send(Bytes::from_static(b"answer")));
        assert_eq!(outbox.reason(), None);
        outbox.lock().pop().expect("it waits");
        outbox.send(Bytes::from_static(b"answer"));
        assert_eq!(outbox.reason(), None, "what was sent makes room");
        outbox.send(Bytes::from_static(b"answer"));
        assert_eq!(outbox.reason(), Some(CloseReason::SlowConsumer { what: "answers", allowed: 3 }));
    }
}
