"""What administrators ask: settings that change, groups that are listed, described and deleted, records that are deleted."""

from kafka.protocol.admin import (
    AlterConfigsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    IncrementalAlterConfigsRequest,
    ListGroupsRequest,
)
from kafka.protocol.api_message import ApiMessage
from kafka.protocol.consumer import LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest
from kafka.protocol.sasl import SaslHandshakeRequest

import batch
from exchange import exchange

TOPIC, BROKER = 2, 4
SET, RESET, APPEND, SUBTRACT = range(4)


class OffsetDeleteRequest(ApiMessage):
    """kafka-python has its schema, and no use for it."""


class OffsetDeleteResponse(ApiMessage):
    """As above."""


def settings(x, step, topic):
    """The settings that a topic has, once the broker has taken a change up."""
    asked = {"resource_type": TOPIC, "resource_name": topic, "configuration_keys": None}
    x.ask(step, DescribeConfigsRequest, 1, {"resources": [asked], "include_synonyms": False})


def change(topic, *changes, kind=TOPIC, **fields):
    configs = [{"name": name, "config_operation": operation, "value": value} for name, operation, value in changes]
    resource = {"resource_type": kind, "resource_name": topic, "configs": configs}
    return {"resources": [resource], "validate_only": False} | fields


@exchange
def incremental_alter_configs(x):
    name, _ = x.topic(retention_ms="1000000")
    for version in range(2):
        x.ask(f"version {version}", IncrementalAlterConfigsRequest, version, change(name, ("retention.bytes", SET, "7")))

    def ask(step, *changes, topic=name, **fields):
        x.ask(step, IncrementalAlterConfigsRequest, 1, change(topic, *changes, **fields))

    ask("back to the default", ("retention.ms", RESET, None))
    ask("more of a list", ("cleanup.policy", APPEND, "compact"))
    ask("less of a list", ("cleanup.policy", SUBTRACT, "delete"))
    ask("two settings", ("max.message.bytes", SET, "12345"), ("compression.type", SET, "zstd"))
    settings(x, "all of that", name)
    ask("only a trial", ("max.message.bytes", SET, "54321"), validate_only=True)
    ask("an unknown setting", ("no.such.setting", SET, "1"))
    ask("an unknown setting, back to the default", ("no.such.setting", RESET, None))
    ask("a good and a wrong one", ("max.message.bytes", SET, "54321"), ("retention.ms", SET, "soon"))
    ask("a number out of range", ("max.message.bytes", SET, "-5"))
    ask("more of what is no list", ("retention.ms", APPEND, "5"))
    ask("less than a list has", ("cleanup.policy", SUBTRACT, "delete"))
    ask("a null value", ("retention.ms", SET, None))
    ask("the same setting twice", ("retention.ms", SET, "5"), ("retention.ms", SET, "6"))
    ask("an unknown topic", ("retention.ms", SET, "5"), topic=x.unique("never"))
    ask("an invalid topic name", ("retention.ms", SET, "5"), topic="a b")
    ask("an unknown kind", ("retention.ms", SET, "5"), kind=77)
    ask("nothing")
    settings(x, "unchanged", name)
    twice = change(name, ("retention.ms", SET, "5"))
    twice["resources"] *= 2
    x.ask("the same topic twice", IncrementalAlterConfigsRequest, 1, twice)


@exchange
def alter_configs(x):
    name, _ = x.topic(retention_ms="1000000", cleanup_policy="compact")

    def ask(step, *settings, topic=name, version=2):
        configs = [{"name": name, "value": value} for name, value in settings]
        resource = {"resource_type": TOPIC, "resource_name": topic, "configs": configs}
        x.ask(step, AlterConfigsRequest, version, {"resources": [resource], "validate_only": False})

    for version in range(3):
        ask(f"version {version}", ("retention.bytes", "7"), version=version)
    settings(x, "what is not named is at its default", name)
    ask("a null value", ("retention.ms", None))
    ask("an unknown setting", ("no.such.setting", "1"))
    ask("an unknown topic", ("retention.ms", "5"), topic=x.unique("never"))
    ask("nothing")
    settings(x, "all at their defaults", name)


