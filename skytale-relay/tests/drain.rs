//! How a server ends. A drain waits for what was sent to be archived: here in a store that is held up until the test lets
//! it go on.

use std::sync::Arc;

use skytale_core::Dialect;
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Relay};
use skytale_store::MemoryStore;
use skytale_testing::slim::{Agent, Say, room};
use skytale_testing::{HookedStore, NEVER, RunningRelay, SOON};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tonic::Code;
use tower::Layer;

#[tokio::test]
async fn a_session_ends_after_what_it_sent_is_archived() {
    let (begun, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held_up = (begun.clone(), leave.clone());
    let store = HookedStore::new(MemoryStore::new()).on_append(move |append, next| {
        let (begun, leave) = held_up.clone();
        async move {
            begun.add_permits(1);
            leave.acquire().await.expect("open").forget();
            next.append(append).await
        }
    });
    let relay =
        RunningRelay::assembled(Arc::new(store), AllowAnyone, |relay| relay, |listener| listener).await;
    let mut sender = relay.agent(Dialect::Slim3, "sender", 1).await;
    sender.say(Say::msg(room(), "sent before the drain")).await;
    begun.acquire().await.expect("the append begins").forget();
    relay.drain.start(NEVER);
    sender.hears_nothing().await;
    leave.add_permits(1);
    assert_eq!(sender.ended().await.code(), Code::Unavailable);
    assert_eq!(relay.archived(["org", "ns", "room"]).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_streams_and_closes_its_socket() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = tcp.local_addr().expect("an address");
    let relay = Relay::new(Arc::new(MemoryStore::new()));
    let drain = relay.drain();
    let server = Server::new(AuthenticateLayer::new(AllowAnyone).layer(relay), drain);
    let serving = tokio::spawn(server.serve(Listener::new(tcp), std::future::pending()));
    let mut agent = Agent::open(address, Dialect::Slim3, "agent", 1, None).await.expect("admitted");
    agent.subscribe(&room()).await;
    serving.abort();
    agent.ended().await;
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(SOON, refused).await.expect("nobody listens any more");
}
