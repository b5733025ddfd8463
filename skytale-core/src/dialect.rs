//! The two dialects of the SLIM wire.

use std::fmt;

/// Which generation of SLIM a stream speaks; fixed by its first frame.
///
/// Both use the same service name and are told apart by their bytes, see [`Dialect::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// SLIM 1.x.
    Slim1,
    /// SLIM 2.x and 3.x.
    Slim3,
}

impl Dialect {
    /// Returns the number by which stores keep the dialect: 1 or 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::Slim1 => 1,
            Self::Slim3 => 3,
        }
    }

    /// Restores a dialect from its [number](Self::number).
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Slim1),
            3 => Some(Self::Slim3),
            _ => None,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slim1 => "SLIM 1.x",
            Self::Slim3 => "SLIM 2.x/3.x",
        })
    }
}
