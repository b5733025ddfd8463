//! Envelopes: a frame's own bytes, and a view of what routing needs.

mod detect;
mod header;
mod hop;
mod link;
mod payload;
mod session;

use bytes::Bytes;

pub(crate) use header::Presence;
pub use header::{Header, NameView};
pub use hop::Hop;
pub use link::LinkOffer;
pub use payload::{AppPayload, MlsContent};
pub use session::{SessionHeader, SessionType};

use crate::dialect::Dialect;
use crate::error::FrameError;
use crate::extension;
use crate::name::ChannelName;
use crate::reader::{Once, Reader, Span, text};
use crate::schema::{self, Elements};

/// What a frame may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameLimits {
    /// The longest frame, in bytes. Default: 4 MiB less 1 KiB, because SLIM clients end their stream at a message
    /// of more than 4 MiB and a hop may add a few bytes.
    pub frame_bytes: usize,
    /// The longest string of a name, in bytes. Default: 256.
    pub name_bytes: usize,
    /// The most repeated elements (participants, metadata entries) in one frame. Default: 4,096.
    pub elements: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { frame_bytes: 4 * 1024 * 1024 - 1024, name_bytes: 256, elements: 4096 }
    }
}

impl FrameLimits {
    /// Replaces the longest frame, in bytes.
    pub fn with_frame_bytes(mut self, bytes: usize) -> Self {
        self.frame_bytes = bytes;
        self
    }

    /// Replaces the longest string of a name, in bytes.
    pub fn with_name_bytes(mut self, bytes: usize) -> Self {
        self.name_bytes = bytes;
        self
    }

    /// Replaces the most repeated elements in one frame.
    pub fn with_elements(mut self, elements: usize) -> Self {
        self.elements = elements;
        self
    }

    fn check_frame(&self, bytes: usize) -> Result<(), FrameError> {
        check("frame bytes", bytes, self.frame_bytes)
    }

    pub(crate) fn check_name(&self, bytes: usize) -> Result<(), FrameError> {
        check("a name's string in bytes", bytes, self.name_bytes)
    }
}

fn check(what: &'static str, found: usize, allowed: usize) -> Result<(), FrameError> {
    if found > allowed { Err(FrameError::TooLarge { what, found, allowed }) } else { Ok(()) }
}

/// One message of the wire: the bytes it came as, and a view of them.
///
/// The payload is checked to decode but is not decoded; parsing allocates nothing.
#[derive(Clone, Debug)]
pub struct Envelope {
    frame: Bytes,
    dialect: Dialect,
    body: Body,
    extension: Option<Bytes>,
    message_id: Option<[u8; 16]>,
}

/// What an envelope is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Body {
    /// Negotiates the link.
    Link(LinkOffer),
    /// Subscribes the header's destination.
    Subscribe(Subscription),
    /// Takes a subscription back.
    Unsubscribe(Subscription),
    /// Carries a message to the header's destination.
    Publish(Publish),
    /// Answers a subscription; only relays send it.
    SubscriptionAck,
    /// Nothing but the native extension: between an agent and its relay.
    Control,
}

/// A view of SLIM's `Subscribe` or `Unsubscribe`.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Who subscribes, to what.
    pub header: Header,
    /// The number to acknowledge; 0 wants no acknowledgement.
    pub id: u64,
}

/// A view of SLIM's `Publish`.
#[derive(Clone, Debug)]
pub struct Publish {
    pub(crate) span: Span,
    pub(crate) whole: Span,
    pub(crate) content: Option<Span>,
    /// Who sends, where to.
    pub header: Header,
    /// Which session, what kind.
    pub session: SessionHeader,
}

impl Envelope {
    /// Reads the first frame of a stream, which shows the dialect of all.
    ///
    /// # Errors
    ///
    /// [`FrameError::UnknownDialect`] where the bytes fit no dialect, else as [`Envelope::parse`].
    pub fn parse_first(frame: Bytes, limits: &FrameLimits) -> Result<Self, FrameError> {
        limits.check_frame(frame.len())?;
        let dialect = Dialect::detect(&frame)?;
        Self::parse(frame, dialect, limits)
    }

    /// Reads a frame of a known dialect.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for every frame that a receiver could not decode, could understand in two ways, or that
    /// exceeds the limits.
    pub fn parse(frame: Bytes, dialect: Dialect, limits: &FrameLimits) -> Result<Self, FrameError> {
        limits.check_frame(frame.len())?;
        let (body, extension) = read_message(&frame, dialect, limits)?;
        let Some((whole, content)) = extension else {
            return Ok(Self { frame, dialect, body, extension: None, message_id: None });
        };
        let extension = Some(frame.slice(content.start as usize..content.end as usize));
        Ok(Self { frame: frame.slice(..whole.start as usize), dialect, body, extension, message_id: None })
    }

    /// Returns the native extension, undecoded.
    pub fn extension(&self) -> Option<&Bytes> {
        self.extension.as_ref()
    }

