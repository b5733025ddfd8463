//! Many members at once. `SKYTALE_SCALE=full` runs the sizes that docs/performance.md tells of.

use std::time::{Duration, Instant};

use futures::future::join_all;
use skytale_client::{Channel, Client};
use skytale_testing::edge::{By, Edge, gather, hear};

fn is_full() -> bool {
    std::env::var("SKYTALE_SCALE").is_ok_and(|scale| scale == "full")
}

async fn agents(edge: &Edge, count: usize) -> Vec<Client> {
    let mut agents = Vec::new();
    for number in 0..count {
        let by = if number % 4 == 3 { By::Grpc } else { By::Quic };
        let agent = edge.agent(&format!("many/agents/agent{number}"), by).with_key_packages(1);
        agents.push(agent.start().await.expect("starts"));
    }
    agents
}

/// Waits until all have read as far as the one that is ahead, and checks that they are in one group.
async fn agree(channels: &[Channel]) {
    let last = channels.iter().map(Channel::last_applied).max().expect("some");
    for channel in channels {
        channel.wait_for(last).await.expect("reached");
    }
    let authenticators = channels.iter().map(Channel::epoch_authenticator);
    let distinct: std::collections::BTreeSet<_> = authenticators.collect();
    assert_eq!(distinct.len(), 1, "the group has forked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_through_who_commits_in_a_tight_loop() {
    let (members, commits) = if is_full() { (32, 10) } else { (8, 5) };
    let edge = Edge::start().await;
    let channels = gather(&agents(&edge, members).await).await;
    let began = Instant::now();
    let loops = channels.iter().map(|channel| async move {
        let mut times = Vec::new();
        for _ in 0..commits {
            let began = Instant::now();
            channel.rotate().await.expect("everybody gets through");
            times.push(began.elapsed());
        }
        times
    });
    let times = join_all(loops).await;
    let fairness =
        jain(times.iter().map(|times| commits as f64 / times.iter().sum::<Duration>().as_secs_f64()));
    let mut times: Vec<_> = times.into_iter().flatten().collect();
    times.sort();
    agree(&channels).await;
    let all = members * commits;
    assert_eq!(channels[0].epoch() as usize, members + all, "one epoch for every commit");
    // A few commits tell little: one thread of the machine that pauses for the time of a turn moves them.
    assert!(fairness >= 0.9 || !is_full(), "some commit far more often than others: {fairness}");
    println!(
        "{members} members x {commits} commits: {:.1} commits/s, p50 {:?}, p99 {:?}, fairness {fairness:.3}",
        all as f64 / began.elapsed().as_secs_f64(),
        times[all / 2],
        times[all * 99 / 100]
    );
}

/// Jain's index of fairness: 1 where all have the same, 1 / n where one has all.
fn jain(rates: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let count = rates.len() as f64;
    let sum: f64 = rates.clone().sum();
    sum * sum / (count * rates.map(|rate| rate * rate).sum::<f64>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_undecryptable_while_the_group_changes() {
    talk_during_commits(Edge::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_undecryptable_either_where_late_messages_are_let_in() {
    talk_during_commits(Edge::lenient().await).await;
}

async fn talk_during_commits(edge: Edge) {
    let (senders, messages, commits) = if is_full() { (50, 1000, 500) } else { (6, 100, 30) };
    let channels = gather(&agents(&edge, senders).await).await;
    let began = Instant::now();
    let says = channels.iter().map(|channel| async move {
        let sends = (0..messages).map(|number| channel.send(format!("{number}")));
        let sends = futures::stream::iter(sends);
        let sent = futures::StreamExt::buffered(sends, 16);
        let sent: Vec<_> = futures::StreamExt::collect(sent).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    });
    let changes = async {
        for number in 0..commits {
            channels[number % senders].rotate().await.expect("rotated");
        }
    };
    let hears = channels.iter().map(|channel| hear(channel, (senders - 1) * messages));
    let (_, (), heard) = tokio::join!(join_all(says), changes, join_all(hears));
    agree(&channels).await;
    for messages in heard {
        let mut order = std::collections::BTreeMap::new();
        for message in messages {
            let number: usize = message.text().parse().expect("a number");
            let next = order.entry(message.sender.clone()).or_insert(0);
            assert_eq!(number, *next, "{} in order, each once", message.sender);
            *next += 1;
        }
    }
    let all = senders * messages;
    println!(
        "{:?} epochs, {senders} senders x {messages} messages during {commits} commits: {:.1} s, {:.0} messages/s, {:.0} deliveries/s",
        edge.epochs,
        began.elapsed().as_secs_f64(),
        all as f64 / began.elapsed().as_secs_f64(),
        (all * (senders - 1)) as f64 / began.elapsed().as_secs_f64()
    );
}
