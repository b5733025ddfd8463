//! The SQLite file, and the one thread that works on it.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::cipher::Cipher;
use super::file_identity::FileIdentity;
use super::location::Durability;
use super::lock::{Lock, private};
use super::{Found, Page, Step};
use crate::crash;
use crate::error::{Error, Result};
use crate::machine::effects::{Change, EventKey, Kind};
use crate::machine::stored::Stored;

/// The file's name within its directory.
pub(super) const NAME: &str = "agent.db";

/// A handle of the thread. It ends with the last handle.
#[derive(Clone)]
pub(crate) struct File(mpsc::Sender<Job>);

type Read = Box<dyn FnOnce(&Connection, &Cipher) + Send>;

enum Job {
    Commit(Vec<Step>, oneshot::Sender<Result<()>>),
    Read(Read),
    Close(oneshot::Sender<()>),
}

/// How many commits become one transaction.
const TOGETHER: usize = 256;

const KINDS: [Kind; 11] = [
    Kind::Group,
    Kind::Channel,
    Kind::Intent,
    Kind::Outgoing,
    Kind::Event,
    Kind::Pending,
    Kind::KeyPackage,
    Kind::Identity,
    Kind::Joining,
    Kind::Doubt,
    Kind::Stocked,
];

impl File {
    /// Opens or makes the file, and locks its directory.
    pub async fn open(directory: PathBuf, cipher: Cipher, durability: Durability) -> Result<Self> {
        let (opened, wait) = oneshot::channel();
        let (sender, jobs) = mpsc::channel();
        let run = move || {
            let open =
                Lock::prepare(&directory).and_then(|lock| Ok((lock, connect(&directory, durability)?)));
            let (lock, connection) = match open {
                Ok(open) => open,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let closing = if opened.send(Ok(())).is_ok() { work(connection, &cipher, &jobs) } else { None };
            drop(lock);
            if let Some(closing) = closing {
                let _ = closing.send(());
            }
        };
        let spawned = thread::Builder::new().name("skytale-state".to_owned()).spawn(run);
        spawned.map_err(Error::state)?;
        wait.await.map_err(|_| Error::Closed)??;
        Ok(Self(sender))
    }

    pub async fn commit(&self, steps: Vec<Step>) -> Result<()> {
        let (sender, committed) = oneshot::channel();
        self.0.send(Job::Commit(steps, sender)).map_err(|_| Error::Closed)?;
        committed.await.map_err(|_| Error::Closed)?
    }

    pub async fn load(&self, scope: &str) -> Result<Stored> {
        let scope = scope.to_owned();
        self.read(move |connection, cipher| load(connection, cipher, &scope)).await
    }

    pub async fn channels(&self) -> Result<Vec<String>> {
        self.read(|connection, _| channels(connection)).await
    }

    pub async fn events(&self, scope: &str, after: EventKey, most: Page) -> Result<Found> {
        let scope = scope.to_owned();
        self.read(move |connection, cipher| events(connection, cipher, &scope, after, most)).await
    }

    pub async fn forget(&self, scope: &str) -> Result<()> {
        let scope = scope.to_owned();
        self.read(move |connection, _| {
            let deleted = connection.execute("DELETE FROM records WHERE scope = ?1", [&scope]);
            deleted.map(drop).map_err(Error::state)
        })
        .await
    }

    /// Waits until the file is closed.
    pub async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.0.send(Job::Close(sender)).is_ok() {
            let _ = closed.await;
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Cipher) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, done) = oneshot::channel();
        let job = move |connection: &Connection, cipher: &Cipher| drop(sender.send(read(connection, cipher)));
        self.0.send(Job::Read(Box::new(job))).map_err(|_| Error::Closed)?;
        done.await.map_err(|_| Error::Closed)?
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("File(..)")
    }
}

impl Lock {
    /// Makes the directory, which is nobody else's, and locks it.
    fn prepare(directory: &Path) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(Error::state)?;
        Self::take(directory)
    }
}

