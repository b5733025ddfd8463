//! The program from outside: settings, tokens, and what it says.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use crate::process::command;

fn server(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = command(directory);
    command.args(arguments);
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    server(directory, arguments).output().expect("it runs")
}

/// Runs a server that must refuse to start, and returns what it says.
fn refusal(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(!output.status.success(), "it started");
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn with_file(content: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("skytale.toml"), content).expect("written");
    directory
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_nearest_name() {
    let directory = with_file("# settings\n[server]\ndata_dir = \"d\"\ngrpc_listen_adr = \"127.0.0.1:0\"\n");
    let said = refusal(directory.path(), &[]);
    assert!(said.contains("skytale.toml:4:"), "{said}");
    assert!(said.contains("\"grpc_listen_adr\"; did you mean \"grpc_listen_addr\"?"), "{said}");
}

#[test]
fn a_wrong_value_is_refused_with_file_and_line() {
    let directory = with_file("[limits]\nmax_channels = \"many\"\n");
    let said = refusal(directory.path(), &[]);
    assert!(said.contains("skytale.toml:2:"), "{said}");
}

#[test]
fn an_unknown_variable_is_warned_of_without_its_value() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&["token"][..], &["--durability", "none"]] {
        let mut command = server(directory.path(), arguments);
        let output = command.env("SKYTALE_GRPC_LISTEN_ADR", "a value").output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let warning =
            "unknown environment variable SKYTALE_GRPC_LISTEN_ADR; did you mean SKYTALE_GRPC_LISTEN_ADDR?";
        assert_eq!(said.matches(warning).count(), 1, "{said}");
        assert!(!said.contains("a value"), "{said}");
    }
}

#[test]
fn a_server_that_starts_warns_in_its_log_of_unknown_variables_alone() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let directory = with_file(&format!("[server]\nlisten_port = {port}\nstore = \"memory\"\n"));
    let mut command = server(
        directory.path(),
        &["--grpc-listen-addr", "127.0.0.1:0", "--health-listen-addr", "127.0.0.1:0", "--log-format", "json"],
    );
    command.env_remove("RUST_LOG").env("SKYTALE_MAX_CHANNELS", "5");
    // Kubernetes sets these for a Service `skytale`, and clients on the same machine use the others.
    command.env("SKYTALE_SERVICE_HOST", "10.0.0.1").env("SKYTALE_PORT", "tcp://10.0.0.1:5000");
    command.env("SKYTALE_API_KEY", "sk").env("SKYTALE_HOME", "/home");
    let said = String::from_utf8(command.output().expect("it runs").stderr).expect("UTF-8");
    assert_eq!(said.matches("unknown environment variable").count(), 1, "{said}");
    let warning = said.lines().find(|line| line.contains("unknown")).expect("a line");
    let warning: Value = serde_json::from_str(warning).expect("JSON");
    assert_eq!(warning["level"], "WARN");
    let message = warning["fields"]["message"].as_str().expect("a message");
    assert!(
        message.ends_with("SKYTALE_MAX_CHANNELS; did you mean SKYTALE_LIMITS_MAX_CHANNELS?"),
        "{message}"
    );
}

#[test]
fn a_wrong_variable_is_refused_with_what_is_expected() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = |name: &str, value: &OsStr| {
        let output = server(directory.path(), &["token"]).env(name, value).output().expect("it runs");
        assert!(!output.status.success(), "it started");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let number = said("SKYTALE_LIMITS_MAX_CHANNELS", OsStr::new("many"));
    assert!(
        number.contains("environment variable SKYTALE_LIMITS_MAX_CHANNELS: expected a whole number"),
        "{number}"
    );
    let bytes = said("SKYTALE_DATA_DIR", OsStr::from_bytes(b"\xff"));
    assert!(bytes.contains("environment variable SKYTALE_DATA_DIR: expected UTF-8"), "{bytes}");
    let tables = said("SKYTALE_JWT_KEYS", OsStr::new("hush"));
    assert!(tables.contains("[[server.jwt_keys]]") && !tables.contains("hush"), "{tables}");
}

#[test]
fn variables_of_others_need_not_be_utf_8() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = server(directory.path(), &["token"]);
    let output = command.env("OTHER", OsStr::from_bytes(b"\xff")).output().expect("it runs");
    assert!(output.status.success());
}

#[test]
fn a_secret_is_no_part_of_an_error() {
    let directory = with_file("[server]\njwt_secret = 123456789\n");
    let said = refusal(directory.path(), &[]);
    assert!(said.contains("skytale.toml:2: jwt_secret: expected a string"), "{said}");
    assert!(!said.contains("123456789"), "{said}");
}

#[test]
fn half_of_a_certificate_is_refused() {
    let directory = with_file("[server]\ngrpc_tls_cert = \"cert.pem\"\n");
    assert!(refusal(directory.path(), &[]).contains("belong together"));
}

#[test]
fn an_exposed_listener_needs_tls_and_tokens_or_insistence() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = refusal(directory.path(), &["--grpc-listen-addr", "0.0.0.0:0"]);
    assert!(said.contains("TLS is off") && said.contains("--insecure-listen"), "{said}");
}

