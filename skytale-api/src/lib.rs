#![doc = include_str!("../README.md")]

mod api;
mod caller;
mod description;
mod error;
mod extract;
mod invite;
mod key;
mod key_package;
mod limiter;
mod rate_limits;
mod rfc3339;
mod router;
mod routes;
mod state;
mod token_issuer;

pub use api::{Api, ApiError};
pub use error::Problem;
pub use key_package::{UnusableKeyPackage, check_key_package};
pub use limiter::Rate;
pub use rate_limits::RateLimits;
pub use token_issuer::{MIN_SECRET, TokenIssuer, TokenIssuerError};

/// Returns the OpenAPI 3.1 description of the API, as it is served at `/openapi.json`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    router::description()
}
