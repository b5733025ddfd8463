//! Admission of peers: the seams for authentication and authorization, the authentication layer, and what the crate brings
//! for them.

pub(crate) mod anonymous;
pub(crate) mod authenticator;
pub(crate) mod authorizer;
pub(crate) mod connect;
pub(crate) mod credentials;
pub(crate) mod jwt;
pub(crate) mod layer;
pub(crate) mod renewal;
pub(crate) mod revocation;

pub use anonymous::{AllowAnonymous, AllowAnyone};
pub use authenticator::{AuthError, Authenticator};
pub use jwt::{JwtAuthenticator, JwtError, MIN_SECRET};
pub use layer::{Authenticate, AuthenticateLayer};
pub use revocation::Revocations;
