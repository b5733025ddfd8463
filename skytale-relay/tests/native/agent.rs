//! A native agent that speaks frames.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use skytale_core::extension::{self, Accepted, Code, Content, Extension, Refused, Resume, Submit};
use skytale_core::{ChannelName, Dialect, Envelope, FrameLimits, Grant, Verb};
use skytale_relay::Relay;
use skytale_store::MemoryStore;
use skytale_testing::mls::{COMMIT, private};
use skytale_testing::slim::Agent;
use skytale_testing::{AccountPerToken, RunningRelay, tokens};

pub fn channel() -> ChannelName {
    ChannelName::from_strings(["org", "ns", "native"])
}

/// A native agent that speaks frames.
pub struct Native {
    pub agent: Agent,
    pub requests: u64,
    pub delivered: VecDeque<Delivered>,
    pub hints: Vec<Content>,
}

/// A message of the channel as it was given; of one of the agent's own live, the place alone.
#[derive(Debug, PartialEq)]
pub struct Delivered {
    pub sequence: u64,
    pub previous: u64,
    pub id: [u8; 16],
    pub blob: Bytes,
}

impl Native {
    pub async fn connect(relay: &RunningRelay) -> Self {
        Self::open(relay, None).await
    }

    pub async fn with_token(relay: &RunningRelay, token: &str) -> Self {
        Self::open(relay, Some(token)).await
    }

    pub async fn open(relay: &RunningRelay, token: Option<&str>) -> Self {
        let agent = relay.silent_agent(Dialect::Slim3, "unnamed", 1, token).await.expect("admitted");
        Self { agent, requests: 0, delivered: VecDeque::new(), hints: Vec::new() }
    }

    /// Sends a request and returns its answer.
    pub async fn ask(&mut self, frame: impl FnOnce(Extension) -> Bytes, content: Content) -> Content {
        let request = self.request(frame, content, [0; 16]).await;
        self.answer(request).await
    }

    pub async fn request(
        &mut self,
        frame: impl FnOnce(Extension) -> Bytes,
        content: Content,
        id: [u8; 16],
    ) -> u64 {
        self.requests += 1;
        let extension = Extension::new(content).with_request(self.requests).with_message_id(id);
        self.agent.send(frame(extension)).await;
        self.requests
    }

    pub async fn control(&mut self, content: Content) -> Content {
        self.ask(Extension::into_frame, content).await
    }

    pub async fn resume(&mut self, channel: &ChannelName, after: Option<u64>) -> Content {
        self.ask(|extension| extension::subscribe(channel, &extension), Content::Resume(Resume { after }))
            .await
    }

    pub async fn submit(&mut self, message: Bytes, id: u8, submit: Submit) -> Content {
        let frame = |extension: Extension| extension::message(&channel(), message, &extension);
        let request = self.request(frame, Content::Submit(submit), [id; 16]).await;
        self.answer(request).await
    }

    pub async fn commit(&mut self, epoch: u64, id: [u8; 16]) -> Content {
        let frame = |extension: Extension| {
            extension::message(&channel(), private("g", epoch, COMMIT, id[0]), &extension)
        };
        let submit = Submit { applied: epoch, ..Default::default() };
        let request = self.request(frame, Content::Submit(submit), id).await;
        self.answer(request).await
    }

    pub async fn accepted(&mut self, message: Bytes, id: u8) -> u64 {
        number(self.submit(message, id, Submit::default()).await)
    }

    pub async fn refused(&mut self, message: Bytes, id: u8, applied: u64) -> Refused {
        match self.submit(message, id, Submit { applied, ..Default::default() }).await {
            Content::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn answer(&mut self, request: u64) -> Content {
        loop {
            let (envelope, extension) = self.frame().await;
            if extension.request == request {
                return extension.content.expect("an answer");
            }
            self.keep(envelope, extension);
        }
    }

    pub async fn hear(&mut self) -> Delivered {
        while self.delivered.is_empty() {
            let (envelope, extension) = self.frame().await;
            self.keep(envelope, extension);
        }
        self.delivered.pop_front().expect("kept above")
    }

    /// Returns the relay's next hint, or the first there was.
    pub async fn hint(&mut self) -> &Content {
        while self.hints.is_empty() {
            let (envelope, extension) = self.frame().await;
            self.keep(envelope, extension);
        }
        &self.hints[0]
    }

    pub async fn frame(&mut self) -> (Envelope, Extension) {
        let frame = self.agent.frame().await.expect("the stream is open");
        let envelope = Envelope::parse_first(frame, &FrameLimits::default()).expect("parses");
        let extension = Extension::read(envelope.extension().expect("extended")).expect("reads");
        (envelope, extension)
    }

    pub fn keep(&mut self, envelope: Envelope, extension: Extension) {
        if extension.sequence == 0 {
            return self.hints.extend(extension.content);
        }
        assert_eq!((&extension.content, extension.request), (&None, 0), "a place is not an answer");
        let blob = envelope.app_payload().map(|payload| Bytes::copy_from_slice(payload.blob));
        // What is gone has none.
        let is_gone = extension.sequence == extension.previous;
        let id = if is_gone { Some([0; 16]) } else { extension.id() };
        self.delivered.push_back(Delivered {
            sequence: extension.sequence,
            previous: extension.previous,
            id: id.expect("an id"),
            blob: blob.unwrap_or_default(),
        });
    }
}

/// Starts a relay to which each token is an account.
pub async fn by_token(configure: impl FnOnce(Relay) -> Relay) -> RunningRelay {
    let store = Arc::new(MemoryStore::new());
    RunningRelay::assembled(store, AccountPerToken::default(), configure, |listener| listener).await
}

/// Makes a token that permits so much on the channels of `org/ns`.
pub fn token(verbs: &[Verb]) -> String {
    let grant = Grant { channels: "org/ns/*".parse().expect("a pattern"), verbs: verbs.to_vec() };
    tokens::signed(&tokens::claims("acme", tokens::now(), 60).with_grants(vec![grant]))
}

pub fn number(content: Content) -> u64 {
    match content {
        Content::Accepted(Accepted { sequence, .. }) => sequence,
        other => panic!("not accepted: {other:?}"),
    }
}

pub fn code(refused: &Refused) -> Code {
    Code::try_from(refused.code).expect("a known code")
}
