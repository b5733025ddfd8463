//! One member of a group, whichever library it runs.

use crate::group::commit::Plan;

/// What a member thinks the group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub epoch: u64,
    pub authenticator: Vec<u8>,
    /// Leaves and names.
    pub members: Vec<(u32, String)>,
}

/// What a member has made, to be sent.
#[derive(Debug)]
pub(super) struct Made {
    pub commit: Vec<u8>,
    pub welcome: Option<Vec<u8>>,
    /// The GroupInfo of the epoch that the commit begins, not encrypted.
    pub group_info: Vec<u8>,
}

/// A proposal that is sent on its own.
#[derive(Clone, Debug)]
pub(super) enum Proposal {
    Add(Vec<u8>),
    Remove(u32),
    Update,
}

/// What became of a member by a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Member,
    Removed,
}

/// A member, or one that may become one. Whatever fails, panics: in these sequences nothing may.
pub(super) trait Party {
    fn name(&self) -> &str;

    /// Makes a key package, as an `MLSMessage`.
    fn key_package(&mut self) -> Vec<u8>;

    /// Creates a group, and returns its GroupInfo.
    fn create(&mut self) -> Vec<u8>;

    fn join(&mut self, welcome: &[u8]);

    /// Joins, or comes back, by an external commit, which may take a leaf's place. It counts as accepted.
    fn enter(&mut self, group_info: &[u8], replaced: Option<u32>) -> Made;

    fn view(&self) -> View;

    fn leaf(&self) -> u32;

    /// Builds a commit of what was proposed and of this, and keeps it pending.
    fn commit(&mut self, plan: &Plan) -> Made;

    /// Applies its pending commit.
    fn accepted(&mut self);

    /// Applies another's commit; a pending one has lost.
    fn follow(&mut self, commit: &[u8]) -> Standing;

    /// Tells whether a commit is refused, with the group as it was.
    fn refuses(&mut self, commit: &[u8]) -> bool;

    fn say(&mut self, body: &[u8]) -> Vec<u8>;

    /// Decrypts a message: its sender's name and what was said; `None` where it cannot.
    fn hear(&mut self, message: &[u8]) -> Option<(String, Vec<u8>)>;

    fn propose(&mut self, proposal: &Proposal) -> Vec<u8>;

    /// Takes another's proposal, for the next commit.
    fn consider(&mut self, proposal: &[u8]);

    /// Reads another's proposal as its library's user does without being told more.
    fn overhears(&mut self, proposal: &[u8]);

    /// Asks to be removed.
    fn ask_to_leave(&mut self) -> Vec<u8>;

    /// Reads who asks to be removed, and keeps nothing of it.
    fn who_leaves(&mut self, asking: &[u8]) -> u32;

    /// Forgets everything but what is stored.
    fn restart(&mut self);
}
