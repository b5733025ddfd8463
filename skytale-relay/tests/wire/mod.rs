//! A raw client of either dialect, and a relay to talk to, over a real socket.
#![allow(dead_code, unused_imports, reason = "every test file uses a part")]

pub mod engines;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use engines::Engine;
use prost::Message as _;
use skytale_core::generated::{slim1, slim3};
use skytale_core::{Dialect, MessageKind, Name, SequenceNumber};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Authenticator, Drain, Relay};
use skytale_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tower::Layer;

/// How long a test waits for what must come, and listens for what must not.
pub const SOON: Duration = Duration::from_secs(10);
pub const NEVER: Duration = Duration::from_millis(300);

/// One relay, or several that act as one, on free ports.
pub struct Running {
    /// The first one's.
    pub address: SocketAddr,
    pub store: Arc<dyn Store>,
    pub drain: Drain,
    relays: Vec<Served>,
    /// How many agents have come.
    agents: AtomicUsize,
    /// What the relays share, as long as they run.
    _engine: Option<Engine>,
}

struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Running {
    pub async fn start() -> Self {
        Self::with(|relay| relay).await
    }

    /// Starts what the environment asks for: see [`engines`].
    pub async fn with(configure: impl Fn(Relay) -> Relay) -> Self {
        Self::over(Engine::start().await, configure).await
    }

    /// Starts one relay, whatever the environment asks for.
    pub async fn alone() -> Self {
        Self::over(Engine::alone(), |relay| relay).await
    }

    /// Starts two relays that act as one, whatever the environment asks for.
    pub async fn pair() -> Self {
        let engine = match Engine::start().await {
            engine if engine.relays.len() > 1 => engine,
            _ => Engine::in_memory(),
        };
        Self::over(engine, |relay| relay).await
    }

    async fn over(mut engine: Engine, configure: impl Fn(Relay) -> Relay) -> Self {
        let relays = engine.relays.drain(..).map(|(relay, store)| (configure(relay), store)).collect();
        Self { _engine: Some(engine), ..Self::serve(relays, AllowAnyone, |listener| listener).await }
    }

    /// Starts one relay.
    pub async fn assembled<A: Authenticator>(
        store: Arc<dyn Store>,
        authenticator: A,
        configure: impl FnOnce(Relay) -> Relay,
        listen: impl Fn(Listener) -> Listener,
    ) -> Self {
        let relay = configure(Relay::new(store.clone()));
        Self::serve(vec![(relay, store)], authenticator, listen).await
    }

    async fn serve<A: Authenticator>(
        relays: Vec<(Relay, Arc<dyn Store>)>,
        authenticator: A,
        listen: impl Fn(Listener) -> Listener,
    ) -> Self {
        let (drain, store) = (relays[0].0.drain(), relays[0].1.clone());
        let layer = AuthenticateLayer::new(authenticator);
        let mut served = Vec::new();
        for (relay, _) in relays {
            served.push(Served::start(relay, &layer, &listen).await);
        }
        let agents = AtomicUsize::new(0);
        Self { address: served[0].address, store, drain, relays: served, agents, _engine: None }
    }

    pub async fn stop(mut self) {
        for relay in &mut self.relays {
            relay.stop.take().map(|stop| stop.send(()));
        }
        for relay in self.relays {
            tokio::time::timeout(SOON, relay.served).await.expect("it drains in time").expect("serve");
        }
    }

    /// Opens a connection to the first relay.
    pub async fn channel(&self) -> Channel {
        dial(self.address).await
    }

    /// Tells whether there is one relay only.
    pub fn is_one(&self) -> bool {
        self.relays.len() == 1
    }

    /// Opens a stream to a relay, to each in turn, and negotiates the link, as an agent of the dialect does.
    pub async fn agent(&self, dialect: Dialect, who: &str, id: u64) -> Agent {
        let mut agent = self.silent_agent(dialect, who, id, None).await.expect("admitted");
        agent.negotiate().await;
        agent
    }

    /// Opens a stream to a relay, to each in turn, and says nothing yet.
    pub async fn silent_agent(
        &self,
        dialect: Dialect,
        who: &str,
        id: u64,
        token: Option<&str>,
    ) -> Result<Agent, Status> {
        let turn = self.agents.fetch_add(1, Ordering::Relaxed);
        Agent::open(self.relays[turn % self.relays.len()].address, dialect, who, id, token).await
    }

    /// Waits until the archive holds so many records of a channel.
    pub async fn archives(&self, strings: [&str; 3], count: usize) {
        let all = async {
            while self.archived(strings).await.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, all).await.expect("archived in time");
    }

    /// Returns what the archive holds of a channel.
    pub async fn archived(&self, strings: [&str; 3]) -> Vec<skytale_store::Record> {
        use futures::TryStreamExt;
        let channel = skytale_core::ChannelName::from_strings(strings);
        self.store.read(&channel, SequenceNumber::START).try_collect().await.expect("read")
    }
}