/// Opens the file, and notes where it may lack its last steps: after a session with relaxed durability that did not end in
/// order, and where it is a copy.
fn connect(directory: &Path, durability: Durability) -> Result<Connection> {
    let path = directory.join(NAME);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    private(&mut options);
    options.open(&path).map_err(Error::state)?;
    let origin = FileIdentity::of(&path)?;
    let mut connection = Connection::open(&path).map_err(Error::state)?;
    let setup = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
         CREATE TABLE IF NOT EXISTS records (scope TEXT NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL, \
         value BLOB NOT NULL, PRIMARY KEY (scope, kind, key)) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS opened (one INTEGER PRIMARY KEY CHECK (one = 1), relaxed INTEGER NOT NULL); \
         CREATE TABLE IF NOT EXISTS origin (one INTEGER PRIMARY KEY CHECK (one = 1), hint BLOB NOT NULL)";
    connection.execute_batch(setup).map_err(Error::state)?;
    let relaxed = durability == Durability::Relaxed;
    let transaction = connection.transaction().map_err(Error::state)?;
    let was_relaxed: Option<bool> = first(&transaction, "SELECT relaxed FROM opened")?;
    let known: Option<Vec<u8>> = first(&transaction, "SELECT hint FROM origin")?;
    let is_copy = known.is_some_and(|known| known != origin.hint());
    if was_relaxed == Some(true) || is_copy {
        let doubt = "INSERT OR REPLACE INTO records SELECT DISTINCT scope, ?1, x'', x'' FROM records WHERE kind IN (?2, ?3)";
        let kinds = [Kind::Doubt, Kind::Channel, Kind::Identity].map(|kind| kind as u8);
        transaction.execute(doubt, kinds).map_err(Error::state)?;
    }
    let noted = transaction.execute("INSERT OR REPLACE INTO opened VALUES (1, ?1)", [relaxed]);
    noted.map_err(Error::state)?;
    let noted = transaction.execute("INSERT OR REPLACE INTO origin VALUES (1, ?1)", [origin.hint()]);
    noted.map_err(Error::state)?;
    transaction.commit().map_err(Error::state)?;
    // Only now: a power failure must not take the mark together with the session that it is about.
    if relaxed {
        connection.execute_batch("PRAGMA synchronous = NORMAL").map_err(Error::state)?;
    }
    Ok(connection)
}

fn first<T: FromSql>(connection: &Connection, sql: &str) -> Result<Option<T>> {
    connection.query_row(sql, [], |row| row.get(0)).optional().map_err(Error::state)
}

fn channels(connection: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT scope FROM records WHERE kind = ?1 ORDER BY scope";
    let mut statement = connection.prepare(sql).map_err(Error::state)?;
    let rows = statement.query_map([Kind::Channel as u8], |row| row.get(0)).map_err(Error::state)?;
    rows.collect::<Result<_, _>>().map_err(Error::state)
}

/// Works until the last handle is gone, or one of them wants the file closed: it is told once it is.
fn work(
    mut connection: Connection,
    cipher: &Cipher,
    jobs: &mpsc::Receiver<Job>,
) -> Option<oneshot::Sender<()>> {
    let mut closing = None;
    while closing.is_none() {
        let Ok(first) = jobs.recv() else { break };
        let mut waiting: VecDeque<Job> = [first].into();
        while waiting.len() < TOGETHER
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push_back(job);
        }
        while let Some(job) = waiting.pop_front() {
            match job {
                Job::Commit(steps, done) => {
                    let mut group = vec![(steps, done)];
                    while let Some(Job::Commit(..)) = waiting.front() {
                        if let Some(Job::Commit(steps, done)) = waiting.pop_front() {
                            group.push((steps, done));
                        }
                    }
                    commit_group(&mut connection, cipher, group);
                }
                Job::Read(read) => read(&connection, cipher),
                Job::Close(done) => closing = Some(done),
            }
        }
    }
    let _ = connection.execute("DELETE FROM opened", []);
    closing
}

