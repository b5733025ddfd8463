//! The contract of [`Store`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use skytale_core::{ChannelName, Dialect, Epoch, SequenceNumber};

use super::{channel, id};
use crate::contract::precondition::{GroupEpoch, GroupId, Precondition};
use crate::contract::record::{AppendOutcome, NewRecord, Record};
use crate::contract::store::Store;
use crate::error::StoreError;

/// Runs every check.
pub async fn all(store: &Arc<dyn Store>) {
    numbers_start_at_one_and_have_no_gaps(store).await;
    channels_are_independent_and_text_does_not_matter(store).await;
    records_come_back_as_they_were(store).await;
    an_empty_channel_reads_as_empty(store).await;
    reading_starts_after_the_position(store).await;
    concurrent_appends_have_no_gaps(store).await;
    repeated_ids_return_the_first_number(store).await;
    concurrent_repetitions_append_once(store).await;
    at_accepts_only_the_current_epoch(store).await;
    the_first_commit_of_an_epoch_wins(store).await;
    racing_commits_have_one_winner(store).await;
    advance_from_accepts_later_epochs(store).await;
    groups_of_one_channel_are_independent(store).await;
    a_sole_group_keeps_others_out(store).await;
    recent_accepts_a_few_past_epochs(store).await;
    messages_are_found_by_their_ids(store).await;
    the_last_epochs_do_not_overflow(store).await;
    a_conflict_changes_nothing(store).await;
    a_repetition_is_no_conflict(store).await;
    following_sees_what_comes_later(store).await;
    trimmed_records_are_gone_and_numbers_go_on(store).await;
    expiry_trims_by_age(store).await;
    channels_are_listed(store).await;
    large_bodies_are_kept(store).await;
}

fn record(body: impl Into<Bytes>) -> NewRecord {
    NewRecord::new(Dialect::Slim3, body.into())
}

pub(super) fn at(epoch: u64) -> GroupEpoch {
    group_at(b"group", epoch)
}

fn group_at(group: &'static [u8], epoch: u64) -> GroupEpoch {
    GroupEpoch { group: GroupId::new(group).expect("short"), epoch: Epoch(epoch) }
}

async fn append(store: &Arc<dyn Store>, channel: &ChannelName, bodies: &[&str]) -> Vec<AppendOutcome> {
    let records = bodies.iter().map(|body| record(body.as_bytes().to_vec())).collect();
    store.append(channel, records, Precondition::Any).await.expect("append")
}

async fn read_all(store: &Arc<dyn Store>, channel: &ChannelName, after: u64) -> Vec<Record> {
    store.read(channel, SequenceNumber(after)).try_collect().await.expect("read")
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence.0).collect()
}

/// Numbers start at 1, are consecutive over calls, and the head follows.
pub async fn numbers_start_at_one_and_have_no_gaps(store: &Arc<dyn Store>) {
    let channel = channel();
    let first = append(store, &channel, &["a", "b"]).await;
    let second = append(store, &channel, &["c"]).await;
    assert_eq!(
        first,
        [AppendOutcome::Appended(SequenceNumber(1)), AppendOutcome::Appended(SequenceNumber(2))]
    );
    assert_eq!(second, [AppendOutcome::Appended(SequenceNumber(3))]);
    assert_eq!(store.head(&channel).await.expect("head").last, SequenceNumber(3));
}

/// Channels number on their own, and a name without text is the same channel.
pub async fn channels_are_independent_and_text_does_not_matter(store: &Arc<dyn Store>) {
    let (one, other) = (channel(), channel());
    append(store, &one, &["a"]).await;
    assert_eq!(append(store, &other, &["b"]).await[0].sequence(), SequenceNumber(1));
    let bare = ChannelName::from_components(one.components());
    assert_eq!(append(store, &bare, &["c"]).await[0].sequence(), SequenceNumber(2));
    assert_eq!(numbers(&read_all(store, &one, 0).await), [1, 2]);
}

/// Body, dialect and message id come back, with times that never decrease.
pub async fn records_come_back_as_they_were(store: &Arc<dyn Store>) {
    let channel = channel();
    let records = vec![
        NewRecord::new(Dialect::Slim1, Bytes::from_static(b"\0\xFFone")).with_message_id(id(1)),
        record(Bytes::new()),
    ];
    store.append(&channel, records, Precondition::Any).await.expect("append");
    let kept = read_all(store, &channel, 0).await;
    assert_eq!((kept[0].dialect, kept[0].message_id), (Dialect::Slim1, Some(id(1))));
    assert_eq!(&kept[0].body[..], b"\0\xFFone");
    assert_eq!((kept[1].dialect, kept[1].message_id, kept[1].body.len()), (Dialect::Slim3, None, 0));
    assert!(kept[0].appended_at <= kept[1].appended_at);
}