impl Served {
    async fn start<A: Authenticator>(
        relay: Relay,
        layer: &AuthenticateLayer<A>,
        listen: impl Fn(Listener) -> Listener,
    ) -> Self {
        let drain = relay.drain();
        let frame_bytes = relay.limits().frame.frame_bytes;
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = tcp.local_addr().expect("an address");
        let service = layer.layer(relay);
        let server =
            Server::new(service, drain).with_frame_bytes(frame_bytes).with_grace(Duration::from_secs(5));
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = listen(Listener::new(tcp));
        let served = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            server.serve(listener, shutdown).await;
        });
        Self { address, stop: Some(stop), served }
    }
}

/// A name with its strings.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    pub strings: [String; 3],
    pub id: Option<u128>,
}

pub fn room() -> Address {
    Address { strings: ["org".into(), "ns".into(), "room".into()], id: None }
}

impl Address {
    pub fn with_id(mut self, id: u128) -> Self {
        self.id = Some(id);
        self
    }

    fn hashes(&self) -> [u64; 3] {
        Name::of([&self.strings[0], &self.strings[1], &self.strings[2]].map(String::as_str)).components
    }

    pub fn slim1(&self) -> slim1::Name {
        let [component_0, component_1, component_2] = self.hashes();
        let component_3 = self.id.map_or(u64::MAX, |id| id as u64);
        let name = slim1::EncodedName { component_0, component_1, component_2, component_3 };
        slim1::Name { name: Some(name), ..self.strings_only() }
    }

    pub fn strings_only(&self) -> slim1::Name {
        let [str_component_0, str_component_1, str_component_2] = self.strings.clone();
        let str_name = slim1::StringName { str_component_0, str_component_1, str_component_2 };
        slim1::Name { name: None, str_name: Some(str_name) }
    }

    pub fn slim3(&self) -> slim3::Name {
        let [component_0, component_1, component_2] = self.hashes();
        let [str_component_0, str_component_1, str_component_2] = self.strings.clone();
        let id = self.id.unwrap_or(u128::MAX);
        let name_id = Some(slim3::NameId { id_0: (id >> 64) as u64, id_1: id as u64 });
        slim3::Name {
            name: Some(slim3::EncodedName { component_0, component_1, component_2, name_id }),
            str_name: Some(slim3::StringName { str_component_0, str_component_1, str_component_2 }),
        }
    }
}

/// What an agent says.
#[derive(Clone, Debug)]
pub struct Say {
    pub kind: MessageKind,
    pub to: Address,
    pub fanout: u32,
    pub body: Content,
    pub session_id: u32,
    pub message_id: u32,
    pub metadata: HashMap<String, String>,
}

/// The content of a message, in the terms of both dialects.
#[derive(Clone, Debug)]
pub enum Content {
    App(Bytes),
    /// The MLS bytes of a group command; `None` is a command without MLS.
    Mls(Option<Bytes>),
    /// The number of a command in the content's `oneof`, with an empty message.
    Command(u32),
}

impl Say {
    pub fn new(kind: MessageKind, to: Address, body: Content) -> Self {
        let (fanout, session_id, message_id) = (256, 7, 1);
        Self { kind, to, fanout, body, session_id, message_id, metadata: HashMap::new() }
    }

