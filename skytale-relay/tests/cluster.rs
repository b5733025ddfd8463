//! Two relays that act as one: agents cannot tell which one another agent is at.

use skytale_core::{Dialect, MessageKind};
use skytale_testing::RunningRelay;
use skytale_testing::slim::{Agent, Content, Say, room};

const DIALECTS: [Dialect; 2] = [Dialect::Slim1, Dialect::Slim3];

/// Two relays with a subscribed agent at each.
async fn pair_of(dialect: Dialect) -> (RunningRelay, Agent, Agent) {
    let relays = RunningRelay::pair().await;
    let mut here = relays.agent(dialect, "here", 1).await;
    let mut there = relays.agent(dialect, "there", 2).await;
    here.subscribe(&room()).await;
    there.subscribe(&room()).await;
    (relays, here, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_the_same_order_and_nobody_himself() {
    const EACH: u32 = 500;
    for dialect in DIALECTS {
        let (relays, mut here, mut there) = pair_of(dialect).await;
        let mut third = relays.agent(dialect, "third", 3).await;
        let mut fourth = relays.agent(dialect, "fourth", 4).await;
        third.subscribe(&room()).await;
        fourth.subscribe(&room()).await;
        let say = async |agent: &Agent, who: &str| {
            for number in 1..=EACH {
                agent.say(Say::msg(room(), &format!("{who} {number}")).number(number)).await;
            }
        };
        tokio::join!(say(&here, "here"), say(&there, "there"));
        let archived = relays.archived(["org", "ns", "room"]).await;
        let heard_by_third = hear(&mut third, 2 * EACH).await;
        assert_eq!(heard_by_third, hear(&mut fourth, 2 * EACH).await, "one order on both relays");
        let of = |who: &str| {
            heard_by_third.iter().filter(|text| text.starts_with(who)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(of("here"), (1..=EACH).map(|number| format!("here {number}")).collect::<Vec<_>>());
        assert_eq!(hear(&mut here, EACH).await, of("there"), "the other's, and no echo");
        assert_eq!(hear(&mut there, EACH).await, of("here"), "the other's, and no echo");
        for agent in [&mut here, &mut there, &mut third, &mut fourth] {
            agent.hears_nothing().await;
        }
        assert!(archived.len() <= 2 * EACH as usize);
        assert_eq!(relays.archived(["org", "ns", "room"]).await.len(), 2 * EACH as usize, "each once");
    }
}

async fn hear(agent: &mut Agent, count: u32) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..count {
        heard.push(agent.hear().await.text().to_owned());
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_any_one_reaches_one_wherever_it_is() {
    for dialect in DIALECTS {
        let relays = RunningRelay::pair().await;
        let sender = relays.agent(dialect, "sender", 1).await;
        let mut there = relays.agent(dialect, "there", 2).await;
        there.subscribe(&room()).await;
        sender.say(Say::msg(room(), "archived").any_one()).await;
        assert_eq!(there.hear().await.text(), "archived", "nobody takes it here");
        sender.say(Say::new(MessageKind::JoinRequest, room(), Content::Command(3)).any_one()).await;
        assert_eq!(there.hear().await.kind, MessageKind::JoinRequest);

        let mut here = relays.agent(dialect, "here", 3).await;
        here.subscribe(&room()).await;
        for text in ["one", "two", "three"] {
            sender.say(Say::msg(room(), text).any_one()).await;
            assert_eq!(here.hear().await.text(), text, "who is near is preferred");
        }
        there.hears_nothing().await;
        sender.say(Say::msg(room(), "to all")).await;
        assert_eq!(here.hear().await.text(), "to all");
        assert_eq!(there.hear().await.text(), "to all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_found_wherever_it_is() {
    for dialect in DIALECTS {
        let relays = RunningRelay::pair().await;
        let mut here = relays.agent(dialect, "here", 1).await;
        let mut there = relays.agent(dialect, "there", 2).await;
        let mut beside = relays.agent(dialect, "beside", 3).await;
        here.subscribe(&room().with_id(1)).await;
        there.subscribe(&room().with_id(2)).await;
        beside.subscribe(&room().with_id(3)).await;
        for (text, fanout) in [("to one", 1), ("to all", 256)] {
            let mut say = Say::msg(room().with_id(2), text);
            say.fanout = fanout;
            here.say(say).await;
            assert_eq!(there.hear().await.text(), text);
            let mut say = Say::new(MessageKind::GroupWelcome, room().with_id(2), Content::Command(12));
            say.fanout = fanout;
            here.say(say).await;
            assert_eq!(there.hear().await.kind, MessageKind::GroupWelcome);
        }
        there.say(Say::msg(room().with_id(1), "answer")).await;
        assert_eq!(here.hear().await.text(), "answer");
        beside.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_archived_never_overtakes_what_its_sender_sent_before() {
    for dialect in DIALECTS {
        let (_relays, here, mut there) = pair_of(dialect).await;
        for number in 0..300_u32 {
            here.say(Say::msg(room(), &number.to_string())).await;
            let ping = Say::new(MessageKind::RtxReply, room(), Content::App(Default::default()));
            here.say(ping.number(number)).await;
        }
        let mut last = None;
        for _ in 0..600 {
            let heard = there.hear().await;
            match heard.kind {
                MessageKind::Msg => last = Some(heard.text().parse::<u32>().expect("a number")),
                _ => assert!(last >= Some(heard.message_id), "{} after {last:?}", heard.message_id),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_and_comes_back_hears_what_is_new() {
    for dialect in DIALECTS {
        let (relays, here, mut there) = pair_of(dialect).await;
        let beside = relays.agent(dialect, "beside", 3).await;
        there.unsubscribe(&room(), None).await.expect("unsubscribed");
        here.say(Say::msg(room(), "unheard")).await;
        relays.archives(["org", "ns", "room"], 1).await;
        there.hears_nothing().await;
        there.subscribe(&room()).await;
        here.say(Say::msg(room(), "heard")).await;
        assert_eq!(there.hear().await.text(), "heard");
        drop(beside);
    }
}
