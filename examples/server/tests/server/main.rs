//! The server from outside.

mod accounts;
mod command_line;
mod kill;
mod process;
mod quic;
mod ready;
mod service;
mod tokens;