    pub fn msg(to: Address, text: &str) -> Self {
        Self::new(MessageKind::Msg, to, Content::App(text.as_bytes().to_vec().into()))
    }

    pub fn any_one(mut self) -> Self {
        self.fanout = 1;
        self
    }

    pub fn number(mut self, message_id: u32) -> Self {
        self.message_id = message_id;
        self
    }

    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// What an agent hears, in the terms of both dialects.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub kind: MessageKind,
    pub blob: Bytes,
    pub mls: Option<Bytes>,
    pub source: [String; 3],
    pub session_id: u32,
    pub message_id: u32,
    pub metadata: HashMap<String, String>,
    pub ttl: Option<u32>,
    pub frame: Bytes,
}

impl Heard {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.blob).expect("UTF-8")
    }
}

/// One stream to the relay.
pub struct Agent {
    pub dialect: Dialect,
    pub me: Address,
    pub sender: mpsc::Sender<Bytes>,
    incoming: Streaming<Bytes>,
    pub key: Option<Mac>,
    next: u64,
}

async fn dial(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URI");
    endpoint.connect().await.expect("connect")
}

impl Agent {
    /// Opens a stream to a relay and says nothing yet.
    pub async fn open(
        address: SocketAddr,
        dialect: Dialect,
        who: &str,
        id: u64,
        token: Option<&str>,
    ) -> Result<Self, Status> {
        Self::open_on(dial(address).await, dialect, who, id, token).await
    }

