//! The API over a real socket.

mod contract;
mod relay;
mod served;
mod tenants;
