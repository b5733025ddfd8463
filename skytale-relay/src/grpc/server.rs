//! Serving the gRPC edge on a host's socket.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;

use super::listener::Listener;
use super::service::DataPlane;
use super::{connection, routes};
use crate::admission::connect::{Connect, ConnectError};
use crate::admission::credentials::Credentials;
use crate::drain::Drain;
use crate::session::Session;

/// The gRPC edge on one listener.
///
/// A host that has a tonic or axum server of its own mounts [`routes`] there instead; it then sets the HTTP/2 limits
/// itself.
#[derive(Debug)]
pub struct Server<S> {
    service: S,
    frame_bytes: usize,
    drain: Drain,
    retry_after: Duration,
    grace: Duration,
    ready: Option<watch::Receiver<bool>>,
}

impl<S> Server<S>
where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
{
    /// Makes a server of an authenticated relay and that relay's drain.
    pub fn new(service: S, drain: Drain) -> Self {
        let frame_bytes = skytale_core::FrameLimits::default().frame_bytes;
        let (retry_after, grace) = (Duration::from_secs(1), Duration::from_secs(10));
        Self { service, frame_bytes, drain, retry_after, grace, ready: None }
    }

    /// Sets the longest frame that is read, in bytes. Default: as in `FrameLimits`.
    pub fn with_frame_bytes(mut self, bytes: usize) -> Self {
        self.frame_bytes = bytes;
        self
    }

    /// Sets how long connections have to end. Many sessions end one after another, over up to half of it. Default: 10 s.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Lets health follow what the host knows of its storage: NOT_SERVING while this is false. Default: always SERVING.
    pub fn with_readiness(mut self, ready: watch::Receiver<bool>) -> Self {
        self.ready = Some(ready);
        self
    }

    /// Serves until `shutdown`, then drains: health turns NOT_SERVING, the listening socket closes, and only then every
    /// stream ends, so that a client that connects again finds another relay or none, but never half of this one.
    ///
    /// Dropped before that, it ends every connection at once, and closes the listening socket.
    pub async fn serve(self, listener: Listener, shutdown: impl Future<Output = ()>) {
        let (routes, health) = routes(self.service, self.frame_bytes).await;
        let limits = listener.limits().clone();
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let _closed = stop.clone().drop_guard();
        let (connections, accepting) = listener.accept(stop.clone());
        let serving = connection::serve(connections, routes, limits, ended.clone());
        let draining = async {
            tokio::select! {
                () = shutdown => {}
                () = follow(self.ready, &health) => {}
            }
            tell(&health, ServingStatus::NotServing).await;
            stop.cancel();
            // A stream that ends while the port still accepts could come back to it, and be lost for good.
            let _ = accepting.await;
            // The other half of the grace is theirs to finish in.
            self.drain.start_within(self.grace / 2, self.retry_after);
            ended.cancel();
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            () = serving => {}
            () = draining => {}
        }
    }
}

/// Tells of readiness as it changes; never returns.
async fn follow(ready: Option<watch::Receiver<bool>>, health: &HealthReporter) {
    if let Some(mut ready) = ready {
        loop {
            let is_ready = *ready.borrow_and_update();
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            tell(health, status).await;
            if ready.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}

async fn tell(health: &HealthReporter, status: ServingStatus) {
    for service in [DataPlane::<Infallible>::NAME, ""] {
        health.set_service_status(service, status).await;
    }
}