    /// Opens a stream on a connection that others may share.
    pub async fn open_on(
        connection: Channel,
        dialect: Dialect,
        who: &str,
        id: u64,
        token: Option<&str>,
    ) -> Result<Self, Status> {
        let mut grpc = tonic::client::Grpc::new(connection)
            .max_decoding_message_size(64 << 20)
            .max_encoding_message_size(64 << 20);
        grpc.ready().await.expect("ready");
        let (sender, outgoing) = mpsc::channel(1024);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
        }
        let path = http::uri::PathAndQuery::from_static("/dataplane.proto.v1.DataPlaneService/OpenChannel");
        let response = grpc.streaming(request, path, Raw).await?;
        let me = Address { strings: ["org".into(), "ns".into(), who.into()], id: Some(id.into()) };
        Ok(Self { dialect, me, sender, incoming: response.into_inner(), key: None, next: 1 })
    }

    pub async fn negotiate(&mut self) {
        let link_id = format!("link-of-{}", self.me.strings[2]);
        match self.dialect {
            Dialect::Slim1 => {
                let offer =
                    slim1::LinkNegotiationPayload { link_id, slim_version: "1.4.0".into(), is_reply: false };
                let link = slim1::Link { link_type: Some(slim1::link::LinkType::LinkNegotiation(offer)) };
                self.send(slim1_frame(slim1::message::MessageType::Link(link))).await;
                let reply = slim1::Message::decode(self.frame().await.expect("a reply")).expect("decodes");
                assert!(
                    matches!(reply.message_type, Some(slim1::message::MessageType::Link(_))),
                    "{reply:?}"
                );
            }
            Dialect::Slim3 => self.negotiate_key(link_id).await,
        }
    }

    async fn negotiate_key(&mut self, link_id: String) {
        let secret = x25519_dalek::StaticSecret::from([self.me.strings[2].len() as u8 + 7; 32]);
        let public = x25519_dalek::PublicKey::from(&secret);
        let offer = slim3::LinkNegotiationPayload {
            link_id: link_id.clone(),
            slim_version: "3.4.6".into(),
            link_ecdh_public_key: public.to_bytes().to_vec().into(),
            connection_type: slim3::LinkConnectionType::Edge as i32,
            node_id: "test".into(),
            ..Default::default()
        };
        let link = slim3::Link { link_type: Some(slim3::link::LinkType::LinkNegotiation(offer)) };
        self.send(slim3_frame(slim3::message::MessageType::Link(link))).await;
        let reply = slim3::Message::decode(self.frame().await.expect("a reply")).expect("decodes");
        let Some(slim3::message::MessageType::Link(slim3::Link {
            link_type: Some(slim3::link::LinkType::LinkNegotiation(reply)),
        })) = reply.message_type
        else {
            panic!("no link reply");
        };
        assert!(reply.is_reply);
        assert_eq!((reply.link_id.as_str(), reply.connection_type), (link_id.as_str(), 2));
        let theirs: [u8; 32] = reply.link_ecdh_public_key.as_ref().try_into().expect("32 bytes");
        let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(theirs));
        self.key = Some(Mac::new(shared.as_bytes(), &link_id));
    }

    pub async fn send(&self, frame: Bytes) {
        // A stream that has ended is noticed by reading it.
        let _ = self.sender.send(frame).await;
    }

    /// Subscribes a name and waits for the acknowledgement.
    pub async fn subscribe(&mut self, to: &Address) {
        assert_eq!(self.try_subscribe(to).await, Ok(()));
    }

    pub async fn try_subscribe(&mut self, to: &Address) -> Result<(), String> {
        let id = self.next_id();
        self.send(self.subscribe_frame(to, id)).await;
        self.acknowledged(id).await
    }

    pub async fn unsubscribe(&mut self, to: &Address, id: Option<u64>) -> Result<(), String> {
        let id = id.unwrap_or_else(|| self.next_id());
        let frame = match self.dialect {
            Dialect::Slim1 => slim1_frame(slim1::message::MessageType::Unsubscribe(slim1::Unsubscribe {
                header: Some(self.header1(to, 1)),
                subscription_id: id,
            })),
            Dialect::Slim3 => slim3_frame(slim3::message::MessageType::Unsubscribe(slim3::Unsubscribe {
                header: Some(self.header3(to, 1)),
                subscription_id: id,
            })),
        };
        self.send(frame).await;
        self.acknowledged(id).await
    }

    async fn acknowledged(&mut self, id: u64) -> Result<(), String> {
        let frame = self.frame().await.map_err(|status| status.message().to_owned())?;
        let ack = slim3::Message::decode(frame).expect("decodes");
        match ack.message_type {
            Some(slim3::message::MessageType::SubscriptionAck(ack)) => {
                assert_eq!(ack.subscription_id, id);
                if ack.success { Ok(()) } else { Err(ack.error) }
            }
            other => panic!("{other:?} is no acknowledgement"),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn subscribe_frame(&self, to: &Address, subscription_id: u64) -> Bytes {
        match self.dialect {
            Dialect::Slim1 => slim1_frame(slim1::message::MessageType::Subscribe(slim1::Subscribe {
                header: Some(self.header1(to, 1)),
                subscription_id,
            })),
            Dialect::Slim3 => slim3_frame(slim3::message::MessageType::Subscribe(slim3::Subscribe {
                header: Some(self.header3(to, 1)),
                subscription_id,
            })),
        }
    }

    pub async fn say(&self, say: Say) {
        self.send(self.publish_frame(&say)).await;
    }

    pub fn publish_frame(&self, say: &Say) -> Bytes {
        let number = say.kind.number(self.dialect).expect("a kind of the dialect") as i32;
        match self.dialect {
            Dialect::Slim1 => {
                let session = slim1::SessionHeader {
                    session_type: 2,
                    session_message_type: number,
                    session_id: say.session_id,
                    message_id: say.message_id,
                };
                let publish = slim1::Publish {
                    header: Some(self.header1(&say.to, say.fanout)),
                    session: Some(session),
                    msg: Some(content1(say)),
                };
                let message_type = Some(slim1::message::MessageType::Publish(publish));
                slim1::Message { metadata: say.metadata.clone(), message_type }.encode_to_vec().into()
            }
            Dialect::Slim3 => {
                let session = slim3::SessionHeader {
                    session_type: 2,
                    session_message_type: number,
                    session_id: say.session_id,
                    message_id: say.message_id,
                };
                let publish = slim3::Publish {
                    header: Some(self.header3(&say.to, say.fanout)),
                    session: Some(session),
                    msg: Some(content3(say)),
                };
                let message_type = Some(slim3::message::MessageType::Publish(publish));
                slim3::Message { metadata: say.metadata.clone(), message_type }.encode_to_vec().into()
            }
        }
    }

    fn header1(&self, to: &Address, fanout: u32) -> slim1::SlimHeader {
        slim1::SlimHeader {
            source: Some(self.me.slim1()),
            destination: Some(to.slim1()),
            fanout,
            identity: "token".into(),
            ..Default::default()
        }
    }

    fn header3(&self, to: &Address, fanout: u32) -> slim3::SlimHeader {
        let mut header = slim3::SlimHeader {
            source: Some(self.me.slim3()),
            destination: Some(to.slim3()),
            identity: "token".into(),
            fanout,
            version: "3.4.6".into(),
            ttl: 8,
            ..Default::default()
        };
        header.header_mac = self.key.as_ref().map(|key| key.tag(&header).into());
        header
    }

    /// Returns the next frame, or the status the stream ended with.
    pub async fn frame(&mut self) -> Result<Bytes, Status> {
        let next =
            tokio::time::timeout(SOON, self.incoming.message()).await.expect("something comes in time")?;
        next.ok_or_else(|| Status::ok("ended"))
    }

    /// Returns the next message; a 3.x agent checks its tag as a default client does.
    pub async fn hear(&mut self) -> Heard {
        let frame = self.frame().await.expect("a message");
        self.read(frame)
    }

    pub fn read(&self, frame: Bytes) -> Heard {
        match self.dialect {
            Dialect::Slim1 => heard1(frame),
            Dialect::Slim3 => heard3(frame, self.key.as_ref()),
        }
    }

    /// Asserts that nothing comes.
    pub async fn hears_nothing(&mut self) {
        let came = tokio::time::timeout(NEVER, self.incoming.message()).await;
        assert!(came.is_err(), "unexpected: {came:?}");
    }

    /// Waits for the end of the stream and returns its status.
    pub async fn ended(&mut self) -> Status {
        loop {
            if let Err(status) = self.frame().await {
                return status;
            }
        }
    }
}

fn slim1_frame(message_type: slim1::message::MessageType) -> Bytes {
    slim1::Message { message_type: Some(message_type), ..Default::default() }.encode_to_vec().into()
}

fn slim3_frame(message_type: slim3::message::MessageType) -> Bytes {
    slim3::Message { message_type: Some(message_type), ..Default::default() }.encode_to_vec().into()
}

fn content1(say: &Say) -> slim1::Content {
    use slim1::command_payload::CommandPayloadType as Command;
    let mls =
        |mls: &Option<Bytes>| mls.clone().map(|mls_content| slim1::MlsPayload { commit_id: 1, mls_content });
    let command = match (&say.body, say.kind) {
        (Content::App(blob), _) => {
            let payload = slim1::ApplicationPayload { payload_type: "msg".into(), blob: blob.clone() };
            return slim1::Content { content_type: Some(slim1::content::ContentType::AppPayload(payload)) };
        }
        (Content::Mls(content), MessageKind::GroupAdd) => {
            Command::GroupAdd(slim1::GroupAdd { mls: mls(content), ..Default::default() })
        }
        (Content::Mls(content), MessageKind::GroupRemove) => {
            Command::GroupRemove(slim1::GroupRemove { mls: mls(content), ..Default::default() })
        }
        (Content::Mls(content), MessageKind::GroupWelcome) => {
            Command::GroupWelcome(slim1::GroupWelcome { mls: mls(content), ..Default::default() })
        }
        (Content::Mls(content), _) => Command::GroupProposal(slim1::GroupProposal {
            mls_proposal: content.clone().unwrap_or_default(),
            ..Default::default()
        }),
        (Content::Command(number), _) => return decode_content(*number),
    };
    let payload = slim1::CommandPayload { command_payload_type: Some(command) };
    slim1::Content { content_type: Some(slim1::content::ContentType::CommandPayload(payload)) }
}

fn content3(say: &Say) -> slim3::Content {
    use slim3::command_payload::CommandPayloadType as Command;
    let mls =
        |mls: &Option<Bytes>| mls.clone().map(|mls_content| slim3::MlsPayload { commit_id: 1, mls_content });
    let command = match (&say.body, say.kind) {
        (Content::App(blob), _) => {
            let payload = slim3::ApplicationPayload { payload_type: "msg".into(), blob: blob.clone() };
            return slim3::Content { content_type: Some(slim3::content::ContentType::AppPayload(payload)) };
        }
        (Content::Mls(content), MessageKind::GroupUpdate) => {
            Command::GroupUpdate(slim3::GroupUpdate { mls: mls(content), ..Default::default() })
        }
        (Content::Mls(content), MessageKind::GroupWelcome) => {
            Command::GroupWelcome(slim3::GroupWelcome { mls: mls(content), ..Default::default() })
        }
        (Content::Mls(content), _) => Command::GroupProposal(slim3::GroupProposal {
            mls_proposal: content.clone().unwrap_or_default(),
            ..Default::default()
        }),
        (Content::Command(number), _) => return decode_content(*number),
    };
    let payload = slim3::CommandPayload { command_payload_type: Some(command) };
    slim3::Content { content_type: Some(slim3::content::ContentType::CommandPayload(payload)) }
}

/// Makes a content whose command `number` is an empty message.
fn decode_content<C: prost::Message + Default>(number: u32) -> C {
    let mut command = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut command);
    command.push(0);
    let mut content = vec![2 << 3 | 2, command.len() as u8];
    content.extend(command);
    C::decode(&content[..]).expect("decodes")
}

