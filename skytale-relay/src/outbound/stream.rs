//! The stream of outgoing frames: from the outbox, and from the archive for subscriptions that lag.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use skytale_core::{Envelope, Hop, SequenceNumber, Tagger, extension};
use skytale_store::{Record, Store, StoreError};
use tokio::time::{Sleep, sleep};

use super::cursor::Cursor;
use super::frame::Frame;
use super::queue::{Outbox, Queued};
use crate::close_reason::CloseReason;
use crate::envelope::{is_for_any_instance, reread};
use crate::telemetry::Meter;

/// The frames for one peer, as a stream that its transport reads at its own pace.
///
/// It ends when the session ends; with an error if the peer has to know why.
pub struct Outbound {
    outbox: Arc<Outbox>,
    store: Arc<dyn Store>,
    meter: Meter,
    tagger: Option<Tagger>,
    catching_up: Option<CatchingUp>,
    pace: Pace,
    ended: bool,
}

/// A subscription that reads the archive.
struct CatchingUp {
    cursor: Arc<Cursor>,
    records: BoxStream<'static, Result<Record, StoreError>>,
}

/// Holds replays back for the published SDK, whose queue loses what exceeds 64 messages.
#[derive(Default)]
struct Pace {
    sent: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(100);

impl Outbound {
    pub(crate) fn new(outbox: Arc<Outbox>, store: Arc<dyn Store>, meter: Meter) -> Self {
        Self { outbox, store, meter, tagger: None, catching_up: None, pace: Pace::default(), ended: false }
    }

    /// Makes the frame of a message; `place` is its number, and the number given before it.
    fn seal(&mut self, envelope: Arc<Envelope>, place: Option<[SequenceNumber; 2]>) -> Frame {
        let mut hop = Hop::default();
        if let Some(publish) = envelope.publish() {
            hop.ttl = publish.header.ttl.saturating_sub(1);
            if self.tagger.is_none() {
                self.tagger = self.outbox.key.get().map(|key| Tagger::new(key.clone()));
            }
            hop.mac = self.tagger.as_mut().map(|tagger| tagger.tag(&envelope, &publish.header, hop.ttl));
        }
        self.meter.delivered.increment(1);
        self.meter.delivered_bytes.increment(envelope.frame().len() as u64);
        if self.outbox.strings_only.get().is_some() {
            let suffix = place.map(|[number, _]| number.0).unwrap_or_default().to_be_bytes();
            return Frame::whole(envelope.with_suffix(&hop, &suffix));
        }
        let tail = place.filter(|_| self.outbox.native.get().is_some()).map(|[number, previous]| {
            let mut tail = BytesMut::with_capacity(extension::MAX_TAIL);
            extension::put_tail(number, previous, envelope.message_id(), &mut tail);
            tail.freeze()
        });
        Frame::message(envelope, hop, tail)
    }

    fn seal_queued(&mut self, queued: Queued) -> Frame {
        match queued {
            Queued::Control(bytes) => Frame::whole(bytes),
            Queued::Archived(envelope, number, previous) => self.seal(envelope, Some([number, previous])),
            Queued::Own(id, number, previous) => place(id, number, previous),
            Queued::Unarchived(envelope, number) => {
                self.seal(envelope, number.map(|number| [number, SequenceNumber::START]))
            }
        }
    }

