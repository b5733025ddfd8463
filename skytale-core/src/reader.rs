//! A cursor over protobuf bytes: bounds-checked, allocation-free.

use crate::error::FrameError;

/// A place in a frame: offsets into its bytes, so that a view of a frame stays valid when the frame moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// A field's value as the wire shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Bytes(Span),
    /// Fixed-width; no field of SLIM has this wire type.
    Fixed,
}

/// One field: its number, its value, and where tag and value together stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub number: u32,
    pub value: Value,
    pub whole: Span,
}

impl Field {
    pub fn varint(&self, what: &'static str) -> Result<u64, FrameError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(FrameError::Malformed { what }),
        }
    }

    pub fn bytes(&self, what: &'static str) -> Result<Span, FrameError> {
        match self.value {
            Value::Bytes(span) => Ok(span),
            _ => Err(FrameError::Malformed { what }),
        }
    }
}

/// Reads the fields of one message that stands at a span of a frame.
pub(crate) struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub fn new(frame: &'a [u8]) -> Self {
        Self { frame, at: 0, end: frame.len() }
    }

    pub fn within(frame: &'a [u8], span: Span) -> Self {
        Self { frame, at: span.start as usize, end: (span.end as usize).min(frame.len()) }
    }

    /// Returns the next field, or `None` at the end of the message.
    pub fn next(&mut self) -> Result<Option<Field>, FrameError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1FFF_FFFF {
            return Err(FrameError::Malformed { what: "a field number" });
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.advance(length)?)
            }
            1 => self.advance(8).map(|_| Value::Fixed)?,
            5 => self.advance(4).map(|_| Value::Fixed)?,
            _ => return Err(FrameError::Malformed { what: "a wire type (groups are not supported)" }),
        };
        let whole = Span { start: start as u32, end: self.at as u32 };
        Ok(Some(Field { number: number as u32, value, whole }))
    }

    fn advance(&mut self, length: u64) -> Result<Span, FrameError> {
        let left = (self.end - self.at) as u64;
        if length > left {
            return Err(FrameError::Malformed { what: "a length beyond the end" });
        }
        let start = self.at;
        self.at += length as usize;
        Ok(Span { start: start as u32, end: self.at as u32 })
    }

    fn varint(&mut self) -> Result<u64, FrameError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.frame.get(self.at).filter(|_| self.at < self.end) else {
                return Err(FrameError::Malformed { what: "a truncated number" });
            };
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FrameError::Malformed { what: "a number of more than 64 bits" })
    }
}

/// Returns the text at a span, if it is UTF-8.
pub(crate) fn text<'a>(frame: &'a [u8], span: Span, what: &'static str) -> Result<&'a str, FrameError> {
    std::str::from_utf8(span.of(frame)).map_err(|_| FrameError::Malformed { what })
}

/// Remembers which fields of a message have been seen, to refuse a second one.
#[derive(Default)]
pub(crate) struct Once(u64);

impl Once {
    pub fn see(&mut self, bit: u32, what: &'static str) -> Result<(), FrameError> {
        let mask = 1 << bit.min(63);
        if self.0 & mask != 0 {
            return Err(FrameError::Ambiguous { what });
        }
        self.0 |= mask;
        Ok(())
    }
}
