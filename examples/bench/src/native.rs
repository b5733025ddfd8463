//! Frames of native agents: MLS messages, of which a relay reads the clear header alone, with the native extension.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use skytale_core::extension::{self, Authenticate, Content, Extension, Resume, Submit};
use skytale_core::generated::slim3::{Message, Name, message::MessageType};
use skytale_core::{ChannelName, Envelope, FrameLimits};

/// The request of a connection's first frame, and of the commit that founds a channel.
pub const FIRST: u64 = u64::MAX;

/// RFC 9420's content types of a PrivateMessage.
const APPLICATION: u8 = 1;
const COMMIT: u8 = 3;

/// Presents a token, or none.
pub fn authenticate(token: Option<&str>) -> Bytes {
    let authenticate = Authenticate { token: token.unwrap_or_default().to_owned() };
    Extension::new(Content::Authenticate(authenticate)).with_request(FIRST).into_frame()
}

/// Composes the subscription of a channel, to what is new.
pub fn subscription(channel: &Name, request: u64) -> Bytes {
    let resume = Extension::new(Content::Resume(Resume { after: None })).with_request(request);
    extension::subscribe(&channel_name(channel), &resume)
}

/// Composes the commit that begins a channel's first epoch, and binds it to a group.
pub fn first_commit(channel: &Name) -> Bytes {
    let commit = private_message(0, COMMIT, 64);
    extension::message(&channel_name(channel), commit, &submission(FIRST, rand::random()))
}

/// Composes an application message of the first epoch, whose ciphertext, its end, is zeros; without its extension.
pub fn publish(channel: &Name, bytes: usize) -> Bytes {
    let message = private_message(1, APPLICATION, bytes);
    let alone = submission(1, [0; 16]);
    let frame = extension::message(&channel_name(channel), message, &alone);
    frame.slice(..frame.len() - alone.into_frame().len())
}

/// Appends the extension by which a message is submitted.
pub fn with_submission(message: &Bytes, request: u64, message_id: [u8; 16]) -> Bytes {
    let extension = submission(request, message_id).into_frame();
    let mut frame = BytesMut::with_capacity(message.len() + extension.len());
    frame.put_slice(message);
    frame.put_slice(&extension);
    frame.freeze()
}

/// Returns the relay's answer to a request, if a frame is that.
pub fn answer(frame: &Bytes, request: u64) -> Option<Content> {
    let envelope = Envelope::parse_first(frame.clone(), &FrameLimits::default()).ok()?;
    let extension = Extension::read(envelope.extension()?).ok()?;
    extension.content.filter(|_| extension.request == request)
}

/// Tells whether a frame is a message.
pub fn is_true(frame: &Bytes) -> bool {
    let message = Message::decode(frame.clone());
    matches!(message, Ok(Message { message_type: Some(MessageType::Publish(_)), .. }))
}

/// Makes the clear header of a PrivateMessage, and as many bytes after it.
fn private_message(epoch: u64, content: u8, ciphertext: usize) -> Bytes {
    const GROUP: &[u8] = b"bench";
    let mut message = BytesMut::new();
    message.put_slice(&[0, 1, 0, 2, GROUP.len() as u8]);
    message.put_slice(GROUP);
    message.put_u64(epoch);
    message.put_u8(content);
    message.put_bytes(0, ciphertext);
    message.freeze()
}

fn submission(request: u64, message_id: [u8; 16]) -> Extension {
    Extension::new(Content::Submit(Submit::default())).with_request(request).with_message_id(message_id)
}

fn channel_name(name: &Name) -> ChannelName {
    let strings = name.str_name.as_ref().expect("every name of the load has its strings");
    let parts = [&strings.str_component_0, &strings.str_component_1, &strings.str_component_2];
    ChannelName::from_strings(parts.map(String::as_str))
}
