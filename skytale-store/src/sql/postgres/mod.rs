//! PostgreSQL: connections to the server.

pub(crate) mod nodelay_proxy;
