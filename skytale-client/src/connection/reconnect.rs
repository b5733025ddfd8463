//! A channel's stream to the relay, and time: what its task waits for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use rand::RngExt;
use skytale_core::{Clock, clock};
use tokio::time::Instant;

use super::{Dialer, Link};
use crate::credentials::{Token, Tokens};
use crate::error::{Error, Result};

/// How many frames are taken in before they are stored and acted on, together.
const FRAMES: usize = 256;

/// How long a stream has to last for another relay to be tried at once when it ends.
const PROVEN: Duration = Duration::from_secs(1);

/// Where the connection of a channel is.
pub(crate) enum Connection {
    Dialing(BoxFuture<'static, Result<(Link, Option<Token>)>>),
    Open { link: Link, renewal: Renewal, since: Instant },
}

/// A token that is got when the last one is to be renewed.
pub(crate) type Renewal = BoxFuture<'static, Result<Option<Token>>>;

/// Something that the task has to deal with.
pub(crate) enum Happened {
    Commands,
    Frames(Vec<Bytes>),
    Connected(Link, Option<Token>),
    Lost(Option<Error>),
    Tick,
    Cover,
    Renewed(Result<Option<Token>>),
}

impl Connection {
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Makes the connection of a stream that was opened just now.
    pub fn opened(link: Link, renewal: Renewal) -> Self {
        Self::Open { link, renewal, since: Instant::now() }
    }

    /// Returns which relay an open stream leads to, and whether the stream has proved of use.
    pub fn place(&self) -> Option<(usize, bool)> {
        match self {
            Self::Open { link, since, .. } => Some((link.place, since.elapsed() > PROVEN)),
            Self::Dialing(_) => None,
        }
    }

    /// Ends an open stream: what happens next is that it is lost.
    pub fn end(&mut self, why: Error) {
        if let Self::Open { link, .. } = self {
            link.incoming = stream::iter([Err(why)]).boxed();
        }
    }

    pub async fn next(&mut self) -> Happened {
        match self {
            Self::Dialing(dialing) => match dialing.await {
                Ok((link, token)) => Happened::Connected(link, token),
                Err(error) => Happened::Lost(Some(error)),
            },
            Self::Open { link, renewal, .. } => {
                let mut frames = Vec::new();
                let incoming = tokio::select! {
                    incoming = link.incoming.next() => incoming,
                    token = &mut *renewal => {
                        *renewal = std::future::pending().boxed();
                        return Happened::Renewed(token);
                    }
                };
                match incoming {
                    Some(Ok(frame)) => frames.push(frame),
                    Some(Err(error)) => return Happened::Lost(Some(error)),
                    None => return Happened::Lost(None),
                }
                while frames.len() < FRAMES {
                    match link.incoming.next().now_or_never() {
                        Some(Some(Ok(frame))) => frames.push(frame),
                        // How the stream ended is told next.
                        Some(end) => {
                            link.incoming = stream::iter(end).boxed();
                            break;
                        }
                        None => break,
                    }
                }
                Happened::Frames(frames)
            }
        }
    }
}

/// Opens a stream with a fresh token.
pub(crate) async fn open(dialer: &Dialer, tokens: &Tokens) -> Result<(Link, Option<Token>)> {
    loop {
        let token = tokens.fresh().await?;
        let opened = dialer.open(token.as_ref().map(|token| token.text.as_str())).await;
        if let Err(Error::NotAuthorized { .. }) = opened {
            tokens.forget().await;
            // It may have expired unnoticed, as while the machine slept.
            if token.as_ref().is_some_and(|token| !token.is_new && token.renew_at.is_some()) {
                continue;
            }
        }
        return Ok((opened?, token));
    }
}

/// Time, as the machine has it.
pub(crate) struct MachineTime {
    clock: Arc<dyn Clock>,
    began: std::time::Instant,
    cover: Option<Duration>,
}

impl MachineTime {
    pub fn new(clock: Arc<dyn Clock>, cover: Option<Duration>) -> Self {
        Self { began: clock.instant(), clock, cover }
    }

    pub fn now(&self) -> u64 {
        self.clock.instant().saturating_duration_since(self.began).as_millis() as u64
    }

    /// Waits until something is to be done though nothing happens.
    pub async fn next(&self, wakes_at: Option<u64>) -> Happened {
        let tick = async {
            match wakes_at {
                Some(at) => {
                    let left = Duration::from_millis(at.saturating_sub(self.now()));
                    clock::sleep(&*self.clock, left, tokio::time::sleep).await;
                }
                None => std::future::pending().await,
            }
        };
        let cover = async {
            match self.cover {
                Some(average) => tokio::time::sleep(around(average)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tick => Happened::Tick,
            () = cover => Happened::Cover,
        }
    }
}

/// Returns anything up to twice a time.
fn around(average: Duration) -> Duration {
    average.mul_f64(rand::rng().random_range(0.0..2.0))
}
