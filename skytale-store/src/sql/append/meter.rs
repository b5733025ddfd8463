//! Counts of the messages that an append adds to the usage of accounts.

use std::hash::{BuildHasher, Hasher};
use std::time::SystemTime;

use sea_orm::{Statement, Value};

use super::request::Append;
use crate::contract::record::{AppendOutcome, Appended};
use crate::contract::usage::{Day, Used};
use crate::error::Result;
use crate::sql::statements::Statements;
use crate::usage_counts::Amounts;

/// The rows that one process counts in, so that no process waits for another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeterId(i64);

impl MeterId {
    /// The rows of a file's only process.
    pub const SOLE: Self = Self(0);

    pub fn random() -> Self {
        Self(std::hash::RandomState::new().build_hasher().finish() as i64)
    }
}

/// Counts what an append has added.
pub(super) fn count(used: &mut Amounts, append: &Append, outcome: &Result<Appended>) {
    let Ok(outcomes) = outcome else { return };
    for (record, outcome) in append.records.iter().zip(outcomes) {
        if let (Some(account), AppendOutcome::Appended(_)) = (&record.account, outcome) {
            let amount = Used { messages: 1, bytes: record.body.len() as u64, tokens: 0 };
            *used.entry((account.clone(), Day::of(SystemTime::now()))).or_default() += amount;
        }
    }
}

impl Statements {
    pub fn add_usage(&self, meter: MeterId, account: &str, day: Day, used: Used) -> Statement {
        let sql = "INSERT INTO usage_days (account, day, meter, messages, bytes, tokens) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, day, meter) DO UPDATE SET \
                   messages = usage_days.messages + $4, bytes = usage_days.bytes + $5, \
                   tokens = usage_days.tokens + $6";
        let number = |amount: u64| Value::from(amount as i64);
        let day = Value::from(i64::from(day.0));
        let Used { messages, bytes, tokens } = used;
        self.make(sql, [account.into(), day, meter.0.into(), number(messages), number(bytes), number(tokens)])
    }
}
