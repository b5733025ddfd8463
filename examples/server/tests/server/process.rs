//! The server's binary, and a process of it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Returns the binary's command, to run in a directory.
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skytale-server"));
    // It refuses settings that it does not know.
    command.current_dir(directory).env_remove("SKYTALE_DATA_DIR").env_remove("SKYTALE_KILLS");
    command
}

/// A server that listens. It is killed with the value.
pub struct Process {
    child: Child,
    pub grpc: SocketAddr,
    pub quic: SocketAddr,
    pub http: SocketAddr,
}

impl Process {
    /// Starts a server on free ports.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), directory, arguments)
    }

    /// Starts a server that serves gRPC at an address.
    pub fn start_at(grpc: SocketAddr, directory: &Path, arguments: &[&str]) -> Self {
        let mut child = command(directory)
            .args(["--grpc-listen-addr", &grpc.to_string(), "--health-listen-addr", "127.0.0.1:0"])
            .args(["--quic-listen-addr", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut listens = HashMap::new();
        while listens.len() < 3 {
            let line = lines.next().expect("it listens");
            if let Some((protocol, address)) = listening(&line) {
                listens.insert(protocol, address);
            }
        }
        let [grpc, quic, http] = ["grpc", "quic", "http"].map(|protocol| listens[protocol]);
        Self { child, grpc, quic, http }
    }

    /// Sends a signal by name.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Ends it as a power failure would.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill -9");
        self.wait();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is gone")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the protocol and the address of a line that says where the server listens.
fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let (before, after) = line.split_once(" listening on ")?;
    let protocol = before.split_whitespace().last()?;
    Some((protocol.to_owned(), after.split_whitespace().next()?.parse().ok()?))
}
