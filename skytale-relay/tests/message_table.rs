//! What becomes of each kind of message: one test per row and dialect, over the wire.

use skytale_core::{Dialect, MessageKind};
use skytale_testing::RunningRelay;
use skytale_testing::mls::{commit, proposal};
use skytale_testing::slim::{Agent, Content, Say, room};
use tonic::Code;

const DIALECTS: [Dialect; 2] = [Dialect::Slim1, Dialect::Slim3];

/// A relay, a sender, and a member that is subscribed to the room.
async fn room_of(dialect: Dialect) -> (RunningRelay, Agent, Agent) {
    let relay = RunningRelay::start().await;
    let sender = relay.agent(dialect, "sender", 1).await;
    let mut member = relay.agent(dialect, "member", 2).await;
    member.subscribe(&room()).await;
    (relay, sender, member)
}

fn numbers(records: &[skytale_store::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence.0).collect()
}

async fn msg_is_archived_with_sequence_number_and_relayed(dialect: Dialect) {
    let (relay, sender, mut member) = room_of(dialect).await;
    for text in ["one", "two", "three"] {
        let say = Say::msg(room(), text);
        sender.say(say.clone()).await;
        let heard = member.hear().await;
        assert_eq!((heard.kind, heard.text()), (MessageKind::Msg, text));
        assert_eq!(heard.ttl, (dialect == Dialect::Slim3).then_some(7), "one hop less");
    }
    let archived = relay.archived(["org", "ns", "room"]).await;
    assert_eq!(numbers(&archived), [1, 2, 3]);
    assert_eq!(archived[0].body, sender.publish_frame(&Say::msg(room(), "one")), "the sender's own bytes");
}

async fn commits_are_ordered_archived_and_relayed(dialect: Dialect, kind: MessageKind) {
    let (relay, mut winner, mut member) = room_of(dialect).await;
    let mut loser = relay.agent(dialect, "loser", 3).await;
    let command = |salt, epoch| Say::new(kind, room(), Content::Mls(Some(commit("group", epoch, salt))));

    winner.say(command(1, 0).with_metadata("skytale.ack", "1")).await;
    let ack = winner.hear().await;
    assert_eq!((ack.kind, ack.metadata["skytale.seq"].as_str()), (MessageKind::GroupAck, "1"));
    assert_eq!(member.hear().await.mls, Some(commit("group", 0, 1)));

    loser.say(command(2, 0).with_metadata("skytale.ack", "1")).await;
    let nack = loser.hear().await;
    assert_eq!(nack.kind, MessageKind::GroupNack);
    assert_eq!(nack.metadata["skytale.code"], "STALE_EPOCH");
    assert_eq!(
        (nack.metadata["skytale.epoch"].as_str(), nack.metadata["skytale.winner"].as_str()),
        ("1", "1")
    );
    member.hears_nothing().await;

    loser.say(command(3, 0)).await;
    let refused = loser.ended().await;
    assert_eq!(refused.code(), Code::Aborted);
    assert!(refused.message().contains("epoch 1"), "{}", refused.message());
    assert_eq!(
        numbers(&relay.archived(["org", "ns", "room"]).await),
        [1],
        "a refused commit is not archived"
    );

    winner.say(command(1, 0)).await;
    assert_eq!(member.hear().await.mls, Some(commit("group", 0, 1)), "a repetition is relayed again");
    winner.say(command(4, 1)).await;
    assert_eq!(member.hear().await.mls, Some(commit("group", 1, 4)), "the next epoch goes on");
    assert_eq!(numbers(&relay.archived(["org", "ns", "room"]).await), [1, 2]);
}

async fn a_group_without_mls_is_archived_in_order(dialect: Dialect, kind: MessageKind) {
    let (relay, sender, mut member) = room_of(dialect).await;
    sender.say(Say::new(kind, room(), Content::Mls(None))).await;
    sender.say(Say::msg(room(), "after")).await;
    assert_eq!(member.hear().await.kind, kind);
    assert_eq!(member.hear().await.text(), "after");
    assert_eq!(numbers(&relay.archived(["org", "ns", "room"]).await), [1, 2]);
}

async fn what_is_no_mls_message_is_refused(dialect: Dialect, kind: MessageKind) {
    let (relay, mut sender, mut member) = room_of(dialect).await;
    sender.say(Say::new(kind, room(), Content::Mls(Some("no commit".into())))).await;
    assert_eq!(sender.ended().await.code(), Code::InvalidArgument);
    member.hears_nothing().await;
    assert!(relay.archived(["org", "ns", "room"]).await.is_empty());
}

async fn proposals_are_archived_in_order_and_relayed(dialect: Dialect) {
    let (relay, mut sender, mut member) = room_of(dialect).await;
    for salt in [1, 2] {
        let body = Content::Mls(Some(proposal("group", 0, salt)));
        sender
            .say(Say::new(MessageKind::GroupProposal, room(), body).with_metadata("skytale.ack", "1"))
            .await;
        assert_eq!(sender.hear().await.metadata["skytale.seq"], salt.to_string());
        assert_eq!(member.hear().await.mls, Some(proposal("group", 0, salt)));
    }
    assert_eq!(numbers(&relay.archived(["org", "ns", "room"]).await), [1, 2]);
}

/// Sends a command and asserts that the member gets it as it was, unarchived.
async fn relayed_through(dialect: Dialect, kind: MessageKind, command: u32) {
    let (relay, sender, mut member) = room_of(dialect).await;
    let say = Say::new(kind, room(), Content::Command(command)).with_metadata("kept", "as it is");
    sender.say(say.clone()).await;
    let heard = member.hear().await;
    assert_eq!((heard.kind, heard.metadata["kept"].as_str()), (kind, "as it is"));
    if dialect == Dialect::Slim1 {
        assert_eq!(heard.frame, sender.publish_frame(&say), "byte for byte");
    }
    assert!(relay.archived(["org", "ns", "room"]).await.is_empty());
}