/// A channel nobody appended to has head 0 and no records.
pub async fn an_empty_channel_reads_as_empty(store: &Arc<dyn Store>) {
    let channel = channel();
    assert_eq!(store.head(&channel).await.expect("head").last, SequenceNumber::START);
    assert!(read_all(store, &channel, 0).await.is_empty());
}

/// Reading yields what follows the position, over more than one page.
pub async fn reading_starts_after_the_position(store: &Arc<dyn Store>) {
    let channel = channel();
    for _ in 0..6 {
        append(store, &channel, &["x"; 100]).await;
    }
    assert_eq!(numbers(&read_all(store, &channel, 0).await), (1..=600).collect::<Vec<_>>());
    assert_eq!(numbers(&read_all(store, &channel, 598).await), [599, 600]);
    assert!(read_all(store, &channel, 600).await.is_empty());
}

/// Sixteen callers at once leave no gap, and each call's numbers are consecutive.
pub async fn concurrent_appends_have_no_gaps(store: &Arc<dyn Store>) {
    let channel = channel();
    let calls = (0..16).map(|_| async {
        for _ in 0..20 {
            let outcomes = append(store, &channel, &["a", "b", "c"]).await;
            let first = outcomes[0].sequence().0;
            let got: Vec<u64> = outcomes.iter().map(|outcome| outcome.sequence().0).collect();
            assert_eq!(got, [first, first + 1, first + 2], "one call's records are consecutive");
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(numbers(&read_all(store, &channel, 0).await), (1..=960).collect::<Vec<_>>());
}

/// A repeated message id returns the first number, across calls and inside one.
pub async fn repeated_ids_return_the_first_number(store: &Arc<dyn Store>) {
    let channel = channel();
    let call = |body: &'static str, number| {
        let records = vec![record(body).with_message_id(id(number))];
        store.append(&channel, records, Precondition::Any)
    };
    assert_eq!(call("a", 1).await.expect("append"), [AppendOutcome::Appended(SequenceNumber(1))]);
    assert_eq!(call("b", 2).await.expect("append"), [AppendOutcome::Appended(SequenceNumber(2))]);
    assert_eq!(call("a", 1).await.expect("append"), [AppendOutcome::Duplicate(SequenceNumber(1))]);
    let both = vec![record("c").with_message_id(id(3)), record("c").with_message_id(id(3))];
    let outcomes = store.append(&channel, both, Precondition::Any).await.expect("append");
    assert_eq!(
        outcomes,
        [AppendOutcome::Appended(SequenceNumber(3)), AppendOutcome::Duplicate(SequenceNumber(3))]
    );
    assert_eq!(numbers(&read_all(store, &channel, 0).await), [1, 2, 3]);
}

/// Sixteen callers with one message id append it once.
pub async fn concurrent_repetitions_append_once(store: &Arc<dyn Store>) {
    let channel = channel();
    let calls =
        (0..16).map(|_| store.append(&channel, vec![record("a").with_message_id(id(9))], Precondition::Any));
    let outcomes = futures::future::join_all(calls).await;
    let fresh = outcomes
        .iter()
        .flatten()
        .flatten()
        .filter(|outcome| matches!(outcome, AppendOutcome::Appended(_)))
        .count();
    assert_eq!((fresh, read_all(store, &channel, 0).await.len()), (1, 1));
}

/// `At` accepts an unknown group and the current epoch, and nothing else.
pub async fn at_accepts_only_the_current_epoch(store: &Arc<dyn Store>) {
    let channel = channel();
    let call = |precondition| store.append(&channel, vec![record("x")], precondition);
    call(Precondition::At(at(9))).await.expect("an unknown group is accepted");
    call(Precondition::Advance(at(0))).await.expect("and was not recorded");
    call(Precondition::At(at(1))).await.expect("the current epoch");
    for epoch in [0, 2] {
        let error = call(Precondition::At(at(epoch))).await.expect_err("not the current epoch");
        assert!(matches!(error, StoreError::Conflict { current: Epoch(1), .. }), "{error:?}");
    }
}

/// `Advance` accepts the first commit of an epoch and reports the winner to the second.
pub async fn the_first_commit_of_an_epoch_wins(store: &Arc<dyn Store>) {
    let channel = channel();
    append(store, &channel, &["before"]).await;
    let call = || store.append(&channel, vec![record("commit")], Precondition::Advance(at(4)));
    call().await.expect("the first commit");
    append(store, &channel, &["after"]).await;
    match call().await {
        Err(StoreError::Conflict { current, winner, last }) => {
            assert_eq!((current, winner, last), (Epoch(5), Some(SequenceNumber(2)), SequenceNumber(3)));
        }
        other => panic!("the second commit must conflict, not {other:?}"),
    }
}

/// Of 64 racing commits exactly one wins, ten epochs in a row.
pub async fn racing_commits_have_one_winner(store: &Arc<dyn Store>) {
    let channel = channel();
    for epoch in 0..10 {
        let calls =
            (0..64).map(|_| store.append(&channel, vec![record("c")], Precondition::Advance(at(epoch))));
        let won = futures::future::join_all(calls).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1, "epoch {epoch}");
    }
    assert_eq!(numbers(&read_all(store, &channel, 0).await), (1..=10).collect::<Vec<_>>());
}

/// `AdvanceFrom` accepts the current and later epochs and refuses earlier ones.
pub async fn advance_from_accepts_later_epochs(store: &Arc<dyn Store>) {
    let channel = channel();
    let call = |epoch| store.append(&channel, vec![record("c")], Precondition::AdvanceFrom(at(epoch)));
    for epoch in [1, 2, 7] {
        call(epoch).await.expect("an epoch that is not past");
    }
    for epoch in [0, 2, 7] {
        assert!(
            matches!(call(epoch).await, Err(StoreError::Conflict { current: Epoch(8), .. })),
            "epoch {epoch}"
        );
    }
}

/// The first commit binds a channel to its group: the sole preconditions refuse every other group from then on.
pub async fn a_sole_group_keeps_others_out(store: &Arc<dyn Store>) {
    let channel = channel();
    let call = |precondition| store.append(&channel, vec![record("c")], precondition);
    call(Precondition::AtSole(group_at(b"early", 0))).await.expect("the channel is bound to none");
    call(Precondition::AdvanceSole(group_at(b"one", 0))).await.expect("the first commit");
    for precondition in [
        Precondition::AdvanceSole(group_at(b"other", 0)),
        Precondition::AtSole(group_at(b"other", 0)),
        Precondition::AtSole(group_at(b"early", 0)),
    ] {
        assert!(matches!(call(precondition.clone()).await, Err(StoreError::OtherGroup)), "{precondition:?}");
    }
    let stale = call(Precondition::AdvanceSole(group_at(b"one", 0))).await;
    assert!(matches!(stale, Err(StoreError::Conflict { current: Epoch(1), .. })), "{stale:?}");
    call(Precondition::AtSole(group_at(b"one", 1))).await.expect("its own group");
    call(Precondition::AdvanceSole(group_at(b"one", 1))).await.expect("its own group's next commit");
    assert_eq!(numbers(&read_all(store, &channel, 0).await), [1, 2, 3, 4]);
}

/// `RecentSole` accepts the current epoch and as many past ones as it says, of the channel's only group, and no later one.
pub async fn recent_accepts_a_few_past_epochs(store: &Arc<dyn Store>) {
    let channel = channel();
    let call = |precondition| store.append(&channel, vec![record("c")], precondition);
    call(Precondition::RecentSole(at(7), 2)).await.expect("an unknown group is accepted");
    for epoch in 3..6 {
        call(Precondition::AdvanceSole(at(epoch))).await.expect("a commit");
    }
    for epoch in 4..=6 {
        call(Precondition::RecentSole(at(epoch), 2)).await.expect("two past epochs and the current one");
    }
    for epoch in [0, 3, 7, u64::MAX] {
        let refused = call(Precondition::RecentSole(at(epoch), 2)).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict { current: Epoch(6), .. })),
            "{epoch}: {refused:?}"
        );
    }
    let other = call(Precondition::RecentSole(group_at(b"other", 6), 2)).await;
    assert!(matches!(other, Err(StoreError::OtherGroup)), "{other:?}");
    call(Precondition::AdvanceSole(at(6))).await.expect("nothing has advanced meanwhile");
}

