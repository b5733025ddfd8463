//! Errors, as Python is told.

use std::error::Error as _;

use pyo3::prelude::*;
use skytale_client::Error;

/// What went wrong; the package makes an exception of it.
#[pyclass(frozen, get_all, module = "skytale._native")]
pub struct Failure {
    /// The word for its kind.
    code: &'static str,
    /// What happened.
    message: String,
    /// Why, from the nearest cause to the farthest.
    causes: Vec<String>,
    /// Whether the same call may succeed later.
    retryable: bool,
    /// When it is worth trying again, in seconds.
    retry_after: Option<f64>,
    /// The HTTP status, of the API server's refusals.
    status: Option<u16>,
    /// The relay's code, of its refusals.
    relay_code: Option<&'static str>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (mut causes, mut source) = (Vec::new(), error.source());
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let (mut retry_after, mut status, mut relay_code) = (None, None, None);
        match error {
            Error::ApiRefused { status: found, .. } => status = Some(*found),
            Error::Refused { code, retry_after: after, .. } => {
                relay_code = Some(*code);
                retry_after = after.map(|after| after.as_secs_f64());
            }
            _ => {}
        }
        let (code, message, retryable) = (error.code(), error.to_string(), error.is_retryable());
        Self { code, message, causes, retryable, retry_after, status, relay_code }
    }
}
