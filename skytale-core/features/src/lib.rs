//! No code: `Cargo.toml` is the whole of it.
