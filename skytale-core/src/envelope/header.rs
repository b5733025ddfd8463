//! The header of a SLIM message, as far as routing needs it.

use crate::dialect::Dialect;
use crate::envelope::FrameLimits;
use crate::error::FrameError;
use crate::name::{ChannelName, Name, hash_component};
use crate::reader::{Field, Once, Reader, Span, text};

/// A view of SLIM's `SLIMHeader`.
#[derive(Clone, Debug)]
pub struct Header {
    /// Tag, length and fields.
    pub(crate) whole: Span,
    /// Who sends.
    pub source: NameView,
    /// Where to.
    pub destination: NameView,
    /// How many receivers the sender means: 1 is any one, every other number is all.
    pub fanout: u32,
    /// The hops that are left; 0 in SLIM 1.x, which has none.
    pub ttl: u32,
    pub(crate) identity: Span,
    pub(crate) recv_from: Option<u64>,
    pub(crate) forward_to: Option<u64>,
    pub(crate) error: Option<bool>,
    pub(crate) mac: Option<Span>,
    /// What a hop leaves as it is, in order.
    pub(crate) kept: [Span; 4],
    /// Whether a hop has anything to change.
    pub(crate) hop_fields: bool,
}

/// A name as a frame carries it.
#[derive(Clone, Copy, Debug)]
pub struct NameView {
    /// The hashed name; computed from the strings where the frame carries only those.
    pub name: Name,
    pub(crate) presence: Presence,
    pub(crate) strings: Option<[Span; 3]>,
}

/// What stands in a `Name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Absent,
    /// No `EncodedName`: the profile of the published SDK.
    StringsOnly,
    /// An `EncodedName`, with or without a `NameId` of its own.
    Encoded {
        id_present: bool,
    },
}

impl NameView {
    const ABSENT: Self =
        Self { name: Name { components: [0; 3], id: None }, presence: Presence::Absent, strings: None };

    /// Tells whether the frame does not name this at all.
    pub fn is_absent(&self) -> bool {
        self.presence == Presence::Absent
    }

    /// Tells whether the frame names this by strings alone.
    pub fn is_strings_only(&self) -> bool {
        self.presence == Presence::StringsOnly
    }

    pub(crate) fn channel(&self, frame: &[u8]) -> ChannelName {
        match self.strings.map(|spans| spans.map(|span| std::str::from_utf8(span.of(frame)))) {
            Some([Ok(first), Ok(second), Ok(third)]) => ChannelName::from_parts(
                self.name.components,
                Some(ChannelName::from_strings([first, second, third]).text().unwrap_or_default()),
            ),
            _ => ChannelName::from_components(self.name.components),
        }
    }
}

impl Header {
    /// Reads the header that is the value of a field.
    pub(crate) fn read(
        frame: &[u8],
        whole: Field,
        dialect: Dialect,
        limits: &FrameLimits,
    ) -> Result<Self, FrameError> {
        let mut header = Self::empty(whole.whole);
        let mut reader = Reader::within(frame, whole.bytes("the header")?);
        let mut once = Once::default();
        while let Some(field) = reader.next()? {
            if field.number <= 12 {
                once.see(field.number, "a header field")?;
            }
            let changed_by_hop = header.field(frame, &field, dialect, limits)?;
            header.hop_fields |= changed_by_hop;
            if !changed_by_hop {
                header.keep(field.whole)?;
            }
        }
        Ok(header)
    }

    /// Takes one field in, and tells whether it is a hop's to change.
    fn field(
        &mut self,
        frame: &[u8],
        field: &Field,
        dialect: Dialect,
        limits: &FrameLimits,
    ) -> Result<bool, FrameError> {
        Ok(match (field.number, dialect) {
            (1, _) => self.read_name(frame, field.bytes("header.source")?, dialect, limits, End::Source)?,
            (2, _) => {
                self.read_name(frame, field.bytes("header.destination")?, dialect, limits, End::Destination)?
            }
            (3, Dialect::Slim1) | (4, Dialect::Slim3) => {
                self.fanout = field.varint("header.fanout")? as u32;
                false
            }
            (4, Dialect::Slim1) | (3, Dialect::Slim3) => {
                self.identity = field.bytes("header.identity")?;
                text(frame, self.identity, "header.identity")?;
                false
            }
            (5, Dialect::Slim3) => {
                text(frame, field.bytes("header.version")?, "header.version")?;
                false
            }
            (6, Dialect::Slim3) => {
                self.ttl = field.varint("header.ttl")? as u32;
                true
            }
            (5, Dialect::Slim1) | (7, Dialect::Slim3) => {
                self.recv_from = Some(field.varint("header.recv_from")?);
                true
            }
            (6, Dialect::Slim1) | (8, Dialect::Slim3) => {
                self.forward_to = Some(field.varint("header.forward_to")?);
                true
            }
            (7, Dialect::Slim1) | (9, Dialect::Slim3) => {
                field.varint("header.incoming_conn")?;
                true
            }
            (8, Dialect::Slim1) | (10, Dialect::Slim3) => {
                self.error = Some(field.varint("header.error")? != 0);
                false
            }
            (11, Dialect::Slim3) => {
                self.mac = Some(field.bytes("header.header_mac")?);
                true
            }
            (12, Dialect::Slim3) => field.bytes("header.e2e_header_sig").map(|_| false)?,
            _ => false,
        })
    }

