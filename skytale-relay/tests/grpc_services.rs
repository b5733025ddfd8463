//! The three gRPC services, over the wire.

use std::time::Duration;

use skytale_core::Dialect;
use skytale_testing::RunningRelay;
use skytale_testing::slim::{Address, Say, room};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::Layer;

const DATA_PLANE: &str = "dataplane.proto.v1.DataPlaneService";

#[tokio::test]
async fn data_plane_service_subscribes_unsubscribes_and_publishes() {
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let relay = RunningRelay::start().await;
        let mut sender = relay.agent(dialect, "sender", 1).await;
        let mut member = relay.agent(dialect, "member", 2).await;
        member.subscribe(&room()).await;
        sender.subscribe(&room()).await;
        sender.say(Say::msg(room(), "hello")).await;
        assert_eq!(member.hear().await.text(), "hello");
        sender.hears_nothing().await;
        member.unsubscribe(&room(), None).await.expect("acknowledged");
        sender.say(Say::msg(room(), "again")).await;
        member.hears_nothing().await;
    }
}

#[tokio::test]
async fn response_headers_come_before_the_first_message() {
    let relay = RunningRelay::start().await;
    let opened = relay.silent_agent(Dialect::Slim3, "quiet", 1, None);
    tokio::time::timeout(Duration::from_secs(5), opened).await.expect("at once").expect("admitted");
}

#[tokio::test]
async fn subscriptions_are_counted_by_reference() {
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let relay = RunningRelay::start().await;
        let sender = relay.agent(dialect, "sender", 1).await;
        let mut shared = relay.agent(dialect, "one", 2).await;
        shared.subscribe(&room()).await;
        let one = std::mem::replace(
            &mut shared.me,
            Address { strings: ["org", "ns", "other"].map(Into::into), id: Some(3) },
        );
        shared.subscribe(&room()).await;
        shared.me = one;
        shared.unsubscribe(&room(), None).await.expect("acknowledged");
        sender.say(Say::msg(room(), "still")).await;
        assert_eq!(shared.hear().await.text(), "still", "one of two agents is still subscribed");
        shared.me.strings[2] = "other".into();
        shared.me.id = Some(3);
        shared.unsubscribe(&room(), Some(999)).await.expect("an unknown number is acknowledged");
        sender.say(Say::msg(room(), "gone")).await;
        shared.hears_nothing().await;
    }
}

#[tokio::test]
async fn names_match_exactly_any_one_or_all() {
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let relay = RunningRelay::start().await;
        let sender = relay.agent(dialect, "sender", 9).await;
        let mut first = relay.agent(dialect, "first", 1).await;
        let mut second = relay.agent(dialect, "second", 2).await;
        first.subscribe(&room().with_id(1)).await;
        second.subscribe(&room().with_id(2)).await;
        sender.say(Say::msg(room().with_id(2), "exact").any_one()).await;
        assert_eq!(second.hear().await.text(), "exact");
        first.hears_nothing().await;
        sender.say(Say::msg(room(), "all")).await;
        assert_eq!((first.hear().await.text(), second.hear().await.text()), ("all", "all"));
        for text in ["a", "b"] {
            sender.say(Say::msg(room(), text).any_one()).await;
        }
        let mut heard = Vec::new();
        for _ in 0..2 {
            let (who, message) = tokio::select! {
                message = first.hear() => (1, message),
                message = second.hear() => (2, message),
            };
            heard.push((message.text().to_owned(), who));
        }
        heard.sort();
        let (texts, mut who): (Vec<_>, Vec<_>) = heard.into_iter().unzip();
        assert_eq!(texts, ["a", "b"]);
        // Several relays choose among those at the sender's first.
        if relay.is_one() {
            who.sort();
            assert_eq!(who, [1, 2], "each gets one");
        }
        sender.say(Say::msg(room().with_id(3), "nobody")).await;
        first.hears_nothing().await;
    }
}

