//! Choosing the protocol of a generation: of those that every member can do, the one that most members like best.

use super::{Member, Replies};
use std::collections::BTreeMap;

/// The names that all `members` support, in the order of the first member's preference.
fn common<'a, R: Replies + 'a>(members: impl Iterator<Item = &'a Member<R>> + Clone) -> Vec<&'a str> {
    let Some(first) = members.clone().next() else { return Vec::new() };
    first
        .protocols
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| members.clone().all(|member| member.supports(name)))
        .collect()
}

/// Whether `candidates` has something that all `members` support. True of a group without members.
pub(super) fn compatible<'a, R: Replies + 'a>(
    members: impl Iterator<Item = &'a Member<R>> + Clone,
    candidates: &[(String, bytes::Bytes)],
) -> bool {
    let mut none = true;
    let all = candidates.iter().any(|(name, _)| {
        members.clone().all(|member| {
            none = false;
            member.supports(name)
        })
    });
    all || (none && !candidates.is_empty())
}

/// The protocol of the next generation: each member votes for the first it lists of those that all support; ties go to
/// the first member's preference. `None` if there are no members, or they have nothing in common.
pub(super) fn choose<'a, R: Replies + 'a>(
    members: impl Iterator<Item = &'a Member<R>> + Clone,
) -> Option<String> {
    let candidates = common(members.clone());
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members {
        let vote = member.protocols.iter().find(|(name, _)| candidates.contains(&name.as_str()));
        if let Some((name, _)) = vote {
            *votes.entry(name).or_default() += 1;
        }
    }
    let most = *votes.values().max()?;
    candidates.into_iter().find(|name| votes.get(name) == Some(&most)).map(str::to_owned)
}