fn heard1(frame: Bytes) -> Heard {
    use slim1::command_payload::CommandPayloadType as Command;
    let message = slim1::Message::decode(frame.clone()).expect("decodes");
    let Some(slim1::message::MessageType::Publish(publish)) = message.message_type else {
        panic!("no Publish");
    };
    let session = publish.session.expect("a session header");
    let strings = publish
        .header
        .and_then(|header| header.source)
        .and_then(|source| source.str_name)
        .unwrap_or_default();
    let (mut blob, mut mls) = (Bytes::new(), None);
    match publish.msg.and_then(|content| content.content_type) {
        Some(slim1::content::ContentType::AppPayload(payload)) => blob = payload.blob,
        Some(slim1::content::ContentType::CommandPayload(payload)) => {
            mls = match payload.command_payload_type {
                Some(Command::GroupAdd(add)) => add.mls.map(|mls| mls.mls_content),
                Some(Command::GroupRemove(remove)) => remove.mls.map(|mls| mls.mls_content),
                Some(Command::GroupWelcome(welcome)) => welcome.mls.map(|mls| mls.mls_content),
                Some(Command::GroupProposal(proposal)) => Some(proposal.mls_proposal),
                _ => None,
            };
        }
        None => {}
    }
    Heard {
        kind: MessageKind::from_number(session.session_message_type as u32, Dialect::Slim1),
        blob,
        mls,
        source: [strings.str_component_0, strings.str_component_1, strings.str_component_2],
        session_id: session.session_id,
        message_id: session.message_id,
        metadata: message.metadata,
        ttl: None,
        frame,
    }
}

