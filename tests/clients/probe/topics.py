"""Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeCluster."""

import uuid

from kafka.protocol.admin import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeClusterRequest,
)
from kafka.protocol.metadata import MetadataRequest

from exchange import exchange

UNKNOWN_ID = uuid.UUID("11111111-2222-3333-4444-555555555555")
ZERO_ID = uuid.UUID(int=0)


def metadata(*names, auto_create=False):
    return {"topics": [{"name": name, "topic_id": None} for name in names], "allow_auto_topic_creation": auto_create}


@exchange
def metadata_versions(x):
    name, topic_id = x.topic(partitions=2)
    for version in range(14):
        fields = {"topics": [{"name": name, "topic_id": None}]}
        x.ask(f"version {version}", MetadataRequest, version, fields)
    for version in [12, 13]:
        x.ask(f"by id, version {version}", MetadataRequest, version, {"topics": [{"name": None, "topic_id": topic_id}]})
    for version in [0, 1, 4, 9]:
        answer = x.quiet(MetadataRequest, version, {"topics": None if version else []})
        x.note(f"all topics, version {version}", name in [topic.name for topic in answer.topics])
    x.ask("no topics", MetadataRequest, 9, {"topics": []})


@exchange
def metadata_of_unknown_topics(x):
    name = x.unique("never")
    for version in [4, 8, 9, 10, 12, 13]:
        x.ask(f"version {version}", MetadataRequest, version, metadata(name))
    x.ask("an unknown id", MetadataRequest, 12, {"topics": [{"name": None, "topic_id": UNKNOWN_ID}]})
    x.ask("an id and a name", MetadataRequest, 12, {"topics": [{"name": name, "topic_id": UNKNOWN_ID}]})
    x.ask("an id before version 12", MetadataRequest, 11, {"topics": [{"name": "", "topic_id": UNKNOWN_ID}]})
    known, _ = x.topic("known")
    x.ask("a known and an unknown one", MetadataRequest, 9, metadata(known, name))
    x.ask("the same twice", MetadataRequest, 9, metadata(known, known))


INVALID_NAMES = {
    "empty": "",
    "a dot": ".",
    "two dots": "..",
    "a space": "a b",
    "a slash": "a/b",
    "not ASCII": "na\u00efve",
    "250 characters": "x" * 250,
}


@exchange
def invalid_topic_names(x):
    for what, name in INVALID_NAMES.items():
        x.ask(f"Metadata, {what}", MetadataRequest, 9, metadata(name))
        x.ask(f"Metadata that may create, {what}", MetadataRequest, 9, metadata(name, auto_create=True))
        x.ask(f"CreateTopics, {what}", CreateTopicsRequest, 5, create({"name": name}))
    x.ask("CreateTopics, 249 characters", CreateTopicsRequest, 5, create({"name": "x" * 249}, validate_only=True))


@exchange
def auto_create(x):
    """The first answer may come before the topic; in the end it is there, with the broker's defaults."""
    name = x.unique("topic")

    def created():
        answer = x.quiet(MetadataRequest, 9, metadata(name, auto_create=True))
        return answer.topics[0] if answer.topics[0].error_code == 0 else None

    topic = x.until("the topic", created)
    x.note("in the end", {"partitions": len(topic.partitions) >= 1, "is_internal": topic.is_internal})


