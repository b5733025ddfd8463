//! Reading a channel's records, to the head and beyond.

use std::collections::VecDeque;

use futures::stream::{self, BoxStream, Stream};
use futures::{StreamExt, TryStreamExt};
use skytale_core::SequenceNumber;

use super::pages::Pages;
use super::tail::{Feed, Feeds, Heard};
use crate::contract::record::Record;
use crate::error::{Result, StoreError};
use crate::nats::stream::retry::PAUSE;
use crate::nats::stream::{Log, Placed};

/// A reader of one channel.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Log,
    subject: String,
    position: SequenceNumber,
    /// The last number there was when it was asked last.
    head: Option<SequenceNumber>,
    /// Where in the stream to read on; 0 where that has to be found.
    place: u64,
    pages: Option<Pages>,
    waiting: VecDeque<Placed>,
    gaps: u32,
}

/// What a block means for a reader.
enum Taken {
    Records(Vec<Record>),
    /// It has nothing new.
    Known,
    /// Records before it are missing.
    Gap,
}

/// How often the same records may be missing before they are missing for good.
const MOST_GAPS: u32 = 8;

impl Reader {
    pub fn new(log: Log, subject: String, after: SequenceNumber) -> Self {
        let (head, place, pages, waiting, gaps) = Default::default();
        Self { log, subject, position: after, head, place, pages, waiting, gaps }
    }

    /// Streams records up to the head as it is at first.
    pub fn read(self) -> BoxStream<'static, Result<Record>> {
        let blocks = stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            if reader.head.is_some_and(|head| reader.position >= head) {
                return None;
            }
            match reader.next().await {
                Ok(Some(records)) => Some((Ok(records), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        flatten(blocks)
    }

    /// Streams records for ever.
    pub fn follow(self, feeds: Feeds) -> BoxStream<'static, Result<Record>> {
        let following = async move {
            let (feed, is_live) = (feeds.join(&self.log, &self.subject), false);
            Following { reader: self, feed, is_live }
        };
        let blocks = stream::once(following).flat_map(|following| {
            stream::unfold(Some(following), |following| async move {
                let mut following = following?;
                match following.next().await {
                    Ok(records) => Some((Ok(records), Some(following))),
                    Err(error) => Some((Err(error), None)),
                }
            })
        });
        flatten(blocks)
    }

    /// Returns the next records, `None` at the head.
    async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        loop {
            while let Some(placed) = self.waiting.pop_front() {
                match self.take(&placed)? {
                    Taken::Records(records) => return Ok(Some(records)),
                    Taken::Known => {}
                    Taken::Gap => self.look_again().await?,
                }
            }
            let is_at_head = self.head.is_none_or(|head| self.position >= head);
            if is_at_head && !self.ask_head().await? {
                self.pages = None;
                return Ok(None);
            }
            if self.waiting.is_empty() {
                self.waiting = self.page().await?;
            }
        }
    }

    /// Takes what a block has after the position.
    fn take(&mut self, placed: &Placed) -> Result<Taken> {
        if placed.block.first() > self.position.next() {
            return Ok(Taken::Gap);
        }
        self.place = self.place.max(placed.at + 1);
        if placed.block.state.last <= self.position {
            return Ok(Taken::Known);
        }
        let records = placed.block.records(self.position)?;
        self.position = placed.block.state.last;
        self.gaps = 0;
        Ok(Taken::Records(records))
    }

    /// Asks for the head, and tells whether there are records to read.
    async fn ask_head(&mut self) -> Result<bool> {
        let Some(tail) = self.log.tail(&self.subject).await? else {
            self.head = Some(SequenceNumber::START);
            return Ok(false);
        };
        let (last, floor) = (tail.block.state.last, tail.block.state.floor);
        self.head = Some(last);
        if self.position < floor {
            return Err(StoreError::Gone { floor });
        }
        if self.position >= last {
            return Ok(false);
        }
        if tail.block.first() <= self.position.next() {
            self.waiting.push_back(tail);
        } else if self.place == 0 {
            self.find(tail).await?;
        }
        Ok(true)
    }

    /// Finds where in the stream the position is.
    async fn find(&mut self, tail: Placed) -> Result<()> {
        let after = self.position;
        let found = self.log.search(&self.subject, tail, |block| block.state.last > after).await?;
        self.place = found.at;
        if found.block.first() > after.next() {
            return Err(StoreError::Gone { floor: SequenceNumber(found.block.first().0 - 1) });
        }
        Ok(())
    }

    async fn page(&mut self) -> Result<VecDeque<Placed>> {
        let pages =
            self.pages.get_or_insert_with(|| Pages::new(self.log.clone(), self.subject.clone(), self.place));
        if pages.from() != self.place {
            pages.seek(self.place);
        }
        let page = pages.next().await?;
        if !page.is_empty() {
            return Ok(page);
        }
        // The server that was asked lags behind the head.
        match self.log.next_at_leader(&self.subject, self.place).await? {
            Some(placed) => Ok([placed].into()),
            None => self.look_again().await.map(|()| page),
        }
    }

    /// Finds the position anew: messages were lost on their way, or the records were trimmed.
    async fn look_again(&mut self) -> Result<()> {
        self.gaps += 1;
        if self.gaps > MOST_GAPS {
            return Err(StoreError::Corrupt { what: "records are missing" });
        }
        self.waiting.clear();
        (self.head, self.place, self.pages) = (None, 0, None);
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// A reader that goes on at the head.
struct Following {
    reader: Reader,
    feed: Feed,
    /// Whether the reader was at the head, and has heard everything since.
    is_live: bool,
}

impl Following {
    async fn next(&mut self) -> Result<Vec<Record>> {
        loop {
            if !self.is_live
                && let Some(records) = self.reader.next().await?
            {
                return Ok(records);
            }
            self.is_live = match self.feed.heard().await {
                Heard::Missed => false,
                Heard::Block(placed) => match self.reader.take(&placed)? {
                    Taken::Records(records) => {
                        self.is_live = true;
                        return Ok(records);
                    }
                    Taken::Known => true,
                    Taken::Gap => false,
                },
            };
        }
    }
}

fn flatten(
    blocks: impl Stream<Item = Result<Vec<Record>>> + Send + 'static,
) -> BoxStream<'static, Result<Record>> {
    blocks.map_ok(|records| stream::iter(records.into_iter().map(Ok))).try_flatten().boxed()
}
