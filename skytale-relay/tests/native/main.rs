//! The native profile over the wire: acks, the epoch gate, resume, and what commits bring.

mod agent;
mod commits;
mod delivery;
mod directory;
mod external;
mod proposals;
