#![doc = include_str!("../README.md")]

mod access;
mod allowance;
pub mod auth;
mod channel;
mod claims;
mod close;
mod cluster;
mod connect;
mod cursors;
mod drain;
pub mod grpc;
mod handling;
mod handshakes;
mod identity;
mod in_flight;
mod joins;
mod key_packages;
mod limits;
mod link;
mod meter;
mod native;
mod order;
mod policy;
mod publishing;
pub mod quic;
mod quotas;
mod relay;
mod routes;
mod session;
mod subscribing;
mod tls;

pub use access::{Access, AccountAccess};
pub use allowance::PlanLimits;
pub use auth::{
    AllowAnonymous, AllowAnyone, AuthError, Authenticate, AuthenticateLayer, Authenticator, JwtAuthenticator,
    JwtError, Revocations,
};
pub use channel::{Frame, Outbound};
pub use close::Close;
pub use connect::{Connect, ConnectError, Credentials, Renewal, Token, Transport};
pub use cursors::Replay;
pub use drain::Drain;
pub use handling::Handling;
pub use key_packages::KeyPackageCheck;
pub use limits::Limits;
pub use policy::{Epochs, ExternalCommits};
pub use relay::{PublishedSdkExpiry, Relay};
pub use session::Session;
pub use tls::{TlsCertificate, TlsError};
