//! A fault in a file of settings.

use std::ops::Range;

use super::nearest::nearest;

/// A fault, and its place in the file. It tells no value, which may be a secret.
#[derive(Debug)]
pub struct Fault {
    at: Range<usize>,
    what: String,
}

impl Fault {
    /// Makes a fault at a range of bytes.
    pub fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }

    /// Makes the fault of a key that is none of the known ones.
    pub fn unknown_key<'a>(at: Range<usize>, key: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let hint = nearest(key, known.into_iter().map(|known| (known, known)));
        let hint = hint.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
        Self::new(at, format!("unknown key {key:?}{hint}"))
    }

    /// Puts the name of the key before the fault.
    pub fn of_key(self, key: &str) -> Self {
        Self { what: format!("{key}: {}", self.what), ..self }
    }

    /// Returns the line and the fault, as `4: unknown key …`, given the file's text.
    pub fn in_text(&self, text: &str) -> String {
        let before = &text.as_bytes()[..self.at.start.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{line}: {}", self.what)
    }
}
