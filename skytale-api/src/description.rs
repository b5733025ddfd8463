//! The OpenAPI description of the API as a whole.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::error::ProblemDetails;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Skytale API",
        description = "Accounts, API keys, tokens, usage, and the directory through which agents join channels. \
                       Send an API key or a token as `authorization: Bearer`. Errors are RFC 9457 problems.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemDetails)),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "accounts", description = "Who pays"),
        (name = "keys", description = "API keys"),
        (name = "tokens", description = "What agents show relays"),
        (name = "usage", description = "What the account uses"),
        (name = "channels", description = "Whose channels are whose, and invites"),
        (name = "joining", description = "How an agent that was invited gets in"),
        (name = "key packages", description = "What agents leave, so that others can add them while they are away"),
        (name = "agents", description = "Who can be found"),
    ),
)]
pub(crate) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.description = Some("An API key (sk_live_...), or a token from POST /v1/tokens".to_owned());
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(http));
    }
}
