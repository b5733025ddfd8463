#![doc = include_str!("../README.md")]

mod api;
mod backoff;
mod builder;
mod channel;
mod client;
mod connection;
mod content;
mod crash;
mod credentials;
mod desk;
mod error;
mod event;
mod group;
mod identity;
mod inbox;
mod joining;
mod machine;
mod state;
mod stock;
mod suite;
mod tickets;
mod transport;
mod worker;

pub use builder::ClientBuilder;
pub use channel::{Channel, Messages};
pub use client::Client;
pub use content::Padding;
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use event::{Event, Message, Unsent};
pub use group::Member;
pub use machine::Resync;
pub use skytale_core::extension::Durability as ArchiveDurability;
pub use state::{Durability, State};
pub use suite::Suite;
#[cfg(feature = "local")]
pub use transport::LocalRelay;