#[tokio::test]
async fn msg_slim1() {
    msg_is_archived_with_sequence_number_and_relayed(Dialect::Slim1).await;
}

#[tokio::test]
async fn msg_slim3() {
    msg_is_archived_with_sequence_number_and_relayed(Dialect::Slim3).await;
}

#[tokio::test]
async fn group_add_slim1() {
    commits_are_ordered_archived_and_relayed(Dialect::Slim1, MessageKind::GroupAdd).await;
    a_group_without_mls_is_archived_in_order(Dialect::Slim1, MessageKind::GroupAdd).await;
    what_is_no_mls_message_is_refused(Dialect::Slim1, MessageKind::GroupAdd).await;
}

#[tokio::test]
async fn group_remove_slim1() {
    commits_are_ordered_archived_and_relayed(Dialect::Slim1, MessageKind::GroupRemove).await;
    a_group_without_mls_is_archived_in_order(Dialect::Slim1, MessageKind::GroupRemove).await;
}

#[tokio::test]
async fn group_update_slim3() {
    commits_are_ordered_archived_and_relayed(Dialect::Slim3, MessageKind::GroupUpdate).await;
    a_group_without_mls_is_archived_in_order(Dialect::Slim3, MessageKind::GroupUpdate).await;
    what_is_no_mls_message_is_refused(Dialect::Slim3, MessageKind::GroupUpdate).await;
}

#[tokio::test]
async fn group_proposal_slim1() {
    proposals_are_archived_in_order_and_relayed(Dialect::Slim1).await;
}

#[tokio::test]
async fn group_proposal_slim3() {
    proposals_are_archived_in_order_and_relayed(Dialect::Slim3).await;
}

#[tokio::test]
async fn group_welcome_goes_straight_to_subscribers() {
    relayed_through(Dialect::Slim1, MessageKind::GroupWelcome, 9).await;
    relayed_through(Dialect::Slim3, MessageKind::GroupWelcome, 8).await;
}

#[tokio::test]
async fn join_request_and_join_reply_are_relayed_through() {
    for dialect in DIALECTS {
        relayed_through(dialect, MessageKind::JoinRequest, 3).await;
        relayed_through(dialect, MessageKind::JoinReply, 4).await;
    }
}

#[tokio::test]
async fn leave_request_and_leave_reply_are_relayed_through() {
    for dialect in DIALECTS {
        relayed_through(dialect, MessageKind::LeaveRequest, 5).await;
        relayed_through(dialect, MessageKind::LeaveReply, 6).await;
    }
}

#[tokio::test]
async fn discovery_request_and_discovery_reply_are_relayed_through() {
    for dialect in DIALECTS {
        relayed_through(dialect, MessageKind::DiscoveryRequest, 1).await;
        relayed_through(dialect, MessageKind::DiscoveryReply, 2).await;
    }
}

#[tokio::test]
async fn group_close_is_relayed_through() {
    relayed_through(Dialect::Slim1, MessageKind::GroupClose, 10).await;
    relayed_through(Dialect::Slim3, MessageKind::GroupClose, 9).await;
}

#[tokio::test]
async fn ping_is_answered_with_pong_and_relayed_slim1() {
    let (relay, mut sender, mut member) = room_of(Dialect::Slim1).await;
    let ping = Say::new(MessageKind::Ping, room(), Content::Command(14)).number(42);
    sender.say(ping.clone()).await;
    let pong = sender.hear().await;
    assert_eq!((pong.kind, pong.message_id, pong.session_id), (MessageKind::Ping, 42, 7));
    assert_eq!(pong.metadata["skytale.pong"], "true");
    assert_ne!(pong.source, sender.me.strings, "a moderator must not take it for a member's");
    assert_eq!(member.hear().await.message_id, 42);
    sender.say(ping.clone()).await;
    assert_eq!(
        sender.hear().await.metadata["skytale.pong"],
        "true",
        "a Ping that is repeated is answered again"
    );
    assert_eq!(member.hear().await.message_id, 42);

    sender.subscribe(&sender.me.clone()).await;
    member.say(Say { to: sender.me.clone(), ..ping }).await;
    assert_eq!(sender.hear().await.source, member.me.strings, "the member's answer reaches the moderator");
    member.hears_nothing().await;
    assert!(relay.archived(["org", "ns", "room"]).await.is_empty());
}

#[tokio::test]
async fn heartbeat_is_relayed_through_slim3() {
    relayed_through(Dialect::Slim3, MessageKind::Heartbeat, 13).await;
}

#[tokio::test]
async fn every_other_kind_is_relayed_through_known_or_not() {
    for (kind, command) in [
        (MessageKind::MsgAck, 12),
        (MessageKind::RtxRequest, 12),
        (MessageKind::RtxReply, 12),
        (MessageKind::GroupAck, 12),
        (MessageKind::GroupNack, 13),
        (MessageKind::Unknown(77), 12),
    ] {
        relayed_through(Dialect::Slim1, kind, command).await;
    }
    for (kind, command) in [
        (MessageKind::UpdateParticipantState, 14),
        (MessageKind::RejoinRequest, 15),
        (MessageKind::RejoinReply, 16),
        (MessageKind::Unknown(77), 11),
    ] {
        relayed_through(Dialect::Slim3, kind, command).await;
    }
}