    /// Returns the next record of the archive that is for the peer; pending once all subscriptions are live again.
    fn poll_archive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, CloseReason>> {
        loop {
            if self.outbox.strings_only.get().is_some() {
                ready!(self.pace.poll(cx));
            }
            if self.catching_up.is_none() {
                self.catching_up = Some(ready!(self.next_lagging(cx)));
            }
            let Some(catching_up) = &mut self.catching_up else { continue };
            match ready!(catching_up.records.poll_next_unpin(cx)) {
                Some(Ok(record)) => {
                    catching_up.cursor.reach(record.sequence);
                    if let Some(envelope) = catching_up.read(record.clone(), &self.outbox) {
                        self.meter.replayed.increment(1);
                        self.pace.sent += 1;
                        let previous = catching_up.cursor.give(record.sequence);
                        return Poll::Ready(Ok(self.seal(envelope, Some([record.sequence, previous]))));
                    }
                }
                Some(Err(StoreError::Gone { floor })) => {
                    catching_up.cursor.reach(floor);
                    catching_up.cursor.give(floor);
                    self.read_on();
                    if self.outbox.native.get().is_some() {
                        return Poll::Ready(Ok(gone(floor)));
                    }
                }
                Some(Err(error)) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the archive could not be read"
                    );
                    return Poll::Ready(Err(CloseReason::ArchiveUnavailable));
                }
                None => self.resume_or_finish(),
            }
        }
    }

    /// Takes the next subscription that lags, or leaves a waker.
    fn next_lagging(&mut self, cx: &mut Context<'_>) -> Poll<CatchingUp> {
        let mut state = self.outbox.lock();
        while let Some(cursor) = state.lagging.pop_front() {
            if let Some(records) = records(&self.store, &cursor) {
                return Poll::Ready(CatchingUp { cursor, records });
            }
        }
        state.wait(cx.waker());
        Poll::Pending
    }

    /// Reads what the archive still has.
    fn read_on(&mut self) {
        let Some(CatchingUp { cursor, .. }) = self.catching_up.take() else { return };
        let records = records(&self.store, &cursor);
        self.catching_up = records.map(|records| CatchingUp { cursor, records });
    }

    /// At the end of the archive: lets the subscription go live, or reads what was appended meanwhile.
    fn resume_or_finish(&mut self) {
        let Some(CatchingUp { cursor, .. }) = self.catching_up.take() else { return };
        let Some(channel) = cursor.channel() else { return };
        let state = self.outbox.lock();
        let live = cursor.rejoin(&*channel);
        drop(state);
        if !live && let Some(records) = records(&self.store, &cursor) {
            self.catching_up = Some(CatchingUp { cursor, records });
        }
    }
}

/// Tells an agent that the records up to a number are gone, also where none is left that would show it.
fn gone(floor: SequenceNumber) -> Frame {
    place(None, floor, floor)
}

/// Makes the frame of a number without its message.
fn place(id: Option<[u8; 16]>, number: SequenceNumber, previous: SequenceNumber) -> Frame {
    let mut tail = BytesMut::with_capacity(extension::MAX_TAIL);
    extension::put_tail(number, previous, id, &mut tail);
    Frame::whole(tail.freeze())
}

fn records(
    store: &Arc<dyn Store>,
    cursor: &Cursor,
) -> Option<BoxStream<'static, Result<Record, StoreError>>> {
    Some(store.read(cursor.channel()?.name(), cursor.last()))
}

impl CatchingUp {
    /// Returns the message of a record, if it is for this subscription and by somebody else.
    fn read(&self, record: Record, outbox: &Outbox) -> Option<Arc<Envelope>> {
        let envelope = reread(record.body, record.dialect, record.message_id)?;
        // While it was here, another one may have been chosen, or it was, and was handed the message itself.
        let is_decided = is_for_any_instance(&envelope) && !self.cursor.is_replaying();
        let is_meant = self.cursor.wants(&envelope) && !is_decided && !outbox.is_own(&envelope);
        is_meant.then(|| Arc::new(envelope))
    }
}

impl Pace {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.poll_unpin(cx));
            self.pause = None;
        }
        if self.sent < BURST {
            return Poll::Ready(());
        }
        self.sent = 0;
        let mut pause = Box::pin(sleep(PAUSE));
        let _ = pause.poll_unpin(cx);
        self.pause = Some(pause);
        Poll::Pending
    }
}

impl Stream for Outbound {
    type Item = Result<Frame, CloseReason>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let queued = self.outbox.lock().poll(cx.waker());
        if let Some(queued) = queued {
            return Poll::Ready(Some(Ok(self.seal_queued(queued))));
        }
        if let Some(close) = self.outbox.reason() {
            self.ended = true;
            return Poll::Ready(Some(close).filter(|close| *close != CloseReason::ByPeer).map(Err));
        }
        match ready!(self.poll_archive(cx)) {
            Ok(frame) => {
                self.outbox.lock().given();
                Poll::Ready(Some(Ok(frame)))
            }
            Err(close) => {
                self.outbox.close(close.clone());
                self.ended = true;
                Poll::Ready(Some(Err(close)))
            }
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.outbox.close(CloseReason::ByPeer);
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("session", &self.outbox.session()).finish_non_exhaustive()
    }
}
