//! Serving HTTP/2 on accepted connections.

use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::Service;

use super::gate::Connection;
use super::limits::ConnectionLimits;
use super::repolling::{RepollingTask, SettledExecutor};

/// How long a peer may take to answer a probe.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// Serves each connection until `ended`, and then waits until their last streams have ended; dropped, it ends them.
pub(super) async fn serve(
    mut connections: mpsc::Receiver<Connection>,
    routes: Routes,
    limits: ConnectionLimits,
    ended: CancellationToken,
) {
    let http = builder(&limits);
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            () = ended.cancelled() => break,
            Some(connection) = connections.recv() => {
                let one = serve_one(http.clone(), connection, routes.clone(), ended.clone());
                serving.spawn(RepollingTask::new(one));
            }
            Some(_) = serving.join_next() => {}
        }
    }
    // Who is still on the way in would wait for an answer, and nobody reads it any more.
    drop(connections);
    while serving.join_next().await.is_some() {}
}

fn builder(limits: &ConnectionLimits) -> Builder<SettledExecutor> {
    let mut http = Builder::new(SettledExecutor);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.error_resets)
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(PROBE_TIME);
    http
}

async fn serve_one(
    http: Builder<SettledExecutor>,
    connection: Connection,
    routes: Routes,
    ended: CancellationToken,
) {
    let peer = connection.peer();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        routes.clone().call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(connection), service));
    let served = tokio::select! {
        biased;
        served = &mut connection => served,
        () = ended.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}