/// `find` tells the number of a message by its id, in its own channel only.
pub async fn messages_are_found_by_their_ids(store: &Arc<dyn Store>) {
    let (here, elsewhere) = (channel(), channel());
    let records = (0..100).map(|number| record("x").with_message_id(id(number))).collect();
    store.append(&here, records, Precondition::Any).await.expect("append");
    assert_eq!(store.find(&here, id(41)).await.expect("find"), Some(SequenceNumber(42)));
    assert_eq!(store.find(&here, id(200)).await.expect("find"), None);
    assert_eq!(store.find(&elsewhere, id(41)).await.expect("find"), None);
}

/// One group's commits do not move another group of the channel.
pub async fn groups_of_one_channel_are_independent(store: &Arc<dyn Store>) {
    let channel = channel();
    for group in [&b"one"[..], b"other"] {
        let precondition = Precondition::Advance(group_at(group, 0));
        store.append(&channel, vec![record("c")], precondition).await.expect("a group's own first commit");
    }
}

/// The largest epochs are refused or accepted, without a panic.
pub async fn the_last_epochs_do_not_overflow(store: &Arc<dyn Store>) {
    let channel = channel();
    for epoch in [u64::MAX, i64::MAX as u64] {
        let outcome = store.append(&channel, vec![record("c")], Precondition::AdvanceFrom(at(epoch))).await;
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    }
}

