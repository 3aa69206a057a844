"""Classic consumer groups and their offsets."""

import uuid

from kafka.protocol.consumer import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata import FindCoordinatorRequest

from exchange import exchange
from wire import Connection

UNKNOWN_ID = uuid.UUID("11111111-2222-3333-4444-555555555555")


@exchange
def find_coordinator(x):
    group = x.coordinator()
    for version in range(7):
        keys = {"key": group} if version < 4 else {"coordinator_keys": [group, x.unique("other")]}
        x.ask(f"version {version}", FindCoordinatorRequest, version, keys | ({"key_type": 0} if version else {}))
    x.ask("an empty group", FindCoordinatorRequest, 2, {"key": "", "key_type": 0})
    x.ask("no keys", FindCoordinatorRequest, 4, {"coordinator_keys": [], "key_type": 0})
    x.ask("an unknown kind", FindCoordinatorRequest, 2, {"key": group, "key_type": 9})


def join(group, member="", version=3, **fields):
    asked = {"group_id": group, "session_timeout_ms": 30_000, "member_id": member, "protocol_type": "consumer"}
    asked |= {"protocols": [{"name": "range", "metadata": b"subscription"}]}
    if version >= 1:
        asked["rebalance_timeout_ms"] = 30_000
    return asked | fields


def sync(group, member, generation, version=2, **fields):
    assignments = [{"member_id": member, "assignment": b"assignment"}]
    asked = {"group_id": group, "generation_id": generation, "member_id": member, "assignments": assignments}
    if version >= 5:
        asked |= {"protocol_type": "consumer", "protocol_name": "range"}
    return asked | fields


def beat(group, member, generation):
    return {"group_id": group, "generation_id": generation, "member_id": member}


def leave(group, member, version):
    if version < 3:
        return {"group_id": group, "member_id": member}
    return {"group_id": group, "members": [{"member_id": member, "group_instance_id": None}]}


@exchange
def join_versions(x):
    x.coordinator()
    for version in range(10):
        group = x.unique(f"v{version}")
        answer = x.ask(f"first, version {version}", JoinGroupRequest, version, join(group, version=version))
        if answer.error_code:
            again = join(group, answer.member_id, version)
            answer = x.ask(f"with the id that it gave, version {version}", JoinGroupRequest, version, again)
        version = min(version, 5)
        fields = sync(group, answer.member_id, answer.generation_id, version)
        x.ask(f"sync, joined as {group.split('.')[2]}", SyncGroupRequest, version, fields)
        x.quiet(LeaveGroupRequest, 1, leave(group, answer.member_id, 1))


@exchange
def join_wrongly(x):
    group = x.coordinator()
    for version in [1, 4, 9]:
        x.ask(f"an unknown member, version {version}", JoinGroupRequest, version, join(group, "nobody", version))
    x.ask("an empty group", JoinGroupRequest, 3, join(""))
    x.ask("too short a session", JoinGroupRequest, 3, join(group, session_timeout_ms=1))
    x.ask("too long a session", JoinGroupRequest, 3, join(group, session_timeout_ms=2**31 - 1))
    x.ask("no protocols", JoinGroupRequest, 3, join(group, protocols=[]))
    x.ask("an empty protocol type", JoinGroupRequest, 3, join(group, protocol_type=""))
    x.member(group)
    with Connection(x.bootstrap) as other:
        fields = join(group, protocols=[{"name": "other", "metadata": b""}])
        x.note("no protocol in common", x.normalizer.answer(other.ask(JoinGroupRequest, 3, fields)))
        fields = join(group, protocol_type="connect")
        x.note("another protocol type", x.normalizer.answer(other.ask(JoinGroupRequest, 3, fields)))


@exchange
def sync_and_heartbeat(x):
    group = x.coordinator()
    member, generation = x.member(group)
    for version in range(5):
        x.ask(f"heartbeat, version {version}", HeartbeatRequest, version, beat(group, member, generation))
    for version in range(6):
        x.ask(f"sync again, version {version}", SyncGroupRequest, version, sync(group, member, generation, version))
    for name, request, fields in [
        ("heartbeat", HeartbeatRequest, beat),
        ("sync", SyncGroupRequest, sync),
    ]:
        x.ask(f"{name}, generation ahead", request, 2, fields(group, member, generation + 1))
        x.ask(f"{name}, generation behind", request, 2, fields(group, member, generation - 1))
        x.ask(f"{name}, an unknown member", request, 2, fields(group, "nobody", generation))
        x.ask(f"{name}, an unknown group", request, 2, fields(x.unique("never"), member, generation))
        x.ask(f"{name}, an empty group", request, 2, fields("", member, generation))
    x.ask(
        "sync, another protocol type", SyncGroupRequest, 5, sync(group, member, generation, 5, protocol_type="connect")
    )
    x.ask("sync, another protocol", SyncGroupRequest, 5, sync(group, member, generation, 5, protocol_name="other"))


