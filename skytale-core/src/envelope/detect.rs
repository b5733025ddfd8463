//! Telling the dialects apart by their bytes.

use crate::dialect::Dialect;
use crate::error::FrameError;
use crate::extension;
use crate::reader::{Reader, Span, Value};

impl Dialect {
    /// Tells from a stream's first frame which dialect the stream speaks.
    ///
    /// A link offer with any of the fields that 1.x lacks is 2.x/3.x, one without goes by the major of its version.
    /// Any other message goes by the wire types of header fields 3 and 4, whose meanings the dialects swap, and at
    /// last by the id of a name.
    ///
    /// # Errors
    ///
    /// [`FrameError::UnknownDialect`] where the frame shows neither, [`FrameError::Malformed`] where it does not parse.
    pub fn detect(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(frame);
        while let Some(field) = reader.next()? {
            match (field.number, field.value) {
                (1..=3, Value::Bytes(span)) => return by_header(frame, span),
                (5, Value::Bytes(span)) => return by_link(frame, span),
                (extension::FIELD, Value::Bytes(_)) => return Ok(Self::Slim3),
                _ => {}
            }
        }
        Err(FrameError::UnknownDialect)
    }
}

fn by_link(frame: &[u8], span: Span) -> Result<Dialect, FrameError> {
    let offer = find(frame, span, 1)?.ok_or(FrameError::UnknownDialect)?;
    let mut version = Span::default();
    let mut reader = Reader::within(frame, offer);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (2, Value::Bytes(span)) => version = span,
            (4..=8, _) => return Ok(Dialect::Slim3),
            _ => {}
        }
    }
    match version.of(frame).split(|byte| *byte == b'.').next() {
        Some(b"0" | b"1") => Ok(Dialect::Slim1),
        Some(major) if !major.is_empty() && major.iter().all(u8::is_ascii_digit) => Ok(Dialect::Slim3),
        _ => Err(FrameError::UnknownDialect),
    }
}

fn by_header(frame: &[u8], message: Span) -> Result<Dialect, FrameError> {
    let header = find(frame, message, 1)?.ok_or(FrameError::UnknownDialect)?;
    let mut names = [Span::default(); 2];
    let mut reader = Reader::within(frame, header);
    while let Some(field) = reader.next()? {
        match (field.number, field.value) {
            (1 | 2, Value::Bytes(span)) => names[field.number as usize - 1] = span,
            (3, Value::Varint(_)) | (4, Value::Bytes(_)) => return Ok(Dialect::Slim1),
            (3, Value::Bytes(_)) | (4, Value::Varint(_)) => return Ok(Dialect::Slim3),
            _ => {}
        }
    }
    by_names(frame, names)
}

/// Falls back on the id of a name; a header of strings alone is the published SDK's, which speaks 1.x.
fn by_names(frame: &[u8], names: [Span; 2]) -> Result<Dialect, FrameError> {
    let mut any_strings = false;
    for name in names {
        if let Some(encoded) = find(frame, name, 1)? {
            let mut reader = Reader::within(frame, encoded);
            while let Some(field) = reader.next()? {
                match (field.number, field.value) {
                    (4, Value::Varint(_)) => return Ok(Dialect::Slim1),
                    (4, Value::Bytes(_)) => return Ok(Dialect::Slim3),
                    _ => {}
                }
            }
        }
        any_strings |= find(frame, name, 2)?.is_some();
    }
    if any_strings { Ok(Dialect::Slim1) } else { Err(FrameError::UnknownDialect) }
}

fn find(frame: &[u8], span: Span, number: u32) -> Result<Option<Span>, FrameError> {
    let mut reader = Reader::within(frame, span);
    while let Some(field) = reader.next()? {
        if let (true, Value::Bytes(found)) = (field.number == number, field.value) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
