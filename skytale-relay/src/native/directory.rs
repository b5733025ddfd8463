//! Requests to the directory: key packages, Welcomes, GroupInfos, and the sequence numbers of messages.

use bytes::Bytes;
use skytale_core::extension::{
    Code, Content, GroupInfo, KeyPackage, Stock, UploadKeyPackages, Welcome, Welcomes,
};
use skytale_core::mls::MlsHeader;
use skytale_core::{ChannelName, SequenceNumber, Verb};
use skytale_store::{Attachment, MessageId};

use super::Native;
use crate::limits::key_package_claims::TooMany;
use crate::refusal::{Refusal, accepted};

/// How many key packages of an agent the relay keeps, and at how many it asks for more.
const STOCK: u32 = 100;
const LOW: u32 = 50;

/// The longest key package, in bytes.
const KEY_PACKAGE_BYTES: usize = 16 * 1024;

/// The most GroupInfos of one answer.
const GROUP_INFOS: usize = 3;

/// The most Welcomes of one answer, in number and bytes.
const WELCOMES: u32 = 64;
const WELCOMES_BYTES: usize = 2 * 1024 * 1024;

impl Native<'_> {
    /// Answers a request that comes without a message.
    pub(super) async fn ask(&self, content: Content) -> Result<Content, Refusal> {
        match content {
            Content::UploadKeyPackages(upload) => self.upload(upload).await,
            Content::ClaimKeyPackage(claim) => self.claim(&name(&claim.agent)?).await,
            Content::FetchWelcomes(fetch) => self.welcomes(&name(&fetch.agent)?, fetch.skip).await,
            Content::DropWelcome(drop) => {
                let agent = name(&drop.agent)?;
                self.may(Verb::Subscribe, &agent).await?;
                self.context.relay.directory.drop_welcome(&agent, id(&drop.id)?).await?;
                Ok(accepted(SequenceNumber::START, false))
            }
            Content::FetchGroupInfo(fetch) => self.group_info(&name(&fetch.channel)?).await,
            Content::Find(find) => {
                let channel = name(&find.channel)?;
                self.may(Verb::Subscribe, &channel).await?;
                let found = self.context.relay.appending.store.find(&channel, id(&find.message_id)?).await?;
                Ok(accepted(found.unwrap_or_default(), found.is_some()))
            }
            _ => Err(Refusal::new(Code::Invalid, "only a relay sends this")),
        }
    }

    async fn upload(&self, upload: UploadKeyPackages) -> Result<Content, Refusal> {
        let agent = name(&upload.agent)?;
        self.may(Verb::Subscribe, &agent).await?;
        let last_resort = Some(upload.last_resort).filter(|package| !package.is_empty());
        if upload.key_packages.iter().chain(&last_resort).any(|package| !is_key_package(package)) {
            let text = format!("a key package is an MLSMessage of at most {KEY_PACKAGE_BYTES} bytes");
            return Err(Refusal::new(Code::NotMls, text));
        }
        let all: Vec<_> = upload.key_packages.iter().chain(&last_resort).cloned().collect();
        self.check_key_packages(all, &agent).await?;
        let directory = &self.context.relay.directory;
        if upload.replace {
            directory.drop_key_packages(&agent).await?;
        }
        let key_packages = directory.unheld_key_packages(&agent, upload.key_packages).await?;
        let left = directory.count_key_packages(&agent).await?;
        if left as usize + key_packages.len() > STOCK as usize {
            let text = format!("{STOCK} key packages are kept for an agent; there are {left}");
            return Err(Refusal::new(Code::TooLarge, text));
        }
        let left = directory.add_key_packages(&agent, key_packages, last_resort).await?;
        Ok(Content::Stock(Stock { left, wanted: wanted(left) }))
    }

    /// Has the host check key packages, off the threads that serve others: each has two signatures.
    async fn check_key_packages(&self, key_packages: Vec<Bytes>, agent: &ChannelName) -> Result<(), Refusal> {
        if key_packages.len() > STOCK as usize + 1 {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("{STOCK} key packages are kept for an agent, and one of last resort"),
            ));
        }
        let Some(validator) = self.context.relay.key_package_validator.clone() else { return Ok(()) };
        let agent = agent.clone();
        let checking = tokio::task::spawn_blocking(move || {
            key_packages.iter().try_for_each(|key_package| validator.check(key_package, &agent))
        });
        let checked = checking.await.unwrap_or_else(|_| Err("it could not be checked".to_owned()));
        checked.map_err(|why| Refusal::new(Code::Invalid, format!("a key package cannot be used: {why}")))
    }

    async fn claim(&self, agent: &ChannelName) -> Result<Content, Refusal> {
        self.may(Verb::Publish, agent).await?;
        let directory = &self.context.relay.directory;
        if let Err(too_many) = self.context.relay.claims.take(&self.context.principal.account(), agent) {
            // Who drains an agent's key packages must not keep others from adding it.
            return match directory.last_resort(agent).await? {
                Some(key_package) if !too_many.by_one_account => {
                    Ok(Content::KeyPackage(KeyPackage { key_package, last_resort: true }))
                }
                _ => Err(self.too_many_claims(too_many)),
            };
        }
        let claimed = directory.claim_key_package(agent).await?;
        let Some(claimed) = claimed else {
            let text = format!("{agent} has left no key package here: it has to connect once");
            return Err(Refusal::new(Code::NotFound, text));
        };
        if wanted(claimed.left) > 0 {
            let stock = Content::Stock(Stock { left: claimed.left, wanted: wanted(claimed.left) });
            let frame = skytale_core::extension::Extension::new(stock).into_frame();
            self.context.relay.registry.tell(agent, &frame);
        }
        let (key_package, last_resort) = (claimed.key_package, claimed.is_last_resort);
        Ok(Content::KeyPackage(KeyPackage { key_package, last_resort }))
    }

    fn too_many_claims(&self, too_many: TooMany) -> Refusal {
        let limits = &self.context.relay.limits;
        let text = match too_many.by_one_account {
            true => {
                format!("an account claims {} key packages of an agent in a minute", limits.claims_per_minute)
            }
            false => format!("{} key packages of an agent are claimed in an hour", limits.claims_per_hour),
        };
        Refusal::new(Code::Rate, format!("{text} at most")).retry_after(too_many.retry_after)
    }

    /// Returns the Welcomes whose commits were accepted, of a page of those that wait.
    async fn welcomes(&self, agent: &ChannelName, skip: u32) -> Result<Content, Refusal> {
        self.may(Verb::Subscribe, agent).await?;
        let waiting = self.context.relay.directory.welcomes(agent, skip, WELCOMES).await?;
        let (mut welcomes, mut bytes) = (Vec::new(), 0);
        let (mut more, mut next) = (waiting.len() == WELCOMES as usize, skip);
        for attachment in waiting {
            next = next.saturating_add(1);
            let Some(number) = self.accepted_as(&attachment).await? else { continue };
            bytes += attachment.body.len();
            if bytes > WELCOMES_BYTES && !welcomes.is_empty() {
                (more, next) = (true, next - 1);
                break;
            }
            welcomes.push(Welcome {
                id: Bytes::copy_from_slice(&attachment.commit.0),
                channel: attachment.channel.to_string(),
                welcome: attachment.body,
                sequence: number.0,
            });
        }
        Ok(Content::Welcomes(Welcomes { welcomes, more, next }))
    }

    async fn group_info(&self, channel: &ChannelName) -> Result<Content, Refusal> {
        self.may(Verb::Subscribe, channel).await?;
        let mut infos = Vec::new();
        for attachment in self.context.relay.directory.group_infos(channel).await? {
            let Some(number) = self.accepted_as(&attachment).await? else { continue };
            if infos.len() == GROUP_INFOS {
                break;
            }
            infos.push(GroupInfo { group_info: attachment.body, sequence: number.0, older: Vec::new() });
        }
        let older = infos.split_off(infos.len().min(1));
        match infos.pop() {
            Some(newest) => Ok(Content::GroupInfo(GroupInfo { older, ..newest })),
            None => Err(Refusal::new(Code::NotFound, "the channel has no GroupInfo")),
        }
    }

    /// Returns the number of an attachment's commit; the archive knows it where a relay that died could not note it.
    async fn accepted_as(&self, attachment: &Attachment) -> Result<Option<SequenceNumber>, Refusal> {
        match attachment.accepted {
            Some(number) => Ok(Some(number)),
            None => {
                let store = &self.context.relay.appending.store;
                Ok(store.find(&attachment.channel, attachment.commit).await?)
            }
        }
    }
}

fn wanted(left: u32) -> u32 {
    if left <= LOW { STOCK - left } else { 0 }
}

fn name(text: &str) -> Result<ChannelName, Refusal> {
    ChannelName::parse(text).map_err(|_| Refusal::invalid())
}

fn id(bytes: &[u8]) -> Result<MessageId, Refusal> {
    bytes.try_into().map(MessageId).map_err(|_| Refusal::new(Code::Invalid, "an id has sixteen bytes"))
}

fn is_key_package(bytes: &[u8]) -> bool {
    bytes.len() <= KEY_PACKAGE_BYTES && MlsHeader::read(bytes) == Some(MlsHeader::KeyPackage)
}
