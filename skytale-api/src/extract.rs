//! Reads the parts of a request, or rejects it with a problem.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use skytale_core::ChannelName;

use crate::error::{Problem, Result};

/// A body of JSON; as an answer, too.
#[derive(Debug)]
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let Json(Object(body)) = <Json<Object<T>> as FromRequest<S>>::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// No body, and no content type, is no body.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|_| Problem::bad_request("the body is too long, or broke off"))?;
        if bytes.iter().all(|byte| b" \t\r\n".contains(byte)) {
            return Ok(None);
        }
        let Json(Object(body)) = Json::from_bytes(&bytes)?;
        Ok(Some(Self(body)))
    }
}

impl<T: Serialize> IntoResponse for Body<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

/// A JSON object, and nothing else: serde would read an array as a struct, too.
#[derive(Debug)]
pub(crate) struct Object<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        T::deserialize(Value::Object(fields)).map(Self).map_err(D::Error::custom)
    }
}

/// What follows `?` in a path.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// The variable part of a path.
#[derive(Debug)]
pub(crate) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let axum::extract::Path(path) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path))
    }
}

/// Reads a channel's name.
pub(crate) fn channel(text: &str) -> Result<ChannelName> {
    ChannelName::parse(text)
        .map_err(|error| Problem::bad_request(format!("{text:?} is no name like org/team/room: {error}")))
}

/// Reads a text that is not empty and not too long.
pub(crate) fn text(what: &str, text: &str, most: usize) -> Result<String> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > most || trimmed.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "{what} has 1 to {most} bytes, without control characters"
        )));
    }
    Ok(trimmed.to_owned())
}

/// Reads bytes.
pub(crate) fn base64(what: &str, text: &str) -> Result<Bytes> {
    let decoded = STANDARD.decode(text.trim());
    decoded.map(Bytes::from).map_err(|error| Problem::bad_request(format!("{what} is no base64: {error}")))
}

/// Writes bytes.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
