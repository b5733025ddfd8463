//! Commits of native channels, with the Welcomes and the GroupInfo that they bring.

use bytes::Bytes;
use futures::StreamExt;
use skytale_core::extension::{Code, Content, Extension, MAX_GROUP_INFO, Missed, Submit, WelcomeWaits};
use skytale_core::{ChannelName, Envelope, SequenceNumber, Verb};
use skytale_store::{AppendOutcome, CommitAttachments, MessageId, StoreError};
use tokio::time::Instant;

use super::{Native, Submission};
use crate::channel::Channel;
use crate::close_reason::CloseReason;
use crate::limits::external_joins::JoinPermit;
use crate::refusal::{Refusal, archived};

/// The most bytes of missed messages in a refusal.
const MISSED_BYTES: usize = 64 * 1024;

impl Native<'_> {
    /// Decides a commit. What it brings is kept before it can win, and readable only once it has won.
    pub(super) async fn commit(
        &mut self,
        envelope: Envelope,
        submission: Submission,
        submit: Submit,
    ) -> Result<Content, Refusal> {
        let Submission { condition, verb } = submission;
        let Some(publish) = envelope.publish() else { return Err(Refusal::invalid()) };
        let channel = envelope.channel(&publish.header.destination);
        let applied = SequenceNumber(submit.applied);
        let made_in = condition.epoch();
        let commit = condition.message_id.ok_or_else(Refusal::invalid)?;
        let live_channel = self.publisher.channel(&envelope, verb).await?;
        let is_repeated = self.is_archived(&channel, commit).await?;
        let permit = match self.admit(&live_channel, verb, applied) {
            Ok(permit) => permit,
            // A repetition is answered whoever's turn it is.
            Err(_) if is_repeated => None,
            Err(refusal) => {
                if refusal.is_about_turns() {
                    live_channel.await_turn(&self.context.outbox);
                }
                return Err(refusal);
            }
        };
        let attachments = self.attachments(&channel, commit, submit).await?;
        let agents: Vec<_> = attachments.welcomes.iter().map(|(agent, _)| agent.clone()).collect();
        let brings = !agents.is_empty() || attachments.group_info.is_some();
        let directory = self.context.relay.directory.clone();
        // What a repetition brings was brought already, and may be used up.
        if brings && !is_repeated {
            directory.deposit(attachments).await?;
        }
        let decided = self.publisher.commit_native(&live_channel, envelope, condition).await?;
        if let (Some(permit), Ok(AppendOutcome::Appended(_))) = (permit, &decided) {
            permit.used();
        }
        let lost = matches!(decided, Err(StoreError::Conflict { .. } | StoreError::OtherGroup));
        let number = decided.as_ref().ok().map(|outcome| outcome.sequence());
        if brings && (lost || number.is_some()) {
            directory.resolve(&channel, commit, number).await?;
        }
        match decided {
            Ok(outcome) => {
                agents.iter().for_each(|agent| self.tell_of_welcome(agent));
                let repeated = matches!(outcome, AppendOutcome::Duplicate(_));
                let durability = self.context.relay.appending.store.durability();
                Ok(archived(outcome.sequence(), repeated, durability))
            }
            Err(error) => Err(self.with_missed(Refusal::of(&error, made_in), &channel, applied).await),
        }
    }

    /// Lets a commit in whose turn it is; with a permit, if it joins.
    fn admit(
        &self,
        live_channel: &Channel,
        verb: Verb,
        applied: SequenceNumber,
    ) -> Result<Option<JoinPermit>, Refusal> {
        if let Some(wait) = live_channel.turn_of_another(self.context.outbox.session()) {
            return Err(Refusal::not_your_turn(wait, live_channel.standing(), applied));
        }
        if verb != Verb::Join {
            return Ok(None);
        }
        let (account, channel) = (self.context.principal.account(), live_channel.name().components());
        let taken = self.context.relay.joins.take(account, channel, Instant::now());
        let text = "an account may join a channel by an external commit once a minute";
        taken.map(Some).map_err(|wait| Refusal::new(Code::Rate, text).retry_after(wait))
    }

    async fn is_archived(&self, channel: &ChannelName, commit: MessageId) -> Result<bool, Refusal> {
        Ok(self.context.relay.appending.store.find(channel, commit).await?.is_some())
    }

    async fn attachments(
        &self,
        channel: &ChannelName,
        commit: MessageId,
        submit: Submit,
    ) -> Result<CommitAttachments, Refusal> {
        let mut welcomes = Vec::with_capacity(submit.welcomes.len());
        for addressed in submit.welcomes {
            let agent = ChannelName::parse(&addressed.agent).map_err(|_| Refusal::invalid())?;
            if !self.context.may_welcome(channel, &agent).await {
                return Err(CloseReason::Forbidden { verb: Verb::Publish, channel: agent }.into());
            }
            welcomes.push((agent, addressed.welcome));
        }
        let found = submit.group_info.len();
        if found > MAX_GROUP_INFO {
            let text = format!(
                "a GroupInfo has at most {MAX_GROUP_INFO} bytes, this one has {found}: commit without"
            );
            return Err(Refusal::new(Code::TooLarge, text));
        }
        let group_info = Some(submit.group_info).filter(|info| !info.is_empty());
        Ok(CommitAttachments { channel: channel.clone(), commit, welcomes, group_info })
    }

    /// Adds what the loser has not applied yet, so that it can go on without asking, if it may read the channel.
    async fn with_missed(
        &self,
        mut refusal: Refusal,
        channel: &ChannelName,
        applied: SequenceNumber,
    ) -> Refusal {
        let Some(last) = refusal.last() else { return refusal };
        if !self.context.may(Verb::Subscribe, channel).await {
            return refusal;
        }
        let mut records = self.context.relay.appending.store.read(channel, applied);
        let (mut bytes, mut reached) = (0, applied);
        while let Some(Ok(record)) = records.next().await {
            bytes += record.body.len();
            if bytes > MISSED_BYTES {
                break;
            }
            reached = record.sequence;
            refusal.missed.push(Missed {
                sequence: record.sequence.0,
                message_id: record.message_id.map(|id| Bytes::copy_from_slice(&id.0)).unwrap_or_default(),
                frame: record.body,
            });
        }
        refusal.more = reached < last;
        refusal
    }

    /// Tells an agent that is connected that a Welcome waits.
    fn tell_of_welcome(&self, agent: &ChannelName) {
        let frame = Extension::new(Content::WelcomeWaits(WelcomeWaits {})).into_frame();
        self.context.relay.registry.tell(agent, &frame);
    }
}
