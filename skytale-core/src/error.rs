//! What can be wrong with bytes from outside.

use thiserror::Error;

/// Why a text is not a channel name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// There are fewer than three parts.
    #[error("a channel name has three parts: organisation/namespace/service")]
    Parts,
    /// A part is empty.
    #[error("no part of a channel name may be empty")]
    EmptyPart,
    /// A part is too long.
    #[error("a part of the channel name has {bytes} bytes; {allowed} are allowed")]
    PartTooLong {
        /// The length found, in bytes.
        bytes: usize,
        /// The length allowed, in bytes.
        allowed: usize,
    },
    /// A character is not allowed.
    #[error("a channel name may not contain {found:?}; allowed are ASCII letters, digits and -_./")]
    Character {
        /// The first offending character.
        found: char,
    },
}

/// Why a frame was refused.
///
/// No variant carries content of the frame, so an error can be logged and sent back as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not a valid message of the dialect.
    #[error("malformed frame: {what}")]
    Malformed {
        /// The part that does not parse.
        what: &'static str,
    },
    /// A field that may stand once stands twice, so two readers could understand two things.
    #[error("ambiguous frame: {what} stands more than once")]
    Ambiguous {
        /// The repeated part.
        what: &'static str,
    },
    /// A part that routing needs is missing.
    #[error("incomplete frame: {what} is missing")]
    Missing {
        /// The missing part.
        what: &'static str,
    },
    /// The strings of a name do not hash to its components.
    #[error("the strings of the {what} name do not belong to its hashed components")]
    NameMismatch {
        /// `source` or `destination`.
        what: &'static str,
    },
    /// A part is larger than a limit allows.
    #[error("{what} has {found}; {allowed} are allowed")]
    TooLarge {
        /// The part and its unit, such as `frame bytes`.
        what: &'static str,
        /// The size found.
        found: usize,
        /// The size allowed.
        allowed: usize,
    },
    /// The first frame does not show which dialect the stream speaks.
    #[error("the first frame does not show a SLIM dialect: send a Link, Subscribe or Publish first")]
    UnknownDialect,
}

/// Why two ends of a link cannot agree on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The peer's public key has the wrong length.
    #[error("the link's X25519 public key has {bytes} bytes instead of 32")]
    KeyLength {
        /// The length found, in bytes.
        bytes: usize,
    },
    /// The peer's public key is of low order, which would make the shared secret public.
    #[error("the link's X25519 public key is of low order")]
    LowOrder,
}
