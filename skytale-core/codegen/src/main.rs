//! Regenerates `skytale-core/src/generated` from the `.proto` files; `--check` only compares.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use prost::Message as _;

const DIALECTS: [(&str, &str); 2] =
    [("slim1", "dataplane.proto.v1.slim1.rs"), ("slim3", "dataplane.proto.v1.rs")];
const DESCRIPTORS: &str = "descriptors.bin";

fn main() -> Result<()> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = core.join("src/generated");
    let check = std::env::args().any(|argument| argument == "--check");
    for (name, content) in generate(&core.join("proto"))? {
        let path = target.join(&name);
        if !check {
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        } else if fs::read(&path).ok().as_deref() != Some(&content[..]) {
            bail!("{} is out of date: run `cargo run -p skytale-codegen`", path.display());
        }
    }
    Ok(())
}

/// Returns the name and content of every generated file.
fn generate(protos: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let names = DIALECTS.map(|(dialect, _)| format!("{dialect}.proto"));
    let descriptors = protox::compile(&names, [protos])?;
    let scratch = Scratch::new()?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(false)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(&scratch.0)
        .compile_fds(descriptors.clone())?;
    let mut files = vec![(DESCRIPTORS.to_owned(), descriptors.encode_to_vec())];
    for (dialect, generated) in DIALECTS {
        files.push((format!("{dialect}.rs"), fs::read(scratch.0.join(generated))?));
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
