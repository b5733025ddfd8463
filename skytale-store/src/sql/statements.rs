//! Every SQL statement, for both databases.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sea_orm::{DbBackend, Statement, Value};
use skytale_core::{ChannelName, SequenceNumber};

use crate::contract::record::MessageId;

/// Makes statements for one kind of database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statements {
    backend: DbBackend,
}

impl Statements {
    pub fn new(backend: DbBackend) -> Self {
        Self { backend }
    }

    pub fn is_postgres(&self) -> bool {
        self.backend == DbBackend::Postgres
    }

    pub fn find_channel(&self, channel: &ChannelName) -> Statement {
        let (columns, heads) = (CHANNEL, self.heads());
        self.make(format!("SELECT {columns} FROM {heads} WHERE components = $1"), [key(channel).into()])
    }

    /// Finds channels and keeps every other process from appending to them until the transaction ends.
    pub fn lock_channels(&self, channels: &[&ChannelName]) -> Statement {
        let (columns, heads, (places, keys)) = (CHANNEL, self.heads(), keys(channels));
        let lock = if self.is_postgres() { " FOR UPDATE" } else { "" };
        let sql =
            format!("SELECT {columns} FROM {heads} WHERE components IN ({places}) ORDER BY components{lock}");
        self.make(sql, keys)
    }

    pub fn existing_channels(&self, channels: &[&ChannelName]) -> Statement {
        let (places, keys) = keys(channels);
        self.make(format!("SELECT components FROM channels WHERE components IN ({places})"), keys)
    }

    /// Returns where the heads of channels are: on PostgreSQL in their rows, on SQLite at the end of their blocks.
    fn heads(&self) -> &'static str {
        if self.is_postgres() { "channels" } else { "channel_heads" }
    }

    pub fn create_channels(&self, channels: &[&ChannelName]) -> Statement {
        let row = |row: usize| format!("(${}, ${}, 0, 0, 0)", 2 * row + 1, 2 * row + 2);
        let rows: Vec<_> = (0..channels.len()).map(row).collect();
        let sql = format!(
            "INSERT INTO channels (components, name, last_sequence, floor, last_appended_at) VALUES {} \
             ON CONFLICT (components) DO NOTHING",
            rows.join(", ")
        );
        let values =
            |channel: &&ChannelName| [Value::from(key(channel)), channel.text().map(str::to_owned).into()];
        self.make(sql, channels.iter().flat_map(values))
    }

    pub fn name_channel(&self, id: i64, name: &str) -> Statement {
        let sql = "UPDATE channels SET name = $2 WHERE id = $1 AND name IS NULL";
        self.make(sql, [id.into(), name.into()])
    }

    pub fn all_channels(&self) -> Statement {
        let (columns, heads) = ("id, components, name, last_sequence, floor", self.heads());
        self.make(format!("SELECT {columns} FROM {heads} WHERE last_sequence > 0 ORDER BY id"), [])
    }

    pub fn insert_messages(&self, channel: i64, ids: &[(MessageId, SequenceNumber)]) -> Statement {
        let rows: Vec<_> =
            (0..ids.len()).map(|row| format!("($1, ${}, ${})", 2 * row + 2, 2 * row + 3)).collect();
        let sql =
            format!("INSERT INTO messages (channel_id, message_id, sequence) VALUES {}", rows.join(", "));
        let values =
            ids.iter().flat_map(|(id, number)| [Value::from(id.0.to_vec()), (number.0 as i64).into()]);
        self.make(sql, [channel.into()].into_iter().chain(values))
    }

    pub fn find_messages(&self, channel: i64, ids: &[MessageId]) -> Statement {
        let places: Vec<_> = (0..ids.len()).map(|place| format!("${}", place + 2)).collect();
        let sql = format!(
            "SELECT message_id, sequence FROM messages WHERE channel_id = $1 AND message_id IN ({})",
            places.join(", ")
        );
        let values = ids.iter().map(|id| Value::from(id.0.to_vec()));
        self.make(sql, [channel.into()].into_iter().chain(values))
    }

    pub fn find_epoch(&self, channel: i64, group: &[u8]) -> Statement {
        let sql = "SELECT group_id, epoch, winner FROM epochs WHERE channel_id = $1 AND group_id = $2";
        self.make(sql, [channel.into(), group.to_vec().into()])
    }

    /// Finds the groups of a channel; two are enough to know that there is more than one.
    pub fn find_epochs(&self, channel: i64) -> Statement {
        let sql = "SELECT group_id, epoch, winner FROM epochs WHERE channel_id = $1 LIMIT 2";
        self.make(sql, [channel.into()])
    }

    pub fn set_epoch(&self, channel: i64, group: &[u8], epoch: i64, winner: i64) -> Statement {
        let sql = "INSERT INTO epochs (channel_id, group_id, epoch, winner) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (channel_id, group_id) DO UPDATE SET epoch = $3, winner = $4";
        self.make(sql, [channel.into(), group.to_vec().into(), epoch.into(), winner.into()])
    }

    pub fn set_floor(&self, channel: i64, floor: i64) -> Statement {
        self.make(
            "UPDATE channels SET floor = $2 WHERE id = $1 AND floor < $2",
            [channel.into(), floor.into()],
        )
    }

    pub fn delete_messages(&self, channel: i64, through: i64) -> Statement {
        self.make(
            "DELETE FROM messages WHERE channel_id = $1 AND sequence <= $2",
            [channel.into(), through.into()],
        )
    }

    pub fn make(&self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.backend, sql, values)
    }
}

/// What is read of a channel.
const CHANNEL: &str = "id, components, last_sequence, floor, last_appended_at, name IS NOT NULL AS is_named";

/// Returns the places and the keys of a list of channels. Lists are made longer, to a power of two, so that databases
/// prepare few statements.
fn keys(channels: &[&ChannelName]) -> (String, Vec<Value>) {
    let mut keys: Vec<Value> = channels.iter().map(|channel| key(channel).into()).collect();
    if let Some(last) = keys.last().cloned() {
        keys.resize(keys.len().next_power_of_two(), last);
    }
    let places: Vec<_> = (1..=keys.len()).map(|place| format!("${place}")).collect();
    (places.join(", "), keys)
}

/// Returns the bytes by which a channel is kept.
pub(super) fn key(channel: &ChannelName) -> Vec<u8> {
    channel.components().iter().flat_map(|component| component.to_be_bytes()).collect()
}

/// Restores what [`key`] made.
pub(super) fn components(key: &[u8]) -> Option<[u64; 3]> {
    let (chunks, rest) = key.as_chunks::<8>();
    let [first, second, third] =
        chunks.first_chunk::<3>().filter(|_| chunks.len() == 3 && rest.is_empty())?;
    Some([first, second, third].map(|bytes| u64::from_be_bytes(*bytes)))
}

/// Returns a time as milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Restores what [`millis`] made.
pub(super) fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.max(0) as u64)
}
