//! Regenerates `skytale-core/src/generated` from the `.proto` files; a test compares.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost::Message as _;

const SOURCES: [(&str, &str); 3] = [
    ("slim1", "dataplane.proto.v1.slim1.rs"),
    ("slim3", "dataplane.proto.v1.rs"),
    ("native", "skytale.native.v1.rs"),
];
const DESCRIPTORS: &str = "descriptors.bin";

fn main() -> Result<()> {
    for (path, content) in generate()? {
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Returns the path and content of every generated file.
fn generate() -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (protos, target) = (core.join("proto"), core.join("src/generated"));
    let names = SOURCES.map(|(source, _)| format!("{source}.proto"));
    let descriptors = protox::compile(&names, [protos])?;
    let scratch = Scratch::new()?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(false)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(&scratch.0)
        .compile_fds(descriptors.clone())?;
    let mut files = vec![(target.join(DESCRIPTORS), descriptors.encode_to_vec())];
    for (source, generated) in SOURCES {
        files.push((target.join(format!("{source}.rs")), fs::read(scratch.0.join(generated))?));
    }
    Ok(files)
}

/// A directory that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("skytale-codegen-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_code_is_what_the_proto_files_give() {
        for (path, content) in generate().expect("generates") {
            let same = fs::read(&path).is_ok_and(|checked_in| checked_in == content);
            assert!(same, "{} is out of date: run `cargo run -p skytale-codegen`", path.display());
        }
    }
}