#[test]
fn exposed_http_needs_a_certificate_or_insistence_also_without_the_api() {
    let directory = with_file("[server]\napi = false\n");
    let said = refusal(directory.path(), &["--health-listen-addr", "0.0.0.0:0"]);
    assert!(said.contains("health_listen_addr") && said.contains("--insecure-listen"), "{said}");
}

#[test]
fn an_exposed_quic_listener_needs_a_certificate_and_tokens_or_insistence() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = refusal(directory.path(), &["--quic-listen-addr", "0.0.0.0:0"]);
    assert!(said.contains("quic_listen_addr") && said.contains("self-signed"), "{said}");
    let with_certificate = ["--grpc-tls-cert", "cert.pem", "--grpc-tls-key", "key.pem", "--allow-anonymous"];
    let said =
        refusal(directory.path(), &[&["--quic-listen-addr", "0.0.0.0:0"], &with_certificate[..]].concat());
    assert!(said.contains("quic_listen_addr") && said.contains("allow_anonymous"), "{said}");
}

#[test]
fn client_authorities_that_cannot_be_read_are_refused() {
    let directory = with_file("[server]\nquic_client_ca = \"nobody.pem\"\nstore = \"memory\"\n");
    let said = refusal(
        directory.path(),
        &["--grpc-listen-addr", "127.0.0.1:0", "--health-listen-addr", "127.0.0.1:0"],
    );
    assert!(said.contains("quic_client_ca") && said.contains("nobody.pem"), "{said}");
}

#[test]
fn epochs_are_strict_or_lenient() {
    let directory = with_file("[server]\nepochs = \"loose\"\n");
    assert!(refusal(directory.path(), &[]).contains("strict or lenient"));
}

#[test]
fn the_quic_port_has_the_originals_name() {
    let directory = with_file("[server]\nlisten_port = 70000\n");
    assert!(refusal(directory.path(), &[]).contains("skytale.toml:2:"));
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let directory = with_file(&format!("[server]\nlisten_port = {port}\nstore = \"memory\"\n"));
    let said = refusal(
        directory.path(),
        &["--grpc-listen-addr", "127.0.0.1:0", "--health-listen-addr", "127.0.0.1:0"],
    );
    assert!(said.contains(&format!("127.0.0.1:{port} (UDP)")) && said.contains("quic_listen_addr"), "{said}");
}

#[test]
fn flags_override_the_environment_and_that_the_file() {
    let directory = with_file("[server]\nreplay_on_subscribe = \"from the file\"\n");
    let said = refusal(directory.path(), &[]);
    assert!(said.contains("from the file"), "{said}");
    let environment = server(directory.path(), &[]).env("SKYTALE_REPLAY_ON_SUBSCRIBE", "from env").output();
    assert!(String::from_utf8_lossy(&environment.expect("it runs").stderr).contains("from env"));
    let flags = server(directory.path(), &["--replay-on-subscribe", "from flags"])
        .env("SKYTALE_REPLAY_ON_SUBSCRIBE", "from env")
        .output();
    assert!(String::from_utf8_lossy(&flags.expect("it runs").stderr).contains("from flags"));
}

#[test]
fn token_prints_a_token_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["token", "--account", "alice", "--channel", "org/team/*", "--ttl", "2h"];
    let output = run(directory.path(), &arguments);
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(token.lines().count(), 1);
    let secret_file = directory.path().join("data/jwt_secret");
    assert_eq!(fs::metadata(&secret_file).expect("there").permissions().mode() & 0o777, 0o600);
    let secret = fs::read(&secret_file).expect("readable");
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&["static-api"]);
    let claims =
        decode::<Value>(token.trim(), &DecodingKey::from_secret(&secret), &validation).expect("valid").claims;
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["grants"][0]["channels"], "org/team/*");
    assert_eq!(claims["exp"].as_u64().expect("seconds") - claims["iat"].as_u64().expect("seconds"), 7_200);
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    run(directory.path(), &["token"]);
    let secret = directory.path().join("data/jwt_secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("changed");
    assert!(refusal(directory.path(), &["token"]).contains("chmod 600"));
}

#[test]
fn help_teaches_by_examples() {
    let directory = tempfile::tempdir().expect("a directory");
    let help = String::from_utf8(run(directory.path(), &["--help"]).stdout).expect("UTF-8");
    assert!(help.contains("Examples:") && help.contains("skytale-server token --account alice"), "{help}");
}

#[test]
fn the_readme_has_the_settings_as_they_are_defined() {
    let directory = tempfile::tempdir().expect("a directory");
    let table = String::from_utf8(run(directory.path(), &["settings"]).stdout).expect("UTF-8");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(path).expect("read");
    let (begin, end) = ("<!-- settings -->\n", "<!-- /settings -->\n");
    let (before, rest) = readme.split_once(begin).expect("the begin of the table");
    let (_, after) = rest.split_once(end).expect("the end of the table");
    let generated = format!("{before}{begin}{table}{end}{after}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &generated).expect("written");
    }
    assert!(
        generated == fs::read_to_string(path).expect("read"),
        "the table is out of date: UPDATE=1 cargo test -p skytale-server --test command_line the_readme"
    );
}
