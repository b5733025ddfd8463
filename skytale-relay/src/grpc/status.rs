//! Why a stream ends, as gRPC says it.

use tonic::{Code, Status};

use crate::admission::AuthError;
use crate::admission::connect::ConnectError;
use crate::close_reason::Close;

/// Makes the status a stream ends with.
///
/// The codes are chosen by what SLIM clients do: they connect again after OK, UNAVAILABLE and UNAUTHENTICATED, and give
/// up after PERMISSION_DENIED.
pub(super) fn of_close(close: &Close) -> Status {
    let code = match close {
        Close::ByPeer => Code::Ok,
        Close::Transport(_) => Code::Cancelled,
        Close::Frame(_)
        | Close::FrameTooLong { .. }
        | Close::Integrity(_)
        | Close::WrongTag
        | Close::NotMls => Code::InvalidArgument,
        Close::Forbidden { .. } => Code::PermissionDenied,
        Close::PublishRate { .. } | Close::QuotaExceeded { .. } => Code::ResourceExhausted,
        Close::CommitRefused { .. } => Code::Aborted,
        Close::Expired | Close::Revoked => Code::Unauthenticated,
        Close::SlowConsumer { .. }
        | Close::Stalled { .. }
        | Close::ArchiveUnavailable
        | Close::Draining { .. } => Code::Unavailable,
    };
    Status::new(code, close.to_string())
}

/// Makes the status that refuses a stream.
pub(super) fn of_refusal(error: &ConnectError) -> Status {
    let code = match error {
        ConnectError::Auth(AuthError::Unavailable) | ConnectError::Draining => Code::Unavailable,
        ConnectError::Auth(_) => Code::Unauthenticated,
        ConnectError::Limit { .. } => Code::ResourceExhausted,
    };
    Status::new(code, error.to_string())
}

/// Reads what the transport says of a stream that broke.
pub(super) fn to_close(status: &Status, frame_bytes: usize) -> Close {
    match status.code() {
        Code::OutOfRange => Close::FrameTooLong { allowed: frame_bytes },
        _ => Close::Transport(status.message().to_owned()),
    }
}
