//! Topics are named by name in older versions and by id in newer ones.

use crate::cluster::Topic;
use crate::shard::Context;
use millrace_record::TopicId;
use uuid::Uuid;

/// The topic of a name, or of an id where the name is empty.
pub(super) fn find(shard: &Context, name: &str, id: Uuid) -> Option<Topic> {
    let image = shard.image();
    if name.is_empty() { image.topic_by_id(TopicId(id)).cloned() } else { image.topic(name).cloned() }
}
