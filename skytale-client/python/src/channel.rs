//! A channel, as the package's two faces see it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use skytale_client::{ArchiveDurability, Channel as Inner, Event, Result};
use tokio::sync::Mutex;

use crate::event::Handed;
use crate::operation::{Abort, Completions, Operation, in_order, spawn};
use crate::runtime::{self, Birthplace};

/// A channel that the agent is a member of.
#[pyclass(frozen, module = "skytale._native")]
#[derive(Clone)]
pub struct Channel {
    inner: Inner,
    /// The event that its reader turned away from before it took it; it comes next.
    returned: Arc<Mutex<Option<Event>>>,
    born: Birthplace,
}

impl Channel {
    pub fn new(inner: Inner) -> Self {
        Self { inner, returned: Arc::default(), born: Birthplace::here() }
    }

    pub fn name_text(&self) -> String {
        self.inner.name().to_string()
    }

    fn inner(&self) -> PyResult<Inner> {
        self.born.check()?;
        Ok(self.inner.clone())
    }

    /// Waits for the next event; one that was given back comes first.
    async fn next_event(self) -> Result<Handed> {
        let mut turn = self.returned.lock_owned().await;
        let event = match turn.take() {
            Some(event) => Some(event),
            None => self.inner.events().next().await.transpose()?,
        };
        Ok(Handed::new(event, turn))
    }
}

#[pymethods]
impl Channel {
    #[getter]
    fn name(&self) -> String {
        self.name_text()
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    #[getter]
    fn last_applied(&self) -> u64 {
        self.inner.last_applied()
    }

    #[getter]
    fn sent_count(&self) -> u64 {
        self.inner.sent_count()
    }

    #[getter]
    fn durability(&self) -> Option<&'static str> {
        match self.inner.durability()? {
            ArchiveDurability::Memory => Some("memory"),
            ArchiveDurability::Process => Some("process"),
            ArchiveDurability::Disk => Some("disk"),
            ArchiveDurability::Unspecified => None,
        }
    }

    #[getter]
    fn is_member(&self) -> bool {
        self.inner.is_member()
    }

    #[getter]
    fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    #[getter]
    fn epoch_authenticator<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.epoch_authenticator())
    }

    /// The members' names, each with its leaf's number.
    fn members(&self) -> Vec<(String, u32)> {
        self.inner.members().into_iter().map(|member| (member.agent, member.leaf)).collect()
    }

    fn send(&self, completions: &Completions, body: Vec<u8>) -> PyResult<Operation> {
        let channel = self.inner()?;
        in_order(completions, Abort::Never, async move { channel.send(body).await })
    }

    fn add(&self, completions: &Completions, agent: String) -> PyResult<Operation> {
        let channel = self.inner()?;
        in_order(completions, Abort::WhenDropped, async move { channel.add(&agent).await })
    }

    fn remove(&self, completions: &Completions, agent: String) -> PyResult<Operation> {
        let channel = self.inner()?;
        in_order(completions, Abort::WhenDropped, async move { channel.remove(&agent).await })
    }

    fn rotate(&self, completions: &Completions) -> PyResult<Operation> {
        let channel = self.inner()?;
        in_order(completions, Abort::WhenDropped, async move { channel.rotate().await })
    }

    fn leave(&self, completions: &Completions) -> PyResult<Operation> {
        let channel = self.inner()?;
        in_order(completions, Abort::WhenDropped, async move { channel.leave().await })
    }

    fn wait_for(&self, completions: &Completions, sequence: u64) -> PyResult<Operation> {
        let channel = self.inner()?;
        spawn(completions, Abort::WhenDropped, async move { channel.wait_for(sequence).await })
    }

    /// Waits for the next event, a tuple; `None` once the channel is closed.
    fn next(&self, completions: &Completions) -> PyResult<Operation> {
        self.born.check()?;
        in_order(completions, Abort::WhenDropped, self.clone().next_event())
    }

    fn invite(&self, completions: &Completions, uses: u32, seconds: u64) -> PyResult<Operation> {
        let channel = self.inner()?;
        spawn(completions, Abort::WhenDropped, async move {
            channel.invite(uses, Duration::from_secs(seconds)).await
        })
    }

    fn auto_admit(&self) -> PyResult<()> {
        let (channel, runtime) = (self.inner()?, runtime::handle()?);
        let _entered = runtime.enter();
        channel.auto_admit();
        Ok(())
    }

    fn admit_pending(&self, completions: &Completions) -> PyResult<Operation> {
        let channel = self.inner()?;
        spawn(completions, Abort::WhenDropped, async move { channel.admit_pending().await })
    }
}
