//! Asking the API server.

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::home::Credentials;

/// An API server, with or without a key.
pub struct Api {
    address: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl Api {
    pub fn new(address: &str, key: Option<&str>) -> Self {
        let address = address.trim_end_matches('/').to_owned();
        Self { address, key: key.map(str::to_owned), http: reqwest::Client::new() }
    }

    pub fn with(credentials: &Credentials) -> Self {
        Self::new(&credentials.api, Some(&credentials.api_key))
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    /// Posts nothing.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        self.answer(self.request(Method::POST, path)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<()> {
        self.answer(self.request(Method::DELETE, path)).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value> {
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let answer = sent.with_context(|| format!("the API server at {} cannot be reached", self.address))?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        match value["detail"].as_str() {
            Some(detail) => bail!("{detail} ({status})"),
            None => bail!("the API server at {} answered {status}", self.address),
        }
    }
}
