//! Folders that nobody knows: set aside, never removed.

use super::{Recovered, list};
use crate::{
    dirs::{DataDir, DataDirs},
    error::{Damage, IoError},
    key::{LogKey, LogKind, STAGED_FOLDER},
};
use millrace_record::TopicId;
use millrace_runtime::fs;
use std::{collections::BTreeSet, path::Path};

/// Why unknown folders can't be set aside.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetAsideError {
    /// The topic is known, but no journal knows this log of it: its journal is lost.
    #[error("{0}")]
    Stray(Damage),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// The folder of every log, and in which data directory it is.
pub(super) async fn folders(dirs: &DataDirs) -> Result<BTreeSet<(usize, LogKey)>, IoError> {
    let mut found = BTreeSet::new();
    for index in 0..dirs.partition_dirs() {
        let topics = dirs.dir(index).topics();
        for topic in list(&topics).await? {
            let Ok(id) = topic.name.parse::<TopicId>() else { continue };
            let folder = topics.join(&topic.name);
            let partitions = list(&folder).await?;
            if partitions.is_empty() {
                // Left by the removal of its last partition.
                fs::remove_dir_all(&folder).await.map_err(IoError::on("remove", &folder))?;
            }
            for partition in partitions {
                let Ok(number) = partition.name.parse::<i32>() else { continue };
                let data = LogKey::data(id, number);
                found.insert((index, data));
                let staged = folder.join(&partition.name).join(STAGED_FOLDER);
                if fs::exists(&staged).await.map_err(IoError::on("look for", &staged))? {
                    found.insert((index, data.with_kind(LogKind::Staged)));
                }
            }
        }
    }
    Ok(found)
}

/// Topics that an earlier start has set aside.
pub(super) async fn set_aside_before(dirs: &DataDirs) -> Result<BTreeSet<TopicId>, IoError> {
    let mut found = BTreeSet::new();
    for dir in dirs.all() {
        for entry in list(&dir.orphans()).await? {
            let id = entry.name.get(..22).and_then(|name| name.parse::<TopicId>().ok());
            found.extend(id);
        }
    }
    Ok(found)
}

impl Recovered {
    /// Moves the folders of topics that are not known away, into `orphans`, and forgets their logs. Returns the topics.
    ///
    /// # Errors
    /// [`SetAsideError`]: among others if a known topic has a folder that no journal knows.
    pub async fn set_aside(
        &mut self,
        is_known: impl Fn(TopicId) -> bool,
    ) -> Result<Vec<TopicId>, SetAsideError> {
        let mut unknown = BTreeSet::new();
        for log in self.logs.values() {
            unknown.insert((log.dir, log.key.topic));
        }
        for &(dir, key) in &self.strays {
            if is_known(key.topic) && self.has_files(dir, key).await? {
                let folder = self.dirs.dir(dir).folder(&key);
                let what =
                    "no journal knows this log, though its topic exists: was a journal device replaced?";
                return Err(SetAsideError::Stray(Damage::new(&folder, 0, what)));
            }
            unknown.insert((dir, key.topic));
        }
        unknown.retain(|(_, topic)| !is_known(*topic));
        for &(dir, topic) in &unknown {
            move_away(self.dirs.dir(dir), topic, self.generation).await?;
        }
        self.logs.retain(|key, _| is_known(key.topic));
        self.strays.clear();
        let topics: BTreeSet<_> = unknown.into_iter().map(|(_, topic)| topic).collect();
        Ok(topics.into_iter().collect())
    }

    /// Whether a log's folder holds anything but a staged log's folder.
    async fn has_files(&self, dir: usize, key: LogKey) -> Result<bool, IoError> {
        let entries = list(&self.dirs.dir(dir).folder(&key)).await?;
        Ok(entries.iter().any(|entry| !entry.is_dir))
    }
}

async fn move_away(dir: &DataDir, topic: TopicId, generation: u64) -> Result<(), IoError> {
    let (topics, orphans) = (dir.topics(), dir.orphans());
    let from = topics.join(topic.to_string());
    if !fs::exists(&from).await.map_err(IoError::on("look for", &from))? {
        return Ok(());
    }
    let mut to = orphans.join(format!("{topic}-{generation}"));
    let mut again = 1;
    while fs::exists(&to).await.map_err(IoError::on("look for", &to))? {
        again += 1;
        to = orphans.join(format!("{topic}-{generation}-{again}"));
    }
    tracing::warn!(from = %from.display(), to = %to.display(), "setting an unknown topic aside");
    fs::rename(&from, &to).await.map_err(IoError::on("rename", &from))?;
    let parents: [&Path; 2] = [&orphans, &topics];
    for parent in parents {
        fs::sync_dir(parent).await.map_err(IoError::on("sync", parent))?;
    }
    Ok(())
}
