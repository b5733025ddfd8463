//! The statements on the table of blocks, which is another one in each database.
//!
//! PostgreSQL finds a block by an index on channel and number. In SQLite both are one number, the row's own: a commit then
//! writes neither a page of an index nor one of the channel, whose head is the end of its last block.

use std::ops::Range;
use std::time::SystemTime;

use sea_orm::{DbErr, Statement, Value};
use skytale_core::ChannelName;

use super::block::{Block, Row};
use crate::sql::statements::{Statements, key, millis};

/// How many bits of a position in SQLite are the number of the block's last record; those above are the channel's. Files keep it
/// for good.
const NUMBER_BITS: u32 = 40;
const NUMBERS: i64 = 1 << NUMBER_BITS;
const CHANNELS: i64 = 1 << (63 - NUMBER_BITS);

impl Statements {
    /// Inserts blocks of channels, each with the time of its records.
    ///
    /// # Errors
    ///
    /// Beyond what a SQLite file can hold.
    pub fn insert_blocks(&self, blocks: Vec<(i64, Block, i64)>) -> Result<Statement, DbErr> {
        let (columns, width) = match self.is_postgres() {
            true => ("channel_id, last", 6),
            false => ("position", 5),
        };
        let row = |row: usize| {
            let places: Vec<_> = (0..width).map(|column| format!("${}", row * width + column + 1)).collect();
            format!("({})", places.join(", "))
        };
        let rows: Vec<_> = (0..blocks.len()).map(row).collect();
        let sql = format!(
            "INSERT INTO blocks ({columns}, first, appended_at, checksum, body) VALUES {}",
            rows.join(", ")
        );
        let mut values = Vec::<Value>::with_capacity(blocks.len() * width);
        for (channel, block, appended_at) in blocks {
            let last = block.last.0 as i64;
            if self.is_postgres() {
                values.extend([channel.into(), last.into()]);
            } else {
                values.push(position(channel, last)?.into());
            }
            let row = Row::new(block, appended_at);
            values.extend([row.first.into(), row.appended_at.into(), row.checksum.into(), row.body.into()]);
        }
        Ok(self.make(sql, values))
    }

    /// Measures a channel's next blocks.
    pub fn sizes(&self, channel: i64, after: i64, most: u64) -> Statement {
        if self.is_postgres() {
            let sql = "SELECT last, length(body) AS size FROM blocks \
                       WHERE channel_id = $1 AND last > $2 ORDER BY last LIMIT $3";
            return self.make(sql, [channel.into(), after.into(), (most as i64).into()]);
        }
        let sql = format!(
            "SELECT position % {NUMBERS} AS last, length(body) AS size FROM blocks \
             WHERE position >= $1 AND position < $2 ORDER BY position LIMIT $3"
        );
        let range = positions(channel, after + 1..NUMBERS);
        self.make(sql, [range.start.into(), range.end.into(), (most as i64).into()])
    }

    /// Reads the blocks that end after one number and not after another.
    pub fn blocks(&self, channel: i64, after: i64, through: i64) -> Statement {
        if self.is_postgres() {
            let sql = "SELECT first, appended_at, checksum, body FROM blocks \
                       WHERE channel_id = $1 AND last > $2 AND last <= $3 ORDER BY last";
            return self.make(sql, [channel.into(), after.into(), through.into()]);
        }
        let sql = "SELECT first, appended_at, checksum, body FROM blocks \
                   WHERE position >= $1 AND position < $2 ORDER BY position";
        let range = positions(channel, after + 1..through + 1);
        self.make(sql, [range.start.into(), range.end.into()])
    }

    /// Reads a channel's head and its next blocks at once, so many of them and of their bytes, on PostgreSQL: there every
    /// statement is a way to another machine and back.
    pub fn page(&self, channel: &ChannelName, after: i64, most: u64, bytes: i64) -> Statement {
        let sql = "SELECT c.last_sequence, c.floor, b.first, b.appended_at, b.checksum, b.body FROM channels c \
                   LEFT JOIN LATERAL (SELECT next.*, SUM(length(body)) OVER (ORDER BY last) AS total FROM \
                   (SELECT * FROM blocks WHERE channel_id = c.id AND last > $2 ORDER BY last LIMIT $3) AS next) AS b \
                   ON b.total <= $4 OR b.total = length(b.body) WHERE c.components = $1 ORDER BY b.last";
        self.make(sql, [key(channel).into(), after.into(), (most as i64).into(), bytes.into()])
    }

