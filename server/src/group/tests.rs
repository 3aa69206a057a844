//! The group driven by scripted members, and by random ones whose laws are checked after every step.

use super::*;
use bytes::Bytes;
use millrace_runtime::Instant;
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

/// Requests are told apart by numbers.
#[derive(Debug)]
struct Numbered;

impl Replies for Numbered {
    type Join = u32;
    type Sync = u32;
}

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn new_group() -> Group<Numbered> {
    Group::new(
        "g".to_owned(),
        Timeouts { session_min: SECOND, session_max: 100 * SECOND, initial_rebalance_delay: 3 * SECOND },
    )
}

fn request(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: 10 * SECOND,
        rebalance_timeout: 60 * SECOND,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"m"))],
        requires_known_id: false,
    }
}

fn sync_request(member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> SyncRequest {
    SyncRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(id, what)| ((*id).to_owned(), Bytes::copy_from_slice(what.as_bytes())))
            .collect(),
    }
}

/// The joins answered since the last call, in order.
fn joins(group: &mut Group<Numbered>) -> Vec<(u32, JoinAnswer)> {
    let effects = group.take_effects().into_iter();
    effects
        .filter_map(|effect| match effect {
            Effect::Join(reply, answer) => Some((reply, answer)),
            Effect::Sync(..) | Effect::Store(..) => None,
        })
        .collect()
}

/// The syncs answered since the last call.
fn syncs(group: &mut Group<Numbered>) -> Vec<(u32, SyncAnswer)> {
    let effects = group.take_effects().into_iter();
    effects
        .flat_map(|effect| match effect {
            Effect::Sync(reply, answer) => vec![(reply, answer)],
            Effect::Store(answers) => answers,
            Effect::Join(..) => Vec::new(),
        })
        .collect()
}

/// Two members in generation 1, stable. Their ids, leader first.
fn pair(group: &mut Group<Numbered>) -> (String, String) {
    group.join(request(""), 1, at(0));
    group.join(request(""), 2, at(0));
    group.tick(at(3));
    let answers = joins(group);
    assert_eq!(answers.len(), 2);
    let leader = answers[0].1.leader.clone();
    let other = answers.iter().map(|(_, answer)| answer.member_id.clone()).find(|id| *id != leader).unwrap();
    group.sync(sync_request(&other, 1, &[]), 3, at(3));
    assert!(syncs(group).is_empty(), "the follower waits for the leader");
    group.sync(sync_request(&leader, 1, &[(&leader, "a"), (&other, "b")]), 4, at(3));
    assert_eq!(syncs(group).len(), 2);
    (leader, other)
}

#[test]
fn two_members_share_and_the_leader_assigns() {
    let mut group = new_group();
    group.join(request(""), 1, at(0));
    group.join(request(""), 2, at(2));
    group.tick(at(4));
    assert!(joins(&mut group).is_empty(), "the second join prolonged the gathering");
    group.tick(at(5));
    let answers = joins(&mut group);
    let leader = answers[0].1.leader.clone();
    for (_, answer) in &answers {
        assert_eq!((answer.error, answer.generation), (None, 1));
        assert_eq!(answer.members.len(), if answer.member_id == leader { 2 } else { 0 });
        assert_eq!(answer.protocol.as_deref(), Some("range"));
    }
    assert_eq!(group.state(), GroupState::CompletingRebalance);
}

#[test]
fn assignments_are_stored_before_they_are_told() {
    let mut group = new_group();
    group.join(request(""), 1, at(0));
    group.tick(at(3));
    let id = joins(&mut group)[0].1.member_id.clone();
    group.sync(sync_request(&id, 1, &[(&id, "mine")]), 2, at(3));
    let effects = group.take_effects();
    let [Effect::Store(answers)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(answers[0].1.assignment, "mine");
}

#[test]
fn a_newcomer_makes_everyone_join_again() {
    let mut group = new_group();
    let (leader, other) = pair(&mut group);
    group.join(request(""), 9, at(4));
    assert_eq!(group.heartbeat(&leader, None, 1, at(4)), Err(GroupError::RebalanceInProgress));
    group.join(request(&leader), 10, at(5));
    assert!(joins(&mut group).is_empty(), "one is missing");
    group.join(request(&other), 11, at(5));
    let answers = joins(&mut group);
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|(_, answer)| answer.generation == 2));
    assert_eq!(answers[0].1.leader, leader, "the leader keeps its office");
    assert_eq!(group.heartbeat(&other, None, 1, at(5)), Err(GroupError::IllegalGeneration));
}