def commit(group, topic, offset):
    partitions = [{"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}]
    fields = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": "", "group_instance_id": None}
    return fields | {"topics": [{"name": topic, "partitions": partitions}]}


@exchange
def groups_of_an_administrator(x):
    x.coordinator()
    topic, _ = x.topic()
    simple, full = x.unique("simple"), x.unique("full")
    x.quiet(OffsetCommitRequest, 7, commit(simple, topic, 5))
    member, _ = x.member(full)
    for version in range(7):
        x.ask(f"describe, version {version}", DescribeGroupsRequest, version, {"groups": [simple, full, x.unique("no")]})
    for version in range(6):
        listed = x.quiet(ListGroupsRequest, version, {}).groups
        mine = sorted((group for group in listed if group.group_id in (simple, full)), key=lambda group: group.group_id)
        x.note(f"list, version {version}", [x.normalizer.answer(group) for group in mine])
    for states in [["Stable"], ["Empty"], ["Dead"], ["stable"], ["nonsense"]]:
        listed = x.quiet(ListGroupsRequest, 4, {"states_filter": states}).groups
        found = [group.group_id for group in listed if group.group_id in (simple, full)]
        x.note(f"list in {states[0]}", sorted(name.replace(x.suffix, "") for name in found))
    for version in range(3):
        x.ask(f"delete, version {version}", DeleteGroupsRequest, version, {"groups_names": [full, x.unique("no")]})
    x.quiet(LeaveGroupRequest, 2, {"group_id": full, "member_id": member})
    x.ask("describe an empty one", DescribeGroupsRequest, 5, {"groups": [full]})
    x.ask("delete both", DeleteGroupsRequest, 2, {"groups_names": [full, simple]})
    x.ask("describe what is deleted", DescribeGroupsRequest, 5, {"groups": [full, simple]})
    fetch = {"group_id": simple, "topics": [{"name": topic, "partition_indexes": [0]}]}
    x.ask("offsets of what is deleted", OffsetFetchRequest, 7, fetch)


@exchange
def offset_delete(x):
    group = x.coordinator()
    topic, _ = x.topic(partitions=2)
    x.quiet(OffsetCommitRequest, 7, commit(group, topic, 5))

    def ask(step, group, topic, *partitions):
        asked = [{"partition_index": partition} for partition in partitions]
        fields = {"group_id": group, "topics": [{"name": topic, "partitions": asked}]}
        x.ask(step, OffsetDeleteRequest, 0, fields)

    ask("an unknown group", x.unique("no"), topic, 0)
    ask("an empty group", "", topic, 0)
    ask("an unknown topic", group, x.unique("never"), 0)
    ask("one with an offset, one without, one that is not there", group, topic, 0, 1, 7)
    fetch = {"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}
    x.ask("what is left", OffsetFetchRequest, 7, fetch)
    x.ask("the group is still there", DeleteGroupsRequest, 2, {"groups_names": [group]})


@exchange
def delete_records(x):
    name, _ = x.topic(partitions=2)
    x.append(name, batch.batch(batch.values("a", "b", "c")), batch.batch(batch.values("d", "e")))

    def ask(step, offset, version=2, topic=name, partition=0):
        partitions = [{"partition_index": partition, "offset": offset}]
        fields = {"topics": [{"name": topic, "partitions": partitions}], "timeout_ms": 10_000}
        x.ask(step, DeleteRecordsRequest, version, fields)

    for version in range(3):
        ask(f"version {version}", version, version=version)
    ask("within a batch", 4)
    ask("once more", 4)
    ask("an offset that is gone", 1)
    ask("behind the end", 6)
    ask("-2", -2)
    ask("to the end", -1)
    ask("of an empty partition, to the end", -1, partition=1)
    ask("an unknown partition", 1, partition=5)
    ask("an unknown topic", 1, topic=x.unique("never"))


@exchange
def sasl_without_authentication(x):
    for version in range(2):
        x.ask(f"handshake, version {version}", SaslHandshakeRequest, version, {"mechanism": "PLAIN"})
