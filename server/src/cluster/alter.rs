//! Changes to a topic's settings: several at once, all or none.

use super::{
    Image, MetadataRecord, TopicError, is_internal,
    topic_config::{ConfigKind, topic_config},
    validate_name,
};
use std::collections::BTreeMap;

/// What happens to a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It has this value from now on.
    Set(String),
    /// It goes back to its default.
    Reset,
    /// These words, separated by commas, join its list.
    Append(String),
    /// These words, separated by commas, leave its list.
    Subtract(String),
}

/// What a topic's settings change from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigBase {
    /// Those it has: what is not named stays.
    Present,
    /// None: what is not named goes back to its default.
    Defaults,
}

/// The record that changes a topic's settings, each named once. `default` tells the server's default of a setting.
///
/// # Errors
/// [`TopicError`].
pub fn alter_topic(
    image: &Image,
    name: &str,
    base: ConfigBase,
    changes: &[(String, ConfigChange)],
    default: impl Fn(&str) -> Option<String>,
) -> Result<MetadataRecord, TopicError> {
    validate_name(name).map_err(TopicError::InvalidName)?;
    let topic = image.topic(name).ok_or(TopicError::Unknown)?;
    if is_internal(name) {
        return Err(TopicError::Internal(name.to_owned()));
    }
    let mut configs = match base {
        ConfigBase::Present => topic.configs.clone(),
        ConfigBase::Defaults => BTreeMap::new(),
    };
    let mut named = std::collections::BTreeSet::new();
    for (setting, change) in changes {
        if !named.insert(setting) {
            return Err(TopicError::InvalidRequest(format!("{setting} is changed more than once.")));
        }
        let Some(config) = topic_config(setting) else {
            // What nobody can set is at its default already: tools take back what they do not know.
            if *change == ConfigChange::Reset {
                continue;
            }
            return Err(TopicError::InvalidConfig(format!("Unknown topic config name: {setting}")));
        };
        let listed = |change: &dyn Fn(Vec<String>) -> Vec<String>| {
            if !matches!(config.kind, ConfigKind::Words(_) | ConfigKind::Replicas) {
                return Err(TopicError::InvalidConfig(format!("{setting} is not a list.")));
            }
            let present = topic.configs.get(setting).cloned().or_else(|| default(setting));
            Ok(change(words(present.as_deref().unwrap_or(config.default))).join(","))
        };
        let value = match change {
            ConfigChange::Reset => {
                configs.remove(setting);
                continue;
            }
            ConfigChange::Set(value) => value.clone(),
            ConfigChange::Append(more) => listed(&|mut list| {
                list.extend(words(more));
                let mut seen = std::collections::BTreeSet::new();
                list.retain(|word| seen.insert(word.clone()));
                list
            })?,
            ConfigChange::Subtract(less) => listed(&|mut list| {
                let less = words(less);
                list.retain(|word| !less.contains(word));
                list
            })?,
        };
        config.check(&value).map_err(TopicError::InvalidConfig)?;
        configs.insert(setting.clone(), value);
    }
    Ok(MetadataRecord::Topic {
        id: topic.id,
        name: topic.name.clone(),
        partitions: topic.partitions,
        configs,
    })
}

fn words(list: &str) -> Vec<String> {
    list.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_record::TopicId;
    use uuid::Uuid;

    fn image() -> Image {
        let mut image = Image::default();
        let configs = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        for (number, name) in [(1, "a"), (2, "__consumer_offsets")] {
            let id = TopicId(Uuid::from_u128(number));
            image.apply(&MetadataRecord::Topic {
                id,
                name: name.to_owned(),
                partitions: 3,
                configs: configs.clone(),
            });
        }
        image
    }

    fn alter(
        image: &mut Image,
        base: ConfigBase,
        changes: &[(&str, ConfigChange)],
    ) -> Result<Vec<(String, String)>, TopicError> {
        let changes: Vec<_> =
            changes.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
        let record = alter_topic(image, "a", base, &changes, |_| None)?;
        image.apply(&record);
        let topic = image.topic("a").unwrap();
        assert_eq!((topic.id, topic.partitions), (TopicId(Uuid::from_u128(1)), 3), "all else stays");
        Ok(topic.configs.clone().into_iter().collect())
    }

    fn set(value: &str) -> ConfigChange {
        ConfigChange::Set(value.to_owned())
    }

    #[test]
    fn single_settings_change_or_all_of_them() {
        let mut image = image();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let both = alter(&mut image, ConfigBase::Present, &[("segment.bytes", set("2000000"))]).unwrap();
        assert_eq!(both, [pair("retention.ms", "1000"), pair("segment.bytes", "2000000")]);
        let reset = alter(&mut image, ConfigBase::Present, &[("retention.ms", ConfigChange::Reset)]).unwrap();
        assert_eq!(reset, [pair("segment.bytes", "2000000")]);
        let replaced = alter(&mut image, ConfigBase::Defaults, &[("retention.ms", set("7"))]).unwrap();
        assert_eq!(replaced, [pair("retention.ms", "7")]);
    }

    #[test]
    fn lists_grow_and_shrink() {
        let mut image = image();
        let policy =
            |image: &mut Image, change| alter(image, ConfigBase::Defaults, &[("cleanup.policy", change)]);
        let append = |words: &str| ConfigChange::Append(words.to_owned());
        let grown = policy(&mut image, append("compact, delete")).unwrap();
        assert_eq!(grown[0].1, "delete,compact");
        let shrunk = policy(&mut image, ConfigChange::Subtract("delete".to_owned())).unwrap();
        assert_eq!(shrunk[0].1, "compact");
        let refused = alter(&mut image, ConfigBase::Present, &[("retention.ms", append("5"))]);
        assert!(matches!(refused, Err(TopicError::InvalidConfig(_))));
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut image = image();
        let before = image.clone();
        alter(&mut image, ConfigBase::Present, &[("no.such", ConfigChange::Reset)]).unwrap();
        let refused = |image: &mut Image, changes: &[(&str, ConfigChange)]| {
            alter(image, ConfigBase::Present, changes).unwrap_err()
        };
        let unknown = refused(&mut image, &[("segment.ms", set("5")), ("no.such", set("5"))]);
        assert!(matches!(unknown, TopicError::InvalidConfig(_)));
        let wrong = refused(&mut image, &[("segment.ms", set("soon"))]);
        assert!(matches!(wrong, TopicError::InvalidConfig(_)));
        let twice = refused(&mut image, &[("segment.ms", set("5")), ("segment.ms", set("6"))]);
        assert!(matches!(twice, TopicError::InvalidRequest(_)));
        for (name, error) in
            [("b", TopicError::Unknown), ("__consumer_offsets", TopicError::Internal(String::new()))]
        {
            let refused = alter_topic(&image, name, ConfigBase::Present, &[], |_| None).unwrap_err();
            assert_eq!(std::mem::discriminant(&refused), std::mem::discriminant(&error));
        }
        assert_eq!(image, before);
    }
}
