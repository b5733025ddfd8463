#![doc = include_str!("../README.md")]

pub mod claims;
pub mod clock;
pub mod compose;
mod dialect;
mod envelope;
mod error;
pub mod extension;
pub mod frame;
pub mod generated;
mod integrity;
mod kind;
pub mod mls;
mod name;
mod numbers;
mod reader;
mod schema;

pub use claims::{Claims, Grant, Permissions, Principal, Verb};
pub use clock::{Clock, SystemClock};
pub use dialect::Dialect;
pub use envelope::{
    AppPayload, Body, Envelope, FrameLimits, Header, Hop, LinkOffer, MlsContent, NameView, Publish,
    SessionHeader, SessionType, Subscription,
};
pub use error::{FrameError, IntegrityError, NameError};
pub use integrity::{LinkKey, TAG_LENGTH, Tagger};
pub use kind::MessageKind;
pub use name::{ChannelName, MAX_PARSED_COMPONENT, Name, hash_component};
pub use numbers::{Epoch, SequenceNumber};
