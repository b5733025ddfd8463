//! Generated from `proto/` by `cargo run -p skytale-codegen`; a test compares.
//!
//! These types decode everything and are for composing frames and for tests; a relay reads frames as
//! [`Envelope`](crate::Envelope)s.
#![allow(missing_docs, clippy::all)]

#[rustfmt::skip]
pub mod native;
#[rustfmt::skip]
pub mod slim1;
#[rustfmt::skip]
pub mod slim3;

/// The `FileDescriptorSet` of both dialects and the native extension, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");
