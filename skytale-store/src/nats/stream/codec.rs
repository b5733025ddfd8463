//! Reads of numbers from the bytes of a block.

use bytes::{Buf, Bytes};

use crate::error::{Result, StoreError};

/// The error for bytes that are not a block.
pub(super) const DAMAGED: StoreError = StoreError::Corrupt { what: "a block of records" };

/// Takes eight bytes as a number.
pub(super) fn take_u64(bytes: &mut Bytes) -> Result<u64> {
    bytes.try_get_u64().map_err(|_| DAMAGED)
}
