//! Numbers with a meaning of their own.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// Returns the number that follows, saturating at the maximum.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// A record's position in its channel's archive.
    ///
    /// The first record of a channel has number 1; 0 stands for "before everything".
    SequenceNumber
}

impl SequenceNumber {
    /// The position before the first record.
    pub const START: Self = Self(0);
}

number! {
    /// A group's epoch ([RFC 9420 §2](https://www.rfc-editor.org/rfc/rfc9420#section-2)).
    Epoch
}