fn heard3(frame: Bytes, key: Option<&Mac>) -> Heard {
    use slim3::command_payload::CommandPayloadType as Command;
    let message = slim3::Message::decode(frame.clone()).expect("decodes");
    let Some(slim3::message::MessageType::Publish(publish)) = message.message_type else {
        panic!("no Publish");
    };
    let session = publish.session.expect("a session header");
    let header = publish.header.expect("a header");
    if let Some(key) = key {
        assert_eq!(header.header_mac.as_deref(), Some(&key.tag(&header)[..]), "the tag fits this link");
    }
    let strings = header.source.and_then(|source| source.str_name).unwrap_or_default();
    let (mut blob, mut mls) = (Bytes::new(), None);
    match publish.msg.and_then(|content| content.content_type) {
        Some(slim3::content::ContentType::AppPayload(payload)) => blob = payload.blob,
        Some(slim3::content::ContentType::CommandPayload(payload)) => {
            mls = match payload.command_payload_type {
                Some(Command::GroupUpdate(update)) => update.mls.map(|mls| mls.mls_content),
                Some(Command::GroupWelcome(welcome)) => welcome.mls.map(|mls| mls.mls_content),
                Some(Command::GroupProposal(proposal)) => Some(proposal.mls_proposal),
                _ => None,
            };
        }
        None => {}
    }
    Heard {
        kind: MessageKind::from_number(session.session_message_type as u32, Dialect::Slim3),
        blob,
        mls,
        source: [strings.str_component_0, strings.str_component_1, strings.str_component_2],
        session_id: session.session_id,
        message_id: session.message_id,
        metadata: message.metadata,
        ttl: Some(header.ttl),
        frame,
    }
}

