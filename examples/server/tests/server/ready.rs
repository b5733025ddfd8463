//! Readiness follows the engine: what a balancer is told while the archive cannot be reached.

use std::time::Duration;

use skytale_testing::{eventually, nats};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::service::Service;

/// How soon a change has to be told.
const SOON: Duration = Duration::from_secs(30);

/// Waits until HTTP and gRPC both say whether the server is ready.
async fn until_both_say(service: &Service, is_ready: bool) {
    let channel = Channel::from_shared(format!("http://{}", service.grpc)).expect("a URI");
    let mut health = HealthClient::new(channel.connect().await.expect("connect"));
    let expected = match is_ready {
        true => (200, ServingStatus::Serving),
        false => (503, ServingStatus::NotServing),
    };
    let told = async || {
        let (http, _) = service.ask("GET", "/ready", "", None).await;
        let grpc = health.check(HealthCheckRequest::default()).await.expect("health").into_inner().status();
        (http, grpc) == expected
    };
    eventually(SOON, &format!("{expected:?} is told"), told).await;
}

#[tokio::test]
async fn readiness_follows_the_engine() {
    let Some(mut engine) = nats::Server::start().await else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let settings =
        format!("[server]\nnats_url = {:?}\nrelays = \"one\"\naccept_relaxed_sync = true\n", engine.url());
    std::fs::write(directory.path().join("skytale.toml"), settings).expect("written");
    let service = Service::start(directory.path(), &[]);
    until_both_say(&service, true).await;
    engine.kill();
    until_both_say(&service, false).await;
    engine.restart().await;
    until_both_say(&service, true).await;
}