/// After a conflict neither records nor head nor epoch have changed.
pub async fn a_conflict_changes_nothing(store: &Arc<dyn Store>) {
    let channel = channel();
    let call =
        |epoch| store.append(&channel, vec![record("a"), record("b")], Precondition::Advance(at(epoch)));
    call(0).await.expect("first");
    call(0).await.expect_err("conflict");
    call(7).await.expect_err("conflict");
    assert_eq!(numbers(&read_all(store, &channel, 0).await), [1, 2]);
    call(1).await.expect("the epoch is still the one after the first");
}

/// A commit sent again returns its number although its epoch has passed.
pub async fn a_repetition_is_no_conflict(store: &Arc<dyn Store>) {
    let channel = channel();
    let call = || {
        let records = vec![record("commit").with_message_id(id(5))];
        store.append(&channel, records, Precondition::Advance(at(0)))
    };
    assert_eq!(call().await.expect("first"), [AppendOutcome::Appended(SequenceNumber(1))]);
    assert_eq!(call().await.expect("again"), [AppendOutcome::Duplicate(SequenceNumber(1))]);
}

/// A follower gets what is there and what comes later, in order.
pub async fn following_sees_what_comes_later(store: &Arc<dyn Store>) {
    let channel = channel();
    append(store, &channel, &["a"; 3]).await;
    let followed = store.follow(&channel, SequenceNumber(1)).take(300).try_collect::<Vec<_>>();
    let appending = async {
        for _ in 0..30 {
            append(store, &channel, &["b"; 10]).await;
        }
    };
    let both = futures::future::join(followed, appending);
    let (followed, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("follow goes on");
    assert_eq!(numbers(&followed.expect("follow")), (2..=301).collect::<Vec<_>>());
}

/// A reader below the floor is told once; numbers go on after a trim, even of everything.
pub async fn trimmed_records_are_gone_and_numbers_go_on(store: &Arc<dyn Store>) {
    let channel = channel();
    append(store, &channel, &["x"; 5]).await;
    store.trim(&channel, SequenceNumber(3)).await.expect("trim");
    assert_eq!(store.head(&channel).await.expect("head").floor, SequenceNumber(3));
    let mut below = store.read(&channel, SequenceNumber(2));
    assert!(matches!(below.next().await, Some(Err(StoreError::Gone { floor: SequenceNumber(3) }))));
    assert!(below.next().await.is_none(), "nothing follows Gone");
    assert_eq!(numbers(&read_all(store, &channel, 3).await), [4, 5]);
    store.trim(&channel, SequenceNumber(99)).await.expect("trim everything");
    assert_eq!(append(store, &channel, &["y"]).await[0].sequence(), SequenceNumber(6));
    assert_eq!(numbers(&read_all(store, &channel, 5).await), [6]);
}

/// Expiry drops what is older than a time and nothing younger.
pub async fn expiry_trims_by_age(store: &Arc<dyn Store>) {
    let channel = channel();
    append(store, &channel, &["old"; 3]).await;
    store.expire(SystemTime::now() - Duration::from_secs(3600)).await.expect("expire");
    assert_eq!(read_all(store, &channel, 0).await.len(), 3, "younger than the time");
    let expired = store.expire(SystemTime::now() + Duration::from_secs(60)).await.expect("expire");
    assert!(expired >= 3, "older than the time");
    assert_eq!(store.head(&channel).await.expect("head").floor, SequenceNumber(3));
}

/// A channel with records is listed, by its text.
pub async fn channels_are_listed(store: &Arc<dyn Store>) {
    let channel = channel();
    append(store, &channel, &["x", "y"]).await;
    let listed: Vec<_> = store.channels().try_collect().await.expect("channels");
    let (found, head) = listed.iter().find(|(listed, _)| *listed == channel).expect("listed");
    assert_eq!((found.text(), head.last), (channel.text(), SequenceNumber(2)));
}

/// Bodies of 4 MiB come back whole.
pub async fn large_bodies_are_kept(store: &Arc<dyn Store>) {
    let channel = channel();
    let body = Bytes::from(vec![0xA5; 4 * 1024 * 1024]);
    for _ in 0..3 {
        store.append(&channel, vec![record(body.clone())], Precondition::Any).await.expect("append");
    }
    let kept = read_all(store, &channel, 0).await;
    assert!(kept.len() == 3 && kept.iter().all(|record| record.body == body));
}
