//! The native profile: requests of Skytale's own agents beside SLIM's messages.
//!
//! A frame that carries the native extension comes here. What it asks is answered under its request number; what the
//! relay refuses is a typed answer, never the end of the stream.

mod commit;
mod directory;

use std::sync::Arc;

use skytale_core::extension::{Accepted, Code, Content, Extension, Resume};
use skytale_core::mls::{ContentType, MlsHeader, SenderKind};
use skytale_core::{Body, ChannelName, Envelope, SequenceNumber, Verb};
use skytale_store::{GroupEpoch, GroupId, MessageId, Precondition};

use crate::admission::authenticator::AuthError;
use crate::admission::credentials::Credentials;
use crate::channel::append_condition::AppendCondition;
use crate::channel::subscription::Start;
use crate::close_reason::CloseReason;
use crate::policy::ExternalCommits;
use crate::refusal::{Refusal, archived};
use crate::session::context::Context;
use crate::session::publisher::Publisher;
use crate::session::subscriber::Subscriber;

/// A session's parts, for one native frame.
pub(crate) struct Native<'a> {
    pub context: &'a Arc<Context>,
    pub publisher: &'a mut Publisher,
    pub subscriber: &'a mut Subscriber,
}

/// What a submitted message asks, and what its sender has to be permitted.
struct Submission {
    condition: AppendCondition,
    verb: Verb,
}

impl Native<'_> {
    /// Does what a frame asks, and answers.
    pub async fn act(mut self, envelope: Envelope, extension: Extension) -> Result<(), CloseReason> {
        let _ = self.context.outbox.native.set(());
        let request = extension.request;
        let answer = match (envelope.body(), extension.content.clone()) {
            (Body::Publish(_), Some(Content::Submit(submit))) => {
                match self.submission(&envelope, &extension).await {
                    Ok(submission) if submission.condition.precondition.advances() => {
                        self.commit(envelope, submission, submit).await
                    }
                    Ok(Submission { condition, verb }) => {
                        match self.publisher.publish_native(envelope, condition, verb, request).await {
                            Err(
                                close @ (CloseReason::Forbidden { .. } | CloseReason::QuotaExceeded { .. }),
                            ) => Err(close.into()),
                            published => return published,
                        }
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            (Body::Subscribe(_), Some(Content::Resume(resume))) => self.resume(&envelope, resume).await,
            (Body::Control, Some(Content::Authenticate(next))) => self.renew(next.token).await,
            (Body::Control, Some(content)) => self.ask(content).await,
            _ => Err(Refusal::new(Code::Invalid, "the extension does not fit its message")),
        };
        let content = answer.unwrap_or_else(|refusal| Content::Refused(refusal.into()));
        self.context.outbox.send(Extension::new(content).with_request(request).into_frame());
        Ok(())
    }

    /// Goes on with another token, which has to permit what the session is subscribed to.
    async fn renew(&mut self, token: String) -> Result<Content, Refusal> {
        let refused = |text: String| Refusal::new(Code::NotAuthorized, text);
        let verified = self.context.principal.verify(Credentials::bearer(token)).await;
        let principal = verified.map_err(|error| refused(error.to_string()))?;
        if self.context.relay.revocations.cover(&principal) {
            return Err(refused(AuthError::Revoked.to_string()));
        }
        if !self.subscriber.are_permitted(&principal).await {
            return Err(refused("the token does not grant what this stream is subscribed to".to_owned()));
        }
        self.context.principal.renew(principal);
        self.publisher.forget_permissions();
        let expires = self.context.principal.expires();
        Ok(Content::Accepted(Accepted { expires, ..Default::default() }))
    }

    /// Subscribes the channel, from a position on if the agent has one.
    async fn resume(&mut self, envelope: &Envelope, resume: Resume) -> Result<Content, Refusal> {
        let Body::Subscribe(subscription) = envelope.body() else { return Err(Refusal::invalid()) };
        let channel = envelope.channel(&subscription.header.destination);
        self.may(Verb::Subscribe, &channel).await?;
        let head = self.context.relay.appending.store.head(&channel).await?;
        if resume.after.is_some_and(|after| after > head.last.0) {
            let text = format!("the channel ends at {}: the position is of another archive", head.last);
            return Err(Refusal::new(Code::Invalid, text));
        }
        let start = resume.after.map_or(Start::Live, |after| Start::After(SequenceNumber(after)));
        let subscribed = self.subscriber.start_at(envelope, subscription, start).await;
        subscribed.map_err(|text| Refusal::new(Code::Rate, text))?;
        Ok(archived(head.last, false, self.context.relay.appending.store.durability()))
    }

    /// Reads what a submitted message asks of the archive, from its MLS bytes alone.
    async fn submission(
        &mut self,
        envelope: &Envelope,
        extension: &Extension,
    ) -> Result<Submission, Refusal> {
        let id = extension.id().ok_or(Refusal::new(Code::Invalid, "a message id has sixteen bytes"))?;
        let payload = envelope.app_payload().map(|payload| payload.blob).unwrap_or_default();
        let Some(MlsHeader::Framed { group, epoch, content, sender }) = MlsHeader::read(payload) else {
            let text = "the payload is no MLSMessage with a PrivateMessage of MLS 1.0";
            return Err(Refusal::new(Code::NotMls, text));
        };
        let verb = self.needed(content, sender)?;
        let group = GroupId::new(group.to_vec()).map_err(|_| Refusal::invalid())?;
        let at = GroupEpoch { group, epoch };
        let precondition = match content {
            ContentType::Commit => Precondition::AdvanceSole(at),
            ContentType::Proposal => Precondition::AtSole(at),
            ContentType::Application => self.context.relay.epochs.precondition(at),
        };
        self.publisher.channel(envelope, verb).await?;
        Ok(Submission { condition: AppendCondition { precondition, message_id: Some(MessageId(id)) }, verb })
    }

    /// Returns what the sender has to be permitted. Of PublicMessages only external commits are taken, and these where
    /// the relay is set so.
    fn needed(&self, content: ContentType, sender: SenderKind) -> Result<Verb, Refusal> {
        let accepts = self.context.relay.external_commits == ExternalCommits::Accept;
        let text = match (sender, content) {
            (SenderKind::Hidden, ContentType::Application) => return Ok(Verb::Publish),
            (SenderKind::Hidden, _) => return Ok(Verb::Commit),
            (SenderKind::NewMemberCommit, ContentType::Commit) if accepts => return Ok(Verb::Join),
            (SenderKind::NewMemberCommit, ContentType::Commit) => {
                "this relay takes no external commits: ask a member for an invitation"
            }
            _ => "native channels take PrivateMessages only: a PublicMessage shows who is a member",
        };
        Err(Refusal::new(Code::NotPrivate, text))
    }

    async fn may(&self, verb: Verb, channel: &ChannelName) -> Result<(), Refusal> {
        match self.context.may(verb, channel).await {
            true => Ok(()),
            false => Err(CloseReason::Forbidden { verb, channel: channel.clone() }.into()),
        }
    }
}
