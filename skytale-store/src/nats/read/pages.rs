//! Reading a channel's blocks in order, many at a time.

use std::collections::VecDeque;

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;

use crate::error::{Result, StoreError};
use crate::nats::stream::retry::{PAUSE, TRY};
use crate::nats::stream::{Log, Placed};

/// A reader of one channel's blocks.
///
/// It asks for many blocks at once, and for the next ones before these are used. Servers before 2.11 answer with one.
#[derive(Debug)]
pub(crate) struct Pages {
    log: Log,
    subject: String,
    answers: Option<Answers>,
    /// The place in the stream from which on blocks were not returned yet.
    from: u64,
}

/// The subscription that servers answer to.
#[derive(Debug)]
struct Answers {
    subscriber: Subscriber,
    inbox: String,
    asked: u64,
    /// Whether an answer to the last question is still to come.
    waiting: bool,
}

/// The most blocks and bytes of one answer.
const BLOCKS: usize = 512;
const BYTES: usize = 2 * 1024 * 1024;

impl Pages {
    pub fn new(log: Log, subject: String, from: u64) -> Self {
        Self { log, subject, answers: None, from: from.max(1) }
    }

    pub fn from(&self) -> u64 {
        self.from
    }

    /// Goes on at another place.
    pub fn seek(&mut self, from: u64) {
        self.from = from.max(1);
        if let Some(answers) = &mut self.answers {
            answers.waiting = false;
        }
    }

    /// Returns the next blocks; none where the server that was asked has no more.
    pub async fn next(&mut self) -> Result<VecDeque<Placed>> {
        let timeout = self.log.timeout;
        let trying = async {
            loop {
                if let Some(page) = self.try_next().await? {
                    return Ok(page);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(timeout, trying).await {
            Ok(page) => page,
            Err(_) => Err(StoreError::unavailable("NATS did not answer in time")),
        }
    }

    /// Returns `None` where there was no answer.
    async fn try_next(&mut self) -> Result<Option<VecDeque<Placed>>> {
        if !self.answers.as_ref().is_some_and(|answers| answers.waiting) {
            self.ask().await?;
        }
        let (page, end) = self.collect().await?;
        if let Some(last) = page.back() {
            self.from = last.at + 1;
        }
        match end {
            End::More => self.ask().await?,
            End::Silence if page.is_empty() => return Ok(None),
            End::NoMore | End::Silence => {}
        }
        Ok(Some(page))
    }

    async fn ask(&mut self) -> Result<()> {
        let answers = match self.answers.take() {
            Some(answers) => answers,
            None => Answers::subscribe(&self.log).await?,
        };
        let answers = self.answers.insert(answers);
        answers.asked += 1;
        answers.waiting = true;
        let (from, subject) = (self.from, &self.subject);
        let request =
            format!(r#"{{"seq":{from},"next_by_subj":"{subject}","batch":{BLOCKS},"max_bytes":{BYTES}}}"#);
        let stream = format!("$JS.API.DIRECT.GET.{}", self.log.subjects.stream());
        let asked = self.log.client.publish_with_reply(stream, answers.reply(), request.into());
        asked.await.map_err(StoreError::unavailable)
    }

    /// Takes the answer to the last question.
    async fn collect(&mut self) -> Result<(VecDeque<Placed>, End)> {
        let mut page = VecDeque::new();
        let Some(answers) = &mut self.answers else { return Ok((page, End::Silence)) };
        loop {
            let Some(message) = answers.next().await else {
                answers.waiting = false;
                return Ok((page, End::Silence));
            };
            let end = match read(message)? {
                Answer::Block(placed, end) => {
                    page.push_back(*placed);
                    end
                }
                Answer::End(end) => Some(end),
            };
            if let Some(end) = end {
                answers.waiting = false;
                return Ok((page, end));
            }
        }
    }
}

impl Answers {
    async fn subscribe(log: &Log) -> Result<Self> {
        let inbox = log.client.new_inbox();
        let subscriber = log.client.subscribe(format!("{inbox}.*")).await.map_err(StoreError::unavailable)?;
        Ok(Self { subscriber, inbox, asked: 0, waiting: false })
    }

    fn reply(&self) -> String {
        format!("{}.{}", self.inbox, self.asked)
    }

    /// Returns the next message that answers the last question, unless the servers are silent.
    async fn next(&mut self) -> Option<Message> {
        let reply = self.reply();
        loop {
            let message = tokio::time::timeout(TRY, self.subscriber.next()).await.ok()??;
            if *message.subject == *reply {
                return Some(message);
            }
        }
    }
}

/// One message of an answer.
enum Answer {
    /// A block, and the end where it is the only one.
    Block(Box<Placed>, Option<End>),
    End(End),
}

/// How an answer ended.
enum End {
    /// There are more blocks.
    More,
    NoMore,
    /// It did not: the server or the connection is gone.
    Silence,
}

/// The status that ends an answer of several blocks.
const END_OF_BATCH: u16 = 204;

fn read(message: Message) -> Result<Answer> {
    let number = |name: &str| -> Option<u64> { message.headers.as_ref()?.get(name)?.as_str().parse().ok() };
    let pending = number("Nats-Num-Pending");
    let after = if pending == Some(0) { End::NoMore } else { End::More };
    match message.status {
        None => {
            let at = number("Nats-Sequence")
                .ok_or(StoreError::Corrupt { what: "a message without a sequence" })?;
            let placed = Placed::decode(at, message.headers.as_ref(), message.payload)?;
            Ok(Answer::Block(Box::new(placed), pending.is_none().then_some(after)))
        }
        Some(StatusCode::NOT_FOUND) => Ok(Answer::End(End::NoMore)),
        Some(status) if status.as_u16() == END_OF_BATCH => Ok(Answer::End(after)),
        Some(_) => Ok(Answer::End(End::Silence)),
    }
}
