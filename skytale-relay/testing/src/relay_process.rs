//! A relay in a process of its own, which can be killed.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::edge::Edge;

/// The variable that names the directory of the relay.
const VARIABLE: &str = "SKYTALE_EDGE";

/// A relay in a process of its own; [`Edge::found`] reaches it. It ends with the value.
///
/// The process is the test program itself, of which it runs a test `the_relay` that calls [`RelayProcess::serve`].
pub struct RelayProcess(Child);

impl RelayProcess {
    /// Starts a relay in a directory, on the addresses that it had there before.
    pub fn start(directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "the_relay"]).env(VARIABLE, directory);
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        Self(command.spawn().expect("starts"))
    }

    /// Serves until the process is killed; returns at once in a process that is not such a relay.
    pub async fn serve() {
        let Ok(directory) = std::env::var(VARIABLE) else { return };
        let _edge = Edge::host(Path::new(&directory)).await;
        std::future::pending().await
    }

    /// Kills it (SIGKILL).
    pub async fn kill(&mut self) {
        self.0.kill().await.expect("killed");
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.0.id().expect("it runs")
    }
}
