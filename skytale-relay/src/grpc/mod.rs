//! The gRPC edge, which SLIM agents use as their node.

mod codec;
mod connection;
mod gate;
mod limits;
mod listener;
mod repolling;
mod server;
mod service;
mod status;

use std::convert::Infallible;

use skytale_core::generated::DESCRIPTORS;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::admission::connect::{Connect, ConnectError};
use crate::admission::credentials::Credentials;
use crate::session::Session;
pub use crate::tls::{TlsCertificate, TlsError};
pub use limits::ConnectionLimits;
pub use listener::Listener;
pub use server::Server;
pub use service::DataPlane;

/// Mounts the three gRPC services over a relay: `DataPlaneService`, health, and reflection (v1 and v1alpha).
///
/// `frame_bytes` is the longest frame that is read. Health serves until [`HealthReporter`] says otherwise; its services
/// are the empty name and `dataplane.proto.v1.DataPlaneService`.
pub async fn routes<S>(service: S, frame_bytes: usize) -> (Routes, HealthReporter)
where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
{
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<DataPlane<Infallible>>().await;
    let routes = Routes::new(DataPlane::new(service, frame_bytes)).add_service(health);
    (with_reflection(routes), reporter)
}

fn with_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (v1, v1alpha) = (builder().build_v1(), builder().build_v1alpha());
    routes
        .add_service(v1.expect("the descriptors are generated and compared by a test"))
        .add_service(v1alpha.expect("the descriptors are generated and compared by a test"))
}
