//! Log records on their way to Python's `logging`: a bounded queue, which a thread of the package empties.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// How many records wait; the oldest go first.
const WAITING: usize = 4096;

/// Python's numbers of levels.
const LEVELS: [(Level, u8); 5] =
    [(Level::ERROR, 40), (Level::WARN, 30), (Level::INFO, 20), (Level::DEBUG, 10), (Level::TRACE, 5)];

/// From which of Python's levels on records are kept.
static LEVEL: AtomicU8 = AtomicU8::new(30);

/// The queue of this process: a child that was forked begins another one.
static QUEUE: Mutex<Option<Arc<Queue>>> = Mutex::new(None);

struct Queue {
    records: Mutex<VecDeque<Record>>,
    #[expect(dead_code, reason = "held open for Python, which reads it")]
    reader: UnixStream,
    writer: UnixStream,
}

/// Level, logger and message.
type Record = (u8, String, String);

/// Begins to keep records, and returns the blocking descriptor that is readable while some wait.
#[pyfunction]
pub fn log_descriptor() -> PyResult<i32> {
    let (reader, writer) = UnixStream::pair()?;
    writer.set_nonblocking(true)?;
    let descriptor = reader.as_raw_fd();
    *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Arc::new(Queue { records: Mutex::default(), reader, writer }));
    // It is set already in a process that was forked.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ToPython));
    Ok(descriptor)
}

/// Takes the records that wait.
#[pyfunction]
pub fn take_logs() -> Vec<Record> {
    queue().map(|queue| queue.lock().drain(..).collect()).unwrap_or_default()
}

/// Keeps records from a level of Python's on.
#[pyfunction]
pub fn set_log_level(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
}

fn queue() -> Option<Arc<Queue>> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct ToPython;

impl<S: Subscriber> Layer<S> for ToPython {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change at any time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("skytale") && number(*metadata.level()) >= LEVEL.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let logger = event.metadata().target().replace("::", ".");
        if let Some(queue) = queue() {
            queue.push((number(*event.metadata().level()), logger, text.message + &text.fields));
        }
    }
}

impl Queue {
    fn push(&self, record: Record) {
        let mut records = self.lock();
        if records.len() == WAITING {
            records.pop_front();
        }
        records.push_back(record);
        if records.len() == 1 {
            // Full is as good: then there is something to read.
            let _ = (&self.writer).write(&[1]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(level: Level) -> u8 {
    LEVELS.iter().find(|(known, _)| *known == level).map_or(0, |(_, number)| *number)
}

/// The message, and ` name=value` for each field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let _ = write!(self.fields, " {}={:?}", field.name(), value.to_string());
    }
}
