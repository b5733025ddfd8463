//! The limits of proposals in one epoch.

/// How many proposals of native agents are archived in one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProposalLimits {
    pub per_epoch: usize,
    pub per_principal: usize,
}
