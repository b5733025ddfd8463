//! The one runtime, from the first agent to the interpreter's end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::client::Client;

static STATE: Mutex<State> = Mutex::new(State::Idle);

enum State {
    Idle,
    Running(Runtime),
    Ended,
}

/// How often the process was forked on its way here.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process that something was made in.
#[derive(Clone, Copy)]
pub struct Birthplace(u32);

impl Birthplace {
    /// Returns this process.
    pub fn here() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Fails in a process that was forked since.
    pub fn check(self) -> PyResult<()> {
        if self.0 == FORKS.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("this agent is the parent process's: start another one after the fork"))
    }
}

/// How long the runtime's threads have to end.
const THREADS_END: Duration = Duration::from_millis(500);

/// Returns the runtime, which is started if it was not yet.
pub fn handle() -> PyResult<Handle> {
    let mut state = state();
    if let State::Idle = *state {
        let runtime = Builder::new_multi_thread().thread_name("skytale").enable_all().build()?;
        *state = State::Running(runtime);
    }
    match &*state {
        State::Running(runtime) => Ok(runtime.handle().clone()),
        _ => Err(PyRuntimeError::new_err("the interpreter is shutting down")),
    }
}

/// Closes these agents, as far as that is done in so many seconds, and ends the runtime.
#[pyfunction]
pub fn shut_down(py: Python<'_>, clients: Vec<Py<Client>>, seconds: f64) {
    let clients: Vec<_> = clients.iter().map(|client| client.get().inner().clone()).collect();
    py.detach(|| {
        let State::Running(runtime) = std::mem::replace(&mut *state(), State::Ended) else { return };
        let closings: Vec<_> = clients.into_iter().map(|client| runtime.spawn(client.close())).collect();
        let all = async {
            for closing in closings {
                let _ = closing.await;
            }
        };
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let _ = runtime.block_on(async { tokio::time::timeout(limit, all).await });
        runtime.shutdown_timeout(THREADS_END);
    });
}

/// Forgets the runtime in a process that was forked: its threads stayed with the parent.
#[pyfunction]
pub fn forget() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    if let State::Running(runtime) = std::mem::replace(&mut *state(), State::Idle) {
        std::mem::forget(runtime);
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
