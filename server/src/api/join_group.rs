//! JoinGroup.

use super::{Asker, errors::Code, group_route::on_members_coordinator};
use crate::{
    coordinator::CoordinatorError,
    group::{JoinAnswer, JoinRequest},
};
use millrace_net::kafka::{
    ErrorCode,
    join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember},
};
use std::time::Duration;

/// From this version on a first join is answered with the id to come back with.
const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// From this version on a static leader that came back can be told to keep the assignment.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub(super) async fn answer(asker: &Asker, request: JoinGroupRequest) -> JoinGroupResponse {
    let session_timeout = millis(request.session_timeout_ms);
    let join = JoinRequest {
        member_id: request.member_id.clone(),
        instance_id: request.group_instance_id,
        client_id: asker.client_id.clone(),
        client_host: asker.client_host(),
        session_timeout,
        rebalance_timeout: match request.rebalance_timeout_ms {
            -1 => session_timeout,
            timeout => millis(timeout),
        },
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|protocol| (protocol.name, protocol.metadata)).collect(),
        requires_known_id: asker.version >= MEMBER_ID_REQUIRED_FROM,
    };
    let group = request.group_id.clone();
    let joined = on_members_coordinator(&asker.shard, &request.group_id, move |partition| async move {
        Ok::<_, CoordinatorError>(partition.join(&group, join).await)
    });
    match joined.await {
        Ok(answer) => response(asker.version, answer),
        Err(error) => refused(error.code(), request.member_id),
    }
}

fn response(version: i16, answer: JoinAnswer) -> JoinGroupResponse {
    // An older leader can't be told to skip. It is told that its former self leads, and of no members: as a follower it
    // asks for its assignment and disturbs nobody.
    let keeps = answer.former_leader.filter(|_| version < SKIP_ASSIGNMENT_FROM);
    let (leader, members, skip_assignment) = match keeps {
        Some(former) => (former, Vec::new(), false),
        None => (answer.leader, answer.members, answer.skip_assignment),
    };
    let members = members.into_iter().map(|(member_id, group_instance_id, metadata)| {
        JoinGroupResponseMember { member_id, group_instance_id, metadata }
    });
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: answer.error.map_or(ErrorCode::NONE, |error| error.code()),
        generation_id: answer.generation,
        protocol_type: answer.protocol_type,
        protocol_name: answer.protocol.or_else(|| (version < 7).then(String::new)),
        leader,
        skip_assignment,
        member_id: answer.member_id,
        members: members.collect(),
    }
}

fn refused(error_code: ErrorCode, member_id: String) -> JoinGroupResponse {
    JoinGroupResponse { error_code, member_id, ..Default::default() }
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It would assign otherwise, and disturb a group in which nothing changed.
    #[test]
    fn an_older_leader_that_came_back_takes_its_former_self_for_the_leader() {
        let answer = JoinAnswer {
            error: None,
            generation: 3,
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            leader: "new".to_owned(),
            skip_assignment: true,
            former_leader: Some("old".to_owned()),
            member_id: "new".to_owned(),
            members: vec![("new".to_owned(), None, bytes::Bytes::new())],
        };
        let older = response(8, answer.clone());
        assert_eq!((older.leader.as_str(), older.skip_assignment, older.members.len()), ("old", false, 0));
        let newer = response(9, answer.clone());
        assert_eq!((newer.leader.as_str(), newer.skip_assignment, newer.members.len()), ("new", true, 1));
        let usual = JoinAnswer { skip_assignment: false, former_leader: None, ..answer };
        let leads = response(5, usual);
        assert_eq!((leads.leader.as_str(), leads.members.len()), ("new", 1), "who leads as usual assigns");
    }
}
