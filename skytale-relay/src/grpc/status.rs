//! Close reasons and refused requests for sessions, as gRPC statuses.

use tonic::{Code, Status};

use crate::admission::authenticator::AuthError;
use crate::admission::connect::ConnectError;
use crate::close_reason::CloseReason;

/// Makes the status a stream ends with.
///
/// The codes are chosen by what SLIM clients do: they connect again after OK, UNAVAILABLE and UNAUTHENTICATED, and give
/// up after PERMISSION_DENIED.
pub(super) fn of_close(close: &CloseReason) -> Status {
    let code = match close {
        CloseReason::ByPeer => Code::Ok,
        CloseReason::Transport(_) => Code::Cancelled,
        CloseReason::Frame(_)
        | CloseReason::FrameTooLong { .. }
        | CloseReason::Integrity(_)
        | CloseReason::WrongTag
        | CloseReason::NotMls => Code::InvalidArgument,
        CloseReason::Forbidden { .. } => Code::PermissionDenied,
        CloseReason::PublishRate { .. } | CloseReason::QuotaExceeded { .. } => Code::ResourceExhausted,
        CloseReason::CommitRefused { .. } => Code::Aborted,
        CloseReason::Expired | CloseReason::Revoked => Code::Unauthenticated,
        CloseReason::SlowConsumer { .. }
        | CloseReason::Stalled { .. }
        | CloseReason::ArchiveUnavailable
        | CloseReason::Draining { .. } => Code::Unavailable,
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
pub(super) fn to_close(status: &Status, frame_bytes: usize) -> CloseReason {
    match status.code() {
        Code::OutOfRange => CloseReason::FrameTooLong { allowed: frame_bytes },
        _ => CloseReason::Transport(status.message().to_owned()),
    }
}
