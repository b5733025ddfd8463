//! Work that Python waits for.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{IntoPyObject, IntoPyObjectExt};
use skytale_client::Result;
use tokio::task::AbortHandle;

use crate::error::Failure;
use crate::runtime;

/// Where a loop or a thread of Python learns which of its operations are done: a descriptor becomes readable.
#[pyclass(frozen, module = "skytale._native")]
pub struct Completions {
    shared: Arc<Shared>,
    reader: UnixStream,
}

struct Shared {
    done: Mutex<Vec<u64>>,
    writer: UnixStream,
}

/// A piece of work. Dropping it before its result was taken gives it up.
#[pyclass(frozen, module = "skytale._native")]
pub struct Operation {
    id: u64,
    cell: Arc<Cell>,
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Cell(Mutex<Outcome>);

type Convert = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

#[derive(Default)]
enum Outcome {
    #[default]
    Pending,
    Ready(Convert),
    Taken,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { shared: Arc::new(Shared { done: Mutex::default(), writer }), reader })
    }

    /// The descriptor that is readable while operations are done that were not taken.
    fn fileno(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// Takes the ids of the operations that are done.
    fn take(&self) -> PyResult<Vec<u64>> {
        let mut buffer = [0; 64];
        match (&self.reader).read(&mut buffer) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(std::mem::take(&mut *self.shared.lock())),
        }
    }
}

impl Shared {
    fn push(&self, id: u64) {
        let mut done = self.lock();
        done.push(id);
        if done.len() == 1 {
            // The buffer is never full: a byte is written only after the last one was read.
            let _ = (&self.writer).write(&[1]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u64>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Operation {
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// Whether the result is there.
    fn done(&self) -> bool {
        !matches!(*self.cell.lock(), Outcome::Pending)
    }

    /// Gives the operation and its result up.
    fn cancel(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        let unwanted = std::mem::replace(&mut *self.cell.lock(), Outcome::Taken);
        drop(unwanted);
    }

    /// Takes the result: a value, or a `Failure`.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let outcome = {
            let mut outcome = self.cell.lock();
            if let Outcome::Pending = *outcome {
                return Err(PyRuntimeError::new_err("the operation is not done"));
            }
            std::mem::replace(&mut *outcome, Outcome::Taken)
        };
        match outcome {
            Outcome::Ready(convert) => convert(py),
            _ => Err(PyRuntimeError::new_err("the result was taken already")),
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set<T>(&self, result: Result<T>)
    where
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let convert: Convert = Box::new(move |py| match result {
            Ok(value) => value.into_py_any(py),
            Err(error) => Failure::from(&error).into_py_any(py),
        });
        let mut outcome = self.lock();
        if let Outcome::Pending = *outcome {
            *outcome = Outcome::Ready(convert);
        }
    }
}

/// When work is given up.
#[derive(PartialEq)]
pub enum Abort {
    /// When nobody waits for it any more.
    WhenDropped,
    /// Never: it goes on to its end.
    Never,
}

/// Starts work in a task of the runtime.
pub fn spawn<T, F>(completions: &Completions, abort: Abort, work: F) -> PyResult<Operation>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (cell, shared) = (Arc::<Cell>::default(), completions.shared.clone());
    let filled = cell.clone();
    let task = runtime::handle()?.spawn(async move {
        let result = work.await;
        filled.set(result);
        shared.push(id);
    });
    let task = (abort == Abort::WhenDropped).then(|| task.abort_handle());
    Ok(Operation { id, cell, task })
}

/// Starts work in the caller's thread, so that calls keep their order, and what is done at once costs no change of
/// threads. Not for work that computes before it waits: the caller holds the interpreter's lock.
pub fn in_order<T, F>(completions: &Completions, abort: Abort, work: F) -> PyResult<Operation>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    let mut work = Box::pin(work);
    let runtime = runtime::handle()?;
    let _entered = runtime.enter();
    let polled =
        pin!(tokio::task::unconstrained(work.as_mut())).poll(&mut Context::from_waker(Waker::noop()));
    match polled {
        Poll::Ready(result) => {
            let cell = Arc::<Cell>::default();
            cell.set(result);
            Ok(Operation { id: 0, cell, task: None })
        }
        Poll::Pending => spawn(completions, abort, work),
    }
}