@exchange
def rebalance(x):
    """A second member comes; the first learns of it by its heartbeat, and both join the next generation."""
    group = x.coordinator()
    first, generation = x.member(group)
    with Connection(x.bootstrap) as other:
        other.send(other.encode(JoinGroupRequest, 3, join(group)))

        def noticed():
            answer = x.quiet(HeartbeatRequest, 2, beat(group, first, generation))
            return x.normalizer.answer(answer) if answer.error_code else None

        x.note("heartbeat", x.until("the rebalance", noticed))
        x.ask("sync", SyncGroupRequest, 2, sync(group, first, generation))
        x.ask("commit", OffsetCommitRequest, 7, commit(group, x.topic()[0], 1, first, generation))
        joined = x.quiet(JoinGroupRequest, 3, join(group, first))
        second = other.answer(JoinGroupRequest, 3)
        x.note("both are of one generation", joined.generation_id == second.generation_id == generation + 1)
        x.note("both name one leader", joined.leader == second.leader)
        leader, follower = (joined, second) if joined.leader == joined.member_id else (second, joined)
        x.note("the leader has the members", [len(leader.members), len(follower.members)])
        x.note("the first stays leader", joined.leader == first)

        # The follower's sync waits for the leader's.
        waiting, acting = (other, x.connection) if leader is joined else (x.connection, other)
        waiting.send(
            waiting.encode(SyncGroupRequest, 2, sync(group, follower.member_id, generation + 1, assignments=[]))
        )
        assignments = [{"member_id": m.member_id, "assignment": m.member_id.encode()} for m in leader.members]
        fields = sync(group, leader.member_id, generation + 1, assignments=assignments)
        own = acting.ask(SyncGroupRequest, 2, fields)
        got = waiting.answer(SyncGroupRequest, 2)
        x.note(
            "each got its own assignment",
            [own.assignment == leader.member_id.encode(), got.assignment == follower.member_id.encode()],
        )
        x.ask("heartbeat of the old generation", HeartbeatRequest, 2, beat(group, first, generation))
        x.quiet(LeaveGroupRequest, 1, leave(group, second.member_id, 1))
        x.note(
            "heartbeat after the other left",
            x.until("the next rebalance", lambda: last(x, group, first, generation + 1)),
        )


def last(x, group, member, generation):
    answer = x.quiet(HeartbeatRequest, 2, beat(group, member, generation))
    return x.normalizer.answer(answer) if answer.error_code else None


@exchange
def leave_group(x):
    x.coordinator()
    for version in range(6):
        group = x.unique(f"v{version}")
        member, generation = x.member(group)
        x.ask(f"version {version}", LeaveGroupRequest, version, leave(group, member, version))
        x.ask(f"again, version {version}", LeaveGroupRequest, version, leave(group, member, version))
        x.ask(f"heartbeat afterwards, version {version}", HeartbeatRequest, 2, beat(group, member, generation))
    x.ask("an unknown group", LeaveGroupRequest, 3, leave(x.unique("never"), "nobody", 3))
    x.ask("an empty group", LeaveGroupRequest, 3, leave("", "nobody", 3))


@exchange
def static_membership(x):
    """A member that joins again under its name replaces itself, and its old id is fenced."""
    group = x.coordinator()
    named = {"group_instance_id": "one"}
    joined = x.ask("first", JoinGroupRequest, 5, join(group, version=5, **named))
    fields = sync(group, joined.member_id, joined.generation_id, 3, **named)
    x.ask("sync", SyncGroupRequest, 3, fields)
    again = x.ask("again without its id", JoinGroupRequest, 5, join(group, version=5, **named))
    x.note("the generation stays", joined.generation_id == again.generation_id)
    old = beat(group, joined.member_id, joined.generation_id) | named
    x.ask("heartbeat of the old id", HeartbeatRequest, 3, old)
    x.ask("heartbeat of the new id", HeartbeatRequest, 3, old | {"member_id": again.member_id})
    x.ask(
        "heartbeat under another name",
        HeartbeatRequest,
        3,
        old | {"member_id": again.member_id, "group_instance_id": "two"},
    )
    removed = {"group_id": group, "members": [{"member_id": "", "group_instance_id": "one"}]}
    x.ask("removed by name", LeaveGroupRequest, 3, removed)
    x.ask("removed again", LeaveGroupRequest, 3, removed)


