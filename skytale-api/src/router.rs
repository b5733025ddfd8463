//! The paths in one screen, and the layers that they share.

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::RateLeft;
use crate::description::Description;
use crate::error::Problem;
use crate::routes::{accounts, agents, channels, discovery, joins, key_packages, keys, tokens, usage};
use crate::state::State;

/// The header that an answer and the log have in common.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn paths() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(accounts::create))
        .routes(routes!(accounts::show, accounts::change, accounts::close))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(usage::show))
        .routes(routes!(channels::register, channels::list))
        .routes(routes!(channels::members, channels::remove_member))
        .routes(routes!(channels::invite))
        .routes(routes!(joins::join))
        .routes(routes!(joins::pending))
        .routes(routes!(joins::answer))
        .routes(routes!(joins::welcome))
        .routes(routes!(joins::refuse))
        .routes(routes!(key_packages::upload, key_packages::count))
        .routes(routes!(key_packages::claim))
        .routes(routes!(agents::register, agents::list))
        .routes(routes!(agents::show, agents::replace, agents::deactivate))
        .routes(routes!(discovery::key_set))
}

pub(crate) fn make(state: State, cors: Option<CorsLayer>, body_bytes: usize) -> Router {
    let (router, description) = paths().split_for_parts();
    let written = description.to_json().unwrap_or_default();
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    let router = router.route("/openapi.json", get(async move || (json, written)));
    #[cfg(feature = "docs-page")]
    let router = {
        // Relative to the page, wherever the host has nested it.
        let config = utoipa_swagger_ui::Config::from("../openapi.json");
        router.merge(utoipa_swagger_ui::SwaggerUi::new("/docs").config(config))
    };
    let router = router
        .fallback(async || Problem::not_found("there is no such path: /openapi.json lists all paths"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::from_fn(rate_headers))
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .with_state(state);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// The same description that the API serves at `/openapi.json`.
pub(crate) fn description() -> utoipa::openapi::OpenApi {
    paths().into_openapi()
}

/// Tells a caller what is left of its rate.
async fn rate_headers(mut request: Request, next: Next) -> Response {
    let left = RateLeft::default();
    request.extensions_mut().insert(left.clone());
    let mut response = next.run(request).await;
    if let Some(left) = left.0.get() {
        let numbers = [
            ("ratelimit-limit", left.limit.into()),
            ("ratelimit-remaining", left.remaining.into()),
            ("ratelimit-reset", left.resets_in.as_millis().div_ceil(1_000) as u64),
        ];
        for (name, number) in numbers {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(number));
        }
    }
    response
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request panicked");
    Problem::internal().into_response()
}