#[tokio::test]
async fn dialects_share_a_port_and_never_meet() {
    let relay = RunningRelay::start().await;
    let sender = relay.agent(Dialect::Slim1, "sender", 1).await;
    let mut same = relay.agent(Dialect::Slim1, "same", 2).await;
    let mut other = relay.agent(Dialect::Slim3, "other", 3).await;
    same.subscribe(&room()).await;
    other.subscribe(&room()).await;
    sender.say(Say::msg(room(), "1.x")).await;
    assert_eq!(same.hear().await.text(), "1.x");
    other.hears_nothing().await;
}

#[tokio::test]
async fn health_serves_and_turns_not_serving_on_drain() {
    let relay = RunningRelay::start().await;
    let mut client = HealthClient::new(relay.channel().await);
    for service in ["", DATA_PLANE] {
        let request = HealthCheckRequest { service: service.into() };
        let status = client.check(request).await.expect("health").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    let mut watch =
        client.watch(HealthCheckRequest { service: DATA_PLANE.into() }).await.expect("watch").into_inner();
    assert_eq!(watch.message().await.expect("a status").expect("first").status(), ServingStatus::Serving);
    let stopping = tokio::spawn(relay.stop());
    assert_eq!(watch.message().await.expect("a status").expect("second").status(), ServingStatus::NotServing);
    drop((watch, client));
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn health_follows_the_readiness_of_the_host() {
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = tcp.local_addr().expect("an address");
    let relay = skytale_relay::Relay::new(std::sync::Arc::new(skytale_store::MemoryStore::new()));
    let drain = relay.drain();
    let service = skytale_relay::AuthenticateLayer::new(skytale_relay::AllowAnyone).layer(relay);
    let (ready, readiness) = tokio::sync::watch::channel(true);
    let server = skytale_relay::grpc::Server::new(service, drain).with_readiness(readiness);
    tokio::spawn(server.serve(skytale_relay::grpc::Listener::new(tcp), std::future::pending()));
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).expect("a URI");
    let mut client = HealthClient::new(channel.connect().await.expect("connect"));
    let asked = HealthCheckRequest { service: DATA_PLANE.into() };
    let mut watch = client.watch(asked).await.expect("watch").into_inner();
    for (is_ready, status) in
        [(true, ServingStatus::Serving), (false, ServingStatus::NotServing), (true, ServingStatus::Serving)]
    {
        ready.send_replace(is_ready);
        assert_eq!(watch.message().await.expect("a status").expect("one").status(), status);
    }
}

#[tokio::test]
async fn draining_ends_streams_so_that_clients_come_back() {
    let relay = RunningRelay::start().await;
    let mut agent = relay.agent(Dialect::Slim3, "agent", 1).await;
    let address = relay.address;
    let stopping = tokio::spawn(relay.stop());
    let status = agent.ended().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the socket closed before the streams ended"
    );
    drop(agent);
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn reflection_v1_describes_the_services() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let relay = RunningRelay::start().await;
    let mut client = ServerReflectionClient::new(relay.channel().await);
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let requests = vec![
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(format!("{DATA_PLANE}.OpenChannel"))),
        ask(MessageRequest::FileContainingSymbol("dataplane.proto.v1.slim1.Message".into())),
    ];
    let mut answers =
        client.server_reflection_info(tokio_stream::iter(requests)).await.expect("reflection").into_inner();
    let listed =
        answers.message().await.expect("an answer").expect("one").message_response.expect("a response");
    let MessageResponse::ListServicesResponse(services) = listed else { panic!("{listed:?}") };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for service in [DATA_PLANE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.contains(&service), "{service} in {names:?}");
    }
    for _ in 0..2 {
        let file =
            answers.message().await.expect("an answer").expect("one").message_response.expect("a response");
        assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
    }
}

#[tokio::test]
async fn reflection_v1alpha_describes_the_services() {
    use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;
    let relay = RunningRelay::start().await;
    let mut client = ServerReflectionClient::new(relay.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(DATA_PLANE.into())),
    };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await.expect("reflection");
    let answer = answers.into_inner().message().await.expect("an answer").expect("one").message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
}