    fn empty(whole: Span) -> Self {
        Self {
            whole,
            source: NameView::ABSENT,
            destination: NameView::ABSENT,
            fanout: 0,
            ttl: 0,
            identity: Span::default(),
            recv_from: None,
            forward_to: None,
            error: None,
            mac: None,
            kept: [Span::default(); 4],
            hop_fields: false,
        }
    }

    fn read_name(
        &mut self,
        frame: &[u8],
        span: Span,
        dialect: Dialect,
        limits: &FrameLimits,
        end: End,
    ) -> Result<bool, FrameError> {
        let view = read_name(frame, span, dialect, limits, end.word())?;
        match end {
            End::Source => self.source = view,
            End::Destination => self.destination = view,
        }
        Ok(false)
    }

    /// Extends the last kept span or opens a new one; a header cut into more pieces is refused.
    fn keep(&mut self, whole: Span) -> Result<(), FrameError> {
        if let Some(last) = self.kept.iter_mut().rfind(|span| span.len() > 0 && span.end == whole.start) {
            last.end = whole.end;
            return Ok(());
        }
        let free = self.kept.iter_mut().find(|span| span.len() == 0);
        *free.ok_or(FrameError::Malformed { what: "the order of the header's fields" })? = whole;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

fn read_name(
    frame: &[u8],
    span: Span,
    dialect: Dialect,
    limits: &FrameLimits,
    end: &'static str,
) -> Result<NameView, FrameError> {
    let mut view = NameView { presence: Presence::StringsOnly, ..NameView::ABSENT };
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        match field.number {
            1 => {
                once.see(1, "an EncodedName")?;
                (view.name, view.presence) = read_encoded(frame, field.bytes("an EncodedName")?, dialect)?;
            }
            2 => {
                once.see(2, "a StringName")?;
                view.strings = Some(read_strings(frame, field.bytes("a StringName")?, limits)?);
            }
            _ => {}
        }
    }
    let hashed = view.strings.map(|spans| spans.map(|span| hash_text(frame, span)));
    match (view.presence, hashed) {
        (Presence::Encoded { .. }, Some(hashes)) if hashes != view.name.components => {
            Err(FrameError::NameMismatch { what: end })
        }
        (Presence::StringsOnly, Some(hashes)) => {
            view.name.components = hashes;
            Ok(view)
        }
        (Presence::StringsOnly, None) => Ok(NameView::ABSENT),
        _ => Ok(view),
    }
}

fn hash_text(frame: &[u8], span: Span) -> u64 {
    hash_component(std::str::from_utf8(span.of(frame)).unwrap_or_default())
}

fn read_strings(frame: &[u8], span: Span, limits: &FrameLimits) -> Result<[Span; 3], FrameError> {
    let mut strings = [Span::default(); 3];
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if let 1..=3 = field.number {
            once.see(field.number, "a name's string")?;
            let string = field.bytes("a name's string")?;
            text(frame, string, "a name's string")?;
            limits.check_name(string.len())?;
            strings[field.number as usize - 1] = string;
        }
    }
    Ok(strings)
}

fn read_encoded(frame: &[u8], span: Span, dialect: Dialect) -> Result<(Name, Presence), FrameError> {
    let mut name = Name { components: [0; 3], id: (dialect == Dialect::Slim1).then_some(0) };
    let mut id_present = false;
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        match (field.number, dialect) {
            (1..=3, _) => {
                once.see(field.number, "a name's component")?;
                name.components[field.number as usize - 1] = field.varint("a name's component")?;
            }
            (4, Dialect::Slim1) => {
                once.see(4, "a name's id")?;
                let id = field.varint("a name's id")?;
                name.id = (id != u64::MAX).then_some(id.into());
            }
            (4, Dialect::Slim3) => {
                once.see(4, "a name's id")?;
                id_present = true;
                name.id = read_id(frame, field.bytes("a name's id")?)?;
            }
            _ => {}
        }
    }
    Ok((name, Presence::Encoded { id_present }))
}

fn read_id(frame: &[u8], span: Span) -> Result<Option<u128>, FrameError> {
    let mut halves = [0u64; 2];
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if let 1..=2 = field.number {
            once.see(field.number, "a half of a name's id")?;
            halves[field.number as usize - 1] = field.varint("a half of a name's id")?;
        }
    }
    let id = u128::from(halves[0]) << 64 | u128::from(halves[1]);
    Ok((id != u128::MAX).then_some(id))
}
