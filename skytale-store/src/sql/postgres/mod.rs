//! PostgreSQL: connections to the server.

mod nodelay_proxy;
mod open;