    /// Deletes blocks that are wholly trimmed.
    pub fn delete_blocks(&self, channel: i64, through: i64, most: u64) -> Statement {
        if self.is_postgres() {
            let sql = "DELETE FROM blocks WHERE channel_id = $1 AND last IN \
                       (SELECT last FROM blocks WHERE channel_id = $1 AND last <= $2 ORDER BY last LIMIT $3)";
            return self.make(sql, [channel.into(), through.into(), (most as i64).into()]);
        }
        let sql = "DELETE FROM blocks WHERE position IN \
                   (SELECT position FROM blocks WHERE position >= $1 AND position < $2 ORDER BY position LIMIT $3)";
        let range = positions(channel, 0..through + 1);
        self.make(sql, [range.start.into(), range.end.into(), (most as i64).into()])
    }

    /// Finds the last of a channel's oldest blocks that was appended before a time.
    pub fn oldest_expired(&self, channel: i64, before: SystemTime, most: u64) -> Statement {
        let (before, most) = (millis(before), most as i64);
        if self.is_postgres() {
            let sql = "SELECT MAX(last) AS through FROM (SELECT last, appended_at FROM blocks \
                       WHERE channel_id = $1 ORDER BY last LIMIT $2) AS oldest WHERE appended_at < $3";
            return self.make(sql, [channel.into(), most.into(), before.into()]);
        }
        let sql = format!(
            "SELECT MAX(position) % {NUMBERS} AS through FROM (SELECT position, appended_at FROM blocks \
             WHERE position >= $1 AND position < $2 ORDER BY position LIMIT $3) WHERE appended_at < $4"
        );
        let range = positions(channel, 0..NUMBERS);
        self.make(sql, [range.start.into(), range.end.into(), most.into(), before.into()])
    }
}

fn position(channel: i64, last: i64) -> Result<i64, DbErr> {
    if channel >= CHANNELS || last >= NUMBERS {
        let full = "a SQLite file holds at most 8,388,607 channels of 1,099,511,627,775 records; PostgreSQL holds more";
        return Err(DbErr::Custom(full.to_owned()));
    }
    Ok(channel * NUMBERS + last)
}

/// Returns where the blocks of a channel are that end at some numbers.
fn positions(channel: i64, last: Range<i64>) -> Range<i64> {
    let place = |number: i64| channel.saturating_mul(NUMBERS).saturating_add(number.min(NUMBERS));
    place(last.start)..place(last.end)
}

/// Moves SQLite's blocks, and the ids of messages, into tables that are their own indices.
pub(crate) fn lay_out_sqlite() -> String {
    format!(
        "CREATE TABLE laid_out (position INTEGER PRIMARY KEY NOT NULL, first BIGINT NOT NULL, \
         appended_at BIGINT NOT NULL, body BLOB NOT NULL); \
         INSERT INTO laid_out SELECT channel_id * {NUMBERS} + last, first, appended_at, body FROM blocks \
         ORDER BY channel_id, last; \
         DROP TABLE blocks; \
         ALTER TABLE laid_out RENAME TO blocks; \
         CREATE VIEW channel_heads AS SELECT c.id, c.components, c.name, c.floor, \
         COALESCE(b.position % {NUMBERS}, c.last_sequence) AS last_sequence, \
         COALESCE(b.appended_at, c.last_appended_at) AS last_appended_at \
         FROM channels c LEFT JOIN blocks b ON b.position = (SELECT MAX(position) FROM blocks \
         WHERE position >= c.id * {NUMBERS} AND position < (c.id + 1) * {NUMBERS}); \
         CREATE TRIGGER blocks_trimmed AFTER DELETE ON blocks WHEN NOT EXISTS (SELECT 1 FROM blocks \
         WHERE position > OLD.position AND position < (OLD.position / {NUMBERS} + 1) * {NUMBERS}) BEGIN \
         UPDATE channels SET last_sequence = OLD.position % {NUMBERS}, last_appended_at = OLD.appended_at \
         WHERE id = OLD.position / {NUMBERS} AND last_sequence < OLD.position % {NUMBERS}; END; \
         CREATE TABLE laid_out (channel_id BIGINT NOT NULL, message_id BLOB NOT NULL, sequence BIGINT NOT NULL, \
         PRIMARY KEY (channel_id, message_id)) WITHOUT ROWID; \
         INSERT INTO laid_out SELECT channel_id, message_id, sequence FROM messages ORDER BY channel_id, message_id; \
         DROP TABLE messages; \
         ALTER TABLE laid_out RENAME TO messages"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_ends_where_the_next_begins() {
        assert_eq!(positions(1, 1..NUMBERS).end, position(2, 0).expect("in range"));
        assert_eq!(positions(1, 0..i64::MAX), NUMBERS..2 * NUMBERS);
        assert_eq!(position(CHANNELS - 1, NUMBERS - 1).expect("the last one"), i64::MAX);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (channel, last) in [(CHANNELS, 1), (1, NUMBERS)] {
            let refused = position(channel, last).expect_err("refused").to_string();
            assert!(refused.contains("PostgreSQL holds more"), "{refused}");
        }
    }
}
