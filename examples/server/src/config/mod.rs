//! The settings of the server.

mod file;
mod server;

pub use file::load;
pub use server::{Config, SERVER_KEYS, ServerConfig};
