//! An agent, as the package's two faces see it.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use skytale_client::{
    CipherSuite, Client as Inner, ClientBuilder, Credentials, Durability, Padding, RejoinPolicy, StateStore,
};

use crate::channel::Channel;
use crate::local::LocalRelay;
use crate::operation::{Abort, Completions, Operation, spawn};
use crate::runtime::Birthplace;

/// An agent that is connected to a relay.
#[pyclass(frozen, weakref, module = "skytale._native")]
pub struct Client {
    inner: Inner,
    born: Birthplace,
}

/// A relay: an address, or one inside the process.
#[derive(FromPyObject)]
pub enum Relay {
    Address(String),
    Local(Py<LocalRelay>),
}

/// Starts an agent.
#[pyfunction]
#[pyo3(signature = (completions, name, relay, *, token=None, api=None, api_key=None, state=None, state_key=None,
    durable=true, trust=None, post_quantum=false, padding=true, cover_traffic=None, attempts=None,
    rotate_after=None, resync=true, key_packages=None))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub fn start(
    completions: &Completions,
    name: String,
    relay: Relay,
    token: Option<String>,
    api: Option<String>,
    api_key: Option<String>,
    state: Option<PathBuf>,
    state_key: Option<Vec<u8>>,
    durable: bool,
    trust: Option<Vec<u8>>,
    post_quantum: bool,
    padding: bool,
    cover_traffic: Option<f64>,
    attempts: Option<u32>,
    rotate_after: Option<u64>,
    resync: bool,
    key_packages: Option<u32>,
) -> PyResult<Operation> {
    let mut builder = match relay {
        Relay::Address(address) => Inner::builder(name, address),
        Relay::Local(relay) => relay.get().agent(name),
    };
    builder = builder
        .with_credentials(credentials(token, api, api_key)?)
        .with_state(kept(state, state_key, durable)?);
    if let Some(pem) = trust {
        builder = builder.with_trusted_certificates(&pem);
    }
    if post_quantum {
        builder = builder.with_cipher_suite(CipherSuite::PostQuantum);
    }
    if !padding {
        builder = builder.with_padding(Padding::None);
    }
    if !resync {
        builder = builder.with_rejoin_policy(RejoinPolicy::Wait);
    }
    if let Some(average) = cover_traffic {
        let average =
            Duration::try_from_secs_f64(average).map_err(|error| PyValueError::new_err(error.to_string()))?;
        builder = builder.with_cover_traffic(average);
    }
    builder = with(builder, attempts, ClientBuilder::with_max_commit_attempts);
    builder = with(builder, rotate_after, ClientBuilder::with_rekey_after);
    builder = with(builder, key_packages, ClientBuilder::with_key_packages);
    spawn(completions, Abort::Never, async move { builder.start().await.map(Client::new) })
}

fn with<T>(
    builder: ClientBuilder,
    given: Option<T>,
    set: fn(ClientBuilder, T) -> ClientBuilder,
) -> ClientBuilder {
    match given {
        Some(value) => set(builder, value),
        None => builder,
    }
}

fn credentials(token: Option<String>, api: Option<String>, api_key: Option<String>) -> PyResult<Credentials> {
    match (token, api, api_key) {
        (None, None, None) => Ok(Credentials::none()),
        (Some(token), None, None) => Ok(Credentials::token(token)),
        (None, Some(api), Some(key)) => Ok(Credentials::api_key(api, key)),
        (Some(_), _, _) => Err(PyValueError::new_err("give either `token`, or `api` and `api_key`")),
        _ => Err(PyValueError::new_err("`api` (the API server's address) and `api_key` go together")),
    }
}

fn kept(directory: Option<PathBuf>, key: Option<Vec<u8>>, durable: bool) -> PyResult<StateStore> {
    let Some(directory) = directory else {
        return match key {
            None => Ok(StateStore::memory()),
            Some(_) => {
                Err(PyValueError::new_err("`state_key` encrypts what is in the directory `state`: give both"))
            }
        };
    };
    let durability = if durable { Durability::Full } else { Durability::Relaxed };
    let state = StateStore::directory(directory).with_durability(durability);
    let Some(key) = key else { return Ok(state) };
    let key = key
        .try_into()
        .map_err(|_| PyValueError::new_err("`state_key` has 32 bytes, as of secrets.token_bytes(32)"))?;
    Ok(state.encrypted_with(key))
}

impl Client {
    fn new(inner: Inner) -> Self {
        Self { inner, born: Birthplace::here() }
    }

    pub fn inner(&self) -> &Inner {
        &self.inner
    }

    fn here(&self) -> PyResult<Inner> {
        self.born.check()?;
        Ok(self.inner.clone())
    }
}

#[pymethods]
impl Client {
    #[getter]
    fn name(&self) -> String {
        self.inner.name().to_string()
    }

    fn create_channel(&self, completions: &Completions, name: String) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(
            completions,
            Abort::WhenDropped,
            async move { client.create_channel(&name).await.map(Channel::new) },
        )
    }

    fn open_channel(&self, completions: &Completions, name: String) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(completions, Abort::Never, async move { client.open_channel(&name).await.map(Channel::new) })
    }

    fn join_channel(&self, completions: &Completions, name: String) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(
            completions,
            Abort::WhenDropped,
            async move { client.join_channel(&name).await.map(Channel::new) },
        )
    }

    fn join(&self, completions: &Completions, name: String, invite: String) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(
            completions,
            Abort::WhenDropped,
            async move { client.join(&name, &invite).await.map(Channel::new) },
        )
    }

    fn invitations(&self, completions: &Completions) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(completions, Abort::WhenDropped, async move { client.invitations().await })
    }

    fn wait_until_addable(&self, completions: &Completions) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(completions, Abort::WhenDropped, async move { client.wait_until_addable().await })
    }

    fn channels(&self, completions: &Completions) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(completions, Abort::WhenDropped, async move { client.channels().await })
    }

    fn close_channel(&self, completions: &Completions, name: String) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(completions, Abort::Never, async move { client.close_channel(&name).await })
    }

    fn close(&self, completions: &Completions) -> PyResult<Operation> {
        let client = self.here()?;
        spawn(completions, Abort::Never, async move {
            client.close().await;
            Ok(())
        })
    }
}
