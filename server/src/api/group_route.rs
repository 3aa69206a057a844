//! To the shard that coordinates a group.

use crate::{
    coordinator::{CoordinatorError, GroupPartition, OFFSETS_TOPIC, partition_of},
    group::GroupError,
    shard::Context,
};
use std::rc::Rc;

/// Runs `work` where the group's partition of `__consumer_offsets` is owned.
///
/// # Errors
/// [`CoordinatorError`], also those of `work`.
pub(super) async fn on_coordinator<W, F, T>(
    shard: &Context,
    group: &str,
    work: W,
) -> Result<T, CoordinatorError>
where
    W: FnOnce(Rc<GroupPartition>) -> F + Send + 'static,
    F: Future<Output = Result<T, CoordinatorError>> + 'static,
    T: Send + 'static,
{
    let place = {
        let image = shard.image();
        image.topic(OFFSETS_TOPIC).map(|topic| (topic.id, partition_of(group, topic.partitions)))
    };
    // The client looks for the coordinator again, and that makes the topic.
    let (topic, index) = place.ok_or(CoordinatorError::NotCoordinator)?;
    let owner = shard.owner(topic, index);
    shard
        .on(owner, move |there| async move {
            let partition = there.coordinator().partition(index)?;
            work(partition).await
        })
        .await
}

/// As [`on_coordinator`], for what only members ask: they have a group with a name. Commits may come without one, from
/// consumers that assign themselves their partitions.
///
/// # Errors
/// [`GroupError::InvalidGroupId`], and those of [`on_coordinator`].
pub(super) async fn on_members_coordinator<W, F, T>(
    shard: &Context,
    group: &str,
    work: W,
) -> Result<T, CoordinatorError>
where
    W: FnOnce(Rc<GroupPartition>) -> F + Send + 'static,
    F: Future<Output = Result<T, CoordinatorError>> + 'static,
    T: Send + 'static,
{
    if group.is_empty() {
        return Err(GroupError::InvalidGroupId.into());
    }
    on_coordinator(shard, group, work).await
}
