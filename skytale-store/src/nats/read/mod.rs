//! Reads of the stream: pages of blocks, the search for a number, and the tail as it grows.

mod channels;
pub(crate) mod pages;
pub(crate) mod reader;
mod search;
pub(crate) mod tail;
