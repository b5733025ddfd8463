//! The native half of the Python package `skytale`: agents and channels of `skytale-client`, and how Python waits for them.
//!
//! No thread of this module ever takes the interpreter's lock. Work runs on a runtime of its own; whoever waits for it
//! waits in Python for a byte on a socket, so that signals, cancellation and the interpreter's end need nothing special.

mod channel;
mod client;
mod error;
mod event;
mod local;
mod logging;
mod operation;
mod runtime;

use pyo3::prelude::*;

/// The native half of the package `skytale`; its users import `skytale`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::channel::Channel;
    #[pymodule_export]
    use super::client::{Client, start};
    #[pymodule_export]
    use super::error::Failure;
    #[pymodule_export]
    use super::local::LocalRelay;
    #[pymodule_export]
    use super::logging::{log_descriptor, set_log_level, take_logs};
    #[pymodule_export]
    use super::operation::{Completions, Operation};
    #[pymodule_export]
    use super::runtime::{forget, shut_down};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
