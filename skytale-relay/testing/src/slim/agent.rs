//! A SLIM agent: one stream of a raw gRPC client.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message as _;
use skytale_core::Dialect;
use skytale_core::generated::{slim1, slim3};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::heard::Heard;
use super::mac::Mac;
use super::say::{Address, Say, content1, content3};
use crate::{NEVER, Raw, SOON};

/// A SLIM agent on one stream to the relay.
pub struct Agent {
    /// The dialect of its frames.
    pub dialect: Dialect,
    /// Its own name, the source of its messages.
    pub me: Address,
    /// The way to the relay, for frames as they are.
    pub sender: mpsc::Sender<Bytes>,
    incoming: Streaming<Bytes>,
    /// The key of the link, once it is negotiated in a dialect that has one.
    pub key: Option<Mac>,
    next: u64,
}

/// Makes the frame of a message of the types of one dialect.
macro_rules! publish {
    ($slim:ident, $dialect:expr, $say:expr, $header:expr, $content:expr) => {{
        let session = $slim::SessionHeader {
            session_type: 2,
            session_message_type: $say.kind.number($dialect).expect("a kind of the dialect") as i32,
            session_id: $say.session_id,
            message_id: $say.message_id,
        };
        let publish = $slim::Publish { header: Some($header), session: Some(session), msg: Some($content) };
        let message_type = Some($slim::message::MessageType::Publish(publish));
        $slim::Message { metadata: $say.metadata.clone(), message_type }.encode_to_vec().into()
    }};
}

/// Opens a connection.
pub(crate) async fn dial(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URI");
    endpoint.connect().await.expect("connect")
}

impl Agent {
    /// Opens a stream to a relay and sends nothing yet.
    ///
    /// # Errors
    ///
    /// The status with which the relay refuses the stream.
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
    ///
    /// # Errors
    ///
    /// The status with which the relay refuses the stream.
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

    /// Negotiates the link, with a key in the dialect that has one.
    pub async fn negotiate(&mut self) {
        self.try_negotiate().await.expect("a reply");
    }

    /// Negotiates the link of a session that the relay may end meanwhile.
    ///
    /// # Errors
    ///
    /// The status of a stream that has ended.
    pub async fn try_negotiate(&mut self) -> Result<(), Status> {
        let link_id = format!("link-of-{}", self.me.strings[2]);
        match self.dialect {
            Dialect::Slim1 => {
                let offer =
                    slim1::LinkNegotiationPayload { link_id, slim_version: "1.4.0".into(), is_reply: false };
                let link = slim1::Link { link_type: Some(slim1::link::LinkType::LinkNegotiation(offer)) };
                self.send(slim1_frame(slim1::message::MessageType::Link(link))).await;
                let reply = slim1::Message::decode(self.frame().await?).expect("decodes");
                assert!(
                    matches!(reply.message_type, Some(slim1::message::MessageType::Link(_))),
                    "{reply:?}"
                );
                Ok(())
            }
            Dialect::Slim3 => self.negotiate_key(link_id).await,
        }
    }

    async fn negotiate_key(&mut self, link_id: String) -> Result<(), Status> {
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
        let reply = slim3::Message::decode(self.frame().await?).expect("decodes");
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
        Ok(())
    }

    /// Sends a frame as it is.
    pub async fn send(&self, frame: Bytes) {
        // A stream that has ended is noticed by reading it.
        let _ = self.sender.send(frame).await;
    }

    /// Subscribes a name and waits for the acknowledgement.
    pub async fn subscribe(&mut self, to: &Address) {
        assert_eq!(self.try_subscribe(to).await, Ok(()));
    }

    /// Subscribes a name and returns how it was acknowledged.
    ///
    /// # Errors
    ///
    /// The acknowledgement's error text, or the status of a stream that has ended.
    pub async fn try_subscribe(&mut self, to: &Address) -> Result<(), String> {
        let id = self.next_id();
        self.send(self.subscribe_frame(to, id)).await;
        self.acknowledged(id).await
    }

    /// Unsubscribes a name, under a number of the caller's or a fresh one, and returns how it was acknowledged.
    ///
    /// # Errors
    ///
    /// The acknowledgement's error text, or the status of a stream that has ended.
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

    /// Waits for the acknowledgement of a number.
    ///
    /// # Errors
    ///
    /// The acknowledgement's error text, or the status of a stream that has ended.
    pub async fn acknowledged(&mut self, id: u64) -> Result<(), String> {
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

    /// Makes the frame of a subscription.
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

    /// Publishes a message.
    pub async fn say(&self, say: Say) {
        self.send(self.publish_frame(&say)).await;
    }

    /// Makes the frame of a message.
    pub fn publish_frame(&self, say: &Say) -> Bytes {
        match self.dialect {
            Dialect::Slim1 => {
                publish!(slim1, self.dialect, say, self.header1(&say.to, say.fanout), content1(say))
            }
            Dialect::Slim3 => {
                publish!(slim3, self.dialect, say, self.header3(&say.to, say.fanout), content3(say))
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

    /// Returns the next frame.
    ///
    /// # Errors
    ///
    /// The status with which the stream ended.
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

    /// Reads a frame as a message.
    pub fn read(&self, frame: Bytes) -> Heard {
        Heard::read(self.dialect, frame, self.key.as_ref())
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