def commit(group, topic, offset=5, member="", generation=-1, partition=0, metadata="", topic_id=None, **fields):
    name = {"name": topic} if topic_id is None else {"topic_id": topic_id}
    asked = {"partition_index": partition, "committed_offset": offset, "committed_metadata": metadata}
    asked = {
        "group_id": group,
        "generation_id_or_member_epoch": generation,
        "member_id": member,
        "topics": [name | {"partitions": [asked]}],
    }
    return asked | fields


@exchange
def commit_versions(x):
    group = x.coordinator()
    topic, topic_id = x.topic()
    for version in range(2, 11):
        fields = commit(group, topic, version, metadata=f"v{version}", topic_id=topic_id if version >= 10 else None)
        x.ask(f"commit, version {version}", OffsetCommitRequest, version, fields)
    for version in range(1, 11):
        x.ask(f"fetch, version {version}", OffsetFetchRequest, version, asked(group, topic, version, topic_id))
        if version >= 2:
            x.ask(f"fetch all, version {version}", OffsetFetchRequest, version, asked(group, None, version))


def asked(group, topic, version, topic_id=None, partitions=(0,)):
    name = {"name": topic} if version < 10 else {"topic_id": topic_id}
    topics = None if topic is None else [name | {"partition_indexes": list(partitions)}]
    return {"group_id": group, "topics": topics} if version < 8 else {"groups": [{"group_id": group, "topics": topics}]}


@exchange
def commit_as_member(x):
    group = x.coordinator()
    topic, _ = x.topic()
    member, generation = x.member(group)
    for step, fields in {
        "right": commit(group, topic, 5, member, generation),
        "generation ahead": commit(group, topic, 5, member, generation + 1),
        "generation behind": commit(group, topic, 5, member, generation - 1),
        "an unknown member": commit(group, topic, 5, "nobody", generation),
        "no member, while there are members": commit(group, topic, 5),
        "a member without generation": commit(group, topic, 5, member, -1),
    }.items():
        x.ask(step, OffsetCommitRequest, 7, fields)
    x.quiet(LeaveGroupRequest, 1, leave(group, member, 1))
    x.ask("after it left", OffsetCommitRequest, 7, commit(group, topic, 6, member, generation))
    x.ask("no member, when there is none", OffsetCommitRequest, 7, commit(group, topic, 4))
    x.ask("what was kept", OffsetFetchRequest, 7, asked(group, topic, 7))


@exchange
def commit_oddly(x):
    group = x.coordinator()
    topic, _ = x.topic()
    for step, fields in {
        "an unknown topic": commit(group, x.unique("never")),
        "an unknown partition": commit(group, topic, partition=5),
        "an empty group": commit("", topic),
        "a generation for a group that is not there": commit(x.unique("fresh"), topic, generation=3),
        "a member for a group that is not there": commit(x.unique("fresh"), topic, member="nobody"),
        "metadata of 4096 bytes": commit(group, topic, metadata="x" * 4096),
        "metadata of 4097 bytes": commit(group, topic, metadata="x" * 4097),
        "null metadata": commit(group, topic, metadata=None),
        "an offset beyond the end": commit(group, topic, 10**12),
        "nothing": commit(group, topic, topics=[]),
    }.items():
        x.ask(step, OffsetCommitRequest, 7, fields)
    x.ask("an unknown id", OffsetCommitRequest, 10, commit(group, topic, topic_id=UNKNOWN_ID))
    x.ask("what was kept", OffsetFetchRequest, 7, asked(group, topic, 7))


@exchange
def fetch_offsets_of_unknown(x):
    group = x.coordinator()
    topic, topic_id = x.topic()
    for version in [1, 5, 7, 8, 9]:
        never = x.unique("never")
        x.ask(f"an unknown group, version {version}", OffsetFetchRequest, version, asked(never, topic, version))
        x.ask(f"an unknown topic, version {version}", OffsetFetchRequest, version, asked(group, never, version))
    x.ask("partitions that are not there", OffsetFetchRequest, 7, asked(group, topic, 7, partitions=(0, 5)))
    x.ask("an empty group", OffsetFetchRequest, 7, asked("", topic, 7))
    x.ask("an unknown id", OffsetFetchRequest, 10, asked(group, topic, 10, UNKNOWN_ID))
    x.quiet(OffsetCommitRequest, 7, commit(group, topic, 3))
    several = {"groups": [asked(g, topic, 8)["groups"][0] for g in (group, x.unique("never"))]}
    x.ask("several groups", OffsetFetchRequest, 8, several)
    x.ask("stable offsets only", OffsetFetchRequest, 8, several | {"require_stable": True})
    member = {"groups": [asked(group, topic, 9)["groups"][0] | {"member_id": "nobody", "member_epoch": 3}]}
    x.ask("as a member that is none", OffsetFetchRequest, 9, member)
