//! Health, readiness and metrics.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use skytale_relay::{Drain, TlsCertificate};
use tokio::net::TcpListener;

use crate::https::{self, TlsListener};
use crate::ready::Probe;

/// Starts to collect metrics. Comes before the relay is made.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("a metrics recorder is installed already"))?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Serves until the process ends.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<&TlsCertificate>,
    router: Router,
) -> io::Result<()> {
    match certificate {
        Some(certificate) => https::serve(TlsListener::new(listener, certificate)?, router).await,
        None => axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await,
    }
}

/// Returns the routes `/health`, `/ready` and `/metrics`.
pub fn router(drain: Drain, probe: Probe, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/health", get(async || Json(json!({"status": "ok"}))))
        .route("/ready", get(ready).with_state((drain, probe)))
        .route("/metrics", get(async move || metrics.render()))
}

async fn ready(State((drain, probe)): State<(Drain, Probe)>) -> (StatusCode, Json<Value>) {
    if drain.has_started() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "draining"})));
    }
    match probe.is_ready().await {
        true => (StatusCode::OK, Json(json!({"status": "ready"}))),
        false => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "the store cannot be reached"}))),
    }
}
