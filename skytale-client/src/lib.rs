#![doc = include_str!("../README.md")]

mod backoff;
mod channel;
mod cipher_suite;
mod client;
mod connection;
mod content;
mod crash;
mod credentials;
mod directory;
mod error;
mod event;
mod group;
mod machine;
mod state;

pub use channel::{Channel, Events};
pub use cipher_suite::CipherSuite;
pub use client::Client;
pub use client::builder::ClientBuilder;
#[cfg(feature = "local")]
pub use connection::local::LocalRelay;
pub use content::Padding;
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use event::{Event, Message, Unsent};
pub use group::Member;
pub use machine::RejoinPolicy;
pub use skytale_core::extension::Durability as ArchiveDurability;
pub use state::{Durability, StateStore};
