//! The agent's own stream to the relay: key packages, Welcomes, and being told of both.

pub(crate) mod key_package_pool;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use skytale_core::extension::{
    self, Authenticate, ClaimKeyPackage, Content, DropWelcome, Extension, FetchWelcomes, Resume, Stock,
    UploadKeyPackages, Welcome,
};
use skytale_core::{ChannelName, Dialect, Envelope, FrameLimits};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connection::reconnect::open;
use crate::connection::{Dialer, Link};
use crate::credentials::Tokens;
use crate::error::{Error, Result};

/// Asks the relay for an agent. Clones share one stream.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryClient {
    agent: Arc<str>,
    requests: mpsc::Sender<Request>,
    pub hints: Arc<Hints>,
}

/// What the relay says unasked.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// A Welcome waits.
    pub welcome: Notify,
    /// Key packages are running out.
    pub stock: Notify,
}

struct Request {
    content: Content,
    done: oneshot::Sender<Result<Content>>,
}

/// How long a request may take, reconnecting included.
const PATIENCE: Duration = Duration::from_secs(30);

const WAITING: usize = 64;

impl DirectoryClient {
    pub fn start(agent: &ChannelName, dialer: Dialer, tokens: Tokens) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let hints = Arc::new(Hints::default());
        let clerk = DirectoryTask { agent: agent.clone(), dialer, tokens, hints: hints.clone() };
        tokio::spawn(clerk.run(waiting));
        Self { agent: agent.to_string().into(), requests, hints }
    }

    /// Takes one of an agent's key packages, waiting where too many were taken, but not for long.
    pub async fn claim(&self, agent: &str) -> Result<Vec<u8>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let claim = Content::ClaimKeyPackage(ClaimKeyPackage { agent: agent.to_owned() });
            match self.ask(claim).await {
                Ok(Content::KeyPackage(found)) => return Ok(found.key_package.to_vec()),
                Err(Error::Refused { code: "NOT_FOUND", reason, .. }) => {
                    return Err(Error::NoKeyPackage { agent: agent.to_owned(), reason });
                }
                Err(Error::Refused { code: "RATE", retry_after: Some(wait), .. })
                    if Instant::now() + wait < until =>
                {
                    tokio::time::sleep(wait).await;
                }
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Leaves key packages.
    pub async fn upload(&self, key_packages: Vec<Bytes>, last_resort: Option<Bytes>) -> Result<()> {
        let last_resort = last_resort.unwrap_or_default();
        self.leave(UploadKeyPackages { key_packages, last_resort, ..Default::default() }).await.map(drop)
    }

    /// Returns how many key packages the relay has, and would keep beside them; `replace` has it forget them before.
    pub async fn stock(&self, replace: bool) -> Result<Stock> {
        self.leave(UploadKeyPackages { replace, ..Default::default() }).await
    }

    async fn leave(&self, upload: UploadKeyPackages) -> Result<Stock> {
        let upload = UploadKeyPackages { agent: self.agent.to_string(), ..upload };
        match self.ask(Content::UploadKeyPackages(upload)).await {
            Ok(Content::Stock(stock)) => Ok(stock),
            other => Err(unexpected(other)),
        }
    }

    /// Returns the Welcomes that wait for the agent, of one channel or of all.
    pub async fn welcomes(&self, channel: Option<&ChannelName>) -> Result<Vec<Welcome>> {
        let channel = channel.map(ChannelName::to_string);
        let (mut welcomes, mut skip) = (Vec::new(), 0);
        loop {
            let fetch = FetchWelcomes { agent: self.agent.to_string(), skip };
            match self.ask(Content::FetchWelcomes(fetch)).await {
                Ok(Content::Welcomes(page)) => {
                    let is_wanted =
                        |welcome: &Welcome| channel.as_ref().is_none_or(|name| *name == welcome.channel);
                    welcomes.extend(page.welcomes.into_iter().filter(is_wanted));
                    if !page.more || page.next <= skip {
                        return Ok(welcomes);
                    }
                    skip = page.next;
                }
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Drops a Welcome that was used, or is of no use.
    pub async fn drop_welcome(&self, id: Bytes) -> Result<()> {
        let drop = DropWelcome { agent: self.agent.to_string(), id };
        self.ask(Content::DropWelcome(drop)).await.map(|_| ())
    }

    async fn ask(&self, content: Content) -> Result<Content> {
        let (done, answer) = oneshot::channel();
        self.requests.send(Request { content, done }).await.map_err(|_| Error::Closed)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| Error::Closed)?,
            Err(_) => Err(Error::Unreachable { relay: "the relay".to_owned(), source: "no answer".into() }),
        }
    }
}

fn unexpected(answer: Result<Content>) -> Error {
    match answer {
        Err(error) => error,
        Ok(_) => {
            Error::Unreachable { relay: "the relay".to_owned(), source: "an answer to something else".into() }
        }
    }
}

/// The task that holds the stream.
struct DirectoryTask {
    agent: ChannelName,
    dialer: Dialer,
    tokens: Tokens,
    hints: Arc<Hints>,
}

impl DirectoryTask {
    async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut backoff = Backoff::default();
        let mut open_requests = HashMap::new();
        while !(requests.is_closed() && requests.is_empty()) {
            match open(&self.dialer, &self.tokens).await {
                Ok((link, token)) => {
                    backoff.reset();
                    let renew_at = token.and_then(|token| token.renew_at);
                    if self.serve(link, renew_at, &mut requests, &mut open_requests).await.is_break() {
                        break;
                    }
                }
                Err(error) => self.refuse_waiting(&error, &mut requests, &mut open_requests),
            }
            tokio::time::sleep(backoff.next()).await;
        }
        // Whoever waits for hints finds the client gone.
        self.hints.stock.notify_one();
    }

    /// Tells those who wait why there is no answer, where waiting longer is of no use.
    fn refuse_waiting(
        &self,
        error: &Error,
        requests: &mut mpsc::Receiver<Request>,
        open_requests: &mut HashMap<u64, Request>,
    ) {
        let Error::NotAuthorized { reason } = error else { return };
        let waiting = std::iter::from_fn(|| requests.try_recv().ok());
        for request in open_requests.drain().map(|(_, request)| request).chain(waiting) {
            let _ = request.done.send(Err(Error::NotAuthorized { reason: reason.clone() }));
        }
    }

    /// Serves requests on one stream; what is not answered when it ends is asked again on the next, but for key packages.
    async fn serve(
        &self,
        mut link: Link,
        renew_at: Option<std::time::Instant>,
        requests: &mut mpsc::Receiver<Request>,
        open_requests: &mut HashMap<u64, Request>,
    ) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        refuse_uploads(open_requests);
        let mut last = open_requests.keys().max().copied().unwrap_or_default();
        let resume = Extension::new(Content::Resume(Resume { after: None }));
        let mut frames = vec![extension::subscribe(&self.agent, &resume)];
        frames.extend(open_requests.iter().map(|(number, request)| frame(*number, &request.content)));
        if link.outgoing.send(frames).await.is_err() {
            return Continue(());
        }
        // Whatever was left while the agent was away.
        self.hints.welcome.notify_one();
        self.hints.stock.notify_one();
        let mut renewal = self.tokens.renewal(renew_at);
        loop {
            tokio::select! {
                request = requests.recv() => {
                    let Some(request) = request else { return Break(()) };
                    last += 1;
                    let sent = link.outgoing.send(vec![frame(last, &request.content)]).await;
                    open_requests.insert(last, request);
                    if sent.is_err() {
                        return Continue(());
                    }
                }
                incoming = link.incoming.next() => match incoming {
                    Some(Ok(frame)) => self.answered(frame, open_requests),
                    _ => return Continue(()),
                },
                token = &mut renewal => {
                    let Ok(Some(token)) = token else { return Continue(()) };
                    let authenticate = Authenticate { token: token.text.to_string() };
                    let frame = Extension::new(Content::Authenticate(authenticate)).into_frame();
                    let _ = link.outgoing.send(vec![frame]).await;
                    renewal = self.tokens.renewal(token.renew_at);
                }
            }
        }
    }

    fn answered(&self, frame: Bytes, open_requests: &mut HashMap<u64, Request>) {
        let limits = FrameLimits::default().with_frame_bytes(16 * 1024 * 1024);
        let Ok(envelope) = Envelope::parse(frame, Dialect::Slim3, &limits) else { return };
        let Some(Ok(extension)) = envelope.extension().map(Extension::read) else { return };
        match extension.content {
            Some(Content::WelcomeWaits(_)) => self.hints.welcome.notify_one(),
            Some(Content::Stock(stock)) if extension.request == 0 && stock.wanted > 0 => {
                self.hints.stock.notify_one();
            }
            Some(content) => {
                let Some(request) = open_requests.remove(&extension.request) else { return };
                let _ = request.done.send(match content {
                    Content::Refused(refused) => Err(Error::refused(refused)),
                    content => Ok(content),
                });
            }
            None => {}
        }
    }
}

/// Key packages may have been left though nobody said so: left again, others would use them twice.
fn refuse_uploads(open_requests: &mut HashMap<u64, Request>) {
    let leaves = |content: &Content| matches!(content, Content::UploadKeyPackages(upload) if !upload.key_packages.is_empty());
    for (_, request) in open_requests.extract_if(|_, request| leaves(&request.content)) {
        let source = "the stream broke before the relay had answered".into();
        let _ = request.done.send(Err(Error::Unreachable { relay: "the relay".to_owned(), source }));
    }
}

fn frame(number: u64, content: &Content) -> Bytes {
    Extension::new(content.clone()).with_request(number).into_frame()
}