def create(*topics, validate_only=False, timeout_ms=10_000):
    defaults = {"num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}
    return {"topics": [defaults | topic for topic in topics], "timeout_ms": timeout_ms, "validate_only": validate_only}


@exchange
def create_topics(x):
    for version in range(2, 8):
        fields = create({"name": x.unique(f"v{version}"), "num_partitions": 3})
        x.ask(f"version {version}", CreateTopicsRequest, version, fields)
        x.ask(f"again, version {version}", CreateTopicsRequest, version, fields)
    setting = {
        "configs": [{"name": "cleanup.policy", "value": "compact"}, {"name": "retention.ms", "value": "1000000"}]
    }
    x.ask("with a setting", CreateTopicsRequest, 7, create({"name": x.unique("set")} | setting))
    defaults = {"name": x.unique("defaults"), "num_partitions": -1, "replication_factor": -1}
    x.ask("with the broker's numbers", CreateTopicsRequest, 7, create(defaults))
    assigned = {"num_partitions": -1, "replication_factor": -1}
    assigned["assignments"] = [{"partition_index": p, "broker_ids": [x.node]} for p in range(2)]
    x.ask("assigned by hand", CreateTopicsRequest, 7, create({"name": x.unique("assigned")} | assigned))
    trial = x.unique("trial")
    x.ask("a trial", CreateTopicsRequest, 7, create({"name": trial}, validate_only=True))
    x.ask("what the trial left", MetadataRequest, 9, metadata(trial))
    x.ask("no topics", CreateTopicsRequest, 7, create())


@exchange
def create_topics_wrongly(x):
    def wrong(step, topic):
        x.ask(step, CreateTopicsRequest, 7, create({"name": x.unique("wrong")} | topic))

    def setting(name, value):
        return {"configs": [{"name": name, "value": value}]}

    wrong("three replicas on one node", {"replication_factor": 3})
    wrong("no replicas", {"replication_factor": 0})
    wrong("-2 replicas", {"replication_factor": -2})
    wrong("no partitions", {"num_partitions": 0})
    wrong("-2 partitions", {"num_partitions": -2})
    wrong("an unknown setting", setting("no.such.setting", "1"))
    wrong("an unknown policy", setting("cleanup.policy", "bogus"))
    wrong("a word for a number", setting("retention.ms", "soon"))
    wrong("a number out of range", setting("segment.bytes", "1"))
    wrong("a null value of a setting", setting("cleanup.policy", None))
    everything = {"num_partitions": -1, "replication_factor": -1}
    wrong(
        "assigned to a node that is not there",
        everything | {"assignments": [{"partition_index": 0, "broker_ids": [99]}]},
    )
    wrong("assigned with a gap", everything | {"assignments": [{"partition_index": 1, "broker_ids": [x.node]}]})
    wrong("assigned to nobody", everything | {"assignments": [{"partition_index": 0, "broker_ids": []}]})
    wrong(
        "assigned twice to one node", everything | {"assignments": [{"partition_index": 0, "broker_ids": [x.node] * 2}]}
    )
    wrong("assigned and counted", {"assignments": [{"partition_index": 0, "broker_ids": [x.node]}]})
    twice = x.unique("twice")
    x.ask("the same twice", CreateTopicsRequest, 7, create({"name": twice}, {"name": twice}))
    one = {"name": x.unique("good")}
    x.ask(
        "a good and a bad one", CreateTopicsRequest, 7, create(one, {"name": x.unique("bad"), "replication_factor": 3})
    )
    x.topic("dotted.name")
    x.ask("a name that collides", CreateTopicsRequest, 7, create({"name": x.unique("dotted_name")}))


@exchange
def delete_topics(x):
    for version in range(1, 7):
        name, _ = x.topic(f"v{version}")
        x.ask(f"version {version}", DeleteTopicsRequest, version, delete(version, name))
        x.until("the topic to be gone", lambda name=name: gone(x, name))
        x.ask(f"again, version {version}", DeleteTopicsRequest, version, delete(version, name))
    _, topic_id = x.topic("by_id")
    x.ask("by id", DeleteTopicsRequest, 6, {"topics": [{"name": None, "topic_id": topic_id}], "timeout_ms": 10_000})
    x.ask(
        "an unknown id",
        DeleteTopicsRequest,
        6,
        {"topics": [{"name": None, "topic_id": UNKNOWN_ID}], "timeout_ms": 10_000},
    )
    name, topic_id = x.topic("kept")
    x.ask(
        "by name and id",
        DeleteTopicsRequest,
        6,
        {"topics": [{"name": name, "topic_id": topic_id}], "timeout_ms": 10_000},
    )
    x.ask("by neither", DeleteTopicsRequest, 6, {"topics": [{"name": None, "topic_id": ZERO_ID}], "timeout_ms": 10_000})
    x.ask("the same twice", DeleteTopicsRequest, 5, delete(5, name, name))


def delete(version, *names):
    if version >= 6:
        return {"topics": [{"name": name, "topic_id": ZERO_ID} for name in names], "timeout_ms": 10_000}
    return {"topic_names": list(names), "timeout_ms": 10_000}


def gone(x, name):
    return True if x.quiet(MetadataRequest, 9, metadata(name)).topics[0].error_code else None


@exchange
def create_again_after_delete(x):
    """The new topic is another one: with an id of its own, and without records."""
    name, topic_id = x.topic()
    x.quiet(DeleteTopicsRequest, 5, delete(5, name))
    x.until("the topic to be gone", lambda: gone(x, name))
    _, new_id = x.topic()
    x.note("the id is a new one", topic_id != new_id)
    x.ask("the old id", MetadataRequest, 12, {"topics": [{"name": None, "topic_id": topic_id}]})


@exchange
def create_partitions(x):
    def more(step, name, count, version=3, assignments=None, validate_only=False):
        topics = [{"name": name, "count": count, "assignments": assignments}]
        x.ask(
            step,
            CreatePartitionsRequest,
            version,
            {"topics": topics, "timeout_ms": 10_000, "validate_only": validate_only},
        )

    for version in range(4):
        name, _ = x.topic(f"v{version}")
        more(f"version {version}", name, 3, version)
        x.until("the partitions", lambda name=name: count_partitions(x, name, 3))
    more("as many as there are", name, 3)
    more("fewer", name, 2)
    more("none", name, 0)
    more("-1", name, -1)
    more("of an unknown topic", x.unique("never"), 2)
    more("assigned by hand", name, 4, assignments=[{"broker_ids": [x.node]}])
    more("assigned to a node that is not there", name, 5, assignments=[{"broker_ids": [99]}])
    more("too few assignments", name, 7, assignments=[{"broker_ids": [x.node]}])
    more("a trial", name, 9, validate_only=True)
    x.until("the partitions", lambda: count_partitions(x, name, 4))
    twice = [{"name": name, "count": 5, "assignments": None}] * 2
    x.ask("the same twice", CreatePartitionsRequest, 3, {"topics": twice, "timeout_ms": 10_000, "validate_only": False})


def count_partitions(x, name, count):
    found = x.quiet(MetadataRequest, 9, metadata(name)).topics[0].partitions
    return True if len(found) == count else None


@exchange
def describe_cluster(x):
    for version in range(3):
        x.ask(f"version {version}", DescribeClusterRequest, version, {})
    x.ask("of controllers, asked of a broker", DescribeClusterRequest, 1, {"endpoint_type": 2})
    x.ask("of an unknown kind", DescribeClusterRequest, 1, {"endpoint_type": 9})
