//! Logs, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::ServerConfig;

/// Starts logging; what is logged is set by `RUST_LOG`, `info` by default.
pub fn start(config: &ServerConfig) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,sea_orm=warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log_format.as_str() {
        "json" => logs.json().init(),
        _ => logs.init(),
    }
}