/// Link integrity as a client implements it, independent of the relay's.
pub struct Mac {
    key: [u8; 32],
    link_id: String,
}

impl Mac {
    fn new(shared: &[u8], link_id: &str) -> Self {
        let mut key = [0; 32];
        hkdf::Hkdf::<sha2::Sha256>::new(Some(link_id.as_bytes()), shared)
            .expand(b"SLIM-DP-inter-node-hmac-v1", &mut key)
            .expect("32 bytes");
        Self { key, link_id: link_id.to_owned() }
    }

    pub fn tag(&self, header: &slim3::SlimHeader) -> Vec<u8> {
        use hmac::{KeyInit, Mac as _};
        let mut input = b"SLIM-DP-HDR-v1\0".to_vec();
        text(&mut input, &self.link_id);
        for name in [&header.source, &header.destination] {
            tag_name(&mut input, name.as_ref());
        }
        text(&mut input, &header.identity);
        input.extend(header.fanout.to_le_bytes());
        input.extend([0, 0]);
        match header.error {
            None => input.push(0),
            Some(error) => input.extend([1, u8::from(error)]),
        }
        input.extend(header.ttl.to_le_bytes());
        let mut hmac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&self.key).expect("any length");
        hmac.update(&input);
        hmac.finalize().into_bytes().to_vec()
    }
}

fn tag_name(input: &mut Vec<u8>, name: Option<&slim3::Name>) {
    let Some(name) = name else { return input.push(0) };
    input.push(1);
    match &name.name {
        None => input.push(0),
        Some(encoded) => {
            input.push(1);
            for component in [encoded.component_0, encoded.component_1, encoded.component_2] {
                input.extend(component.to_le_bytes());
            }
            match &encoded.name_id {
                None => input.push(0),
                Some(id) => {
                    input.push(1);
                    input.extend(id.id_0.to_le_bytes());
                    input.extend(id.id_1.to_le_bytes());
                }
            }
        }
    }
    match &name.str_name {
        None => input.push(0),
        Some(strings) => {
            input.push(1);
            for part in [&strings.str_component_0, &strings.str_component_1, &strings.str_component_2] {
                text(input, part);
            }
        }
    }
}

fn text(input: &mut Vec<u8>, text: &str) {
    input.extend((text.len() as u32).to_le_bytes());
    input.extend(text.as_bytes());
}

/// An MLS commit's clear header, as a PublicMessage by member 0; `salt` makes rivals differ.
pub fn commit(group: &str, epoch: u64, salt: u8) -> Bytes {
    handshake(group, epoch, 3, salt)
}

/// An MLS proposal's clear header.
pub fn proposal(group: &str, epoch: u64, salt: u8) -> Bytes {
    handshake(group, epoch, 2, salt)
}

fn handshake(group: &str, epoch: u64, content: u8, salt: u8) -> Bytes {
    let mut message = vec![0, 1, 0, 1, group.len() as u8];
    message.extend(group.as_bytes());
    message.extend(epoch.to_be_bytes());
    message.extend([1, 0, 0, 0, 0, 0, content, salt, salt, salt]);
    message.into()
}

/// Frames as they are.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(frame);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