#[test]
fn a_silent_member_is_thrown_out_and_the_rest_rebalances() {
    let mut group = new_group();
    let (leader, other) = pair(&mut group);
    group.heartbeat(&other, None, 1, at(12)).unwrap();
    assert_eq!(group.next_deadline(), Some(at(13)));
    group.tick(at(13));
    assert_eq!(group.heartbeat(&other, None, 1, at(13)), Err(GroupError::RebalanceInProgress));
    assert_eq!(group.heartbeat(&leader, None, 1, at(13)), Err(GroupError::UnknownMember));
    group.join(request(&other), 20, at(14));
    let answers = joins(&mut group);
    assert_eq!((answers.len(), answers[0].1.generation, &answers[0].1.leader), (1, 2, &other));
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_out() {
    let mut group = new_group();
    let (leader, other) = pair(&mut group);
    group.join(request(""), 9, at(4));
    group.join(request(&other), 10, at(4));
    for second in [10, 20, 30, 40, 50, 60] {
        // It heartbeats, but does not join.
        assert!(group.heartbeat(&leader, None, 1, at(second)).is_err());
        group.tick(at(second));
    }
    assert!(joins(&mut group).is_empty());
    group.tick(at(64));
    assert_eq!(joins(&mut group).len(), 2);
    assert_eq!(group.heartbeat(&leader, None, 2, at(64)), Err(GroupError::UnknownMember));
}

#[test]
fn a_leader_that_never_assigns_is_out() {
    let mut group = new_group();
    group.join(request(""), 1, at(0));
    group.join(request(""), 2, at(0));
    group.tick(at(3));
    let answers = joins(&mut group);
    let leader = answers[0].1.leader.clone();
    let other = answers.iter().map(|(_, a)| a.member_id.clone()).find(|id| *id != leader).unwrap();
    group.sync(sync_request(&other, 1, &[]), 3, at(3));
    for second in 4..63 {
        assert_eq!(group.heartbeat(&leader, None, 1, at(second)), Ok(()));
        group.tick(at(second));
    }
    group.tick(at(63));
    assert_eq!(syncs(&mut group)[0].1.error, Some(GroupError::RebalanceInProgress));
    group.join(request(&other), 4, at(64));
    let again = joins(&mut group);
    assert_eq!((again[0].1.generation, &again[0].1.leader), (2, &other));
}

#[test]
fn new_clients_come_back_with_the_id_they_are_given() {
    let mut group = new_group();
    let first = JoinRequest { requires_known_id: true, ..request("") };
    group.join(first.clone(), 1, at(0));
    let (_, answer) = joins(&mut group).remove(0);
    assert_eq!(answer.error, Some(GroupError::MemberIdRequired));
    assert!(answer.member_id.starts_with("client-"));
    group.join(JoinRequest { member_id: answer.member_id, ..first.clone() }, 2, at(1));
    group.tick(at(4));
    assert_eq!(joins(&mut group)[0].1.error, None);
    // An id that was handed out and never used lapses, and holds nobody up for ever.
    group.join(first, 3, at(5));
    assert_eq!(joins(&mut group).len(), 1);
    group.tick(at(15));
    assert!(group.pending.is_empty());
}

#[test]
fn a_static_member_that_restarts_keeps_its_assignment_and_fences_its_former_self() {
    let mut group = new_group();
    let fixed = JoinRequest { instance_id: Some("i".to_owned()), ..request("") };
    group.join(fixed.clone(), 1, at(0));
    group.tick(at(3));
    let id = joins(&mut group)[0].1.member_id.clone();
    group.sync(
        SyncRequest { instance_id: Some("i".to_owned()), ..sync_request(&id, 1, &[(&id, "x")]) },
        2,
        at(3),
    );
    assert_eq!(syncs(&mut group).len(), 1);
    group.join(fixed, 3, at(4));
    let answer = joins(&mut group).remove(0).1;
    assert_eq!((answer.error, answer.generation, answer.skip_assignment), (None, 1, true));
    assert_eq!(answer.former_leader.as_ref(), Some(&id), "for leaders that can't be told to skip");
    assert_ne!(answer.member_id, id);
    assert_eq!(group.heartbeat(&id, Some("i"), 1, at(4)), Err(GroupError::FencedInstanceId));
    let again = SyncRequest { instance_id: Some("i".to_owned()), ..sync_request(&answer.member_id, 1, &[]) };
    group.sync(again, 4, at(4));
    assert_eq!(syncs(&mut group)[0].1.assignment, "x");
}

#[test]
fn protocols_must_have_something_in_common_and_the_favourite_wins() {
    let mut group = new_group();
    let with = |names: &[&str]| JoinRequest {
        protocols: names.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect(),
        ..request("")
    };
    group.join(with(&["range", "sticky"]), 1, at(0));
    group.join(with(&["other"]), 2, at(0));
    assert_eq!(joins(&mut group)[0].1.error, Some(GroupError::InconsistentProtocol));
    group.join(with(&["sticky", "range"]), 3, at(0));
    group.join(with(&["sticky"]), 4, at(0));
    group.tick(at(3));
    assert_eq!(joins(&mut group)[0].1.protocol.as_deref(), Some("sticky"));
    group.join(JoinRequest { protocol_type: "connect".to_owned(), ..with(&["sticky"]) }, 5, at(4));
    assert_eq!(joins(&mut group)[0].1.error, Some(GroupError::InconsistentProtocol));
}

#[test]
fn commits_are_fenced_by_generation_and_membership() {
    let mut group = new_group();
    assert_eq!(group.check_commit("", None, -1, at(0)), Ok(()), "a consumer that assigns itself");
    assert_eq!(group.check_commit("x", None, -1, at(0)), Ok(()), "whatever it calls itself");
    assert_eq!(group.check_commit("x", None, 1, at(0)), Err(GroupError::UnknownMember), "it left");
    let (leader, other) = pair(&mut group);
    assert_eq!(group.check_commit(&leader, None, -1, at(4)), Err(GroupError::IllegalGeneration));
    assert_eq!(group.check_commit(&leader, None, 1, at(4)), Ok(()));
    assert_eq!(group.check_commit(&leader, None, 0, at(4)), Err(GroupError::IllegalGeneration));
    assert_eq!(group.check_commit("", None, -1, at(4)), Err(GroupError::UnknownMember));
    group.leave(&other, None, at(5)).unwrap();
    assert_eq!(group.check_commit(&other, None, 1, at(5)), Err(GroupError::UnknownMember));
    assert_eq!(group.check_commit(&leader, None, 1, at(5)), Ok(()), "the last words of a generation");
}

#[test]
fn the_last_member_leaves_an_empty_group_that_is_stored() {
    let mut group = new_group();
    let (leader, other) = pair(&mut group);
    group.leave(&leader, None, at(4)).unwrap();
    group.leave(&other, None, at(4)).unwrap();
    assert_eq!(group.state(), GroupState::Empty);
    assert!(group.take_effects().iter().any(|effect| matches!(effect, Effect::Store(_))));
    assert_eq!(group.leave(&other, None, at(4)), Err(GroupError::UnknownMember));
}

#[test]
fn a_restored_group_goes_on_without_a_rebalance() {
    let mut group = new_group();
    let (leader, other) = pair(&mut group);
    let mut again = new_group();
    again.restore(
        group.generation(),
        group.protocol_type().map(str::to_owned),
        group.protocol().map(str::to_owned),
        group.leader().map(str::to_owned),
        group.members(),
        at(100),
    );
    assert_eq!(again.heartbeat(&other, None, 1, at(101)), Ok(()));
    again.sync(sync_request(&leader, 1, &[]), 7, at(101));
    assert_eq!(syncs(&mut again)[0].1.assignment, "a");
    assert_eq!(again.members(), group.members());
}

#[derive(Clone, Debug)]
enum Step {
    Join { known: usize, fixed: bool },
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6usize, any::<bool>()).prop_map(|(known, fixed)| Step::Join { known, fixed }),
        (0..6usize).prop_map(Step::Sync),
        (0..6usize).prop_map(Step::Heartbeat),
        (0..6usize).prop_map(Step::Leave),
        (1..20u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Every request is answered once, at the latest when time passes; generations never go back; at most one leader.
    #[test]
    fn every_request_is_answered_once(steps in steps()) {
        let mut group = new_group();
        let mut ids: Vec<String> = Vec::new();
        let (mut asked, mut answered) = (0u32, BTreeSet::new());
        let mut now = 0;
        let mut generation = 0;
        for step in steps.into_iter().chain((0..40).map(|_| Step::Wait(10))) {
            let known = |index: usize| ids.get(index).cloned().unwrap_or_default();
            match step {
                Step::Join { known: index, fixed } => {
                    asked += 1;
                    let instance_id = fixed.then(|| format!("i{index}"));
                    let member_id = if fixed { String::new() } else { known(index) };
                    group.join(JoinRequest { instance_id, ..request(&member_id) }, asked, at(now));
                }
                Step::Sync(index) => {
                    asked += 1;
                    let everyone: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "p")).collect();
                    group.sync(sync_request(&known(index), group.generation(), &everyone), asked, at(now));
                }
                Step::Heartbeat(index) => {
                    // Whatever it answers, it must not disturb what others wait for.
                    group.heartbeat(&known(index), None, group.generation(), at(now)).ok();
                }
                Step::Leave(index) => {
                    group.leave(&known(index), None, at(now)).ok();
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    group.tick(at(now));
                }
            }
            for effect in group.take_effects() {
                let replies: Vec<u32> = match effect {
                    Effect::Join(reply, answer) => {
                        if answer.error.is_none() {
                            prop_assert_eq!(answer.generation, group.generation());
                            if !ids.contains(&answer.member_id) { ids.push(answer.member_id); }
                        }
                        vec![reply]
                    }
                    Effect::Sync(reply, _) => vec![reply],
                    Effect::Store(answers) => answers.into_iter().map(|(reply, _)| reply).collect(),
                };
                for reply in replies {
                    prop_assert!(answered.insert(reply), "request {} was answered twice", reply);
                }
            }
            prop_assert!(group.generation() >= generation);
            generation = group.generation();
            if group.state() == GroupState::Stable {
                prop_assert!(group.leader().is_some_and(|leader| group.members.contains_key(leader)));
            }
        }
        prop_assert_eq!(answered.len(), asked as usize, "all were answered in the end");
        prop_assert_eq!(group.state(), GroupState::Empty, "everybody was silent for 400 s");
    }
}
