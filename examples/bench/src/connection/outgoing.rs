//! What a connection sends: single frames, and then a load that is made while the transport asks for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use tokio::sync::mpsc;

/// What is put into a connection.
pub enum Put {
    Frame(Bytes),
    /// Frames that are made when there is place for them.
    Load(BoxStream<'static, Bytes>),
}

/// The request stream of a connection; it ends with the sender.
pub struct Outgoing {
    put: mpsc::UnboundedReceiver<Put>,
    load: Option<BoxStream<'static, Bytes>>,
}

impl Outgoing {
    pub fn new() -> (mpsc::UnboundedSender<Put>, Self) {
        let (sender, put) = mpsc::unbounded_channel();
        (sender, Self { put, load: None })
    }
}

impl Stream for Outgoing {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match self.put.poll_recv(context) {
                Poll::Ready(Some(Put::Frame(frame))) => return Poll::Ready(Some(frame)),
                Poll::Ready(Some(Put::Load(load))) => self.load = Some(load),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        match self.load.as_mut().map(|load| load.as_mut().poll_next(context)) {
            Some(Poll::Ready(Some(frame))) => Poll::Ready(Some(frame)),
            Some(Poll::Ready(None)) => {
                self.load = None;
                Poll::Pending
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}
