//! Offsets that nobody will come back for: those of groups that were abandoned, and of topics that are gone.

use super::{
    CoordinatorError, GroupPartition,
    partition::Entry,
    records::{KeyValue, group_tombstone, offset_tombstone},
};
use crate::group::{GroupError, GroupState};
use millrace_record::Timestamp;
use millrace_runtime::unix_millis;
use std::{rc::Rc, time::Duration};

/// How often abandoned groups are looked for (Kafka's offsets.retention.check.interval.ms, and its default).
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// What is left of a group whose last offset is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    Nothing,
    /// The group itself, until it expires.
    Group,
}

/// A topic's name and a partition.
type Place = (String, i32);

impl GroupPartition {
    /// Removes the offsets that were kept for long enough without anybody in their group, and groups that have none.
    pub(super) async fn expire(self: &Rc<Self>) {
        let minutes = self.shard.options().config.group.offsets_retention_minutes;
        let retention_ms = i64::from(minutes) * 60_000;
        let now_ms = unix_millis();
        let abandoned: Vec<(String, Vec<Place>)> = {
            let groups = self.groups.borrow();
            let idle = groups.iter().filter(|(_, entry)| entry.is_idle());
            let found = idle.map(|(id, entry)| (id, entry, entry.expired(now_ms, retention_ms)));
            found
                .filter(|(_, entry, expired)| !expired.is_empty() || entry.offsets.is_empty())
                .map(|(id, _, expired)| (id.clone(), expired))
                .collect()
        };
        for (id, places) in abandoned {
            if let Err(cause) = self.forget(&id, &places, Remains::Nothing).await {
                // What is not removed now is found again.
                tracing::warn!(group = id, %cause, "cannot remove expired offsets");
            }
        }
    }

    /// Removes what all groups committed for a topic, which is gone: one of its name would be another.
    pub async fn forget_topic(self: Rc<Self>, topic: &str) {
        let groups: Vec<(String, Vec<Place>)> = {
            let groups = self.groups.borrow();
            let all = groups.iter().map(|(id, entry)| {
                let of_topic = entry.offsets.keys().filter(|(name, _)| name == topic);
                (id.clone(), of_topic.cloned().collect::<Vec<_>>())
            });
            all.filter(|(_, places)| !places.is_empty()).collect()
        };
        for (id, places) in groups {
            if let Err(cause) = self.forget(&id, &places, Remains::Group).await {
                tracing::warn!(group = id, topic, %cause, "cannot remove the offsets of a deleted topic");
            }
        }
    }

    /// Removes offsets of a group that has no members, for an administrator.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`] or [`GroupError::NotEmpty`] above all.
    pub async fn delete_offsets(self: Rc<Self>, id: &str, places: &[Place]) -> Result<(), CoordinatorError> {
        let known: Vec<Place> = {
            let groups = self.groups.borrow();
            let entry = groups.get(id).ok_or(GroupError::UnknownGroup)?;
            if entry.group.state() != GroupState::Empty {
                return Err(GroupError::NotEmpty.into());
            }
            places.iter().filter(|place| entry.offsets.contains_key(place)).cloned().collect()
        };
        if known.is_empty() { Ok(()) } else { self.forget(id, &known, Remains::Group).await }
    }

    /// Removes offsets and, if it is not to remain, the group that keeps none then and has nobody. Commits that come
    /// meanwhile stand.
    async fn forget(
        self: &Rc<Self>,
        id: &str,
        places: &[Place],
        remains: Remains,
    ) -> Result<(), CoordinatorError> {
        let records = {
            let groups = self.groups.borrow();
            let Some(entry) = groups.get(id) else { return Ok(()) };
            let offsets = places.iter().map(|(topic, partition)| offset_tombstone(id, topic, *partition));
            let last = remains == Remains::Nothing && entry.is_idle() && entry.offsets.len() == places.len();
            let group = last.then(|| group_tombstone(id));
            let records: Result<Vec<KeyValue>, _> = offsets.chain(group).collect();
            records.map_err(|_| CoordinatorError::TooLarge)?
        };
        let base = self.append(records).await?;
        let mut groups = self.groups.borrow_mut();
        if let Some(entry) = groups.get_mut(id) {
            for place in places {
                if entry.offsets.get(place).is_some_and(|(at, _)| *at < base) {
                    entry.offsets.remove(place);
                }
            }
            if remains == Remains::Nothing && entry.is_idle() && entry.offsets.is_empty() {
                groups.remove(id);
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Whether the group has nobody, nobody is about to join, and no commit is on its way to the log.
    fn is_idle(&self) -> bool {
        let nobody = self.group.state() == GroupState::Empty && self.group.next_deadline().is_none();
        nobody && Rc::strong_count(&self.committing) == 1
    }

    /// The offsets that were kept for longer than `retention_ms` since the group lost its last member; those of a group
    /// that never had any, since they were committed.
    fn expired(&self, now_ms: Timestamp, retention_ms: i64) -> Vec<Place> {
        let since = self.group.protocol_type().and(self.stored_ms);
        let expired = self.offsets.iter().filter(|(_, (_, committed))| {
            let kept_since = committed.commit_timestamp.max(since.unwrap_or(i64::MIN));
            now_ms.saturating_sub(kept_since) >= retention_ms
        });
        expired.map(|(place, _)| place.clone()).collect()
    }
}
