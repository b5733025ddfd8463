//! Proposals of an epoch, counted against their limits.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use skytale_core::extension::{Code, Content};
use skytale_store::{AppendOutcome, GroupEpoch, StoreError};

use super::Channel;
use super::append::{AppendRequest, Appending};
use crate::limits::proposal_limits::ProposalLimits;
use crate::refusal::Refusal;

/// The proposals of a group's epoch that this process has archived.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposals {
    epoch: Option<GroupEpoch>,
    all: usize,
    by_account: HashMap<Arc<str>, usize>,
}

impl Proposals {
    fn allow(&self, epoch: &GroupEpoch, account: &Arc<str>, limits: ProposalLimits) -> bool {
        let others = self.epoch.as_ref() != Some(epoch);
        let of_account = self.by_account.get(account).copied().unwrap_or_default();
        let (all, of_account) = if others { (0, 0) } else { (self.all, of_account) };
        all < limits.per_epoch && of_account < limits.per_principal
    }

    /// Counts a proposal; the first one of an epoch ends the count of the one before.
    fn count(&mut self, epoch: &GroupEpoch, account: &Arc<str>) {
        if self.epoch.as_ref() != Some(epoch) {
            *self = Self { epoch: Some(epoch.clone()), ..Self::default() };
        }
        self.all += 1;
        *self.by_account.entry(account.clone()).or_default() += 1;
    }
}

impl AppendRequest {
    /// Returns the epoch and the account of a native proposal.
    fn proposed(&self) -> Option<(&GroupEpoch, &Arc<str>)> {
        Some((self.condition.as_ref()?.precondition.at()?, self.proposer.as_ref()?))
    }
}

impl Channel {
    /// Takes out of a batch what would exceed the epoch's proposals.
    pub(super) fn take_excess(
        &self,
        batch: &mut Vec<AppendRequest>,
        limits: ProposalLimits,
    ) -> Vec<AppendRequest> {
        if batch.iter().all(|item| item.proposer.is_none()) {
            return Vec::new();
        }
        let mut proposals = self.proposals().clone();
        let exceeds = |item: &mut AppendRequest| {
            let Some((epoch, account)) = item.proposed() else { return false };
            let allowed = proposals.allow(epoch, account, limits);
            if allowed {
                proposals.count(epoch, account);
            }
            !allowed
        };
        batch.extract_if(.., exceeds).collect()
    }

    /// Decides what was taken out of a batch, once that is counted: repetitions are answered and take nobody's place.
    pub(super) async fn decide_excess(&self, excess: Vec<AppendRequest>, appending: &Appending) {
        for item in excess {
            let limits = appending.proposals;
            let Some((epoch, account)) = item.proposed() else { continue };
            if self.proposals().allow(epoch, account, limits) {
                self.decide_each(vec![item], appending).await;
                continue;
            }
            let id = item.condition.as_ref().and_then(|condition| condition.message_id);
            let found = match id {
                Some(id) => appending.store.find(&self.name, id).await,
                None => Ok(None),
            };
            match found {
                Ok(Some(number)) => {
                    self.settle(vec![item], vec![AppendOutcome::Duplicate(number)], appending)
                }
                Ok(None) => item.refuse_proposal(limits),
                Err(error) => self.refuse(vec![item], error, &appending.meter),
            }
        }
    }

    pub(super) fn count_proposal(&self, item: &AppendRequest) {
        if let Some((epoch, account)) = item.proposed() {
            self.proposals().count(epoch, account);
        }
    }

    fn proposals(&self) -> MutexGuard<'_, Proposals> {
        self.proposals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppendRequest {
    fn refuse_proposal(self, limits: ProposalLimits) {
        let ProposalLimits { per_epoch, per_principal } = limits;
        let text = format!(
            "an epoch has at most {per_epoch} proposals, {per_principal} of one account: commit to those there are"
        );
        let refused = Content::Refused(Refusal::new(Code::ProposalLimit, text).into());
        self.publisher.answer(self.request.unwrap_or_default(), refused);
        if let Some(done) = self.done {
            let _ = done.send(Err(StoreError::Invalid { what: "the epoch has too many proposals" }));
        }
    }
}

#[cfg(test)]
mod tests {
    use skytale_core::Epoch;
    use skytale_store::GroupId;

    use super::*;

    #[test]
    fn each_epoch_and_each_account_has_its_own_count() {
        let limits = ProposalLimits { per_epoch: 3, per_principal: 2 };
        let at = |epoch| GroupEpoch { group: GroupId::new("g").expect("short"), epoch: Epoch(epoch) };
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let mut proposals = Proposals::default();
        for account in [&one, &one, &other] {
            assert!(proposals.allow(&at(1), account, limits));
            proposals.count(&at(1), account);
        }
        assert!(!proposals.allow(&at(1), &other, limits), "three in all");
        assert!(proposals.allow(&at(2), &one, limits), "another epoch");
        proposals.count(&at(2), &one);
        proposals.count(&at(2), &one);
        assert!(!proposals.allow(&at(2), &one, limits), "two of its own");
        assert!(proposals.allow(&at(2), &other, limits));
    }
}
