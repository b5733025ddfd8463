//! A relay inside the process.

use pyo3::prelude::*;
use skytale_client::{ClientBuilder, LocalRelay as Inner};

use crate::runtime;

/// A relay in memory, which lets every agent of the process do everything.
#[pyclass(frozen, module = "skytale._native")]
pub struct LocalRelay(Inner);

#[pymethods]
impl LocalRelay {
    #[new]
    fn new() -> PyResult<Self> {
        let runtime = runtime::handle()?;
        let _entered = runtime.enter();
        Ok(Self(Inner::start()))
    }
}

impl LocalRelay {
    pub fn agent(&self, name: String) -> ClientBuilder {
        self.0.agent(name)
    }
}