    /// Sets the id by which the sender's repetitions are recognised; it is not part of the frame.
    pub fn with_message_id(mut self, id: [u8; 16]) -> Self {
        self.message_id = Some(id);
        self
    }

    /// Returns the id by which the sender's repetitions are recognised, once it is set.
    pub fn message_id(&self) -> Option<[u8; 16]> {
        self.message_id
    }

    /// Returns the bytes as they came, without the native extension.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Moves the frame into an allocation of its own, so that keeping it does not keep a receive buffer.
    pub fn detach(&mut self) {
        self.frame = Bytes::copy_from_slice(&self.frame);
    }

    /// Returns the dialect the frame was read in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns what the envelope is.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns the message, where the envelope carries one.
    pub fn publish(&self) -> Option<&Publish> {
        match &self.body {
            Body::Publish(publish) => Some(publish),
            _ => None,
        }
    }

    /// Returns the strings of a name, where the frame carries them.
    pub(crate) fn name_strings(&self, view: &NameView) -> Option<[String; 3]> {
        let strings = view.strings?;
        Some(strings.map(|span| String::from_utf8_lossy(span.of(&self.frame)).into_owned()))
    }

    /// Returns the channel that a name of this envelope belongs to.
    pub fn channel(&self, name: &NameView) -> ChannelName {
        name.channel(&self.frame)
    }
}

/// Where the extension stands: tag and value, and the value alone.
type Extended = Option<(Span, Span)>;

fn read_message(
    frame: &[u8],
    dialect: Dialect,
    limits: &FrameLimits,
) -> Result<(Body, Extended), FrameError> {
    let mut elements = Elements::allow(limits.elements);
    let (mut body, mut extension) = (None, None);
    let mut once = Once::default();
    let mut reader = Reader::new(frame);
    while let Some(field) = reader.next()? {
        if let 1 | 2 | 3 | 5 | 6 = field.number {
            once.see(0, "the message type")?;
            let span = field.bytes("a message")?;
            body = Some(match field.number {
                1 => Body::Subscribe(read_subscription(frame, span, dialect, limits)?),
                2 => Body::Unsubscribe(read_subscription(frame, span, dialect, limits)?),
                3 => Body::Publish(read_publish(frame, span, field.whole, dialect, limits, &mut elements)?),
                5 => Body::Link(link::read(frame, span, dialect)?),
                _ => Body::SubscriptionAck,
            });
        } else if field.number == 4 {
            elements.take()?;
            check_metadata(frame, field.bytes("metadata")?)?;
        } else if field.number == extension::FIELD && dialect == Dialect::Slim3 {
            let content = field.bytes("the native extension")?;
            if field.whole.end as usize != frame.len() {
                return Err(FrameError::Ambiguous { what: "the native extension (it comes last)" });
            }
            extension::check(content.of(frame), limits.elements)?;
            extension = Some((field.whole, content));
        }
    }
    let body = body.or(extension.map(|_| Body::Control));
    Ok((body.ok_or(FrameError::Missing { what: "the message type" })?, extension))
}

fn check_metadata(frame: &[u8], span: Span) -> Result<(), FrameError> {
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if let 1 | 2 = field.number {
            once.see(field.number, "a metadata key or value")?;
            text(frame, field.bytes("metadata")?, "metadata")?;
        }
    }
    Ok(())
}

fn read_subscription(
    frame: &[u8],
    span: Span,
    dialect: Dialect,
    limits: &FrameLimits,
) -> Result<Subscription, FrameError> {
    let (mut header, mut id) = (None, 0);
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        match field.number {
            1 => {
                once.see(1, "the header")?;
                header = Some(Header::read(frame, field, dialect, limits)?);
            }
            2 => {
                once.see(2, "the subscription id")?;
                id = field.varint("the subscription id")?;
            }
            _ => {}
        }
    }
    let header = with_destination(header)?;
    Ok(Subscription { header, id })
}

fn read_publish(
    frame: &[u8],
    span: Span,
    whole: Span,
    dialect: Dialect,
    limits: &FrameLimits,
    elements: &mut Elements,
) -> Result<Publish, FrameError> {
    let (mut header, mut session, mut content) = (None, None, None);
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if let 1..=3 = field.number {
            once.see(field.number, "a part of Publish")?;
        }
        match field.number {
            1 => header = Some(Header::read(frame, field, dialect, limits)?),
            2 => session = Some(session::read(frame, field.bytes("the session header")?, dialect)?),
            3 => {
                let span = field.bytes("the content")?;
                schema::check(frame, span, schema::content(dialect), elements)?;
                content = Some(span);
            }
            _ => {}
        }
    }
    let header = with_destination(header)?;
    let session = session.ok_or(FrameError::Missing { what: "the session header" })?;
    Ok(Publish { span, whole, content, header, session })
}

fn with_destination(header: Option<Header>) -> Result<Header, FrameError> {
    let header = header.ok_or(FrameError::Missing { what: "the header" })?;
    if header.destination.presence == header::Presence::Absent {
        return Err(FrameError::Missing { what: "the destination" });
    }
    Ok(header)
}
