//! The checksum that each block of records carries, so that nothing is served that a disk has changed.

/// Returns the CRC-32C (RFC 3720, appendix B.4) of parts, as if they were one.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part))
}
