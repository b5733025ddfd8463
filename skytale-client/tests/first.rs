use skytale_client::{Event, LocalRelay};
#[tokio::test]
async fn two_agents_talk() {
    let relay = LocalRelay::start();
    let alice = relay.agent("acme/agents/alice").start().await.expect("alice");
    let bob = relay.agent("acme/agents/bob").start().await.expect("bob");
    let room = alice.create_channel("acme/research/room").await.expect("create");
    loop {
        match room.add("acme/agents/bob").await {
            Ok(_) => break,
            Err(e) => { println!("{e}"); tokio::time::sleep(std::time::Duration::from_millis(50)).await; }
        }
    }
    let bobs = bob.join_channel("acme/research/room").await.expect("join");
    let n = room.send("hello").await.expect("send");
    let mut messages = bobs.messages();
    let message = messages.next_message().await.expect("open").expect("message");
    assert_eq!((message.text().as_ref(), message.sequence), ("hello", n));
    bobs.send("hi").await.expect("send");
    let mut events = room.messages();
    loop {
        let event = events.next().await.expect("open").expect("event");
        println!("{event:?}");
        if matches!(event, Event::Message(_)) { break; }
    }
    assert_eq!(room.epoch_authenticator(), bobs.epoch_authenticator());
}
