//! Who may commit offsets.

use super::{Group, GroupError, GroupState, Replies};
use millrace_runtime::Instant;

impl<R: Replies> Group<R> {
    /// Whether a commit of `member_id` at `generation` is to be taken; hearing of a member renews its session.
    ///
    /// A negative generation comes from consumers that assign themselves partitions: they may commit while nobody
    /// manages the group's membership.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn check_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), GroupError> {
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(GroupError::UnknownMember);
        }
        self.check_member(member_id, instance_id, generation)?;
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.heard(now);
        }
        Ok(())
    }
}
