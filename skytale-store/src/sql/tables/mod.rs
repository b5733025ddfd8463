//! Tables of plain rows: accounts, agents, channels, key packages.

mod accounts;
mod agents;
mod channels;
mod directory;
