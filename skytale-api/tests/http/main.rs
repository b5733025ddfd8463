//! The API over a real socket.

mod contract;
mod served;
mod tenants;
