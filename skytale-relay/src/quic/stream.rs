//! One stream: its first frame requests a session, the others are of that session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use quinn::{RecvStream, SendStream, VarInt};
use skytale_core::extension::{Accepted, Code, Content, Extension, Refused};
use skytale_core::{Envelope, FrameLimits, frame};
use tower::{Service, ServiceExt};

use super::config::QuicLimits;
use super::gate::UnauthenticatedConnection;
use crate::admission::connect::{Connect, ConnectError, Transport};
use crate::admission::credentials::Credentials;
use crate::close_reason::CloseReason;
use crate::outbound::stream::Outbound;
use crate::session::Session;

/// How many frames are written at once.
const WRITE_TOGETHER: usize = 64;

/// Serves a stream until either side ends it.
pub(super) async fn run<S>(
    mut sender: SendStream,
    receiver: RecvStream,
    service: S,
    limits: Arc<QuicLimits>,
    peer: Arc<UnauthenticatedConnection>,
) where
    S: Service<Connect<Credentials>, Response = Session> + Send,
    S::Error: Into<ConnectError>,
{
    let mut reader = FrameReader { receiver, buffer: BytesMut::new(), allowed: limits.frame_bytes };
    let admitted =
        match tokio::time::timeout(limits.first_frame, admit(&mut reader, service, peer.remote)).await {
            Ok(admitted) => admitted,
            Err(_) => {
                Err(refused(Code::NotAuthorized, "the first frame, which presents the token, did not come"))
            }
        };
    let session = match admitted {
        Ok((session, request)) => {
            peer.authenticated();
            let accepted = Content::Accepted(Accepted { expires: session.expires(), ..Default::default() });
            if write(&mut sender, [Extension::new(accepted).with_request(request).into_frame()])
                .await
                .is_err()
            {
                return;
            }
            session
        }
        Err(refused) => return end(&mut sender, refused).await,
    };
    let outbound = session.outbound();
    let (_, ()) = tokio::join!(session.run(reader.into_frames()), send_all(sender, outbound));
}

/// Reads the first frame and asks for a session.
async fn admit<S>(reader: &mut FrameReader, service: S, remote: SocketAddr) -> Result<(Session, u64), Refused>
where
    S: Service<Connect<Credentials>, Response = Session> + Send,
    S::Error: Into<ConnectError>,
{
    let expected = || refused(Code::Invalid, "the first frame of a stream is the extension `authenticate`");
    let frame = reader.next().await.map_err(|close| refused(Code::Invalid, close.to_string()))?;
    let envelope = Envelope::parse_first(frame.ok_or_else(expected)?, &FrameLimits::default());
    let envelope = envelope.map_err(|error| refused(Code::Invalid, error.to_string()))?;
    let extension = envelope.extension().ok_or_else(expected)?;
    let extension = Extension::read(extension).map_err(|error| refused(Code::Invalid, error.to_string()))?;
    let Some(Content::Authenticate(authenticate)) = extension.content else { return Err(expected()) };
    let credentials = match authenticate.token.is_empty() {
        true => Credentials::none(),
        false => Credentials::bearer(authenticate.token),
    };
    let connect = Connect::new(credentials, Transport::Quic, Some(remote));
    let session = service.oneshot(connect).await.map_err(|error| {
        let error: ConnectError = error.into();
        let code = match error {
            ConnectError::Auth(_) => Code::NotAuthorized,
            ConnectError::Limit { .. } => Code::Rate,
            ConnectError::Draining => Code::Unavailable,
        };
        refused(code, error.to_string())
    })?;
    Ok((session, extension.request))
}

fn refused(code: Code, text: impl Into<String>) -> Refused {
    Refused { code: code.into(), text: text.into(), ..Default::default() }
}

/// Says why the stream ends, and ends it.
async fn end(sender: &mut SendStream, refused: Refused) {
    let frame = Extension::new(Content::Refused(refused)).into_frame();
    if write(sender, [frame]).await.is_ok() && sender.finish().is_ok() {
        let _ = sender.stopped().await;
    }
}

/// Sends what the session has for the peer, until it ends; then why.
async fn send_all(mut sender: SendStream, outbound: Outbound) {
    let mut frames = std::pin::pin!(outbound.ready_chunks(WRITE_TOGETHER));
    while let Some(chunk) = frames.next().await {
        let mut reason = None;
        let ready = chunk.into_iter().map_while(|frame| frame.map_err(|close| reason = Some(close)).ok());
        let ready: Vec<_> = ready.map(|frame| frame.to_bytes()).collect();
        if write(&mut sender, ready).await.is_err() {
            return;
        }
        if let Some(close) = reason {
            return end(&mut sender, of_close(&close)).await;
        }
    }
    let _ = sender.finish();
}

fn of_close(close: &CloseReason) -> Refused {
    let code = match close {
        CloseReason::Expired | CloseReason::Revoked | CloseReason::Forbidden { .. } => Code::NotAuthorized,
        CloseReason::PublishRate { .. } => Code::Rate,
        CloseReason::Frame(_) | CloseReason::FrameTooLong { .. } => Code::Invalid,
        CloseReason::Integrity(_) | CloseReason::WrongTag | CloseReason::NotMls => Code::Invalid,
        CloseReason::CommitRefused { .. } => Code::StaleEpoch,
        _ => Code::Unavailable,
    };
    let retry_after_ms = match close {
        CloseReason::Draining { retry_after } => retry_after.as_millis() as u64,
        _ => 0,
    };
    Refused { retry_after_ms, ..refused(code, close.to_string()) }
}

/// How long a peer may take nothing of what it is sent, before its stream is reset.
const STALLED: Duration = Duration::from_secs(30);

async fn write(sender: &mut SendStream, frames: impl IntoIterator<Item = Bytes>) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame::put_prefix(frame.len(), &mut bytes);
        bytes.extend_from_slice(&frame);
    }
    let mut left = [bytes.freeze()];
    while !left[0].is_empty() {
        match tokio::time::timeout(STALLED, sender.write_chunks(&mut left)).await {
            Ok(written) => drop(written?),
            Err(stalled) => {
                let _ = sender.reset(VarInt::from_u32(0));
                return Err(stalled.into());
            }
        }
    }
    Ok(())
}

/// Cuts what comes in into frames.
struct FrameReader {
    receiver: RecvStream,
    buffer: BytesMut,
    allowed: usize,
}

/// The most bytes that are taken from the stream at once.
const READ_AT_ONCE: usize = 64 * 1024;

impl FrameReader {
    /// Returns the next frame; `None` where the peer has ended the stream.
    async fn next(&mut self) -> Result<Option<Bytes>, CloseReason> {
        loop {
            if let Some(frame) = frame::take(&mut self.buffer, self.allowed)? {
                return Ok(Some(frame));
            }
            let chunk = self.receiver.read_chunk(READ_AT_ONCE, true).await;
            match chunk.map_err(|error| CloseReason::Transport(error.to_string()))? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(CloseReason::Transport("the stream ended within a frame".to_owned())),
            }
        }
    }

    fn into_frames(self) -> impl Stream<Item = Result<Bytes, CloseReason>> {
        futures::stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(frame)) => Some((Ok(frame), Some(reader))),
                Ok(None) => None,
                Err(close) => Some((Err(close), None)),
            }
        })
    }
}
