//! What was read, as a digest that members tell each other inside their messages: a relay that shows them different
//! histories is noticed by the next message.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The first half of a SHA-256.
pub(crate) type Digest = [u8; 16];

/// How many records back a sender's digest can be compared.
const REMEMBERED: usize = 1024;

/// The digests of what was read. Each epoch begins anew, with its authenticator, so that who joins by a commit has the same
/// from there on.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By the number of the last record, without gaps; empty until an epoch begins that is read from its start.
    heads: VecDeque<(u64, Digest)>,
    epoch: Epoch,
}

/// What is known of the epoch that lasts.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Epoch {
    /// The number of the commit that it began with.
    since: u64,
    /// The digest of all of the epoch before, if the agent was there.
    before: Option<Digest>,
    /// Whether the agent was told of a difference in it.
    is_told: bool,
}

/// What is stored of a history.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HistoryRecord {
    head: Option<(u64, Digest)>,
    epoch: Epoch,
}

/// What the sender of a message had read when it made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryDigest {
    /// The number of the last record; 0 where the sender has no digest.
    pub through: u64,
    pub head: Digest,
    /// The digest of all of the epoch before; zeros where the sender was not there.
    pub before: Digest,
}

/// Two digests of what should be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub through: u64,
    pub own: Digest,
    pub theirs: Digest,
}

impl History {
    pub fn restored(record: HistoryRecord) -> Self {
        Self { heads: record.head.into_iter().collect(), epoch: record.epoch }
    }

    pub fn to_record(&self) -> HistoryRecord {
        HistoryRecord { head: self.heads.back().copied(), epoch: self.epoch }
    }

    /// Takes in a record.
    pub fn read(&mut self, sequence: u64, id: Digest) {
        if let Some((_, head)) = self.heads.back() {
            let next = digest([&head[..], &sequence.to_be_bytes(), &id]);
            self.heads.push_back((sequence, next));
            if self.heads.len() > REMEMBERED {
                self.heads.pop_front();
            }
        }
    }

    /// Begins an epoch, with the commit that was read last.
    pub fn begin(&mut self, commit: u64, authenticator: &[u8]) {
        let before = self.heads.pop_back().map(|(_, head)| head);
        self.epoch = Epoch { since: commit, before, is_told: false };
        self.heads.push_back((commit, digest([&b"epoch"[..], &commit.to_be_bytes(), authenticator])));
    }

    /// Forgets everything, since records are missing: it begins with the next epoch.
    pub fn lose(&mut self) {
        *self = Self::default();
    }

    pub fn mark(&self) -> HistoryDigest {
        let (through, head) = self.heads.back().copied().unwrap_or_default();
        HistoryDigest { through, head, before: self.epoch.before.unwrap_or_default() }
    }

    /// Compares what a sender had read with what this agent has, as far as both were there; tells the first difference
    /// of an epoch. `is_of_this_epoch` is whether the message is.
    pub fn compare(&mut self, theirs: &HistoryDigest, is_of_this_epoch: bool) -> Option<Difference> {
        let difference = self.differs_before(theirs, is_of_this_epoch).or_else(|| self.differs(theirs))?;
        (!std::mem::replace(&mut self.epoch.is_told, true)).then_some(difference)
    }

    fn differs(&self, theirs: &HistoryDigest) -> Option<Difference> {
        let found = self.heads.binary_search_by_key(&theirs.through, |(through, _)| *through).ok()?;
        let (through, own) = self.heads[found];
        (own != theirs.head).then_some(Difference { through, own, theirs: theirs.head })
    }

    fn differs_before(&self, theirs: &HistoryDigest, is_of_this_epoch: bool) -> Option<Difference> {
        let own = self.epoch.before.filter(|_| is_of_this_epoch && theirs.before != Digest::default())?;
        let through = self.epoch.since;
        (own != theirs.before).then_some(Difference { through, own, theirs: theirs.before })
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    let hash: [u8; 32] = hash.finalize().into();
    *hash.first_chunk().expect("32 bytes hold 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: bool = true;

    /// A member that was there as an epoch began with commit 7, and has read these after it.
    fn read(ids: &[u8]) -> History {
        let mut history = History::default();
        history.begin(7, b"authenticator");
        ids.iter().zip(8..).for_each(|(id, sequence)| history.read(sequence, [*id; 16]));
        history
    }

    #[test]
    fn who_read_the_same_has_the_same_however_far_it_is() {
        let mut ahead = read(&[1, 2, 3, 4]);
        for count in 0..4 {
            assert_eq!(ahead.compare(&read(&[1, 2, 3, 4][..count]).mark(), NOW), None);
        }
        let mut behind = read(&[1]);
        assert_eq!(behind.compare(&ahead.mark(), NOW), None, "what is not read yet is not compared");
    }

    #[test]
    fn another_order_another_record_and_another_epoch_differ_and_are_told_once() {
        let mut other_epoch = History::default();
        other_epoch.begin(7, b"another");
        for theirs in [read(&[2, 1]), read(&[1, 3]), other_epoch] {
            let mut own = read(&[1, 2]);
            let difference = own.compare(&theirs.mark(), NOW).expect("noticed");
            assert_eq!(difference.through, theirs.mark().through);
            assert_eq!(own.compare(&theirs.mark(), NOW), None, "told already");
        }
    }

    #[test]
    fn a_difference_at_an_epochs_end_is_noticed_in_the_next_one() {
        let (mut own, mut theirs) = (read(&[1, 2]), read(&[2, 1]));
        for history in [&mut own, &mut theirs] {
            history.read(10, [9; 16]);
            history.begin(10, b"next");
        }
        assert_eq!(own.compare(&theirs.mark(), !NOW), None, "a late message, of the epoch before");
        assert_eq!(own.compare(&theirs.mark(), NOW).expect("noticed").through, 10);
        let mut joined = History::default();
        joined.begin(10, b"next");
        assert_eq!(joined.compare(&theirs.mark(), NOW), None, "who was not there has nothing to compare");
        assert_eq!(own.compare(&joined.mark(), NOW), None);
    }

    #[test]
    fn what_is_stored_goes_on_and_what_has_gaps_begins_with_the_next_epoch() {
        let mut restored = History::restored(read(&[1]).to_record());
        restored.read(9, [2; 16]);
        assert_eq!(restored.mark(), read(&[1, 2]).mark());
        let mut lost = read(&[1]);
        lost.lose();
        lost.read(9, [2; 16]);
        assert_eq!(lost.mark(), HistoryDigest::default());
        assert_eq!(lost.compare(&read(&[1, 2]).mark(), NOW), None);
        lost.read(10, [3; 16]);
        lost.begin(10, b"next");
        assert_eq!(lost.mark().through, 10);
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let many = read(&[5; REMEMBERED + 10]);
        assert_eq!(many.heads.len(), REMEMBERED);
    }
}