/// Commits what several tasks want as one transaction; if that fails, each of theirs alone.
fn commit_group(
    connection: &mut Connection,
    cipher: &Cipher,
    group: Vec<(Vec<Step>, oneshot::Sender<Result<()>>)>,
) {
    let all = group.iter().flat_map(|(steps, _)| steps);
    if commit(connection, cipher, all).is_ok() {
        group.into_iter().for_each(|(_, done)| drop(done.send(Ok(()))));
        return;
    }
    for (steps, done) in group {
        let _ = done.send(commit(connection, cipher, steps.iter()));
    }
}

fn commit<'a>(
    connection: &mut Connection,
    cipher: &Cipher,
    steps: impl Iterator<Item = &'a Step>,
) -> Result<()> {
    let transaction = connection.transaction().map_err(Error::state)?;
    for (scope, changes) in steps {
        for change in changes {
            make(&transaction, cipher, scope, change)?;
            crash::point("within-transaction");
        }
    }
    transaction.commit().map_err(Error::state)
}

fn make(connection: &Connection, cipher: &Cipher, scope: &str, change: &Change) -> Result<()> {
    let done = match change {
        Change::Put { kind, key, value } => {
            let value = match kind {
                Kind::Doubt => value.clone(),
                _ => cipher.seal(scope, *kind, key, value.clone())?,
            };
            let sql = "INSERT OR REPLACE INTO records (scope, kind, key, value) VALUES (?1, ?2, ?3, ?4)";
            let statement = connection.prepare_cached(sql);
            statement.and_then(|mut statement| statement.execute(params![scope, *kind as u8, key, value]))
        }
        Change::Delete { kind, key } => {
            let sql = "DELETE FROM records WHERE scope = ?1 AND kind = ?2 AND key = ?3";
            let statement = connection.prepare_cached(sql);
            statement.and_then(|mut statement| statement.execute(params![scope, *kind as u8, key]))
        }
        Change::DeleteThrough { kind, key } => {
            let sql = "DELETE FROM records WHERE scope = ?1 AND kind = ?2 AND key <= ?3";
            let statement = connection.prepare_cached(sql);
            statement.and_then(|mut statement| statement.execute(params![scope, *kind as u8, key]))
        }
    };
    done.map(drop).map_err(Error::state)
}

fn load(connection: &Connection, cipher: &Cipher, scope: &str) -> Result<Stored> {
    let sql = "SELECT key, value FROM records WHERE scope = ?1 AND kind = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(Error::state)?;
    let mut stored = Stored::new();
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Event) {
        let rows = statement
            .query_map(params![scope, kind as u8], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))
            .map_err(Error::state)?;
        for row in rows {
            let (key, value) = row.map_err(Error::state)?;
            // A doubt is noted by whoever opens the file, whether he has its key or not.
            let value = if kind == Kind::Doubt { value } else { cipher.open(scope, kind, &key, value)? };
            stored.entry(kind).or_default().insert(key, value);
        }
    }
    Ok(stored)
}

fn events(
    connection: &Connection,
    cipher: &Cipher,
    scope: &str,
    after: EventKey,
    most: Page,
) -> Result<Found> {
    let sql =
        "SELECT key, value FROM records WHERE scope = ?1 AND kind = ?2 AND key > ?3 ORDER BY key LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).map_err(Error::state)?;
    let arguments = params![scope, Kind::Event as u8, after.to_bytes(), most.events as i64];
    let rows = statement
        .query_map(arguments, |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))
        .map_err(Error::state)?;
    let (mut found, mut bytes) = (Found::default(), 0);
    for row in rows {
        let (key, value) = row.map_err(Error::state)?;
        let value = cipher.open(scope, Kind::Event, &key, value)?;
        bytes += value.len();
        found.events.push((key, value));
        if bytes >= most.bytes {
            break;
        }
    }
    found.more = bytes >= most.bytes || found.events.len() == most.events;
    Ok(found)
}
