//! The contract of [`Usage`], and of appends that count in it.

use std::sync::Arc;
use std::time::SystemTime;

use skytale_core::Dialect;

use super::{channel, id, unique};
use crate::contract::precondition::Precondition;
use crate::contract::record::NewRecord;
use crate::contract::store::Store;
use crate::contract::usage::{Day, DayUsage, Usage, Used};

/// Runs every check of [`Usage`]; both arguments are the same storage.
pub async fn usage(usage: &Arc<dyn Usage>, store: &Arc<dyn Store>) {
    appends_count_once(usage, store).await;
    nobody_counts_for_others(usage, store).await;
    concurrent_appends_all_count(usage, store).await;
    tokens_count_by_day(usage).await;
}

async fn today(usage: &Arc<dyn Usage>, account: &str) -> Used {
    // A check may run over midnight.
    let today = Day::of(SystemTime::now());
    let days = usage.usage(account, Day(today.0 - 1), today).await.expect("usage");
    days.iter().map(|day| day.used).sum()
}

fn record(body: &'static str, account: &str) -> NewRecord {
    NewRecord::new(Dialect::Slim3, body.into()).with_account(account)
}

/// Each record that was appended counts once, with its bytes; a repetition and a refused one do not.
pub async fn appends_count_once(usage: &Arc<dyn Usage>, store: &Arc<dyn Store>) {
    let (room, account) = (channel(), unique("account"));
    let once = || record("hello", &account).with_message_id(id(1));
    for _ in 0..2 {
        store.append(&room, vec![once(), once()], Precondition::Any).await.expect("append");
    }
    assert_eq!(today(usage, &account).await, Used { messages: 1, bytes: 5, tokens: 0 });
    let at = super::log::at(9);
    let refused = store.append(&room, vec![record("late", &account)], Precondition::Advance(at)).await;
    let counted = u64::from(refused.is_ok());
    assert_eq!(today(usage, &account).await.messages, 1 + counted);
}

/// A record without an account counts for nobody, each other for its own.
pub async fn nobody_counts_for_others(usage: &Arc<dyn Usage>, store: &Arc<dyn Store>) {
    let (room, one, two) = (channel(), unique("account"), unique("account"));
    let nobody = NewRecord::new(Dialect::Slim3, "nobody".into());
    let records = vec![record("a", &one), nobody, record("bb", &two), record("ccc", &one)];
    store.append(&room, records, Precondition::Any).await.expect("append");
    assert_eq!(today(usage, &one).await, Used { messages: 2, bytes: 4, tokens: 0 });
    assert_eq!(today(usage, &two).await, Used { messages: 1, bytes: 2, tokens: 0 });
}

/// However many append at once, all counts.
pub async fn concurrent_appends_all_count(usage: &Arc<dyn Usage>, store: &Arc<dyn Store>) {
    let account = unique("account");
    let rooms: Vec<_> = (0..4).map(|_| channel()).collect();
    let appends = (0..100).map(|number| {
        let room = &rooms[number % rooms.len()];
        store.append(room, vec![record("12345", &account)], Precondition::Any)
    });
    for appended in futures::future::join_all(appends).await {
        appended.expect("append");
    }
    assert_eq!(today(usage, &account).await, Used { messages: 100, bytes: 500, tokens: 0 });
}

/// Tokens count on their day, and days are listed in order, without those outside and those on which nothing was used.
pub async fn tokens_count_by_day(usage: &Arc<dyn Usage>) {
    let account = unique("account");
    for day in [20_002, 20_000, 20_002, 20_005] {
        usage.count(&account, Day(day), Used { tokens: 1, ..Used::default() }).await.expect("count");
    }
    let days = usage.usage(&account, Day(20_000), Day(20_004)).await.expect("usage");
    let day = |day, tokens| DayUsage { day: Day(day), used: Used { tokens, ..Used::default() } };
    assert_eq!(days, [day(20_000, 1), day(20_002, 2)]);
}
