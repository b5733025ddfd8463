//! Events, as Python is told: a tuple of the kind's name and its fields, of which the package makes a dataclass.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::{IntoPyObject, PyErr};
use skytale_client::Event;
use tokio::sync::OwnedMutexGuard;

/// Makes the tuple.
pub fn to_python(event: Event, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::Message(message) => {
            let id: String = message.id.iter().map(|byte| format!("{byte:02x}")).collect();
            let body = PyBytes::new(py, &message.body);
            let (channel, sender, sequence) = (message.channel, message.sender, message.sequence);
            ("message", channel, sender, sequence, id, message.epoch, body).into_pyobject(py)
        }
        Event::Joined { agent, sequence } => ("joined", agent, sequence).into_pyobject(py),
        Event::Left { agent, sequence } => ("left", agent, sequence).into_pyobject(py),
        Event::Epoch { epoch, sequence } => ("epoch", epoch, sequence).into_pyobject(py),
        Event::Evicted { sequence } => ("evicted", sequence).into_pyobject(py),
        Event::Gap { from, to } => ("gap", from, to).into_pyobject(py),
        Event::Undecryptable { sequence, reason } => ("undecryptable", sequence, reason).into_pyobject(py),
        Event::HistoryDiffers { sender, sequence, through, own, theirs } => {
            let (own, theirs) = (PyBytes::new(py, &own), PyBytes::new(py, &theirs));
            ("history_differs", sender, sequence, through, own, theirs).into_pyobject(py)
        }
        Event::Forked { sequence, epoch } => ("forked", sequence, epoch).into_pyobject(py),
        Event::Rejoined { epoch, sequence } => ("rejoined", epoch, sequence).into_pyobject(py),
        Event::NotSent(unsent) => {
            ("not_sent", PyBytes::new(py, &unsent.body), unsent.reason).into_pyobject(py)
        }
        Event::NotChanged { agent, reason } => ("not_changed", agent, reason).into_pyobject(py),
        Event::StateFailed { reason } => ("state_failed", reason).into_pyobject(py),
        Event::Lagging { waiting } => ("lagging", waiting).into_pyobject(py),
        Event::Disconnected => ("disconnected",).into_pyobject(py),
        Event::Reconnected => ("reconnected",).into_pyobject(py),
        Event::TokenRefused { reason } => ("token_refused", reason).into_pyobject(py),
        other => ("unknown", format!("{other:?}")).into_pyobject(py),
    }
}

/// What waits between the stream and a reader that may turn away before it takes it. The next reader's turn comes when it
/// was taken or given back, so that events stay in order and none counts as dealt with before somebody has it.
pub struct Handed {
    /// The event; gone when it was taken.
    event: Option<Event>,
    turn: Turn,
}

/// A reader's turn, and the event that the one before gave back.
pub type Turn = OwnedMutexGuard<Option<Event>>;

impl Handed {
    pub fn new(event: Option<Event>, turn: Turn) -> Self {
        Self { event, turn }
    }
}

impl<'py> IntoPyObject<'py> for Handed {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.event.take() {
            Some(event) => Ok(to_python(event, py)?.into_any()),
            None => Ok(py.None().into_bound(py)),
        }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            *self.turn = Some(event);
        }
    }
}
